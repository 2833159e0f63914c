//! The doctor on a machine with one scripted server, which a variable names: it comes first whatever else runs here.

use serde_json::Value;

use super::args::DoctorArgs;
use super::doctor::examine;
use super::exit::Exit;
use super::testing::Project;
use crate::backend::scripted::{Reply, Scripted};
use crate::base::Millis;

fn args(json: bool) -> DoctorArgs {
    DoctorArgs { json, fetch_model: None, trace_to: None, query: None, patience: Millis(0) }
}

async fn server() -> Scripted {
    Scripted::start(|seen| match seen.line.as_str() {
        "GET /v1/models" => Reply::json(200, r#"{"object":"list","data":[{"id":"tiny","owned_by":"llamacpp"}]}"#),
        "GET /props" => Reply::json(200, r#"{"total_slots":3}"#),
        _ => Reply::json(404, "{}"),
    })
    .await
}

#[tokio::test]
async fn a_server_is_found_and_named_with_its_reason() {
    let server = server().await;
    let url = format!("{}/v1", server.url());
    let env = |name: &str| (name == "PIPE_BASE_URL").then(|| url.clone());
    let project = Project::new();
    let exit = examine(&args(false), &project.home, &env, &mut project.printer()).await.unwrap();
    assert_eq!(exit, Exit::Done);
    let text = project.printed();
    let one_line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        one_line.contains(&format!("server {url} (from PIPE_BASE_URL): llama.cpp, 3 slots, 1 model: tiny")),
        "{text}"
    );
    assert!(one_line.contains(&format!("auto is tiny by llama.cpp at {url} (from PIPE_BASE_URL)")), "{text}");
    assert!(one_line.contains("no weights:"), "{text}");
    assert!(one_line.contains("no runs yet"), "{text}");

    examine(&args(true), &project.home, &env, &mut project.printer()).await.unwrap();
    let json: Value = serde_json::from_str(&project.printed()).unwrap();
    assert_eq!(json["places"][0]["server"]["slots"], 3);
    assert_eq!(json["places"][0]["server"]["models"][0]["name"], "tiny");
    assert_eq!((&json["usable"], &json["embedded"]["weights"]), (&Value::Bool(true), &Value::Null));
}

#[tokio::test]
async fn what_is_no_model_server_is_said_so() {
    let server = Scripted::start(|_| Reply::Whole {
        status: 200,
        headers: vec![("content-type", "text/html".to_owned())],
        body: "<!DOCTYPE html>\u{1b}[2J".to_owned(),
    })
    .await;
    let url = server.url();
    let env = |name: &str| (name == "OPENAI_BASE_URL").then(|| url.clone());
    let project = Project::new();
    examine(&args(true), &project.home, &env, &mut project.printer()).await.unwrap();
    let json: Value = serde_json::from_str(&project.printed()).unwrap();
    assert_eq!(json["places"][0]["state"], "no_model_server");
    assert!(json["places"][0]["says"].as_str().unwrap().contains("not an OpenAI-compatible server"), "{json}");
    examine(&args(false), &project.home, &env, &mut project.printer()).await.unwrap();
    assert!(!project.printed().contains('\u{1b}'));
}

/// An Ollama with models in memory: of each its size, and what of that is on a device.
async fn ollama(models: &'static [(&'static str, u64, u64)]) -> Scripted {
    Scripted::start(move |seen| match seen.line.as_str() {
        "GET /v1/models" => {
            let listed: Vec<Value> = models.iter().map(|(name, ..)| serde_json::json!({ "id": name })).collect();
            Reply::json(200, serde_json::json!({ "object": "list", "data": listed }).to_string())
        }
        "GET /api/version" => Reply::json(200, r#"{"version":"0.12.6"}"#),
        "GET /api/ps" => {
            let running = models.iter().map(|(name, size, vram)| {
                serde_json::json!({ "name": name, "model": name, "size": size, "size_vram": vram, "context_length": 4096 })
            });
            Reply::json(200, serde_json::json!({ "models": running.collect::<Vec<_>>() }).to_string())
        }
        _ => Reply::json(404, "404 page not found"),
    })
    .await
}

#[tokio::test]
async fn a_model_that_is_only_in_part_in_the_memory_of_a_device_is_named_with_a_remedy() {
    let server =
        ollama(&[("llama3:latest", 6_591_830_464, 2_504_895_577), ("tiny:1b", 100, 100), ("slow:7b", 100, 0)]).await;
    let url = format!("{}/v1", server.url());
    let env = |name: &str| (name == "PIPE_BASE_URL").then(|| url.clone());
    let project = Project::new();
    examine(&args(true), &project.home, &env, &mut project.printer()).await.unwrap();
    let json: Value = serde_json::from_str(&project.printed()).unwrap();
    let models = &json["places"][0]["server"]["models"];
    assert_eq!(
        (&models[0]["bytes"], &models[0]["gpu_bytes"]),
        (&6_591_830_464_u64.into(), &2_504_895_577_u64.into())
    );
    let says = json["places"][0]["says"].as_str().unwrap();
    assert!(says.contains("llama3:latest (loaded, 38 % of it in GPU memory), tiny:1b (loaded, 100 %"), "{says}");
    let told: Vec<&str> = json["suggestions"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let about = |name: &str| told.iter().find(|line| line.contains(name));
    let partly = about("llama3:latest").unwrap();
    assert!(partly.starts_with("38 % of llama3:latest is in GPU memory: the rest computes on the CPU"), "{partly}");
    assert!(partly.contains("OLLAMA_CONTEXT_LENGTH"), "{partly}");
    assert_eq!(about("tiny:1b"), None, "{told:?}");
    // Nothing on a device: worth a word where there is one.
    assert_eq!(about("slow:7b").is_some(), json["gpu"]["devices"].as_array().is_some_and(|all| !all.is_empty()));
}

#[tokio::test]
async fn a_download_that_fails_says_why_and_stops() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().display().to_string();
    let env = |name: &str| (name == "XDG_CACHE_HOME").then(|| cache.clone());
    let args = DoctorArgs { fetch_model: Some("ftp://example.org/model.gguf".to_owned()), ..args(false) };
    let project = Project::new();
    let error = examine(&args, &project.home, &env, &mut project.printer()).await.unwrap_err();
    assert_eq!(error.exit(), Exit::BackendUnusable);
    assert!(error.to_string().contains("http:// or https://"), "{error}");
    assert_eq!(project.printed(), "");
}
