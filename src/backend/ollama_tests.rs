//! An Ollama that cuts prompts, with its recorded answers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::connect::{Connected, Target, Wanted, connect};
use super::contract;
use super::port::{ChatRequest, Completion, Progress};
use super::scripted::{Reply, Scripted};
use crate::base::TokenCount;
use crate::event::{Failure, FailureKind, Usage};
use crate::prompt::{Message, Role};

/// A server whose model has this context and which says that it read so many tokens.
async fn ollama(context: u64, read: u64, has_ps: bool) -> Scripted {
    let looks = AtomicU64::new(0);
    Scripted::start(move |seen| match seen.line.as_str() {
        "GET /v1/models" => Reply::json(200, r#"{"object":"list","data":[{"id":"m"}]}"#),
        "GET /api/version" => Reply::json(200, r#"{"version":"0.24.0"}"#),
        // Nothing is in memory before the first call.
        "GET /api/ps" if looks.fetch_add(1, Ordering::Relaxed) == 0 || !has_ps => {
            Reply::json(if has_ps { 200 } else { 404 }, r#"{"models":[]}"#)
        }
        "GET /api/ps" => {
            let entry = json!({ "name": "m", "model": "m", "size": 9, "size_vram": 0, "context_length": context });
            Reply::json(200, json!({ "models": [entry] }).to_string())
        }
        "POST /v1/chat/completions" => {
            let choice = json!({ "message": { "content": "Yes." }, "finish_reason": "stop" });
            let usage = json!({ "prompt_tokens": read, "completion_tokens": 3, "total_tokens": read + 3 });
            Reply::json(200, json!({ "model": "m", "choices": [choice], "usage": usage }).to_string())
        }
        _ => Reply::json(404, "404 page not found"),
    })
    .await
}

async fn connected(server: &Scripted) -> Connected {
    let wanted = Wanted {
        name: "local".into(),
        target: Target::Url(server.url()),
        api_key: None,
        headers: Vec::new(),
        is_unlisted: false,
        models: vec![Some("m".into())],
        concurrency: None,
    };
    let mut connected =
        connect(&[wanted], &|_| None, &|_| {}).await.map_err(|errors| errors.len()).expect("it lists m");
    connected.remove(0)
}

async fn ask(connected: &Connected, text: &str) -> (Result<Completion, Failure>, Vec<Usage>) {
    let messages = vec![Message { role: Role::User, content: text.into() }];
    let request = ChatRequest { messages, ..contract::request("m") };
    let spent = Arc::new(Mutex::new(Vec::new()));
    let outcome = connected
        .backend
        .chat(&request, &|progress| {
            if let Progress::Spent(usage) = progress {
                spent.lock().expect("nothing panics here").push(usage);
            }
        })
        .await;
    let spent = spent.lock().expect("nothing panicked").clone();
    (outcome, spent)
}

fn fox(times: usize) -> String {
    "The quick brown fox jumps over the lazy dog. ".repeat(times)
}

#[tokio::test]
async fn a_prompt_that_fills_the_context_and_is_longer_was_cut() {
    let recorded = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/recorded/ollama-0.24");
    let read = |name: &str| -> Value {
        let text = std::fs::read_to_string(recorded.join(name)).expect("a recorded exchange");
        serde_json::from_str(&text).expect("JSON")
    };
    let exchange = read("v1-prompt-too-long.json");
    let tokens = exchange["response"]["body"]["usage"]["prompt_tokens"].as_u64().expect("it counted");
    let context =
        read("ps-loaded.json")["response"]["body"]["models"][0]["context_length"].as_u64().expect("it says");
    let server = ollama(context, tokens, true).await;
    let found = connected(&server).await;
    let text = fox(900);
    assert!(
        text.len().abs_diff(
            usize::try_from(exchange["request"]["prompt_bytes"].as_u64().expect("its length")).expect("fits")
        ) < 100
    );
    for _ in 0..2 {
        let (outcome, spent) = ask(&found, &text).await;
        let failure = outcome.expect_err("it read 4,096 of 9,020 tokens");
        assert_eq!(failure.kind, FailureKind::ContextOverflow);
        assert_eq!(
            failure.detail.replace(&server.url(), "URL"),
            "URL/v1: read 4,096 tokens of some 10,000; its context is 4,096: raise OLLAMA_CONTEXT_LENGTH (or the \
             model's num_ctx), or shorten the prompt"
        );
        assert_eq!(
            spent,
            [Usage { input: Some(TokenCount(4_096)), output: Some(TokenCount(3)), ..Usage::default() }]
        );
    }
    let looks = server.seen().iter().filter(|seen| seen.line == "GET /api/ps").count();
    assert_eq!(looks, 2, "one to find out who it is, one for the context");
}

#[tokio::test]
async fn a_cut_that_leaves_fewer_tokens_or_an_unknown_context_is_a_doubt() {
    for (context, read, has_ps) in [(4_096, 2_050, true), (4_096, 300, true), (4_096, 4_096, false)] {
        let server = ollama(context, read, has_ps).await;
        let found = connected(&server).await;
        let (outcome, spent) = ask(&found, &fox(1_900)).await;
        let completion = outcome.expect("an answer, with a doubt");
        assert_eq!(completion.prompt_about, Some(TokenCount(21_375)), "{read}");
        assert_eq!(spent, []);
    }
}

#[tokio::test]
async fn a_prompt_that_fits_raises_no_doubt() {
    let code = "        if (value == null) {\n            return defaultValue;\n        }\n".repeat(100);
    let chinese = "这个城市的历史可以追溯到两千多年前。".repeat(150);
    for (text, context, read) in [
        ("Why is the sky blue?".to_owned(), 4_096, 27),
        (fox(400), 8_192, 4_012),
        (fox(400), 4_096, 4_012),
        (code, 4_096, 2_000),
        (chinese, 4_096, 1_650),
        (" ".repeat(60_000), 4_096, 500),
        ("\n\n    ".repeat(3_000), 8_192, 300),
    ] {
        let server = ollama(context, read, true).await;
        let found = connected(&server).await;
        let (outcome, spent) = ask(&found, &text).await;
        let completion = outcome.expect("it was read whole");
        assert_eq!(
            (completion.prompt_about, spent.len()),
            (None, 0),
            "{:?}",
            text.chars().take(20).collect::<String>()
        );
    }
}
