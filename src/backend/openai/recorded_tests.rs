//! Answers of real servers, as they were recorded: what the adapter makes of each, asked for whole and as a stream.
//!
//! Those that were given to other requests are here too: they are what comes when a base URL points to another API.

use std::path::Path;

use serde_json::Value;

use super::kinds_tests::{adapter, ask};
use crate::backend::contract::request;
use crate::backend::port::{ChatRequest, Reasoning};
use crate::backend::scripted::{Reply, Scripted};

/// Each file, and what is seen of it; what is long is cut after 64 letters.
const OLLAMA: &[(&str, &str)] = &[
    ("after-runner-killed", "\"A story of a dog\" cut 18+5"),
    ("anthropic-messages", "malformed: answered 200 without choices: is this an OpenAI-compa…"),
    (
        "chat-answer-over-context-no-shift",
        "\"Ava's family was determined to do what they always did – create …\" cut 15+242",
    ),
    (
        "chat-answer-over-context-shift",
        "\"As I sat at the diner late one evening, sipping a cup of coffee …\" 15+245",
    ),
    ("chat-back-to-default", "\"The reason for the\" cut 27+4"),
    ("chat-bad-role", "\"Here's a revised version of the passage:\\n\\nThe American dream i…\" 10+220"),
    ("chat-logprobs", "\"The reason for\" cut 27+3"),
    ("chat-missing-model", "model missing: 404: model 'nope' not found"),
    ("chat-num-ctx-huge", "\"The story behind the\" cut 27+4"),
    ("chat-prompt-too-long-no-truncate", "context overflow: 400: the input length exceeds the context length"),
    ("chat-prompt-too-long", "\"The \\\"s\\\" at\" cut 4096+5"),
    ("chat-schema", "\"{\\n    \\\"choice\\\"\\n  : \\\"no\\\"}\\n\\n\" 27+16"),
    ("chat-stream", "\"The sky can be described as blue because of a process that\" cut 27+12"),
    ("chat-think-unsupported", "refused: 400: \"smollm2:135m\" does not support thinking"),
    ("chat-thinking-cut", "cut in reasoning: max_tokens went into reasoning before an answe…"),
    ("chat-thinking-off", "\"20 is only odd composite. It's divisible by the square of a numb…\" cut 23+30"),
    ("chat-whole", "\"The sky can be described as blue because of a process that occur…\" cut 27+40"),
    ("delete-missing", "model missing: 404: model 'nope' not found"),
    ("embeddings", "malformed: answered 200 without choices: is this an OpenAI-compa…"),
    ("load", "malformed: answered 200 without choices: is this an OpenAI-compa…"),
    ("ps-huge-context", "malformed: answered 200 without choices: is this an OpenAI-compa…"),
    ("ps-loaded", "malformed: answered 200 without choices: is this an OpenAI-compa…"),
    ("ps-none", "malformed: answered 200 without choices: is this an OpenAI-compa…"),
    ("ps-other-context", "malformed: answered 200 without choices: is this an OpenAI-compa…"),
    ("pull-unreachable", "overloaded: the answer is an error: pull model manifest: Get \"ht…"),
    ("queue-full-0", "\"Dorothy the Golden Isle, an unassuming, rugged-looker with a hea…\" cut 18+120"),
    ("queue-full-7", "overloaded: 503: server busy, please try again. maximum pending …"),
    ("responses", "malformed: answered 200 without choices: is this an OpenAI-compa…"),
    ("runner-killed-chat-stream", "overloaded: the answer is an error: an error was encountered whi…"),
    ("runner-killed-v1-stream", "cut off: the stream ended without a finish_reason after 117 pieces"),
    ("runner-killed-v1-whole", "overloaded: 500: an error was encountered while running the mode…"),
    ("show-missing", "model missing: 404: model 'nope' not found"),
    ("show-thinker", "malformed: answered 200 without choices: is this an OpenAI-compa…"),
    ("show", "malformed: answered 200 without choices: is this an OpenAI-compa…"),
    ("tags", "malformed: answered 200 without choices: is this an OpenAI-compa…"),
    ("two-models-first", "\"There's a long story of a furry friend that I'd like to share wi…\" cut 18+150"),
    (
        "two-models-waits-for-eviction",
        "\"The most elusive and unstoppable puzzle: a long tale of the unli…\" cut 18+20",
    ),
    ("unknown-path", "refused: 404: 404 page not found; is the base URL right?"),
    ("unload-other", "malformed: answered 200 without choices: is this an OpenAI-compa…"),
    ("unload", "malformed: answered 200 without choices: is this an OpenAI-compa…"),
    ("v1-bad-json-type", "refused: 400: json: cannot unmarshal string into Go struct field…"),
    ("v1-empty-messages", "refused: 400: [] is too short - 'messages'"),
    ("v1-length-one-token", "\"The\" cut 27+1"),
    ("v1-logprobs", "\"The air you\" cut 27+3"),
    ("v1-max-completion-tokens", "\"The sky blue lies at the very foundations of our daily lives and…\" 27+51"),
    ("v1-missing-model", "model missing: 404: model 'nope' not found"),
    ("v1-model-missing", "model missing: 404: model 'nope' not found"),
    ("v1-model-one", "malformed: answered 200 without choices: is this an OpenAI-compa…"),
    ("v1-models", "malformed: answered 200 without choices: is this an OpenAI-compa…"),
    ("v1-n2", "\"There's a simple explanation\" cut 27+5"),
    ("v1-prompt-too-long", "\"The game started with \\\"\" cut 4096+5"),
    ("v1-reasoning-effort", "unsupported: 400: \"smollm2:135m\" does not support thinking"),
    ("v1-schema", "\"{\\n\\\"choice\\\": \\\"no\\\"}\" 27+11"),
    ("v1-stream-no-usage", "\"The answer could be\" cut"),
    ("v1-stream", "\"The sky can be described as blue because of a phenomenon known\" cut 27+12"),
    ("v1-thinking-cut-stream", "cut in reasoning: max_tokens went into reasoning before an answe…"),
    ("v1-thinking-cut", "cut in reasoning: max_tokens went into reasoning before an answe…"),
    ("v1-thinking-effort-none", "\"Sure, that's correct. You can check if 12 is a multiple of any p…\" cut 23+30"),
    ("v1-thinking-to-stop", "no answer: the model reasoned and gave no answer 23+68"),
    ("v1-whole", "\"The sky can be described as blue because of a phenomenon known a…\" cut 27+40"),
    ("version", "malformed: answered 200 without choices: is this an OpenAI-compa…"),
];

const LLAMA_SWAP: &[(&str, &str)] = &[
    ("chat-loads-alpha", "\"There's a story\" cut 39+4"),
    ("chat-stream", "\"The story of a\" cut 39+4"),
    ("chat-swaps-to-beta", "\"One day, in\" cut 39+4"),
    ("health", "malformed: answered 200 with text/plain, not JSON: is this an Op…"),
    ("models", "malformed: answered 200 without choices: is this an OpenAI-compa…"),
    ("running-alpha", "malformed: answered 200 without choices: is this an OpenAI-compa…"),
    ("running", "malformed: answered 200 without choices: is this an OpenAI-compa…"),
    ("too-many-requests", "throttled: 429: Too many requests"),
    ("unknown-model", "model missing: 404: no router for requested model"),
    ("unload", "malformed: answered 200 without choices: is this an OpenAI-compa…"),
    ("upstream-props", "malformed: answered 200 without choices: is this an OpenAI-compa…"),
];

/// Files without an answer to a request.
const SNAPSHOTS: &[&str] = &["two-models-ps"];

fn body(response: &Value) -> String {
    if let Some(text) = response["text"].as_str() {
        return text.to_owned();
    }
    match response["lines"].as_array() {
        Some(lines) => lines.iter().map(|line| line.to_string() + "\n").collect(),
        None => response["body"].to_string(),
    }
}

/// Returns a story with its texts cut, which may be long.
fn short(story: &str) -> String {
    let cut = |part: &str| {
        let letters: Vec<char> = part.chars().collect();
        if letters.len() <= 72 { part.to_owned() } else { String::from_iter(&letters[..64]) + "…" }
    };
    match story.strip_prefix('"').and_then(|story| story.rsplit_once('"')) {
        Some((text, rest)) => format!("\"{}\"{rest}", cut(text)),
        None => cut(story),
    }
}

async fn replay(recorded: &Value) -> Result<String, String> {
    let response = &recorded["response"];
    let status = u16::try_from(response["status"].as_u64().expect("a status")).expect("a status");
    let header = |(name, value): (&String, &Value)| {
        let name: &'static str = match name.as_str() {
            "Content-Type" => "content-type",
            "Retry-After" => "retry-after",
            _ => return None,
        };
        Some((name, value.as_str()?.to_owned()))
    };
    let headers: Vec<_> = response["headers"].as_object().into_iter().flatten().filter_map(header).collect();
    let body = body(response);
    let server =
        Scripted::start(move |_| Reply::Whole { status, headers: headers.clone(), body: body.clone() }).await;
    let asked = &recorded["request"]["body"];
    let model = asked["model"].as_str().unwrap_or("smollm2:135m");
    let reasoning = asked["reasoning_effort"].as_str().map(|_| Reasoning::Low);
    let mut stories = Vec::new();
    for stream in [false, true] {
        let asked = ChatRequest { reasoning, stream, ..request(model) };
        let outcome = ask(&adapter(server.url()), &asked).await;
        if let Ok(answer) = &outcome.answer {
            assert_eq!(outcome.shown, if stream { answer.text.as_str() } else { "" });
        }
        stories.push(short(&outcome.story()));
    }
    if stories[0] == stories[1] { Ok(stories.remove(0)) } else { Err(format!("{stories:?}")) }
}

async fn replay_folder(folder: &str, table: &[(&str, &str)]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/recorded").join(folder);
    let mut wrong = Vec::new();
    let mut seen = 0;
    let mut files: Vec<_> =
        std::fs::read_dir(&folder).expect("recorded answers").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    for file in files {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        if SNAPSHOTS.contains(&name.as_str()) {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("it reads");
        let recorded: Value = serde_json::from_str(&text).expect("JSON");
        let story = replay(&recorded).await.unwrap_or_else(|differs| format!("whole and streamed differ: {differs}"));
        seen += 1;
        match table.iter().find(|(row, _)| *row == name) {
            Some((_, expected)) if *expected == story => {}
            Some(_) | None => wrong.push(format!("(\"{name}\", {story:?}),")),
        }
    }
    assert!(wrong.is_empty(), "these are not as the table says:\n{}", wrong.join("\n"));
    assert_eq!(seen, table.len(), "a row has no file");
}

#[tokio::test]
async fn every_recorded_answer_of_ollama_is_read_as_the_table_says() {
    replay_folder("ollama-0.24", OLLAMA).await;
}

#[tokio::test]
async fn every_recorded_answer_of_llama_swap_is_read_as_the_table_says() {
    replay_folder("llama-swap-250", LLAMA_SWAP).await;
}
