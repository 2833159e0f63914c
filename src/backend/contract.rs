//! What every backend does alike; run for each kind.

use std::sync::Mutex;
use std::time::Duration;

use futures_util::FutureExt;

use super::port::{Backend, CallLimits, ChatRequest, Completion, Format, Progress};
use crate::event::FinishReason;
use crate::prompt::{Message, Role};

/// Returns a small request that every backend can answer.
pub(crate) fn request(model: &str) -> ChatRequest {
    let limit = Duration::from_secs(60);
    ChatRequest {
        model: model.into(),
        messages: vec![
            Message { role: Role::System, content: "You answer in one short sentence.".into() },
            Message { role: Role::User, content: "What is the capital of France?".into() },
        ],
        temperature: Some(0.7),
        top_p: None,
        max_tokens: Some(24),
        stop: vec![],
        seed: 7,
        format: Format::Text,
        stream: false,
        reasoning: None,
        extra: std::sync::Arc::default(),
        lacks: crate::event::Features::NONE,
        trace: None,
        limits: CallLimits { connect: limit, first_token: limit, idle: limit },
    }
}

/// Runs every check.
pub(crate) async fn check(backend: &dyn Backend, model: &str) {
    answers_whole(backend, model).await;
    streams_what_it_answers(backend, model).await;
    names_an_option(backend, model).await;
    may_be_dropped(backend, model).await;
}

async fn answers_whole(backend: &dyn Backend, model: &str) {
    let (completion, told) = ask(backend, &request(model)).await;
    assert!(!completion.text.trim().is_empty());
    assert!(matches!(completion.finish, FinishReason::Stop | FinishReason::Length));
    assert!(completion.usage.input.is_some_and(|count| count.0 > 0), "{:?}", completion.usage);
    assert!(completion.usage.output.is_some_and(|count| count.0 > 0), "{:?}", completion.usage);
    assert_eq!(told, [None], "not streamed: sent, once, and no pieces");
}

async fn streams_what_it_answers(backend: &dyn Backend, model: &str) {
    let (completion, told) = ask(backend, &ChatRequest { stream: true, ..request(model) }).await;
    assert_eq!(told.first(), Some(&None), "sent comes first");
    let pieces: Vec<&str> = told[1..].iter().map(|piece| piece.as_deref().expect("sent comes once")).collect();
    assert!(!pieces.is_empty() && pieces.iter().all(|piece| !piece.is_empty()));
    assert_eq!(pieces.concat(), completion.text);
    assert!(completion.usage.output.is_some_and(|count| count.0 > 0), "{:?}", completion.usage);
}

async fn names_an_option(backend: &dyn Backend, model: &str) {
    let options = ["Paris", "Rome \"eternal\"", "tie"].map(str::to_owned);
    for stream in [false, true] {
        let format = Format::Choice(options.to_vec());
        let (completion, _) = ask(backend, &ChatRequest { format, stream, ..request(model) }).await;
        let read: serde_json::Value = serde_json::from_str(&completion.text).expect("a choice is JSON");
        let choice = read["choice"].as_str().expect("a choice is a string");
        assert!(options.iter().any(|option| option == choice), "{choice:?}");
    }
}

async fn may_be_dropped(backend: &dyn Backend, model: &str) {
    let asked = ChatRequest { stream: true, ..request(model) };
    let silent = |_: Progress<'_>| {};
    let polled_once = backend.chat(&asked, &silent).now_or_never();
    drop(polled_once);
    let dropped_early = tokio::time::timeout(Duration::from_millis(5), backend.chat(&asked, &silent)).await;
    drop(dropped_early);
    let (completion, _) = ask(backend, &asked).await;
    assert!(!completion.text.is_empty(), "a dropped call leaves the backend as it was");
}

/// Asks, and returns the answer with what `watch` was told: none for sent, else a piece.
async fn ask(backend: &dyn Backend, request: &ChatRequest) -> (Completion, Vec<Option<String>>) {
    let told = Mutex::new(Vec::new());
    let watch = |progress: Progress<'_>| {
        let entry = match progress {
            Progress::Sent | Progress::Evidence(_) | Progress::Spent(_) => None,
            Progress::Text(piece) => Some(piece.to_owned()),
        };
        told.lock().expect("nothing panics while it holds this").push(entry);
    };
    let completion = backend.chat(request, &watch).await.expect("a healthy backend answers");
    (completion, told.into_inner().expect("nothing panicked"))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::super::openai::{OpenAi, OpenAiConfig};
    use super::super::scripted::{Reply, Scripted, Seen};
    use super::super::sim::Sim;
    use super::*;

    #[tokio::test]
    async fn the_simulated_backend_keeps_the_contract() {
        check(&Sim { speed: 0 }, "any").await;
        check(&Sim { speed: 1_000 }, "any").await;
    }

    #[tokio::test]
    async fn the_openai_adapter_keeps_the_contract() {
        let server = Scripted::start(healthy).await;
        let adapter =
            OpenAi::new(OpenAiConfig { base_url: server.url(), api_key: None, pool: 4, ..OpenAiConfig::default() })
                .expect("a good configuration");
        check(&adapter, "m").await;
    }

    /// Answers as a server that has nothing wrong with it.
    fn healthy(seen: &Seen) -> Reply {
        let asked: serde_json::Value = serde_json::from_str(&seen.body).expect("requests are JSON");
        let options = &asked["response_format"]["json_schema"]["schema"]["properties"]["choice"]["enum"];
        let text = match options.get(1) {
            Some(option) => serde_json::json!({ "choice": option }).to_string(),
            None => "Paris, of course – c'est ça.".to_owned(),
        };
        let usage = serde_json::json!({"prompt_tokens": 12, "completion_tokens": 6});
        if asked["stream"] != true {
            let message = serde_json::json!({"role": "assistant", "content": text});
            let choices = serde_json::json!([{"index": 0, "message": message, "finish_reason": "stop"}]);
            return Reply::json(
                200,
                serde_json::json!({"model": "m", "choices": choices, "usage": usage}).to_string(),
            );
        }
        assert_eq!(asked["stream_options"]["include_usage"], true);
        let mut body = String::new();
        let mut chunk = |delta: serde_json::Value, finish: serde_json::Value| {
            let choices = serde_json::json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
            write!(body, "data: {}\n\n", serde_json::json!({"choices": choices})).expect("a string takes all");
        };
        chunk(serde_json::json!({"role": "assistant", "content": null}), serde_json::Value::Null);
        for piece in text.split_inclusive(' ') {
            chunk(serde_json::json!({ "content": piece }), serde_json::Value::Null);
        }
        chunk(serde_json::json!({}), "stop".into());
        let last = serde_json::json!({"choices": [], "usage": usage});
        write!(body, "data: {last}\n\ndata: [DONE]\n\n").expect("a string takes all");
        Reply::events(body)
    }
}
