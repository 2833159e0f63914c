//! The doctor's traced request: a model server that tells a span by the header it got, as vLLM does, and a Jaeger.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::args::DoctorArgs;
use super::doctor::examine;
use super::exit::Exit;
use super::testing::Project;
use crate::backend::scripted::{Reply, Scripted};
use crate::base::{Millis, SpanContext};

type Asked = Arc<Mutex<Option<SpanContext>>>;

/// A model server, which notes the span that its request is.
async fn model() -> (Scripted, Asked) {
    let asked = Asked::default();
    let note = Arc::clone(&asked);
    let server = Scripted::start(move |seen| match seen.line.as_str() {
        "GET /v1/models" => Reply::json(200, r#"{"object":"list","data":[{"id":"tiny","owned_by":"vllm"}]}"#),
        "GET /version" => Reply::json(200, r#"{"version":"0.11"}"#),
        "POST /v1/chat/completions" => {
            *note.lock().unwrap() = seen.header("traceparent").and_then(|header| header.parse().ok());
            assert!(seen.body.contains(r#""max_tokens":1"#), "{}", seen.body);
            let answer = json!({
                "id": "c1", "object": "chat.completion", "model": "tiny",
                "choices": [{ "index": 0, "finish_reason": "length", "message": { "role": "assistant", "content": "yes" } }],
                "usage": { "prompt_tokens": 4, "completion_tokens": 1, "total_tokens": 5 },
            });
            Reply::json(200, answer.to_string())
        }
        _ => Reply::json(404, "{}"),
    })
    .await;
    (server, asked)
}

/// A Jaeger that takes spans with `status`, and shows the request's with that of the server, if it `joins`.
async fn jaeger(status: u16, joins: bool, asked: Asked) -> Scripted {
    Scripted::start(move |seen| {
        let Some(context) = *asked.lock().unwrap() else { return Reply::json(404, "{}") };
        if seen.line == "POST /v1/traces" {
            return Reply::json(status, "");
        }
        if seen.line == "GET /api/v3/services" {
            return Reply::json(200, r#"{"services":["pipe"]}"#);
        }
        assert_eq!(seen.line, format!("GET /api/v3/traces/{}", context.trace));
        let resource = |service: &str, span: Value| {
            let name = json!([{ "key": "service.name", "value": { "stringValue": service } }]);
            json!({ "resource": { "attributes": name }, "scopeSpans": [{ "spans": [span] }] })
        };
        let request = context.span.to_string();
        let mut resources = vec![resource("pipe", json!({ "spanId": request, "name": "chat tiny" }))];
        if joins {
            let span = json!({ "spanId": "00000000000000aa", "parentSpanId": request, "name": "llm_request" });
            resources.push(resource("vllm-server", span));
        }
        Reply::json(200, json!({ "result": { "resourceSpans": resources } }).to_string())
    })
    .await
}

async fn examined(model: &Scripted, collector: &str, query: Option<String>, json: bool) -> (Exit, String) {
    let url = format!("{}/v1", model.url());
    let env = |name: &str| (name == "PIPE_BASE_URL").then(|| url.clone());
    let project = Project::new();
    let args =
        DoctorArgs { json, fetch_model: None, trace_to: Some(collector.to_owned()), query, patience: Millis(0) };
    let exit = examine(&args, &project.home, &env, &mut project.printer()).await.unwrap();
    (exit, project.printed())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn the_servers_own_span_joins_below_the_request() {
    let (model, asked) = model().await;
    let jaeger = jaeger(200, true, Arc::clone(&asked)).await;
    let (exit, text) = examined(&model, &jaeger.url(), Some(jaeger.url()), false).await;
    let trace = asked.lock().unwrap().expect("the header came").trace.to_string();
    assert_eq!(exit, Exit::Done);
    let text = one_line(&text);
    assert!(text.contains("traced tiny answered one token in "), "{text}");
    assert!(text.contains(&format!("collector {} took the span: trace {trace}", jaeger.url())), "{text}");
    let joined = format!("joined yes: llm_request of vllm-server, below the request ({})", jaeger.url());
    assert!(text.contains(&joined), "{text}");
    let posted = jaeger.seen().into_iter().filter(|seen| seen.line == "POST /v1/traces").count();
    assert_eq!(posted, 1);

    let (_, text) = examined(&model, &jaeger.url(), Some(jaeger.url()), true).await;
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&json["traced"]["taken"], &json["traced"]["joined"]["state"]), (&json!(true), &json!("yes")));
    let expected = json!([{ "name": "llm_request", "service": "vllm-server", "below_request": true }]);
    assert_eq!(json["traced"]["joined"]["spans"], expected);
    assert_ne!(json["traced"]["trace"], json!(trace), "each time a trace of its own");
}

#[tokio::test]
async fn a_server_that_tells_nothing_is_said_so_with_the_remedy() {
    let (model, asked) = model().await;
    let jaeger = jaeger(200, false, asked).await;
    let (exit, text) = examined(&model, &jaeger.url(), Some(jaeger.url()), false).await;
    assert_eq!(exit, Exit::Done);
    let text = one_line(&text);
    assert!(text.contains("joined no: the trace is at ") && text.contains("--otlp-traces-endpoint"), "{text}");
}

#[tokio::test]
async fn what_cannot_be_looked_up_is_not_guessed() {
    let (model, asked) = model().await;
    let jaeger = jaeger(200, true, asked).await;
    let (_, text) = examined(&model, &jaeger.url(), None, false).await;
    assert!(one_line(&text).contains("joined cannot be looked up here: name Jaeger by --query"), "{text}");
    let (_, text) = examined(&model, &jaeger.url(), Some(model.url()), true).await;
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["traced"]["joined"]["state"], "unknown");
    let says = json["traced"]["joined"]["says"].as_str().unwrap();
    assert!(says.contains(&format!("no Jaeger query API at {}", model.url())), "{says}");
}

#[tokio::test]
async fn a_collector_that_refuses_fails_the_command_with_its_remedy() {
    let (model, asked) = model().await;
    let jaeger = jaeger(401, true, asked).await;
    let (exit, text) = examined(&model, &jaeger.url(), Some(jaeger.url()), false).await;
    assert_eq!(exit, Exit::BackendUnusable);
    let text = one_line(&text);
    assert!(text.contains("did not take the span: it answers 401 Unauthorized; put its key into OTEL_"), "{text}");
    assert!(text.contains("joined not looked up, as the collector did not take the span"), "{text}");
    // One that the environment names is not what was asked about.
    let (url, collector) = (format!("{}/v1", model.url()), jaeger.url());
    let env = |name: &str| match name {
        "PIPE_BASE_URL" => Some(url.clone()),
        "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(collector.clone()),
        _ => None,
    };
    let project = Project::new();
    let args = DoctorArgs { json: true, fetch_model: None, trace_to: None, query: None, patience: Millis(0) };
    assert_eq!(examine(&args, &project.home, &env, &mut project.printer()).await.unwrap(), Exit::Done);
    let json: Value = serde_json::from_str(&project.printed()).unwrap();
    assert_eq!(json["traced"]["taken"], json!(false));
    // Nobody listens at the reserved port.
    let (exit, text) = examined(&model, "http://127.0.0.1:1", None, false).await;
    assert_eq!(exit, Exit::BackendUnusable);
    assert!(one_line(&text).contains("is it started, and does it listen for OTLP over HTTP there"), "{text}");
}
