//! What fails always ends by itself. F3, R12.

use super::{Case, Chats, Exit, Shows, Within, always, chats, check_at_once};
use crate::scripted_server::{Answer, Reply};
use serde_json::json;

/// Fourteen calls, four at a time, none of which will be answered: over within 40 s, and resumable where it stopped.
fn fails(case: Case, most: usize, words: &'static [&'static str]) -> Case {
    case.items(14)
        .concurrency(4)
        .retries("within: 5s, backoff: 50ms..400ms")
        .expect([Exit(&[1, 4]), Within(40), Chats(1, most), Shows(words)])
        .is("cases are neither failed nor resumable", |ended| {
            ended.code != 4 || ended.against(&super::Resumes).is_none()
        })
}

#[test]
fn f03_what_fails_always_is_not_asked_for_ever() {
    // What may pass: each call has its six tries at most.
    let passing = |name: &str, reply: Reply, words| fails(always(&format!("F3 {name}"), reply), 14 * 6, words);
    // What cannot pass is worth two requests at most.
    let permanent = |name: &str, reply: Reply, words| fails(always(&format!("F3 {name}"), reply), 14 * 2, words);
    let reasoning_cut = |name: &str, field: &'static str, content: serde_json::Value| {
        let message = json!({ "content": content, field: "The user asks for" });
        let case = chats(&format!("F3 {name}"), move |ask| {
            Answer::message(message.clone()).finish("length").to(ask).no_answer()
        });
        fails(case, 14, &["max_tokens"])
    };
    let cases = vec![
        permanent(
            "jinja",
            Reply::json(
                500,
                r#"{"error":{"code":500,"message":"Jinja Exception: System role not supported","type":"server_error"}}"#,
            ),
            &["System role not supported"],
        ),
        permanent(
            "roles must alternate",
            Reply::json(
                500,
                r#"{"error":{"code":500,"message":"Value is not callable: Conversation roles must alternate user/assistant/user/assistant/... at row 13, column 31","type":"server_error"}}"#,
            ),
            &["Conversation roles must alternate"],
        ),
        permanent(
            "a template that does not parse",
            Reply::json(
                500,
                r#"{"error":{"code":500,"message":"Failed to apply chat template: Unknown test: sequence at row 22, column 12:","type":"server_error"}}"#,
            ),
            &["Unknown test: sequence"],
        ),
        permanent(
            "memory, ollama (R12)",
            Reply::json(
                500,
                r#"{"error":{"message":"model requires more system memory (7.5 GiB) than is available (6.0 GiB)","type":"api_error"}}"#,
            ),
            &["7.5 GiB"],
        ),
        permanent(
            "memory, no room on the card",
            Reply::json(
                500,
                r#"{"error":{"message":"model requires more GPU memory (23.1 GiB) than is available (8.0 GiB)","type":"api_error"}}"#,
            ),
            &["23.1 GiB"],
        ),
        reasoning_cut("all went into reasoning_content", "reasoning_content", json!(null)),
        reasoning_cut("all went into reasoning", "reasoning", json!("")),
        passing(
            "an engine that is dead",
            Reply::json(
                500,
                r#"{"object":"error","message":"EngineCore encountered an issue. See stack trace (above) for the root cause.","type":"InternalServerError","param":null,"code":500}"#,
            ),
            &["EngineCore encountered an issue"],
        ),
        passing("a proxy's 502", Reply::page(502, "502 Bad Gateway"), &["502"]),
        passing("envoy", Reply::new(503, "text/plain", "no healthy upstream"), &["no healthy upstream"]),
        passing("connections that close", Reply::closes(), &["closed", "reset", "connection"]),
        passing(
            "throttled, no wait",
            Reply::json(429, r#"{"error":{"message":"Too many requests"}}"#),
            &["Too many requests"],
        ),
        passing("no choices", Reply::json(200, r#"{"id":"x","object":"chat.completion","choices":[]}"#), &["choice"]),
        passing("half of a body", Reply::json(200, r#"{"id":"x","object":"chat.compl"#), &["200", "JSON", "cut"]),
        passing("no json", Reply::new(200, "text/plain", "OK"), &["OK"]),
        passing("a page to log in", Reply::page(200, "Sign in to continue"), &["Sign in to continue"]),
    ];
    check_at_once(cases.len() * 2, &cases);
}

#[test]
fn r12_a_model_that_has_no_room_is_asked_for_once_or_twice() {
    let memory = |name: &str, status: u16, body: &str, word: &'static [&'static str]| {
        always(&format!("R12 {name}"), Reply::json(status, body)).expect([Exit(&[1, 4]), Chats(1, 2), Shows(word)])
    };
    let cases = vec![
        memory(
            "ollama",
            500,
            r#"{"error":{"message":"model requires more system memory (7.5 GiB) than is available (6.0 GiB)","type":"api_error"}}"#,
            &["7.5 GiB"],
        ),
        memory(
            "ollama, older",
            500,
            r#"{"error":"model requires more system memory (18.2 GiB) than is available (11.9 GiB)"}"#,
            &["18.2 GiB"],
        ),
        memory(
            "lm studio",
            400,
            r#"{"error":{"message":"Failed to load model \"test-7b\". Error: Model loading was stopped due to insufficient system resources. Under the current settings, this model requires approximately 42.70 GB of memory.","type":"invalid_request_error"}}"#,
            &["42.70 GB"],
        ),
    ];
    super::check_all(cases);
}
