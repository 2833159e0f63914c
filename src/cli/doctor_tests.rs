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
