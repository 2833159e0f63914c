//! Reasons to end, and streams that end in odd ways. F6, F7, F18, F19, F20, F23.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Answered, Case, Chats, Exit, Failed, Is, Shows, Text, Way, Within, case, chats, check_all, check_at_once, fine,
};
use crate::scripted_server::{Answer, Ask, Part, Reply, TEXT, chunk, data, raw, well};

const HALF: &str = "The capital of Aus";

/// Half an answer that ends for a reason.
fn half(finish: &str) -> Answer {
    Answer::text(HALF).finish(finish)
}

/// Half an answer of which the provider's own reason contradicts "stop".
fn native(reason: &str) -> Answer {
    half("stop").choice(json!({ "native_finish_reason": reason }))
}

#[test]
fn f06_a_provider_that_broke_off_is_asked_again() {
    let broke = |name: &str, answer: Answer, reason: &'static [&'static str]| {
        let (once, always) = (answer.clone(), answer);
        [
            chats(&format!("F6 once: {name}"), move |ask| if ask.number == 1 { once.to(ask) } else { well(ask) })
                .expect(fine(1))
                .expect([Text(TEXT), Chats(2, 2)]),
            chats(&format!("F6 always: {name}"), move |ask| always.to(ask)).expect([
                Exit(&[1, 4]),
                Answered(0),
                Chats(2, 6),
                Within(20),
                Shows(reason),
            ]),
        ]
    };
    let empty = Answer::text("").choice(json!({ "native_finish_reason": "network_error" })).usage(Value::Null);
    let cases = [
        broke("deepseek", half("insufficient_system_resource"), &["insufficient_system_resource"]),
        broke("native network_error", native("network_error"), &["network_error"]),
        broke("native network_error, nothing there", empty, &["network_error"]),
        broke("zhipu's network_error", half("network_error"), &["network_error"]),
        broke("error", half("error"), &["error"]),
        broke("native error", native("error"), &["error"]),
        broke("sglang's abort", half("abort"), &["abort"]),
    ];
    check_all(cases.into_iter().flatten());
}

#[test]
fn f06_a_filter_in_any_spelling_is_a_filter() {
    let filtered = |answer: Answer, reason: &'static str| {
        chats(&format!("F6 filter: {reason}"), move |ask| answer.to(ask)).expect([
            Exit(&[1, 4]),
            Answered(0),
            Chats(1, 2),
            Shows(&["filter", "refus"]),
        ])
    };
    let native = Answer::text("").choice(json!({ "native_finish_reason": "PROHIBITED_CONTENT" }));
    check_all(vec![
        filtered(half("sensitive"), "sensitive"),
        filtered(half("SAFETY"), "SAFETY"),
        filtered(half("content_filter"), "content_filter"),
        filtered(half("CONTENT_FILTER"), "CONTENT_FILTER"),
        filtered(half("RECITATION"), "RECITATION"),
        filtered(half("PROHIBITED_CONTENT"), "PROHIBITED_CONTENT"),
        filtered(half("BLOCKLIST"), "BLOCKLIST"),
        filtered(half("content_filtered"), "content_filtered"),
        filtered(half("guardrail_intervened"), "guardrail_intervened"),
        filtered(native, "native PROHIBITED_CONTENT"),
    ]);
}

#[test]
fn f06_an_end_by_length_in_any_spelling_is_cut_short() {
    let cut = |name: &str, answer: Answer| {
        chats(&format!("F6 length: {name}"), move |ask| answer.to(ask))
            .items(2)
            .expect(fine(2))
            .expect([Text(HALF), Chats(2, 2)])
            .is("the summary does not count two that are cut", |ended| ended.summary["cut"] == 2)
    };
    check_all(vec![
        cut("length", half("length")),
        cut("model_context_window_exceeded", half("model_context_window_exceeded")),
        cut("max_tokens", half("max_tokens")),
        cut("MAX_TOKENS", half("MAX_TOKENS")),
        cut("Length", half("Length")),
        cut("max_output_tokens", half("max_output_tokens")),
        cut("max_new_tokens", half("max_new_tokens")),
        cut("native MAX_TOKENS", native("MAX_TOKENS")),
        cut("native length", native("length")),
    ]);
}

#[test]
fn f06_a_reason_that_nobody_knows_is_taken_and_counted() {
    let unknown = |reason: &'static str, shown: &'static [&'static str]| {
        chats(&format!("F6 unknown: {reason}"), move |ask| Answer::text(TEXT).finish(reason).to(ask))
            .items(3)
            .expect(fine(3))
            .expect([Text(TEXT), Chats(3, 3), Shows(shown)])
            .is("it counts as cut", |ended| ended.summary["cut"] == 0)
    };
    let known = |reason: &'static str, native: &'static str| {
        chats(&format!("F6 an end: {reason}, {native}"), move |ask| {
            Answer::text(TEXT).finish(reason).choice(json!({ "native_finish_reason": native })).to(ask)
        })
        .expect(fine(1))
        .expect([Text(TEXT), Chats(1, 1)])
        .is("it counts as cut", |ended| ended.summary["cut"] == 0)
    };
    check_all(vec![
        unknown("tired_of_this", &["tired_of_this"]),
        unknown("OTHER_PHASE", &["OTHER_PHASE"]),
        known("stop", "stop"),
        known("stop", "STOP"),
        known("stop", "end_turn"),
        known("end_turn", "end_turn"),
        known("eos_token", "eos"),
        known("COMPLETE", "COMPLETE"),
    ]);
}

const PAUSE: Part = Part::Pause(Duration::from_secs(3));
const SENTENCE: &str = "The capital of Australia is Canberra.";

/// A sentence in three pieces with a pause before the last, each with a reason to end.
fn every_chunk_ends(reason: &Value, rest: &[Part]) -> Reply {
    let piece = |text: &str| chunk(&json!({ "content": text }), reason);
    let mut parts = vec![piece("The capital of "), piece("Australia "), PAUSE];
    parts.extend_from_slice(rest);
    Reply::stream(parts)
}

#[test]
fn f07_text_after_a_reason_to_end_takes_it_back() {
    let takes_back = |name: &str, reason: Value| {
        let last = [
            chunk(&json!({ "content": "is Canberra." }), &reason),
            chunk(&json!({}), &json!("stop")),
            raw("data: [DONE]\n\n"),
        ];
        let reply = every_chunk_ends(&reason, &last);
        chats(
            &format!("F7 {name}"),
            move |ask| if ask.streams() { reply.clone() } else { Answer::text(SENTENCE).to(ask) },
        )
        .expect(fine(1))
        .expect([Text(SENTENCE), Chats(1, 1)])
    };
    let dropped = |name: &str, reason: Value| {
        let reply = every_chunk_ends(&reason, &[Part::Drop]);
        let once = reply.clone();
        [
            chats(&format!("F7 dropped once: {name}"), move |ask| {
                if ask.streams() && ask.number == 1 { once.clone() } else { Answer::text(SENTENCE).to(ask) }
            })
            .only(Way::Streamed)
            .expect(fine(1))
            .expect([Text(SENTENCE), Chats(2, 2)]),
            chats(&format!("F7 dropped always: {name}"), move |_| reply.clone())
                .only(Way::Streamed)
                .retries("attempts: 2, within: 1m, backoff: 50ms..400ms")
                .expect([Exit(&[1, 4]), Answered(0), Chats(2, 2)]),
        ]
    };
    // The server is silent after its end: neither [DONE] nor a closed connection.
    let end = every_chunk_ends(
        &json!(null),
        &[chunk(&json!({ "content": "is Canberra." }), &json!(null)), chunk(&json!({}), &json!("stop")), Part::Hang],
    );
    let mut cases = vec![
        takes_back("stop in each", json!("stop")),
        takes_back("length in each", json!("length")),
        takes_back("the string null", json!("null")),
        takes_back("the string None", json!("None")),
        takes_back("an empty string", json!("")),
        takes_back("eos in each", json!("eos")),
        chats(
            "F7 a real end, and silence",
            move |ask| if ask.streams() { end.clone() } else { Answer::text(SENTENCE).to(ask) },
        )
        .expect(fine(1))
        .expect([Text(SENTENCE), Chats(1, 1), Within(15)]),
    ];
    cases.extend(
        [dropped("null", json!("null")), dropped("none", json!("none")), dropped("empty", json!(""))].concat(),
    );
    check_at_once(20, &cases);
}

/// A case about a stream; asked for whole the server answers well.
fn streams(name: &str, reply: impl Fn(&Ask) -> Option<Reply> + Send + Sync + 'static) -> Case {
    case(name, move |ask| if ask.is_chat() && ask.streams() { reply(ask) } else { None }).only(Way::Streamed)
}

#[test]
fn f18_an_error_without_framing_is_read() {
    let text = |text: &str| Reply::stream(vec![raw(text)]);
    let can = r#"data: {"choices":[{"index":0,"delta":{"content":"Can"},"finish_reason":null}]}"#;
    let overflow = |name: &str, body: &str| {
        let reply = text(body);
        streams(&format!("F18 overflow: {name}"), move |_| Some(reply.clone())).expect([
            Exit(&[1, 4]),
            Answered(0),
            Chats(1, 1),
            Shows(&["context"]),
        ])
    };
    let passes = |name: &str, reply: Reply, words: &'static [&'static str]| {
        let always = reply.clone();
        [
            streams(&format!("F18 once: {name}"), move |ask| (ask.number == 1).then(|| reply.clone()))
                .expect(fine(1))
                .expect([Text(TEXT), Chats(2, 2)]),
            streams(&format!("F18 always: {name}"), move |_| Some(always.clone()))
                .retries("attempts: 2, within: 5s, backoff: 50ms..400ms")
                .expect([Exit(&[1, 4]), Answered(0), Within(40), Shows(words)]),
        ]
    };
    let mut cases = vec![
        overflow(
            "lemonade",
            r#"{"error":{"code":400,"message":"request (19185 tokens) exceeds the available context size (16384 tokens), try increasing it","type":"exceed_context_size_error"}}"#,
        ),
        overflow(
            "vllm, a line",
            "{\"object\":\"error\",\"message\":\"This model's maximum context length is 4096 tokens. However, you requested 5210 tokens.\",\"type\":\"BadRequestError\",\"code\":400}\n",
        ),
        overflow(
            "blanks before it",
            "\n\n  {\"error\":{\"code\":\"context_length_exceeded\",\"message\":\"The prompt is too long\"}}\n\n",
        ),
    ];
    cases.extend(
        [
            passes(
                "throttled after a chunk",
                text(&format!(
                    "{can}\n\n{{\"error\":{{\"message\":\"Rate limit exceeded, try again later\",\"code\":429}}}}\n\n"
                )),
                &["Rate limit exceeded"],
            ),
            passes(
                "over several lines",
                text("{\n \"error\": {\n  \"message\": \"upstream exploded\",\n  \"code\": 500\n }\n}"),
                &["upstream exploded"],
            ),
            passes(
                "over several lines, after a chunk",
                text(&format!(
                    "{can}\n\n{{\n \"error\": {{\n  \"message\": \"worker 3 went away\",\n  \"code\": 502\n }}\n}}\n"
                )),
                &["worker 3 went away"],
            ),
            passes(
                "a text for an error",
                text(&format!(
                    "{can}\n\n{{\"error\":\"an error was encountered while running the model: unexpected EOF\"}}\n"
                )),
                &["unexpected EOF"],
            ),
            passes(
                "in pieces",
                Reply::stream(vec![
                    raw(can),
                    raw("\n\n{\"error\":{\"mess"),
                    raw("age\":\"upstream exploded\",\"co"),
                    raw("de\":500}}"),
                ]),
                &["upstream exploded"],
            ),
        ]
        .concat(),
    );
    check_all(cases);
}

#[test]
fn f19_done_after_text_is_an_end() {
    let piece = |finish: Value| chunk(&json!({ "content": TEXT }), &finish);
    let done = || raw("data: [DONE]\n\n");
    let whole = |name: &str, parts: Vec<Part>| {
        streams(&format!("F19 {name}"), move |_| Some(Reply::stream(parts.clone()).good()))
            .items(2)
            .expect(fine(2))
            .expect([Text(TEXT), Chats(2, 2)])
    };
    let camel = data(&json!({ "choices": [{ "index": 0, "delta": {}, "finishReason": "stop" }] }));
    let absent = data(&json!({ "choices": [{ "index": 0, "delta": { "content": TEXT } }] }));
    check_all(vec![
        whole("null", vec![piece(json!(null)), done()]),
        whole("finishReason", vec![piece(json!(null)), camel, done()]),
        whole("no such field", vec![absent, done()]),
        whole("DONE without a blank line", vec![piece(json!(null)), raw("data:[DONE]")]),
        streams("F19 no DONE", move |_| {
            Some(Reply::stream(vec![chunk(&json!({ "content": "Canb" }), &json!(null))]))
        })
        .retries("attempts: 2, within: 1m, backoff: 50ms..400ms")
        .expect([Exit(&[1, 4]), Answered(0), Chats(2, 2)]),
        streams("F19 no DONE once", move |ask| {
            (ask.number == 1).then(|| Reply::stream(vec![chunk(&json!({ "content": "Canb" }), &json!(null))]))
        })
        .expect(fine(1))
        .expect([Text(TEXT), Chats(2, 2)]),
        streams("F19 DONE and no text", move |_| Some(Reply::stream(vec![done()])))
            .retries("attempts: 2, within: 1m, backoff: 50ms..400ms")
            .expect([Exit(&[1, 4]), Answered(0), Chats(2, 2)]),
    ]);
}

#[test]
fn f20_the_only_choice_is_the_choice() {
    let pieces = ["Can", "ber", "ra."];
    let stream = |name: &str, index: fn(usize) -> Value, finish: &'static str, done: bool| {
        let chunk = |n: usize, delta: Value, finish: Value| {
            data(&json!({ "choices": [{ "index": index(n), "delta": delta, "finish_reason": finish }] }))
        };
        let mut parts: Vec<Part> = pieces
            .iter()
            .enumerate()
            .map(|(n, text)| chunk(n + 1, json!({ "content": text }), json!(null)))
            .collect();
        parts.push(chunk(4, json!({}), json!(finish)));
        if done {
            parts.push(raw("data: [DONE]\n\n"));
        }
        streams(&format!("F20 stream: {name}"), move |_| Some(Reply::stream(parts.clone())))
            .expect(fine(1))
            .expect([Text(TEXT), Chats(1, 1)])
    };
    let whole = |name: &str, index: Value| {
        let body = Answer::text(TEXT).choice(json!({ "index": index })).whole().to_string();
        case(&format!("F20 whole: {name}"), move |ask| {
            (ask.is_chat() && !ask.streams()).then(|| Reply::json(200, &body))
        })
        .only(Way::Whole)
        .expect(fine(1))
        .expect([Text(TEXT), Chats(1, 1)])
    };
    check_all(vec![
        stream("counts tokens", |n| json!(n), "eos_token", false),
        stream("counts tokens, DONE", |n| json!(n), "stop", true),
        stream("a string", |_| json!("0"), "stop", true),
        stream("null", |_| json!(null), "stop", true),
        stream("a float", |_| json!(0.0), "stop", true),
        whole("a string", json!("0")),
        whole("one", json!(1)),
        whole("null", json!(null)),
    ]);
}

#[test]
fn f23_halves_of_a_pair_are_put_together() {
    let halves = |name: &str, texts: &'static [&'static str], expected: &'static str| {
        let body = |key: &str, text: &str, finish: &str| {
            format!(
                r#"{{"choices":[{{"index":0,"{key}":{{"role":"assistant","content":"{text}"}},"finish_reason":{finish}}}]}}"#
            )
        };
        let mut parts: Vec<Part> =
            texts.iter().map(|text| raw(&format!("data: {}\n\n", body("delta", text, "null")))).collect();
        parts.push(raw(&format!("data: {}\n\ndata: [DONE]\n\n", body("delta", "", "\"stop\""))));
        let whole = body("message", &texts.concat(), "\"stop\"");
        chats(&format!("F23 {name}"), move |ask| {
            if ask.streams() { Reply::stream(parts.clone()) } else { Reply::json(200, &whole) }
        })
        .expect(fine(1))
        .expect([Text(expected), Chats(1, 1)])
    };
    check_all(vec![
        halves("at a chunk's end", &["Hi \\ud83d", "\\ude00 there"], "Hi 😀 there"),
        halves("an empty chunk between", &["Hi \\ud83d", "", "\\ude00 there"], "Hi 😀 there"),
        halves("alone in their chunks", &["Hi ", "\\ud83d", "\\ude00", " there"], "Hi 😀 there"),
        halves("a half that stays alone", &["Hi \\ud83d", " there"], "Hi \u{fffd} there"),
        halves("a half at the very end", &["Hi \\ud83d"], "Hi \u{fffd}"),
        halves("a second half alone", &["Hi \\ude00 there"], "Hi \u{fffd} there"),
    ]);
}

#[test]
fn f06_reasons_of_one_run_are_told_apart() {
    // One odd reason among good answers neither stops the run nor taints the others.
    let odd = |ask: &Ask| match ask.number {
        2 => half("sensitive").to(ask),
        4 => half("MAX_TOKENS").to(ask),
        _ => well(ask),
    };
    let texts: super::Check = Arc::new(|ended| {
        let texts: Vec<&Value> = ended.rows.iter().map(|row| &row["s.text"]).collect();
        (texts != [&json!(TEXT), &json!(null), &json!(TEXT), &json!(HALF), &json!(TEXT)])
            .then(|| format!("{texts:?}"))
    });
    check_all(vec![
        chats("F6 mixed", odd)
            .items(5)
            .retries("attempts: 1, within: 1m, backoff: 50ms..400ms")
            .expect([Exit(&[1]), Answered(4), Failed(1), Chats(5, 5), Is(texts)])
            .is("the summary does not count one that is cut", |ended| ended.summary["cut"] == 1),
    ]);
}
