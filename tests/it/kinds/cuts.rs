//! Prompts that a server cut without a word. F25.

use serde_json::json;

use super::{Case, Chats, Hides, Shows, Text, case, check_all, fine};
use crate::scripted_server::{Answer, MODEL, Reply, TEXT};

/// An Ollama with a context of 4,096 tokens that says it read so many of each prompt.
fn ollama(name: &str, prompt: &str, read: u64) -> Case {
    case(&format!("F25 {name}"), move |ask| match ask.path() {
        "/api/version" => Some(Reply::json(200, r#"{"version":"0.24.0"}"#)),
        "/api/tags" => Some(Reply::json(
            200,
            json!({ "models": [{ "name": MODEL, "model": MODEL, "size": 98_000_000, "details": { "family": "llama" } }] }).to_string(),
        )),
        "/api/ps" => Some(Reply::json(
            200,
            json!({ "models": [{ "name": MODEL, "model": MODEL, "size": 98_000_000, "size_vram": 0, "context_length": 4096 }] })
                .to_string(),
        )),
        _ if ask.is_chat() => Some(
            Answer::text(TEXT)
                .usage(json!({ "prompt_tokens": read, "completion_tokens": 3, "total_tokens": read + 3 }))
                .to(ask),
        ),
        _ => None,
    })
    .prompt(prompt)
}

/// So many bytes of plain English.
fn english(bytes: usize) -> String {
    "The committee met again on Tuesday and spoke about rivers, roads and the price of bread. ".repeat(bytes / 88)
}

#[test]
fn f25_a_prompt_that_was_cut_is_told_or_fails() {
    let cut = |name: &str, prompt: &str, read: u64| {
        ollama(name, prompt, read).expect([Chats(1, 1), Shows(&["context"])]).is(
            "what it read is not shown",
            move |ended| {
                let plain = read.to_string();
                let grouped = format!("{},{:03}", read / 1_000, read % 1_000);
                ended.shows(&plain) || ended.shows(&grouped)
            },
        )
    };
    check_all(vec![
        cut("the whole context", &english(84_000), 4_096),
        cut("less than the context", &english(84_000), 2_051),
        cut("twice the context", &english(40_000), 4_096),
        cut("one below it", &english(84_000), 4_095),
    ]);
}

#[test]
fn f25_a_prompt_that_fits_is_passed_in_silence() {
    let fits = |name: &str, prompt: &str, read: u64| {
        ollama(name, prompt, read).expect(fine(1)).expect([
            Text(TEXT),
            Chats(1, 1),
            Hides(&["context", "OLLAMA_CONTEXT_LENGTH", "was cut"]),
        ])
    };
    check_all(vec![
        fits("short", "What is the capital of Australia?", 31),
        fits("half of it", &english(9_000), 1_830),
        fits("most of it", &english(16_000), 3_300),
        // Long words of one letter, and blanks, are few tokens.
        fits("few tokens for many bytes", &format!("{}.", "=".repeat(8_000)), 520),
        fits("other letters", &"議会は火曜日に再び会合を開いた。".repeat(60), 1_150),
    ]);
}
