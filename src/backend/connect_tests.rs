//! Which backend a pipeline gets, and what it is told when it gets none.

use std::num::NonZeroU32;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::connect::{Connected, Target, Wanted, connect};
use super::contract;
use super::scripted::{Reply, Scripted, Seen};
use crate::base::ModelName;
use crate::event::InMemory;

fn wanted(target: Target, models: &[Option<&str>]) -> Wanted {
    let models = models.iter().map(|model| model.map(Into::into)).collect();
    let headers = Vec::new();
    Wanted { name: "local".into(), target, api_key: None, headers, is_unlisted: false, models, concurrency: None }
}

async fn one(wanted: Wanted, env: &[(&str, String)]) -> Result<Connected, String> {
    let env: Vec<(String, String)> = env.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let env = move |name: &str| env.iter().find(|(have, _)| have == name).map(|(_, value)| value.clone());
    match connect(&[wanted], &env, &|_| {}).await {
        Ok(mut connected) => Ok(connected.remove(0)),
        Err(errors) => {
            Err(errors.iter().map(|error| crate::cli::exit::with_causes(error)).collect::<Vec<_>>().join("\n"))
        }
    }
}

/// Says what a run would record, and what people read, on two lines.
fn told(outcome: Result<Connected, String>, server: &Scripted) -> String {
    let text = match outcome {
        Ok(connected) => {
            let resolved = connected.resolved;
            let models: Vec<String> =
                resolved.models.iter().map(|(asked, sent)| format!("{asked} is {sent}")).collect();
            let head = format!("{} {} {} {}", resolved.server, resolved.endpoint, resolved.slots, models.join(", "));
            format!("{head}\n{}", connected.says)
        }
        Err(message) => message,
    };
    text.replace(&server.url(), "URL")
}

fn llama_cpp(seen: &Seen) -> Reply {
    match seen.line.as_str() {
        "GET /v1/models" => Reply::json(200, r#"{"data":[{"id":"/m/Smol.Q4.gguf","owned_by":"llamacpp"}]}"#),
        "GET /props" => Reply::json(200, r#"{"total_slots":3}"#),
        _ => Reply::json(404, r#"{"error":{"message":"File Not Found"}}"#),
    }
}

fn ollama(seen: &Seen) -> Reply {
    match seen.line.as_str() {
        "GET /v1/models" => {
            Reply::json(200, r#"{"object":"list","data":[{"id":"llama3.2:latest"},{"id":"qwen2.5:7b"}]}"#)
        }
        "GET /api/version" => Reply::json(200, r#"{"version":"0.33.0"}"#),
        "GET /api/tags" => Reply::json(
            200,
            r#"{"models":[{"name":"llama3.2:latest","model":"llama3.2:latest","size":2019393189,"digest":"a80c4f17acd5"},
                {"name":"qwen2.5:7b","model":"qwen2.5:7b","size":4683087332,"digest":"845dbda0ea48"}]}"#,
        ),
        "GET /api/ps" => Reply::json(
            200,
            r#"{"models":[{"name":"qwen2.5:7b","model":"qwen2.5:7b","size":6591830464,"size_vram":5333539264,
                "expires_at":"2026-10-17T16:47:07.93355-07:00","context_length":4096}]}"#,
        ),
        _ => Reply::json(404, "404 page not found"),
    }
}

#[tokio::test]
async fn a_llama_cpp_server_tells_its_slots() {
    let server = Scripted::start(llama_cpp).await;
    let outcome = one(wanted(Target::Url(server.url()), &[None, Some("Smol.Q4")]), &[]).await;
    assert_eq!(
        told(outcome, &server),
        "llama.cpp URL/v1 3 auto is /m/Smol.Q4.gguf, Smol.Q4 is /m/Smol.Q4.gguf\n\
         local: llama.cpp at URL (Smol.Q4, 3 slots)"
    );
    let four = Wanted { concurrency: NonZeroU32::new(9), ..wanted(Target::Url(server.url()), &[None]) };
    assert_eq!(one(four, &[]).await.map(|connected| connected.resolved.slots), Ok(9));
}

#[tokio::test]
async fn ollama_gives_what_it_has_loaded_and_names_what_it_lacks() {
    let server = Scripted::start(ollama).await;
    let outcome = one(wanted(Target::Url(server.url()), &[None, Some("llama3.2")]), &[]).await;
    assert_eq!(
        told(outcome, &server),
        "ollama URL/v1 4 auto is qwen2.5:7b, llama3.2 is llama3.2:latest\n\
         local: ollama at URL (qwen2.5:7b, llama3.2:latest, 4 slots)"
    );
    // What is in memory is told of the models that are asked for, each once.
    let both = one(wanted(Target::Url(server.url()), &[None, Some("qwen2.5:7b"), Some("llama3.2")]), &[]).await;
    let resolved = both.expect("it has both").resolved;
    let digests = [("llama3.2:latest", "a80c4f17acd5"), ("qwen2.5:7b", "845dbda0ea48")];
    assert_eq!(resolved.digests, digests.map(|(name, digest)| (ModelName::from(name), digest.to_owned())));
    assert_eq!(resolved.version.as_deref(), Some("0.33.0"));
    let memory = resolved.memory;
    assert_eq!(
        memory,
        [(ModelName::from("qwen2.5:7b"), InMemory { bytes: 6_591_830_464, on_device: 5_333_539_264 })]
    );
    assert_eq!(memory[0].1.percent(), 80);
    let other = one(wanted(Target::Url(server.url()), &[Some("llama3.2")]), &[]).await;
    assert_eq!(other.expect("it has it").resolved.memory, []);
    let outcome = one(wanted(Target::Url(server.url()), &[Some("gemma2")]), &[]).await;
    assert_eq!(
        told(outcome, &server),
        "backend \"local\": URL/v1 has no model \"gemma2\"; it has llama3.2:latest, qwen2.5:7b; \
         `ollama pull gemma2` fetches it"
    );
}

#[tokio::test]
async fn ollama_is_asked_once_for_each_model_where_it_lies_and_what_it_says_fails_nothing() {
    let whole = r#"{"model":"m","choices":[{"message":{"content":"Yes."},"finish_reason":"stop"}]}"#;
    let server = Scripted::start(move |seen| match seen.line.as_str() {
        "POST /v1/chat/completions" => Reply::json(200, whole),
        _ => ollama(seen),
    })
    .await;
    let asked = wanted(Target::Url(server.url()), &[Some("qwen2.5:7b"), Some("llama3.2")]);
    let connected = one(asked, &[]).await.expect("it has both");
    let looks = || server.seen().iter().filter(|seen| seen.line == "GET /api/ps").count();
    let before = looks();
    let lies = InMemory { bytes: 6_591_830_464, on_device: 5_333_539_264 };
    for (model, told) in [("qwen2.5:7b", Some(lies)), ("qwen2.5:7b", None), ("llama3.2:latest", None)] {
        let answer = connected.backend.chat(&contract::request(model), &|_| {}).await.expect("an answer");
        assert_eq!(answer.claimed.and_then(|claimed| claimed.memory), told, "{model}");
    }
    assert_eq!(looks() - before, 2);
}

#[tokio::test]
async fn a_server_that_lists_nothing_is_trusted_with_a_name_only() {
    let server = Scripted::start(|_| Reply::json(404, "{}")).await;
    let outcome = one(wanted(Target::Url(server.url()), &[Some("m")]), &[]).await;
    assert_eq!(
        told(outcome, &server),
        "openai-compatible URL/v1 4 m is m\nlocal: openai-compatible at URL (m, 4 slots)"
    );
    let outcome = one(wanted(Target::Url(server.url()), &[None]), &[]).await;
    assert_eq!(
        told(outcome, &server),
        "backend \"local\": URL/v1 does not list its models (answered 404 to GET /models), so `auto` cannot choose one; \
         name one with --model NAME, or under the actor"
    );
}

#[tokio::test]
async fn what_is_no_server_is_named() {
    let page = Scripted::start(|_| Reply::Whole {
        status: 200,
        headers: vec![("content-type", "text/html".into())],
        body: "<html>".into(),
    })
    .await;
    let outcome = one(wanted(Target::Url(page.url()), &[None]), &[]).await;
    assert_eq!(
        told(outcome, &page),
        "backend \"local\": URL/v1: answered text/html, not JSON: not an OpenAI-compatible server \
         (starts with \"<html>\")"
    );
    let locked = Scripted::start(|_| Reply::json(401, "{}")).await;
    let outcome = one(wanted(Target::Url(locked.url()), &[None]), &[]).await;
    assert_eq!(
        told(outcome, &locked),
        "backend \"local\": URL/v1 wants an api key (answered 401 to GET /models); set `api_key` of the backend, such as `${OPENAI_API_KEY}`"
    );
    let outcome = one(wanted(Target::Url("http://127.0.0.1:1/v1".into()), &[None]), &[]).await;
    assert_eq!(
        told(outcome, &page),
        "backend \"local\": http://127.0.0.1:1/v1: connection refused; is the server running?"
    );
    let outcome = one(wanted(Target::Url("localhost".into()), &[None]), &[]).await;
    assert_eq!(
        told(outcome, &page),
        "backend \"local\": \"localhost\" is not a base URL; write one such as \"http://127.0.0.1:8080/v1\""
    );
}

#[tokio::test]
async fn auto_takes_what_the_environment_names_and_sends_keys_only_there() {
    let server = Scripted::start(llama_cpp).await;
    let env = [("OPENAI_BASE_URL", server.url()), ("OPENAI_API_KEY", "sk-12345".to_owned())];
    let connected = one(wanted(Target::Auto, &[None]), &env).await;
    assert_eq!(
        told(connected, &server),
        "llama.cpp URL/v1 3 auto is /m/Smol.Q4.gguf\nlocal: llama.cpp at URL (Smol.Q4, 3 slots)"
    );
    assert!(server.seen().iter().all(|seen| seen.header("authorization") == Some("Bearer sk-12345")));

    let server = Scripted::start(ollama).await;
    let address = format!("127.0.0.1:{}", server.port());
    let env = [("OLLAMA_HOST", address), ("OPENAI_API_KEY", "sk-12345".to_owned())];
    let wanted = Wanted { api_key: Some("sk-67890".into()), ..wanted(Target::Auto, &[Some("qwen2.5:7b")]) };
    let connected = one(wanted, &env).await.expect("it lists that model");
    connected.backend.chat(&contract::request("m"), &|_| {}).await.expect_err("the script has no chat");
    assert!(server.seen().iter().any(|seen| seen.line == "POST /v1/chat/completions"));
    assert!(server.seen().iter().all(|seen| seen.header("authorization").is_none()));
}

#[tokio::test]
async fn auto_passes_over_aloud() {
    let server = Scripted::start(llama_cpp).await;
    let env = [("PIPE_BASE_URL", "http://127.0.0.1:1".to_owned()), ("OPENAI_BASE_URL", server.url())];
    let connected = one(wanted(Target::Auto, &[None]), &env).await;
    assert_eq!(
        told(connected, &server),
        "llama.cpp URL/v1 3 auto is /m/Smol.Q4.gguf\n\
         local: llama.cpp at URL (Smol.Q4, 3 slots); \
         passed over http://127.0.0.1:1/v1 (from PIPE_BASE_URL): connection refused"
    );
}

#[tokio::test]
async fn a_server_that_is_loading_is_waited_for_and_that_is_said_once() {
    let asked = AtomicUsize::new(0);
    let server = Scripted::start(move |seen| match seen.line.as_str() {
        "GET /v1/models" if asked.fetch_add(1, Ordering::Relaxed) < 2 => {
            Reply::json(503, r#"{"error":{"code":503,"message":"Loading model"}}"#)
        }
        _ => llama_cpp(seen),
    })
    .await;
    let said = Mutex::new(Vec::new());
    let notice = |line: &str| said.lock().expect("nothing panics here").push(line.to_owned());
    let url = server.url();
    let env = |name: &str| (name == "OPENAI_BASE_URL").then(|| url.clone());
    for (target, notices) in [(Target::Auto, 1), (Target::Url(server.url()), 0)] {
        let connected = connect(&[wanted(target, &[None])], &env, &notice).await.map_err(|errors| errors.len());
        assert_eq!(connected.map(|connected| connected[0].resolved.slots), Ok(3));
        let said = std::mem::take(&mut *said.lock().expect("nothing panicked"));
        assert_eq!(said.len(), notices, "{said:?}");
    }
}

#[tokio::test]
async fn sim_takes_any_name() {
    let connected =
        one(wanted(Target::Sim { speed: 0 }, &[None, Some("llama3.2")]), &[]).await.expect("always there");
    assert_eq!(connected.says, "local: simulated answers, no model (64 slots)");
    let models: Vec<String> =
        connected.resolved.models.iter().map(|(asked, sent)| format!("{asked} is {sent}")).collect();
    assert_eq!(models, ["auto is sim", "llama3.2 is llama3.2"]);
    let by_variable = one(wanted(Target::Auto, &[None]), &[("PIPE_BASE_URL", "sim".to_owned())]).await;
    assert_eq!(by_variable.map(|connected| connected.resolved.endpoint), Ok("sim".to_owned()));
}

#[cfg(not(feature = "embedded"))]
#[tokio::test]
async fn a_build_without_the_embedded_model_says_how_to_get_one_with_it() {
    let message = one(wanted(Target::Embedded, &[None]), &[]).await.err().expect("there is none");
    assert!(message.starts_with("backend \"local\": this build has no embedded model"), "{message}");
    assert!(message.contains("--features embedded"), "{message}");
}
