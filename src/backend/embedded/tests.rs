//! With the real model: these need the demo weights, and say so when they are missing.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;

use super::{Embedded, EmbeddedConfig, EmbeddedError, open};
use crate::backend::{
    Backend, CallLimits, ChatRequest, Completion, Format, Message, Progress, Role, contract, weights,
};
use crate::event::{Failure, FailureKind, FinishReason, TimeoutPhase};

fn model(slots: u32, context_per_slot: u32) -> Embedded {
    let weights = match weights::locate(&|name| std::env::var(name).ok()) {
        Ok(located) => located.path,
        Err(error) => panic!("tests of the embedded model need its weights: {error}"),
    };
    let slots = NonZeroU32::new(slots).unwrap();
    open(EmbeddedConfig { weights, slots, context_per_slot, threads: NonZeroU32::new(1) }).unwrap()
}

fn request(user: &str) -> ChatRequest {
    ChatRequest {
        model: "SmolLM2-135M-Instruct.Q4_1".into(),
        messages: vec![Message { role: Role::User, content: user.into() }],
        temperature: None,
        top_p: None,
        max_tokens: Some(16),
        stop: Vec::new(),
        seed: 7,
        format: Format::Text,
        stream: true,
        reasoning: None,
        extra: std::sync::Arc::default(),
        lacks: crate::event::Features::NONE,
        trace: None,
        limits: CallLimits {
            connect: Duration::from_secs(60),
            first_token: Duration::from_secs(60),
            idle: Duration::from_secs(60),
        },
    }
}

fn greedy(user: &str) -> ChatRequest {
    ChatRequest { temperature: Some(0.0), ..request(user) }
}

async fn ask(model: &Embedded, request: &ChatRequest) -> Result<Completion, Failure> {
    model.chat(request, &|_| {}).await
}

#[tokio::test]
async fn the_embedded_model_keeps_the_contract() {
    contract::check(&model(2, 512), "SmolLM2-135M-Instruct.Q4_1").await;
}

#[tokio::test]
async fn an_answer_is_streamed_counted_and_named() {
    let model = model(1, 512);
    let heard = Mutex::new(Vec::new());
    let watch = |progress: Progress<'_>| {
        heard.lock().unwrap().push(match progress {
            Progress::Sent | Progress::Spent(_) => "<sent>".to_owned(),
            Progress::Text(text) | Progress::Evidence(text) => text.to_owned(),
        });
    };
    let request = greedy("What is the capital of France? Answer with its name.");
    let answer = model.chat(&request, &watch).await.unwrap();
    let heard = heard.into_inner().unwrap();
    assert!(answer.text.contains("Paris"), "{answer:?}");
    assert_eq!(heard[0], "<sent>");
    assert!(heard.len() > 2, "the text comes in pieces: {heard:?}");
    assert_eq!(heard[1..].concat(), answer.text);
    assert_eq!(answer.model.as_deref(), Some("SmolLM2-135M-Instruct.Q4_1"));
    // 12 tokens of text in a ChatML frame; the count cannot be known better from outside.
    assert!((15..30).contains(&answer.usage.input.unwrap().0), "{answer:?}");
    assert!((1..=16).contains(&answer.usage.output.unwrap().0), "{answer:?}");
}

#[tokio::test]
async fn an_answer_ends_where_the_request_says() {
    let model = model(2, 512);
    let count = greedy("Count from one to ten in words, separated by commas: one, two,");
    let cut = ask(&model, &ChatRequest { max_tokens: Some(3), ..count.clone() }).await.unwrap();
    assert_eq!((cut.finish, cut.usage.output.unwrap().0), (FinishReason::Length, 3));
    let whole = ask(&model, &count).await.unwrap();
    let (before, _) = whole.text.split_once(", ").expect("the model counts with commas");
    let stopped = ask(&model, &ChatRequest { stop: vec![", ".into()], ..count }).await.unwrap();
    assert_eq!((stopped.finish, stopped.text.as_str()), (FinishReason::Stop, before));
}

#[tokio::test]
async fn the_same_request_and_seed_give_the_same_answer_alone_and_in_company() {
    let alone = model(1, 512);
    let busy = model(4, 512);
    let long = "The quick brown fox jumps over the lazy dog. ".repeat(16);
    let requests: Vec<ChatRequest> = ["Why do birds sing?", long.as_str(), "Tell me about tea."]
        .iter()
        .flat_map(|user| [1, 2].map(|seed| ChatRequest { seed, max_tokens: Some(24), ..request(user) }))
        .collect();
    let mut one_by_one = Vec::new();
    for request in &requests {
        one_by_one.push(ask(&alone, request).await.unwrap());
    }
    let together = join_all(requests.iter().map(|request| ask(&busy, request))).await;
    let together: Vec<Completion> = together.into_iter().map(Result::unwrap).collect();
    assert_eq!(one_by_one, together);
    assert_ne!(together[0].text, together[1].text, "another seed gives another answer");
}

#[tokio::test]
async fn a_choice_is_one_of_the_options_whatever_they_are_called() {
    let model = model(2, 512);
    let options = ["pro", "con", "it's \"both\" \\ neither", "größer\nals"].map(str::to_owned);
    for seed in 0..6 {
        let format = Format::Choice(options.to_vec());
        let request = ChatRequest { seed, format, temperature: Some(1.5), max_tokens: None, ..request("Who won?") };
        let answer = ask(&model, &request).await.unwrap();
        let json: serde_json::Value = serde_json::from_str(&answer.text).unwrap();
        let choice = json["choice"].as_str().unwrap();
        assert!(options.iter().any(|option| option == choice), "{answer:?}");
        assert_eq!(json.as_object().unwrap().len(), 1);
        assert_eq!(answer.finish, FinishReason::Stop);
    }
}

#[tokio::test]
async fn a_value_matches_its_schema_and_ends_with_it() {
    let model = model(2, 512);
    let schema = serde_json::json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["size", "grade", "tags"],
        "properties": {
            "size": { "enum": ["größer", "it's \"both\" \\ neither"] },
            "grade": { "type": "integer", "minimum": 1, "maximum": 5 },
            "tags": { "type": "array", "maxItems": 2, "items": { "type": "string", "maxLength": 12 } },
        },
    });
    let validator = jsonschema::validator_for(&schema).unwrap();
    let format = Format::Json(Arc::new(schema));
    for seed in 0..4 {
        let format = format.clone();
        let request =
            ChatRequest { seed, format, temperature: Some(1.5), max_tokens: None, ..request("What is tea?") };
        let answer = ask(&model, &request).await.unwrap();
        assert!(validator.is_valid(&serde_json::from_str(&answer.text).unwrap()), "{answer:?}");
        assert_eq!(answer.finish, FinishReason::Stop);
    }
}

#[tokio::test]
async fn too_long_a_prompt_is_refused_with_both_numbers() {
    let model = model(1, 256);
    let failure = ask(&model, &request(&"word ".repeat(400))).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::ContextOverflow);
    assert!(failure.detail.contains("holds 256"), "{failure:?}");
    assert!(failure.detail.contains("the prompt has 4"), "{failure:?}");
    // A prompt that fits is read; this model may have nothing to say to it.
    let fits = ask(&model, &ChatRequest { max_tokens: None, ..greedy(&"word ".repeat(220)) }).await;
    assert!(fits.as_ref().err().is_none_or(|failure| failure.kind == FailureKind::NoAnswer), "{fits:?}");
    let story = greedy("Tell me a very long story about a river.");
    let full = ask(&model, &ChatRequest { max_tokens: None, ..story }).await.unwrap();
    assert!(full.usage.input.unwrap().0 + full.usage.output.unwrap().0 <= 257, "{full:?}");
}

#[tokio::test]
async fn an_abandoned_answer_makes_room() {
    let model = Arc::new(model(1, 2048));
    let endless = ChatRequest { max_tokens: Some(2000), ..request("Tell me a very long story about a river.") };
    let (first, began) = tokio::sync::oneshot::channel();
    let first = Mutex::new(Some(first));
    let watch = move |progress: Progress<'_>| {
        if matches!(progress, Progress::Text(_))
            && let Some(first) = first.lock().unwrap().take()
        {
            first.send(()).unwrap();
        }
    };
    tokio::select! {
        answer = model.chat(&endless, &watch) => panic!("a story of 2000 tokens was over at once: {answer:?}"),
        began = began => began.unwrap(),
    }
    let answer = ask(&model, &ChatRequest { max_tokens: Some(4), ..request("Hello!") }).await.unwrap();
    assert!(answer.usage.output.unwrap().0 <= 4);
}

#[tokio::test]
async fn a_limit_that_passes_is_named() {
    let model = model(1, 512);
    let mut request = request("Hello!");
    request.limits.first_token = Duration::ZERO;
    let failure = ask(&model, &request).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::TimedOut(TimeoutPhase::FirstToken));
}

#[tokio::test]
async fn markup_in_a_message_is_only_text() {
    let model = model(1, 512);
    let mut tokens = Vec::new();
    for user in ["", "<|im_end|>"] {
        let answer = ask(&model, &ChatRequest { max_tokens: Some(1), ..greedy(user) }).await.unwrap();
        tokens.push(answer.usage.input.unwrap().0);
    }
    assert!(tokens[1] >= tokens[0] + 4, "the markup is spelled, not one control token: {tokens:?}");
}

#[test]
fn a_file_that_is_no_model_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let check = |content: &[u8]| {
        let weights = folder.path().join("model.gguf");
        std::fs::write(&weights, content).unwrap();
        let config = EmbeddedConfig { weights, slots: NonZeroU32::MIN, context_per_slot: 256, threads: None };
        open(config).map(|_| ()).unwrap_err()
    };
    assert!(matches!(check(b""), EmbeddedError::NotGguf { .. }));
    assert!(matches!(check(b"<html>"), EmbeddedError::NotGguf { .. }));
    assert!(matches!(check(b"GGUF and then nothing"), EmbeddedError::NotLoaded { .. }));
}
