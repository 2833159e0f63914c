//! What of the adapter's behaviour only a socket shows. Faults of whole servers: `tests/it/backend_faults.rs`.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{ConfigError, OpenAi, OpenAiConfig};
use crate::backend::contract::request;
use crate::backend::port::{Backend, CallLimits, ChatRequest};
use crate::backend::scripted::{Reply, Scripted};
use crate::event::{Claimed, Failure, FailureKind, TimeoutPhase};

const WHOLE: &str = r#"{"model":"m","choices":[{"message":{"content":"Yes."},"finish_reason":"stop"}]}"#;

fn adapter(base_url: String, key: Option<&str>) -> OpenAi {
    OpenAi::new(OpenAiConfig { base_url, api_key: key.map(Arc::from), pool: 2, ..OpenAiConfig::default() })
        .expect("a good configuration")
}

async fn failure(adapter: &OpenAi, request: &ChatRequest) -> Failure {
    adapter.chat(request, &|_| {}).await.expect_err("this server never answers well")
}

#[tokio::test]
async fn connections_are_used_again_streamed_or_not() {
    let server = Scripted::start(|seen| {
        if !seen.body.contains("\"stream\":true") {
            return Reply::json(200, WHOLE);
        }
        let chunk = r#"{"choices":[{"delta":{"content":"Y"},"finish_reason":"stop"}]}"#;
        Reply::events(format!("data: {chunk}\n\ndata: [DONE]\n\n"))
    })
    .await;
    let adapter = adapter(server.url(), None);
    for stream in [false, true, true, false, false] {
        let asked = ChatRequest { stream, ..request("m") };
        adapter.chat(&asked, &|_| {}).await.expect("this server answers");
    }
    let connections: Vec<usize> = server.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0; 5]);
}

#[tokio::test]
async fn what_a_server_says_that_it_spent_is_kept_and_never_fails_an_answer() {
    let spent = |prompt: u64, answer: u64| Claimed {
        load_us: None,
        prompt_us: Some(prompt),
        answer_us: Some(answer),
        memory: None,
    };
    let loaded = Claimed { load_us: Some(2_000), prompt_us: Some(3_000), answer_us: None, memory: None };
    for (told, expected) in [
        // llama.cpp, in milliseconds; Ollama's words, in nanoseconds; nothing; nonsense.
        (r#""timings":{"prompt_n":3,"prompt_ms":20.25,"predicted_ms":1000.5},"#, Some(spent(20_250, 1_000_500))),
        (r#""load_duration":2000000,"prompt_eval_duration":3000000,"#, Some(loaded)),
        ("", None),
        (r#""timings":[-1],"load_duration":"long","eval_duration":-7,"#, None),
        (r#""timings":{"prompt_ms":-4,"predicted_ms":1e99},"#, None),
    ] {
        let server = Scripted::start(move |seen| {
            let whole = WHOLE.replacen('{', &format!("{{{told}"), 1);
            if seen.body.contains("\"stream\":true") {
                let last = whole.replace("message", "delta");
                return Reply::events(format!("data: {last}\n\ndata: [DONE]\n\n"));
            }
            Reply::json(200, whole)
        })
        .await;
        for stream in [false, true] {
            let asked = ChatRequest { stream, ..request("m") };
            let answer = adapter(server.url(), None).chat(&asked, &|_| {}).await.expect("a whole answer");
            assert_eq!(answer.claimed, expected, "{told}");
        }
    }
}

#[tokio::test]
async fn a_failed_request_is_sent_once_and_its_words_hold_no_key() {
    let server = Scripted::start(|seen| {
        let key = seen.header("authorization").unwrap_or_default().to_owned();
        let body = serde_json::json!({"error": {"message": format!("bad\nkey: {key}")}}).to_string();
        Reply::Whole {
            status: 401,
            headers: vec![("content-type", "application/json".into()), ("retry-after", "3".into())],
            body,
        }
    })
    .await;
    let failure = failure(&adapter(server.url(), Some("sk-12345")), &request("m")).await;
    assert_eq!(failure.kind, FailureKind::Unauthorized);
    assert_eq!(failure.status, Some(401));
    assert_eq!(failure.retry_after_ms, None, "nobody waits for a key to become right");
    assert_eq!(failure.detail, format!("{}/v1: 401: bad key: Bearer ***; check the api key", server.url()));
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].header("authorization"), Some("Bearer sk-12345"));
    assert_eq!(seen[0].line, "POST /v1/chat/completions");
    assert_eq!(seen[0].header("accept-encoding"), Some("identity"));
}

#[tokio::test]
async fn a_connection_that_dies_unanswered_is_not_tried_again() {
    let server = Scripted::start(|_| Reply::Raw(Vec::new())).await;
    let failure = failure(&adapter(server.url(), None), &request("m")).await;
    assert_eq!(failure.kind, FailureKind::Unreachable);
    assert_eq!(failure.detail, format!("{}/v1: the connection was closed before an answer", server.url()));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_refused_connection_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let failure = failure(&adapter(format!("http://127.0.0.1:{port}"), None), &request("m")).await;
    assert_eq!(
        failure,
        Failure::new(FailureKind::Unreachable, format!("http://127.0.0.1:{port}/v1: connection refused"))
    );
}

#[tokio::test]
async fn a_web_page_is_named_as_such() {
    let server = Scripted::start(|_| Reply::Whole {
        status: 200,
        headers: vec![("content-type", "text/html; charset=utf-8".into())],
        body: "<!DOCTYPE html>\n<title>Hello</title>".into(),
    })
    .await;
    for stream in [false, true] {
        let asked = ChatRequest { stream, ..request("m") };
        let failure = failure(&adapter(server.url(), None), &asked).await;
        assert_eq!(failure.kind, FailureKind::Malformed);
        assert_eq!(
            failure.detail,
            format!(
                "{}/v1: answered 200 with a page, not JSON: is this an OpenAI-compatible server? \
                 (starts with \"<!DOCTYPE html> <title>Hello</title>\")",
                server.url()
            )
        );
    }
}

#[tokio::test]
async fn silence_ends_at_the_limit_for_the_first_token() {
    let server = Scripted::start(|_| Reply::Silence).await;
    let long = Duration::from_secs(60);
    let limits = CallLimits { connect: long, first_token: Duration::from_millis(30), idle: long };
    let failure = failure(&adapter(server.url(), None), &ChatRequest { limits, ..request("m") }).await;
    assert_eq!(failure.kind, FailureKind::TimedOut(TimeoutPhase::FirstToken));
    assert_eq!(failure.detail, format!("{}/v1: no answer within 0.03 s", server.url()));
}

#[tokio::test]
async fn a_dropped_call_closes_its_connection() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let adapter = adapter(url, None);
    for head in ["", "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"] {
        let asked = ChatRequest { stream: true, ..request("m") };
        let call = adapter.chat(&asked, &|_| {});
        let serve = async {
            let (mut stream, _) = listener.accept().await.expect("the adapter connects");
            let mut request = vec![0; 64 << 10];
            assert!(stream.read(&mut request).await.expect("the request comes") > 0);
            stream.write_all(head.as_bytes()).await.expect("the client is there");
            stream
        };
        let mut stream = tokio::select! {
            outcome = call => panic!("nothing has been answered: {outcome:?}"),
            stream = serve => stream,
        };
        let rest = stream.read(&mut [0; 1024]).await.unwrap_or(0);
        assert_eq!(rest, 0, "the client goes away, by an end or a reset");
    }
}

#[tokio::test]
async fn endless_headers_are_too_large() {
    let many = |line: String| format!("HTTP/1.1 200 OK\r\n{}", line.repeat(2_000)).into_bytes();
    for head in [many("a: b\r\n".to_owned()), many(format!("a: {}\r\n", "b".repeat(100)))] {
        let server = Scripted::start(move |_| Reply::Raw(head.clone())).await;
        let failure = failure(&adapter(server.url(), None), &request("m")).await;
        assert_eq!(failure.kind, FailureKind::TooLarge, "{}", failure.detail);
    }
}

#[test]
fn a_key_that_no_header_may_hold_is_refused_unshown() {
    let config = OpenAiConfig {
        base_url: "http://h/v1".into(),
        api_key: Some("se\ncret".into()),
        pool: 1,
        ..OpenAiConfig::default()
    };
    let message = match OpenAi::new(config) {
        Err(error @ ConfigError::Key { .. }) => error.to_string(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a key with a line break was taken"),
    };
    assert!(message.contains("http://h/v1") && !message.contains("cret"), "{message}");
}
