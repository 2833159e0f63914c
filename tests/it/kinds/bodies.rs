//! Bodies in odd shapes: lists, labels that lie, errors in a 200, packed bytes. F16, F17, F24, F26, R1, R5, R6.

use std::io::Write as _;

use serde_json::{Value, json};

use super::{
    Answered, Case, Chats, Exit, Hides, Shows, Steps, Text, Way, Within, always, case, chats, check_all, fine, once,
};
use crate::scripted_server::{Answer, Part, Reply, TEXT, data, raw, well};

/// A minute's limit as Gemini puts it, in a list.
const LIMIT: &str = r#"[{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.\nPlease retry in 1.4s.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1s"}]}}]"#;

#[test]
fn f16_the_first_of_a_list_is_the_error() {
    let refused = |name: &str, status: u16, body: &str, words: &'static [&'static str]| {
        always(&format!("F16 {name}"), Reply::json(status, body)).items(6).expect([
            Exit(&[4]),
            Answered(0),
            Chats(1, 12),
            Shows(words),
            Hides(&["[{\"error\"", "[{\\\"error"]),
        ])
    };
    let passes = |name: &str, reply: Reply| {
        once(&format!("F16 {name}"), reply).items(2).expect(fine(2)).expect([Text(TEXT), Chats(3, 3)])
    };
    let streamed = |name: &str, parts: Vec<Part>| passes(name, Reply::stream(parts)).only(Way::Streamed);
    let limit: Value = serde_json::from_str(LIMIT).expect("JSON");
    let can = r#"data: {"choices":[{"index":0,"delta":{"content":"Can"},"finish_reason":null}]}"#;
    check_all(vec![
        refused(
            "the key",
            400,
            r#"[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}]"#,
            &["API key not valid. Please pass a valid API key."],
        ),
        refused(
            "the place",
            400,
            r#"[{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}]"#,
            &["User location is not supported for the API use."],
        ),
        refused(
            "the model",
            404,
            r#"[{"error":{"code":404,"message":"models/test-7b is not found for API version v1main, or is not supported for generateContent.","status":"NOT_FOUND"}}]"#,
            &["is not found for API version v1main"],
        ),
        passes("a limit", Reply::json(429, LIMIT)),
        passes(
            "overloaded",
            Reply::json(
                503,
                r#"[{"error":{"code":503,"message":"The model is overloaded. Please try again later.","status":"UNAVAILABLE"}}]"#,
            ),
        ),
        streamed("a limit in a stream", vec![data(&limit)]),
        streamed("a limit after a chunk", vec![raw(can), raw("\n\n"), data(&limit)]),
        streamed("a limit without framing", vec![raw(LIMIT)]),
    ]);
}

/// What a good answer is, under a label and in a form of its own.
fn relabelled(name: &str, way: Way, reply: Reply) -> Case {
    case(&format!("F17 {name}"), move |ask| ask.is_chat().then(|| reply.clone()))
        .only(way)
        .items(2)
        .expect(fine(2))
        .expect([Text(TEXT), Chats(2, 2)])
}

#[test]
fn f17_the_first_byte_decides_and_not_the_label() {
    let answer = Answer::text(TEXT);
    let (whole, stream) = (answer.as_whole(), answer.as_stream());
    let body = answer.whole();
    let and_done = Reply::new(200, "text/event-stream", format!("{body}\n\ndata: [DONE]"));
    let comment =
        Reply::stream(vec![raw(": keep-alive\n\n"), raw(&format!("data: {body}\n\n")), raw("data: [DONE]\n\n")]);
    let events = |first: &str| {
        let mut parts = vec![raw(first)];
        parts.extend(answer.events().iter().map(data));
        parts.push(raw("data: [DONE]\n\n"));
        Reply::stream(parts)
    };
    let unlabelled = Reply::new(200, "", body.to_string());
    let blanks = Reply::json(200, format!("\n\n   {body}\n"));
    let absent = and_done.clone();
    let good = well;
    check_all(vec![
        relabelled("a stream named json", Way::Streamed, stream.clone().labelled("application/json")),
        relabelled("json named a page", Way::Whole, whole.clone().labelled("text/html")),
        relabelled("json named a text, for a stream", Way::Streamed, whole.clone().labelled("text/plain")),
        relabelled("json named a stream", Way::Streamed, whole.clone().labelled("text/event-stream")),
        relabelled("a stream, for a whole", Way::Whole, stream.clone()),
        relabelled("json and DONE, named a stream", Way::Whole, and_done),
        case("F17 json and DONE where stream is absent", move |ask| {
            ask.is_chat().then(|| if ask.has("stream") { good(ask) } else { absent.clone() })
        })
        .expect(fine(1))
        .expect([Text(TEXT), Chats(1, 1)]),
        relabelled("a stream named bytes", Way::Streamed, stream.clone().labelled("application/octet-stream")),
        relabelled(
            "a stream named json, for a whole",
            Way::Whole,
            stream.labelled("application/json; charset=utf-8"),
        ),
        relabelled("json without a label", Way::Whole, unlabelled.clone()),
        relabelled("json without a label, for a stream", Way::Streamed, unlabelled),
        relabelled("blanks first", Way::Whole, blanks.clone()),
        relabelled("blanks first, for a stream", Way::Streamed, blanks),
        relabelled("a comment first, named json", Way::Streamed, events(": ping\n\n").labelled("application/json")),
        relabelled(
            "an event's name first, for a whole",
            Way::Whole,
            events("event: message\n").labelled("text/plain"),
        ),
        relabelled("the whole answer in one event", Way::Streamed, comment),
    ]);
}

#[test]
fn f17_a_page_is_no_answer_whatever_its_label() {
    let page = |name: &str, kind: &str| {
        let reply = Reply::page(200, "Sign in - Corporate SSO").labelled(kind);
        always(&format!("F17 page: {name}"), reply).retries("attempts: 2, within: 5s, backoff: 50ms..400ms").expect([
            Exit(&[1, 4]),
            Answered(0),
            Chats(1, 2),
            Within(20),
            Shows(&["Sign in - Corporate SSO", "web page", "html"]),
        ])
    };
    check_all(vec![
        page("html", "text/html"),
        page("json", "application/json"),
        page("a stream", "text/event-stream"),
    ]);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(bytes).expect("memory takes it");
    packer.finish().expect("and its end")
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(bytes).expect("memory takes it");
    packer.finish().expect("and its end")
}

#[test]
fn f24_gzip_is_unpacked() {
    let packed = |name: &str, label: &'static str| {
        chats(&format!("F24 {name}"), move |ask| well(ask).packed(gzip).header("content-encoding", label))
            .items(2)
            .expect(fine(2))
            .expect([Text(TEXT), Chats(2, 2)])
    };
    let in_two = |name: &str| {
        chats(&format!("F24 {name}"), move |ask| {
            let (whole, stream) =
                (Answer::text(TEXT).as_whole().packed(gzip), Answer::text(TEXT).as_stream().packed(gzip));
            let reply = if ask.streams() { stream } else { whole };
            reply.halved().header("content-encoding", "gzip")
        })
        .expect(fine(1))
        .expect([Text(TEXT), Chats(1, 1)])
    };
    let refusal = r#"{"error":{"message":"The seat of government moved","type":"invalid_request_error"}}"#;
    let other = |name: &'static str, pack: fn(&[u8]) -> Vec<u8>| {
        chats(&format!("F24 {name}"), move |ask| well(ask).packed(pack).header("content-encoding", name)).is(
            "neither unpacked with one request, nor refused once with the compression's name",
            move |ended| {
                let unpacked = ended.code == 0 && ended.rows.iter().all(|row| row["s.text"] == TEXT);
                ended.chats().len() == 1 && (unpacked || (ended.code != 0 && ended.shows(name)))
            },
        )
    };
    check_all(vec![
        packed("gzip", "gzip"),
        packed("x-gzip", "x-gzip"),
        packed("capitals", "GZIP"),
        in_two("in two pieces"),
        always("F24 a refusal", Reply::json(400, refusal).packed(gzip).header("content-encoding", "gzip")).expect([
            Exit(&[1, 4]),
            Chats(1, 1),
            Shows(&["The seat of government moved"]),
        ]),
        case("F24 the list of models", |ask| {
            (ask.path() == "/v1/models")
                .then(|| crate::scripted_server::listed(&["test-7b"]).packed(gzip).header("content-encoding", "gzip"))
        })
        .expect(fine(1))
        .expect([Text(TEXT), Chats(1, 1)]),
        other("deflate", zlib),
        // Not even brotli: bytes that nobody can unpack.
        other("br", |bytes| bytes.iter().map(|byte| byte ^ 0xa5).collect()),
    ]);
}

#[test]
fn f26_a_refusal_is_shown() {
    let words = "I'm sorry, I cannot help with that.";
    let refusal = |name: &str, message: Value| {
        chats(&format!("F26 {name}"), move |ask| Answer::message(message.clone()).to(ask))
            .is("the refusal is neither the text nor shown as a failure", move |ended| {
                let is_text = ended.code == 0 && ended.rows.iter().all(|row| row["s.text"] == words);
                is_text || (ended.code != 0 && ended.shows("I cannot help with that"))
            })
            .expect([Chats(1, 2)])
    };
    check_all(vec![
        refusal("empty content", json!({ "content": "", "refusal": words })),
        refusal("null content", json!({ "content": null, "refusal": words })),
        refusal("no content", json!({ "refusal": words })),
        refusal("a part", json!({ "content": [{ "type": "refusal", "refusal": words }] })),
        chats("F26 null refusal", |ask| Answer::message(json!({ "content": TEXT, "refusal": null })).to(ask))
            .expect(fine(1))
            .expect([Text(TEXT), Chats(1, 1)]),
    ]);
}

#[test]
fn r01_odd_shapes_are_read() {
    let read = |name: &str, message: Value| {
        chats(&format!("R1 {name}"), move |ask| Answer::message(message.clone()).to(ask))
            .expect(fine(1))
            .expect([Text(TEXT), Chats(1, 1)])
    };
    let object = |name: &str, content: Value| {
        chats(&format!("R1 {name}"), move |ask| Answer::message(json!({ "content": content })).to(ask))
            .steps(Steps::Judge)
            .retries("attempts: 2, within: 5s, backoff: 50ms..400ms")
            .expect([Chats(1, 2), Hides(&["untagged", "variant", "line 1 column"])])
            .is("neither read nor said to be no text", |ended| {
                let read = ended.code == 0 && ended.rows.iter().all(|row| row["j.choice"] == "yes");
                read || ended.shows("object") || ended.shows("content")
            })
    };
    check_all(vec![
        read("a list of texts", json!({ "content": [TEXT] })),
        read("two texts", json!({ "content": ["Can", "berra."] })),
        read(
            "parts",
            json!({ "content": [{ "type": "text", "text": "Can" }, { "type": "text", "text": "berra." }] }),
        ),
        read("output_text", json!({ "content": [{ "type": "output_text", "text": TEXT }] })),
        read("tool_calls {}", json!({ "content": TEXT, "tool_calls": {} })),
        read("tool_calls []", json!({ "content": TEXT, "tool_calls": [] })),
        read("tool_calls null", json!({ "content": TEXT, "tool_calls": null, "function_call": null })),
        read("odd neighbours", json!({ "content": TEXT, "annotations": {}, "audio": 7, "logprobs": "none" })),
        object("an object", json!({ "choice": "yes" })),
    ]);
}

#[test]
fn r05_errors_in_a_200_are_errors() {
    let passes = |name: &str, body: &str| {
        once(&format!("R5 once: {name}"), Reply::json(200, body))
            .items(2)
            .expect(fine(2))
            .expect([Text(TEXT), Chats(3, 3)])
    };
    let told = |name: &str, body: &str, words: &'static [&'static str]| {
        always(&format!("R5 always: {name}"), Reply::json(200, body))
            .items(12)
            .concurrency(2)
            .retries("within: 5s, backoff: 50ms..400ms")
            .expect([Exit(&[1, 4]), Answered(0), Chats(1, 24), Within(40), Shows(words)])
    };
    check_all(vec![
        passes(
            "minimax",
            r#"{"choices":null,"base_resp":{"status_code":1002,"status_msg":"rate limit exceeded(RPM)"}}"#,
        ),
        passes(
            "minimax, busy",
            r#"{"id":"x","choices":null,"base_resp":{"status_code":1000,"status_msg":"unknown error, 794, please try again later"}}"#,
        ),
        passes("an envelope", r#"{"code":429,"msg":"Too many requests, slow down","data":null,"success":false}"#),
        told("zhipu", r#"{"code":1113,"msg":"Account in arrears","success":false}"#, &["Account in arrears"]),
        told(
            "minimax",
            r#"{"choices":null,"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}"#,
            &["insufficient balance"],
        ),
        told(
            "a key",
            r#"{"code":401,"msg":"token expired or incorrect","success":false}"#,
            &["token expired or incorrect"],
        ),
        told(
            "baidu",
            r#"{"error_code":17,"error_msg":"Open api daily request limit reached"}"#,
            &["Open api daily request limit reached"],
        ),
    ]);
}

#[test]
fn r06_an_error_in_a_choice_is_shown() {
    let failed = |code: Value, words: &str| {
        Answer::text("").finish("error").choice(json!({ "error": { "code": code, "message": words } }))
    };
    let half = |words: &str| Answer::text("The cap").finish("error").choice(json!({ "error": { "message": words } }));
    let shown = |name: &str, answer: Answer, words: &'static [&'static str]| {
        let (first, always) = (answer.clone(), answer);
        [
            chats(&format!("R6 once: {name}"), move |ask| if ask.number == 1 { first.to(ask) } else { well(ask) })
                .expect(fine(1))
                .expect([Text(TEXT), Chats(2, 2)]),
            chats(&format!("R6 always: {name}"), move |ask| always.to(ask))
                .retries("attempts: 2, within: 5s, backoff: 50ms..400ms")
                .expect([Exit(&[1, 4]), Answered(0), Chats(1, 2), Within(40), Shows(words)]),
        ]
    };
    let cases = [
        shown(
            "openrouter",
            failed(json!(502), "Provider returned error: rate limited upstream"),
            &["rate limited upstream"],
        ),
        shown("half an answer", half("the worker lost its card"), &["the worker lost its card"]),
        shown("a text for a code", failed(json!("server_error"), "The engine restarted"), &["The engine restarted"]),
    ];
    check_all(cases.into_iter().flatten().collect());
}
