//! What answers come to, however a server sends them: each row whole and streamed, against a real socket.

use std::sync::{Arc, Mutex};

use super::{OpenAi, OpenAiConfig};
use crate::backend::contract::request;
use crate::backend::port::{Backend, ChatRequest, Completion, Progress};
use crate::backend::scripted::{Reply, Scripted};
use crate::event::{Failure, FinishReason, Usage};

/// What came of a request, and what its watcher saw.
pub(super) struct Outcome {
    pub(super) answer: Result<Completion, Failure>,
    pub(super) shown: String,
    pub(super) spent: Option<Usage>,
}

pub(super) fn adapter(url: String) -> OpenAi {
    OpenAi::new(OpenAiConfig { base_url: url, pool: 2, ..OpenAiConfig::default() }).expect("a good configuration")
}

/// Asks once.
pub(super) async fn ask(adapter: &OpenAi, request: &ChatRequest) -> Outcome {
    let (shown, spent) = (Mutex::new(String::new()), Mutex::new(None));
    let watch = |progress: Progress<'_>| match progress {
        Progress::Text(piece) => shown.lock().expect("nothing panics while it holds this").push_str(piece),
        Progress::Spent(usage) => *spent.lock().expect("nothing panics while it holds this") = Some(usage),
        Progress::Sent | Progress::Evidence(_) => {}
    };
    let answer = adapter.chat(request, &watch).await;
    let outcome = (shown.into_inner().expect("nothing panicked"), spent.into_inner().expect("nothing panicked"));
    Outcome { answer, shown: outcome.0, spent: outcome.1 }
}

impl Outcome {
    /// Says what came of it: the text, its thought, its end, its counts; or the failure.
    pub(super) fn story(&self) -> String {
        let counts = |usage: &Usage| match (usage.input, usage.output) {
            (None, None) => String::new(),
            (input, output) => {
                let shown = |count: Option<crate::base::TokenCount>| {
                    count.map_or("?".to_owned(), |count| count.0.to_string())
                };
                format!(" {}+{}", shown(input), shown(output))
            }
        };
        match &self.answer {
            Ok(answer) => {
                let end = match (answer.finish, &answer.reason) {
                    (FinishReason::Stop, _) => String::new(),
                    (FinishReason::Length, _) => " cut".to_owned(),
                    (FinishReason::Other, None) => " other".to_owned(),
                    (FinishReason::Other, Some(reason)) => format!(" other {reason}"),
                };
                let thought = answer.thought.as_ref().map_or(String::new(), |thought| format!(" ({thought})"));
                format!("{:?}{thought}{end}{}", answer.text, counts(&answer.usage))
            }
            Err(failure) => {
                let words = failure.detail.split_once("/v1: ").map_or(failure.detail.as_str(), |(_, words)| words);
                format!("{}: {words}{}", failure.kind.word(), self.spent.as_ref().map_or(String::new(), counts))
            }
        }
    }
}

/// Serves a body with a content type to every request, and asks whole and streamed.
async fn both(content_type: &'static str, body: impl Into<Vec<u8>>) -> [Outcome; 2] {
    let mut answer =
        format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nconnection: close\r\n\r\n").into_bytes();
    answer.extend(body.into());
    let server = Scripted::start(move |_| Reply::Raw(answer.clone())).await;
    let adapter = adapter(server.url());
    let whole = ask(&adapter, &request("m")).await;
    let streamed = ask(&adapter, &ChatRequest { stream: true, ..request("m") }).await;
    assert_eq!(server.seen().len(), 2, "each is sent once");
    assert_eq!(whole.shown, "", "nothing is shown of what was not asked for as a stream");
    [whole, streamed]
}

/// Serves a body, and expects the same of both ways.
async fn check(content_type: &'static str, body: impl Into<Vec<u8>> + Clone, expected: &str) {
    let [whole, streamed] = both(content_type, body.clone()).await;
    let sent = body.into();
    let body = String::from_utf8_lossy(&sent);
    assert_eq!(whole.story(), expected, "whole: {body}");
    assert_eq!(streamed.story(), expected, "streamed: {body}");
    if let Ok(answer) = &streamed.answer {
        assert_eq!(streamed.shown, answer.text, "shown: {body}");
    }
}

/// Serves a choice's message, its reasons and a usage; as one document, and as one chunk of a stream.
async fn check_choice(message: &str, reasons: &str, expected: &str) {
    let usage = r#""usage":{"prompt_tokens":20,"completion_tokens":5}"#;
    let document = format!(r#"{{"choices":[{{"index":0,"message":{message}{reasons}}}],{usage}}}"#);
    check("application/json", document, expected).await;
    let chunk = format!(r#"{{"choices":[{{"index":0,"delta":{message}{reasons}}}],{usage}}}"#);
    check("text/event-stream", format!("data: {chunk}\n\ndata: [DONE]\n\n"), expected).await;
}

fn chunk(text: &str, reason: &str) -> String {
    let reason = if reason.is_empty() { "null".to_owned() } else { format!("{reason:?}") };
    let delta = if text.is_empty() { "{}".to_owned() } else { format!(r#"{{"content":{text:?}}}"#) };
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{reason}}}]}}\n\n")
}

const DONE: &str = "data: [DONE]\n\n";
const ANSWER: &str =
    r#"{"object":"chat.completion","choices":[{"message":{"content":"Canberra."},"finish_reason":"stop"}]}"#;

#[tokio::test]
async fn f17_the_first_byte_decides_and_not_the_label() {
    let events = chunk("Canberra.", "") + &chunk("", "stop") + DONE;
    for label in ["application/json", "text/event-stream", "text/html", "text/plain", ""] {
        check(label, ANSWER, "\"Canberra.\"").await;
        check(label, events.clone(), "\"Canberra.\"").await;
        check(label, format!("\n\n {ANSWER}\n\ndata: [DONE]\n\n"), "\"Canberra.\"").await;
        check(label, format!(": ping\n\n{events}"), "\"Canberra.\"").await;
        check(label, format!("\u{feff}{ANSWER}"), "\"Canberra.\"").await;
        check(label, format!("\u{feff}{events}"), "\"Canberra.\"").await;
    }
    let lines = r#"{"message":{"content":"Can"},"done":false}
{"message":{"content":"berra."},"done":false}
{"message":{"content":""},"done":true,"done_reason":"stop","prompt_eval_count":20,"eval_count":5}"#;
    check("application/x-ndjson", lines, "\"Canberra.\" 20+5").await;
    let page = "malformed: answered 200 with a page, not JSON: is this an OpenAI-compatible server? (starts with \"<p>Hi</p>\")";
    check("application/json", "<p>Hi</p>", page).await;
    let text = "malformed: answered 200 with text/plain, not JSON: is this an OpenAI-compatible server? (starts with \"Hi there\")";
    check("text/plain", "Hi there", text).await;
    check("application/json", " \n", "malformed: the answer is empty").await;
}

#[tokio::test]
async fn f18_an_error_without_framing_is_read() {
    let long = r#"{"error":{"code":400,"message":"request (19185 tokens) exceeds the available context size (16384 tokens), try increasing it","type":"exceed_context_size_error"}}"#;
    let told = "context overflow: 400: request (19185 tokens) exceeds the available context size (16384 tokens), try increasing it";
    check("text/event-stream", long, told).await;
    let late =
        chunk("Can", "") + r#"{"error":{"message":"Rate limit exceeded, try again later","code":429}}"# + "\n\n";
    check("text/event-stream", late, "throttled: 429: Rate limit exceeded, try again later").await;
    let lines = "{\n \"error\": {\n  \"message\": \"upstream exploded\",\n  \"code\": 500\n }\n}\n";
    check("text/event-stream", lines, "overloaded: 500: upstream exploded").await;
    check("text/event-stream", chunk("Can", "") + lines, "overloaded: 500: upstream exploded").await;
    let listed = r#"data: [{"error":{"code":429,"message":"slow down","details":[{"retryDelay":"1s"}]}}]"#;
    let [whole, streamed] = both("text/event-stream", format!("{listed}\n\n")).await;
    for outcome in [whole, streamed] {
        assert_eq!(outcome.story(), "throttled: 429: slow down");
        assert_eq!(outcome.answer.expect_err("an error").retry_after_ms, Some(1_000));
    }
}

#[tokio::test]
async fn f4_f5_thoughts_are_no_answer() {
    let stop = r#","finish_reason":"stop""#;
    let length = r#","finish_reason":"length""#;
    let cut = "cut in reasoning: max_tokens went into reasoning before an answer began; raise max_tokens or bound `reasoning` 20+5";
    let none = "no answer: the model reasoned and gave no answer 20+5";
    for field in ["reasoning", "reasoning_content", "thinking", "reasoning_text", "thought"] {
        let said = |content: &str| format!(r#"{{"content":{content},"{field}":"Hm."}}"#);
        check_choice(&said(r#""Canberra.""#), stop, "\"Canberra.\" (Hm.) 20+5").await;
        check_choice(&said(r#""""#), length, cut).await;
        check_choice(&said(r#""\n\n""#), length, cut).await;
        check_choice(&said("null"), length, cut).await;
        check_choice(&said(r#"" ""#), stop, none).await;
    }
    check_choice(r#"{"content":"<think>\nHm.\n</think>\n\nCanberra."}"#, stop, "\"Canberra.\" (Hm.) 20+5").await;
    check_choice(r#"{"content":"<think>\nHm, hm"}"#, length, cut).await;
    check_choice(r#"{"content":"<think>\n"}"#, length, cut).await;
    check_choice(r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"Hm."}]},{"type":"text","text":"Canberra."}]}"#, stop, "\"Canberra.\" (Hm.) 20+5").await;
    check_choice(
        r#"{"content":"Canberra.","reasoning_details":[{"type":"reasoning.text","text":"Hm."}],"reasoning":"Hm."}"#,
        stop,
        "\"Canberra.\" (Hm.) 20+5",
    )
    .await;
    check_choice(r#"{"content":"Canberra.","reasoning":{"summary":"Hm."}}"#, stop, "\"Canberra.\" (Hm.) 20+5").await;
    check_choice(r#"{"content":""}"#, stop, "no answer: the answer is blank 20+5").await;
    check_choice(
        r#"{"content":null,"tool_calls":[{"id":"a"}]}"#,
        stop,
        "no answer: the model called a tool and gave no answer 20+5",
    )
    .await;
    let hidden = r#"{"choices":[{"message":{"content":""},"finish_reason":"length"}],"usage":{"completion_tokens":5,"completion_tokens_details":{"reasoning_tokens":5}}}"#;
    check("application/json", hidden, "cut in reasoning: max_tokens went into reasoning before an answer began; raise max_tokens or bound `reasoning` ?+5").await;
}

#[tokio::test]
async fn f4_a_thought_that_was_not_opened_is_held_back_once_the_model_is_known_for_it() {
    let body = chunk("Hm, I", "") + &chunk(" see.\n</think>", "") + &chunk("\n\nCanberra.", "stop") + DONE;
    let server = Scripted::start(move |_| Reply::events(body.clone())).await;
    let adapter = adapter(server.url());
    let asked = ChatRequest { stream: true, ..request("m") };
    let first = ask(&adapter, &asked).await;
    assert_eq!(
        (first.story().as_str(), first.shown.as_str()),
        ("\"Canberra.\" (Hm, I see.)", "Hm, I see.\n</think>\n\nCanberra.")
    );
    let second = ask(&adapter, &asked).await;
    assert_eq!((second.story().as_str(), second.shown.as_str()), ("\"Canberra.\" (Hm, I see.)", "Canberra."));
    let other = ask(&adapter, &ChatRequest { model: Arc::from("n"), ..asked }).await;
    assert_eq!(other.shown, "Hm, I see.\n</think>\n\nCanberra.", "the other model is not known for it");
}

#[tokio::test]
async fn f4_a_whole_answer_to_a_stream_is_shown_without_its_thought() {
    let message = r#"{"content":"quetzal\n</think>\n\nCanberra."}"#;
    let body = format!(r#"{{"choices":[{{"index":0,"message":{message},"finish_reason":"stop"}}]}}"#);
    let server = Scripted::start(move |_| Reply::json(200, body.clone())).await;
    let outcome = ask(&adapter(server.url()), &ChatRequest { stream: true, ..request("m") }).await;
    assert_eq!((outcome.story().as_str(), outcome.shown.as_str()), ("\"Canberra.\" (quetzal)", "Canberra."));
}

#[tokio::test]
async fn f6_reasons_to_end_are_those_of_all_vendors() {
    let said = r#"{"content":"The capital of Aus"}"#;
    let check = async |reasons: &str, expected: &str| check_choice(said, reasons, expected).await;
    let gave_up = |word: &str| format!("cut off: the server gave the answer up (finish_reason {word:?}) 20+5");
    let filtered = |word: &str| {
        format!("content filtered: the provider's filter withheld the answer (finish_reason {word:?}) 20+5")
    };
    let text = "\"The capital of Aus\"";
    check(r#","finish_reason":"insufficient_system_resource""#, &gave_up("insufficient_system_resource")).await;
    check(r#","finish_reason":"stop","native_finish_reason":"network_error""#, &gave_up("network_error")).await;
    check(r#","finish_reason":"sensitive""#, &filtered("sensitive")).await;
    check(r#","finish_reason":"SAFETY""#, &filtered("SAFETY")).await;
    check(r#","finish_reason":"model_context_window_exceeded""#, &format!("{text} cut 20+5")).await;
    check(r#","finish_reason":"MAX_TOKENS""#, &format!("{text} cut 20+5")).await;
    check(r#","finish_reason":"moon_phase""#, &format!("{text} other moon_phase 20+5")).await;
    check(r#","finishReason":"stop""#, &format!("{text} 20+5")).await;
    check("", &format!("{text} other 20+5")).await;
    let nothing = r#"{"content":""}"#;
    let broken = gave_up("network_error");
    check_choice(nothing, r#","finish_reason":"stop","native_finish_reason":"network_error""#, &broken).await;
    let upstream =
        r#","finish_reason":"error","error":{"code":502,"message":"Provider returned error: rate limited upstream"}"#;
    let told = "throttled: 502: Provider returned error: rate limited upstream 20+5";
    check_choice(nothing, upstream, told).await;
}

#[tokio::test]
async fn f7_f19_a_reason_that_is_none_ends_nothing() {
    let sentence = "\"The capital of Australia is Canberra.\"";
    for reason in ["stop", "null", "none", "length"] {
        let pieces = [chunk("The capital of ", reason), chunk("Australia ", reason), chunk("is Canberra.", reason)];
        check("text/event-stream", pieces.concat() + &chunk("", "stop") + DONE, sentence).await;
        let end = if reason == "length" {
            " cut"
        } else if reason == "stop" {
            ""
        } else {
            " other"
        };
        check("text/event-stream", pieces.concat() + DONE, &format!("{sentence}{end}")).await;
        // The connection ends with the body, which may have been cut.
        let cut = "cut off: the stream ended without a finish_reason after 2 pieces";
        check("text/event-stream", pieces[..2].concat(), cut).await;
    }
    check("text/event-stream", chunk("", "stop") + &chunk("Canberra.", "") + DONE, "\"Canberra.\" other").await;
    check("text/event-stream", chunk("Canberra.", "") + DONE, "\"Canberra.\" other").await;
    check("text/event-stream", chunk("Canberra.", "stop"), "\"Canberra.\"").await;
    let cut = "cut off: the stream ended without a finish_reason after 1 pieces";
    check("text/event-stream", chunk("Canberra.", ""), cut).await;
    check("text/event-stream", "data: {\"choices\":[]}\n\ndata: [DONE]\n\n", "malformed: the answer has no choices")
        .await;
    let told = "malformed: answered 200 without choices: is this an OpenAI-compatible server? (starts with \"{\\\"choices\\\":[]}\")";
    check("application/json", r#"{"choices":[]}"#, told).await;
}

#[tokio::test]
async fn f8_counts_are_read_and_what_fails_has_cost_as_well() {
    let told = |usage: &str, choice: &str| format!(r#"{{"choices":[{choice}],"usage":{usage}}}"#);
    let good = r#"{"message":{"content":"Canberra."},"finish_reason":"stop"}"#;
    check("application/json", told("null", good), "\"Canberra.\"").await;
    check("application/json", told(r#"{"prompt_tokens":20.0,"completion_tokens":5.0}"#, good), "\"Canberra.\" 20+5")
        .await;
    check("application/json", told(r#"{"input_tokens":"20","output_tokens":5}"#, good), "\"Canberra.\" 20+5").await;
    let usage = r#"{"prompt_tokens":20,"completion_tokens":5}"#;
    let filtered = r#"{"message":{"content":"x"},"finish_reason":"content_filter"}"#;
    let words = "the provider's filter withheld the answer (finish_reason \"content_filter\")";
    check("application/json", told(usage, filtered), &format!("content filtered: {words} 20+5")).await;
    let late = chunk("Canberra.", "") + &format!("data: {{\"choices\":[],\"usage\":{usage}}}\n\n");
    check("text/event-stream", late, "cut off: the stream ended without a finish_reason after 1 pieces 20+5").await;
    let groq = chunk("Canberra.", "stop") + &format!("data: {{\"choices\":[],\"x_groq\":{{\"usage\":{usage}}}}}\n\n");
    check("text/event-stream", groq + DONE, "\"Canberra.\" 20+5").await;
    let kimi = format!(r#"data: {{"choices":[{{"delta":{{}},"finish_reason":"stop","usage":{usage}}}]}}"#);
    check("text/event-stream", chunk("Canberra.", "") + &kimi + "\n\n" + DONE, "\"Canberra.\" 20+5").await;
}

#[tokio::test]
async fn f20_the_only_choice_is_the_choice() {
    let numbered = |index: &str, text: &str, reason: &str| {
        format!(
            "data: {{\"choices\":[{{\"index\":{index},\"delta\":{{\"content\":{text:?}}},\"finish_reason\":{reason}}}]}}\n\n"
        )
    };
    let counted =
        numbered("1", "Can", "null") + &numbered("2", "berra", "null") + &numbered("3", ".", "\"eos_token\"");
    check("text/event-stream", counted, "\"Canberra.\"").await;
    check("text/event-stream", numbered("\"0\"", "Canberra.", "\"stop\"") + DONE, "\"Canberra.\"").await;
    check("application/json", ANSWER.replace("{\"message\"", "{\"index\":\"0\",\"message\""), "\"Canberra.\"").await;
}

#[tokio::test]
async fn f23_f26_r1_odd_shapes_are_read() {
    let stop = r#","finish_reason":"stop""#;
    check_choice(r#"{"content":["Canberra."]}"#, stop, "\"Canberra.\" 20+5").await;
    check_choice(
        r#"{"content":[{"type":"text","text":"Can"},{"type":"output_text","text":"berra."}]}"#,
        stop,
        "\"Canberra.\" 20+5",
    )
    .await;
    check_choice(r#"{"content":"Canberra.","tool_calls":{}}"#, stop, "\"Canberra.\" 20+5").await;
    check_choice(r#"{"content":{"choice":"yes"}}"#, stop, "\"{\\\"choice\\\":\\\"yes\\\"}\" 20+5").await;
    check_choice(r#"{"content":"","refusal":"I cannot help."}"#, stop, "\"I cannot help.\" 20+5").await;
    check_choice(r#"{"content":null,"refusal":"I cannot help."}"#, stop, "\"I cannot help.\" 20+5").await;
    check_choice(r#"{"content":"Hi \ud83d"}"#, stop, "\"Hi \u{fffd}\" 20+5").await;
    let half = |text: &str| format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
    check("text/event-stream", half("Hi \\ud83d") + &half("\\ude00 there") + DONE, "\"Hi 😀 there\" other").await;
    check("text/event-stream", half("Hi \\ud83d") + &half(" there") + DONE, "\"Hi \u{fffd} there\" other").await;
    check(
        "application/json",
        ANSWER.replace("\"content\"", "\"role\":\"a\",\"role\":\"b\",\"content\""),
        "\"Canberra.\"",
    )
    .await;
    let repeated = chunk("Canberra.", "") + &format!("data: {ANSWER}\n\n") + DONE;
    check("text/event-stream", repeated, "\"Canberra.\"").await;
}

#[tokio::test]
async fn f24_a_compressed_answer_is_unpacked_also_as_it_streams() {
    use std::io::Write;
    let packed = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).expect("memory");
        encoder.finish().expect("memory")
    };
    let events = chunk("Canberra.", "") + &chunk("", "stop") + DONE;
    for (coding, body) in [
        ("gzip", packed(ANSWER)),
        ("gzip", packed(&events)),
        ("zstd", zstd::encode_all(ANSWER.as_bytes(), 1).expect("memory")),
        ("zstd", zstd::encode_all(events.as_bytes(), 1).expect("memory")),
    ] {
        let mut answer =
            format!("HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\nconnection: close\r\n\r\n").into_bytes();
        answer.extend(body);
        let server = Scripted::start(move |_| Reply::Raw(answer.clone())).await;
        for stream in [false, true] {
            let outcome = ask(&adapter(server.url()), &ChatRequest { stream, ..request("m") }).await;
            assert_eq!(outcome.story(), "\"Canberra.\"", "{coding}");
        }
    }
    let server = Scripted::start(|_| Reply::Whole {
        status: 200,
        headers: vec![("content-encoding", "br".into())],
        body: "?".into(),
    })
    .await;
    let outcome = ask(&adapter(server.url()), &request("m")).await;
    let told = "refused: the answer is compressed with \"br\", though none was asked for; turn that off at the server or at the proxy in front of it";
    assert_eq!(outcome.story(), told);
}

#[tokio::test]
async fn r5_errors_that_are_called_successes_are_errors() {
    let limited = r#"{"choices":null,"base_resp":{"status_code":1002,"status_msg":"rate limit exceeded(RPM)"}}"#;
    check("application/json", limited, "throttled: the answer is an error: rate limit exceeded(RPM)").await;
    let spent = r#"{"code":1113,"msg":"Account in arrears","success":false}"#;
    check("application/json", spent, "quota exhausted: the answer is an error: Account in arrears").await;
    check(
        "text/event-stream",
        format!("data: {spent}\n\n"),
        "quota exhausted: the answer is an error: Account in arrears",
    )
    .await;
    let fine = ANSWER.replacen('{', r#"{"error":null,"base_resp":{"status_code":0,"status_msg":"success"},"#, 1);
    check("application/json", fine, "\"Canberra.\"").await;
}
