//! Fields that a server does not take: left out or renamed, learned once. F12, F15, R4, R7.

use super::{
    AGAIN, Answered, Case, Chats, Check, Exit, Is, Shows, Steps, Text, Way, always, bounded, case, check_all, fine,
};
use std::sync::Arc;

use crate::scripted_server::{Answer, Ask, Reply, TEXT, proper};

/// Runs the same file again: nothing of it is refused.
fn learned() -> super::Expect {
    let check: Check = Arc::new(|ended| {
        let before = ended.server.ledger().len();
        let mut arguments = ended.arguments.clone();
        arguments.push("--new".to_owned());
        let output = bounded(&ended.project, &arguments, AGAIN);
        let again = ended.server.ledger()[before..].to_vec();
        let chats: Vec<u16> = again.iter().filter(|entry| entry.is_chat).map(|entry| entry.status).collect();
        let refused = chats.iter().filter(|status| **status != 200).count();
        let fine = output.status.code() == Some(0) && refused == 0 && !chats.is_empty();
        (!fine).then(|| format!("the second run: {}, {refused} of {} refused", output.status, chats.len()))
    });
    Is(check)
}

/// A server that refuses a field for as long as it is there.
fn lacks(name: &str, field: &'static str, status: u16, body: &str) -> Case {
    let reply = Reply::json(status, body);
    case(&format!("F12 {field}: {name}"), move |ask| (ask.is_chat() && ask.has(field)).then(|| reply.clone()))
        .items(4)
        .retries("attempts: 1, within: 1m, backoff: 50ms..400ms")
        .expect(fine(4))
        .expect([Text(TEXT), learned()])
}

/// One of which `pipe` sends the field in every request.
fn lacks_always(name: &str, field: &'static str, status: u16, body: &str) -> Case {
    lacks(name, field, status, body).expect([Chats(5, 5)])
}

#[test]
fn f12_a_seed_that_is_refused_is_left_out() {
    let lacks =
        |name: &str, status: u16, body: &str| lacks_always(name, "seed", status, body).expect([Shows(&["seed"])]);
    check_all(vec![
        lacks(
            "mistral",
            422,
            r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","seed"],"msg":"Extra inputs are not permitted","input":1}]},"type":"invalid_request_error"}"#,
        ),
        lacks(
            "azure ai",
            422,
            r#"{"detail":[{"type":"extra_forbidden","loc":["body","seed"],"msg":"Extra inputs are not permitted","input":123}]}"#,
        ),
        lacks(
            "pydantic 1",
            422,
            r#"{"detail":[{"loc":["body","seed"],"msg":"extra fields not permitted","type":"value_error.extra"}]}"#,
        ),
        lacks(
            "vllm's list in a text",
            400,
            r#"{"object":"error","message":"[{'type': 'extra_forbidden', 'loc': ('body', 'seed'), 'msg': 'Extra inputs are not permitted', 'input': 1}]","type":"BadRequestError","param":null,"code":400}"#,
        ),
        lacks(
            "openai, older",
            400,
            r#"{"error":{"message":"Unrecognized request argument supplied: seed","type":"invalid_request_error","param":null,"code":null}}"#,
        ),
        lacks(
            "groq",
            400,
            r#"{"error":{"message":"property 'seed' is unsupported, did you mean 'stop'?","type":"invalid_request_error"}}"#,
        ),
        lacks(
            "gemini, in a list",
            400,
            r#"[{"error":{"code":400,"message":"Invalid JSON payload received. Unknown name \"seed\": Cannot find field.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"description":"Invalid JSON payload received. Unknown name \"seed\": Cannot find field."}]}]}}]"#,
        ),
        lacks(
            "bedrock",
            400,
            r#"{"message":"Malformed input request: #: extraneous key [seed] is not permitted, please reformat your input and try again."}"#,
        ),
        lacks(
            "litellm",
            400,
            r#"{"error":{"message":"litellm.UnsupportedParamsError: test-7b does not support parameters: ['seed'], for model=test-7b. To drop these, set `litellm.drop_params=True`","type":"None","param":null,"code":"400"}}"#,
        ),
        lacks("cohere", 422, r#"{"message":"invalid request: parameter 'seed' is not supported for model test-7b"}"#),
        lacks("go", 400, r#"{"error":{"message":"json: unknown field \"seed\"","type":"invalid_request_error"}}"#),
        lacks(
            "serde, with all others",
            422,
            r#"Failed to deserialize the JSON body into the target type: unknown field `seed`, expected one of `messages`, `model`, `max_tokens`, `temperature`, `stream`, `stream_options`, `response_format` at line 1 column 80"#,
        ),
        lacks(
            "R7",
            400,
            r#"{"error":{"message":"Unsupported parameter: unknown field `seed` for this model","param":"seed"}}"#,
        ),
        lacks(
            "param alone",
            400,
            r#"{"error":{"message":"This argument is not allowed here.","type":"invalid_request_error","param":"seed"}}"#,
        ),
    ]);
}

#[test]
fn f12_stream_options_that_are_refused_are_left_out() {
    // Asked for whole, the field is not there and nothing is refused.
    let lacks =
        |name: &str, status: u16, body: &str| lacks(name, "stream_options", status, body).expect([Chats(4, 5)]);
    check_all(vec![
        lacks(
            "additional properties",
            400,
            r#"{"error":{"message":"Additional properties are not allowed ('stream_options' was unexpected)","type":"invalid_request_error"}}"#,
        ),
        lacks(
            "unknown parameter",
            400,
            r#"{"error":{"message":"Unknown parameter: 'stream_options.include_usage'.","type":"invalid_request_error","param":"stream_options.include_usage","code":"unknown_parameter"}}"#,
        ),
        lacks(
            "extra inputs",
            422,
            r#"{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra inputs are not permitted","input":{"include_usage":true}}]}"#,
        ),
        lacks(
            "databricks",
            400,
            r#"{"error_code":"BAD_REQUEST","message":"BAD_REQUEST: {\"external_model_provider\":\"x\",\"external_model_error\":{\"message\":\"stream_options: Extra inputs are not permitted\"}}"}"#,
        ),
    ]);
}

#[test]
fn f12_max_tokens_is_sent_under_the_name_that_is_asked_for() {
    let renamed = |name: &str, status: u16, body: &str| {
        lacks_always(name, "max_tokens", status, body)
            .is("max_completion_tokens is not 20 in what was answered", |ended| {
                ended.chats().iter().filter(|one| one.good).all(|one| one.body["max_completion_tokens"] == 20)
            })
    };
    check_all(vec![
        renamed(
            "openai",
            400,
            r#"{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.","type":"invalid_request_error","param":"max_tokens","code":"unsupported_parameter"}}"#,
        ),
        renamed(
            "a gateway",
            400,
            r#"{"error":{"message":"max_tokens is deprecated for this model: please use max_completion_tokens","type":"bad_request"}}"#,
        ),
        renamed(
            "mutually",
            422,
            r#"{"detail":[{"type":"value_error","loc":["body","max_tokens"],"msg":"Value error, max_tokens is no longer accepted; set max_completion_tokens"}]}"#,
        ),
    ]);
}

#[test]
fn f12_several_fields_are_learned_one_by_one() {
    let both = case("F12 seed and max_tokens", |ask| {
        let refuse = |field: &str, more: &str| {
            Reply::json(
                400,
                format!(
                    r#"{{"error":{{"message":"Unsupported parameter: '{field}' is not supported with this model.{more}","param":"{field}","code":"unsupported_parameter"}}}}"#
                ),
            )
        };
        match ask {
            ask if !ask.is_chat() => None,
            ask if ask.has("max_tokens") => Some(refuse("max_tokens", " Use 'max_completion_tokens' instead.")),
            ask if ask.has("seed") => Some(refuse("seed", "")),
            _ => None,
        }
    });
    let both = both.items(4).retries("attempts: 1, within: 1m, backoff: 50ms..400ms");
    check_all(vec![both.expect(fine(4)).expect([Text(TEXT), Chats(6, 6), learned()])]);
}

#[test]
fn f12_what_the_file_asks_for_is_never_dropped() {
    let users = |field: &'static str, written: &str, body: &str| {
        let reply = Reply::json(400, body);
        case(&format!("F12 the user's {field}"), move |ask| (ask.is_chat() && ask.has(field)).then(|| reply.clone()))
            .actor(written)
            .expect([Exit(&[1, 4]), Answered(0), Chats(1, 1)])
            .is("the field is not named", move |ended| ended.shows(field))
            .is("it was dropped", move |ended| ended.chats().iter().all(|one| one.body.get(field).is_some()))
    };
    check_all(vec![
        users(
            "temperature",
            "temperature: 0.7",
            r#"{"error":{"message":"Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) value is supported.","param":"temperature","code":"unsupported_value"}}"#,
        ),
        users(
            "temperature",
            "temperature: 0.7",
            r#"{"error":{"message":"Unsupported parameter: 'temperature' is not supported with this model.","param":"temperature","code":"unsupported_parameter"}}"#,
        ),
        users(
            "top_p",
            "top_p: 0.5",
            r#"{"detail":[{"type":"extra_forbidden","loc":["body","top_p"],"msg":"Extra inputs are not permitted"}]}"#,
        ),
        users(
            "stop",
            "stop: [END]",
            r#"{"error":{"message":"Unsupported parameter: 'stop' is not supported with this model.","param":"stop","code":"unsupported_parameter"}}"#,
        ),
    ]);
}

/// A server that refuses `response_format` for as long as it is there, to a judge and to a schema.
fn no_formats(name: &str, status: u16, body: &str) -> [Case; 2] {
    let reply = Reply::json(status, body);
    let lacking = |name: String, reply: Reply| {
        case(&name, move |ask| (ask.is_chat() && ask.has("response_format")).then(|| reply.clone()))
            .expect(fine(1))
            .expect([Chats(2, 2), learned()])
    };
    [
        lacking(format!("F15 judge: {name}"), reply.clone()).steps(Steps::Judge).expect([super::Choice("yes")]),
        lacking(format!("F15 schema: {name}"), reply).steps(Steps::Schema),
    ]
}

#[test]
fn f15_a_refused_schema_is_asked_for_in_words() {
    let gemini = r#"{"error":{"code":400,"message":"Invalid JSON payload received. Unknown name \"additionalProperties\" at 'generation_config.response_schema': Cannot find field.","status":"INVALID_ARGUMENT"}}"#;
    let cases = [
        no_formats("gemini, in a list", 400, &format!("[{gemini}]")),
        no_formats("gemini", 400, gemini),
        no_formats(
            "anthropic",
            400,
            r#"{"error":{"code":"invalid_request_error","message":"output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false","type":"invalid_request_error"}}"#,
        ),
        no_formats(
            "llama.cpp",
            500,
            r#"{"error":{"code":500,"message":"JSON schema conversion failed:\nUnrecognized schema: {}","type":"server_error"}}"#,
        ),
        no_formats(
            "llama.cpp's grammar",
            400,
            r#"{"error":{"code":400,"message":"Failed to parse grammar","type":"invalid_request_error"}}"#,
        ),
        no_formats(
            "deepseek",
            400,
            r#"{"error":{"message":"This response_format type is unavailable now","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}"#,
        ),
        no_formats(
            "groq",
            400,
            r#"{"error":{"message":"This model does not support response format `json_schema`. See supported models at https://console.groq.com/docs/structured-outputs#supported-models","type":"invalid_request_error","param":"response_format"}}"#,
        ),
        no_formats("lm studio", 400, r#"{"error":"'response_format.json_schema.schema' must be an object"}"#),
        no_formats("lm studio's types", 400, r#"{"error":"'response_format.type' must be 'text'"}"#),
        no_formats(
            "wrapped twice",
            400,
            r#"{"error":{"message":"{\"error\":{\"message\":\"Invalid input\",\"type\":\"invalid_request_error\",\"param\":\"response_format\",\"code\":\"invalid_request_error\"}}","type":"invalid_request_error"}}"#,
        ),
        no_formats(
            "vllm's grammar",
            400,
            r#"{"object":"error","message":"The provided JSON schema contains features not supported by xgrammar.","type":"BadRequestError","param":null,"code":400}"#,
        ),
        no_formats(
            "vertex",
            400,
            r#"{"error":{"code":400,"message":"Unable to submit request because `response_schema.properties[choice].enum` is not supported by this model.","status":"INVALID_ARGUMENT"}}"#,
        ),
        no_formats(
            "extra inputs",
            422,
            r#"{"detail":[{"type":"extra_forbidden","loc":["body","response_format","json_schema"],"msg":"Extra inputs are not permitted"}]}"#,
        ),
        no_formats(
            "501",
            501,
            r#"{"error":{"message":"response_format json_schema is not implemented","type":"not_implemented"}}"#,
        ),
    ];
    check_all(cases.into_iter().flatten());
}

/// What an object of the answer is, in a schema's row.
#[test]
fn f15_the_object_is_read_after_all() {
    let reply = r#"{"error":{"message":"Invalid schema for response_format 'answer': In context=(), 'additionalProperties' is required to be supplied and to be false.","type":"invalid_request_error","param":"response_format","code":null}}"#;
    check_all(vec![
        case("F15 the object", move |ask| {
            (ask.is_chat() && ask.has("response_format")).then(|| Reply::json(400, reply))
        })
        .steps(Steps::Schema)
        .items(3)
        .expect(fine(3))
        .expect([Chats(4, 4)])
        .is("the city is in no row", |ended| {
            ended.rows.len() == 3 && ended.rows.iter().all(|row| row.to_string().contains("Canberra"))
        }),
    ]);
}

/// Goes on by itself, or names the setting.
fn switches(case: Case) -> Case {
    case.items(2).is("neither switched nor is the setting named", |ended| {
        let switched = ended.code == 0 && ended.rows.iter().all(|row| row["s.text"] == TEXT);
        switched || ended.shows("limits.timeouts.first_token")
    })
}

#[test]
fn r04_streams_only_or_never() {
    let whole_fails = |name: &str, reply: Reply| {
        switches(case(&format!("R4 {name}"), move |ask| (ask.is_chat() && !ask.streams()).then(|| reply.clone())))
            .only(Way::Whole)
            .retries("within: 5s, backoff: 50ms..400ms")
            .expect([Chats(1, 14)])
    };
    let stream_fails = |name: &str, reply: Reply| {
        switches(case(&format!("R4 {name}"), move |ask| (ask.is_chat() && ask.streams()).then(|| reply.clone())))
            .only(Way::Streamed)
            .expect([Chats(1, 14)])
    };
    check_all(vec![
        whole_fails("504 for what is whole", Reply::page(504, "504 Gateway Time-out")),
        whole_fails(
            "alibaba",
            Reply::json(
                400,
                r#"{"error":{"message":"This model only support stream mode, please enable the stream parameter to access the model. ","type":"invalid_request_error","code":"invalid_parameter_error"}}"#,
            ),
        ),
        whole_fails("a gateway", Reply::json(400, r#"{"detail":"Stream must be set to true"}"#)),
        stream_fails(
            "no streams",
            Reply::json(
                400,
                r#"{"error":{"message":"Streaming is not supported for this model","type":"invalid_request_error","param":"stream"}}"#,
            ),
        ),
        stream_fails(
            "openai",
            Reply::json(
                400,
                r#"{"error":{"message":"Unsupported value: 'stream' does not support true with this model. Supported values are: false.","type":"invalid_request_error","param":"stream","code":"unsupported_value"}}"#,
            ),
        ),
    ]);
}

#[test]
fn r07_a_field_is_no_model() {
    let ask = |ask: &Ask| Answer::text(proper(ask)).to(ask);
    let reply = |field: &str| {
        Reply::json(
            400,
            format!(
                r#"{{"error":{{"message":"Unsupported parameter: unknown field `{field}` for this model","param":"{field}"}}}}"#
            ),
        )
    };
    let (seed, temperature) = (reply("seed"), reply("temperature"));
    check_all(vec![
        case("R7 seed", move |asked| {
            asked.is_chat().then(|| if asked.has("seed") { seed.clone() } else { ask(asked) })
        })
        .items(2)
        .expect(fine(2))
        .expect([Text(TEXT), Chats(3, 3)]),
        always("R7 temperature", temperature)
            .actor("temperature: 0.7")
            .expect([Exit(&[1, 4]), Chats(1, 1), Shows(&["unknown field `temperature`"])])
            .is("it is named a missing model", |ended| !ended.shows("no model") && !ended.shows("model is missing")),
    ]);
}
