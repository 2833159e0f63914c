//! The body of a request, in OpenAI's own types.

mod reasoning;

use async_openai::types::chat::{
    ChatCompletionRequestAssistantMessage, ChatCompletionRequestMessage, ChatCompletionRequestSystemMessage,
    ChatCompletionRequestUserMessage, ChatCompletionStreamOptions, CreateChatCompletionRequest, ResponseFormat,
    ResponseFormatJsonSchema, StopConfiguration,
};
use serde_json::{Map, Value, json};

use crate::backend::discover::ServerKind;
use crate::backend::port::{ChatRequest, Format};
use crate::event::{Feature, Features};
use crate::prompt::{Message, Role};

/// Hosts that take some things in other words than the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host {
    OpenAi,
    OpenRouter,
    Anthropic,
    Other,
}

impl Host {
    fn of(host: &str) -> Self {
        let is_at = |name: &str| host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        match () {
            () if is_at("openai.com") || is_at("openai.azure.com") => Self::OpenAi,
            () if is_at("openrouter.ai") => Self::OpenRouter,
            () if is_at("anthropic.com") => Self::Anthropic,
            () => Self::Other,
        }
    }
}

/// Returns the JSON that is posted. What the request leaves open is not sent, nor what the server is known to refuse.
pub(super) fn encode(request: &ChatRequest, host: &str, server: ServerKind) -> Vec<u8> {
    let host = Host::of(host);
    let mut body = body_of(request, host);
    body.stream = Some(request.stream);
    body.stream_options = (request.stream && !request.lacks.has(Feature::StreamOptions))
        .then_some(ChatCompletionStreamOptions { include_usage: Some(true), include_obfuscation: None });
    written(&body, request, host, server)
}

/// Returns the JSON of a request in a file for OpenAI's Batch API, which streams nothing.
#[must_use]
pub fn batch_body(request: &ChatRequest) -> Vec<u8> {
    written(&body_of(request, Host::OpenAi), request, Host::OpenAi, ServerKind::OpenAiCompatible)
}

/// Returns what of a request has nothing to do with how it is sent.
///
/// The length goes as `max_tokens`, which every server understands, except to OpenAI's own hosts, whose newer models
/// refuse that name.
#[expect(deprecated, reason = "`max_tokens` and `seed` are deprecated by OpenAI and current everywhere else")]
fn body_of(request: &ChatRequest, host: Host) -> CreateChatCompletionRequest {
    let lacks = request.lacks;
    let (short, long) = (lacks.has(Feature::MaxTokens), lacks.has(Feature::MaxCompletionTokens));
    // The usual name, else the other one, else none.
    let long_name = if host == Host::OpenAi { !long } else { short && !long };
    let short_name = !long_name && !short;
    CreateChatCompletionRequest {
        model: request.model.to_string(),
        messages: request.messages.iter().map(message).collect(),
        temperature: request.temperature.map(single),
        top_p: request.top_p.map(single),
        max_tokens: request.max_tokens.filter(|_| short_name),
        max_completion_tokens: request.max_tokens.filter(|_| long_name),
        stop: (!request.stop.is_empty()).then(|| StopConfiguration::StringArray(request.stop.clone())),
        seed: (!lacks.has(Feature::Seed)).then(|| i64::from(request.seed)),
        response_format: response_format(&request.format, lacks),
        ..CreateChatCompletionRequest::default()
    }
}

/// Writes a body. Most requests have no more fields than OpenAI's, and are written without a detour.
fn written(body: &CreateChatCompletionRequest, request: &ChatRequest, host: Host, server: ServerKind) -> Vec<u8> {
    const WHY: &str = "strings, numbers and string-keyed maps have a JSON form";
    let extra = &*request.extra;
    if request.reasoning.is_none() && extra.is_empty() {
        return serde_json::to_vec(body).expect(WHY);
    }
    let Ok(Value::Object(mut fields)) = serde_json::to_value(body) else { panic!("bug: a struct is an object") };
    if let Some(reasoning) = request.reasoning {
        fields.extend(reasoning::fields(reasoning, request, host, server));
    }
    merge(&mut fields, extra);
    serde_json::to_vec(&fields).expect(WHY)
}

/// Adds the file's own fields: they replace what is there. Of what a chat template reads, the rest stays.
fn merge(fields: &mut Map<String, Value>, extra: &Map<String, Value>) {
    for (name, value) in extra {
        match (fields.get_mut(name), value) {
            (Some(Value::Object(there)), Value::Object(more)) if name == "chat_template_kwargs" => {
                there.extend(more.clone());
            }
            _ => drop(fields.insert(name.clone(), value.clone())),
        }
    }
}

/// Returns what a request says beside model and messages, for people.
#[must_use]
pub fn options(request: &ChatRequest, host: &str, server: ServerKind) -> Map<String, Value> {
    let body = encode(request, host, server);
    let mut fields: Map<String, Value> = serde_json::from_slice(&body).unwrap_or_default();
    fields.retain(|name, _| name != "model" && name != "messages");
    fields
}

fn message(message: &Message) -> ChatCompletionRequestMessage {
    let content = &*message.content;
    match message.role {
        Role::System => ChatCompletionRequestSystemMessage::from(content).into(),
        Role::User => ChatCompletionRequestUserMessage::from(content).into(),
        Role::Assistant => ChatCompletionRequestAssistantMessage::from(content).into(),
    }
}

fn response_format(format: &Format, lacks: Features) -> Option<ResponseFormat> {
    if lacks.has(Feature::ResponseFormat) {
        return None;
    }
    let (name, schema) = match format {
        Format::Text => return None,
        Format::Choice(_) | Format::Json(_) if lacks.has(Feature::JsonSchema) => {
            return Some(ResponseFormat::JsonObject);
        }
        Format::Choice(options) => {
            let schema = json!({
                "type": "object",
                "properties": { "choice": { "type": "string", "enum": options } },
                "required": ["choice"],
                "additionalProperties": false,
            });
            ("verdict", schema)
        }
        Format::Json(schema) => ("answer", (**schema).clone()),
    };
    let json_schema =
        ResponseFormatJsonSchema { description: None, name: name.to_owned(), schema, strict: Some(true) };
    Some(ResponseFormat::JsonSchema { json_schema })
}

#[expect(clippy::cast_possible_truncation, reason = "the wire type has single precision; 0.7 is written as 0.7")]
fn single(number: f64) -> f32 {
    number as f32
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use expect_test::{Expect, expect};

    use super::*;
    use crate::backend::port::CallLimits;

    fn check(change: impl FnOnce(&mut ChatRequest), host: &str, expected: &Expect) {
        let second = Duration::from_secs(1);
        let mut request = ChatRequest {
            model: "m".into(),
            messages: vec![
                Message { role: Role::System, content: "Be brief.".into() },
                Message { role: Role::User, content: "Hi".into() },
                Message { role: Role::Assistant, content: "Hello".into() },
            ],
            temperature: Some(0.7),
            top_p: None,
            max_tokens: Some(9),
            stop: vec![],
            seed: 5,
            format: Format::Text,
            stream: false,
            reasoning: None,
            extra: std::sync::Arc::default(),
            lacks: crate::event::Features::NONE,
            trace: None,
            limits: CallLimits { connect: second, first_token: second, idle: second },
        };
        change(&mut request);
        expected.assert_eq(
            &String::from_utf8(encode(&request, host, ServerKind::OpenAiCompatible)).expect("JSON is UTF-8"),
        );
    }

    #[test]
    fn sends_what_is_set_and_nothing_else() {
        check(
            |_| {},
            "127.0.0.1",
            &expect![[
                r#"{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello"}],"model":"m","stream":false,"max_tokens":9,"seed":5,"temperature":0.7}"#
            ]],
        );
        check(
            |request| {
                request.messages.truncate(1);
                request.temperature = None;
                request.stream = true;
                request.format = Format::Choice(vec!["pro".into(), "tie".into()]);
                request.stop = vec!["END".into()];
            },
            "api.openai.com",
            &expect![[
                r#"{"messages":[{"role":"system","content":"Be brief."}],"model":"m","max_completion_tokens":9,"response_format":{"type":"json_schema","json_schema":{"name":"verdict","schema":{"type":"object","properties":{"choice":{"type":"string","enum":["pro","tie"]}},"required":["choice"],"additionalProperties":false},"strict":true}},"stream":true,"stop":["END"],"seed":5,"stream_options":{"include_usage":true}}"#
            ]],
        );
    }

    fn lacking(features: &[Feature]) -> impl FnOnce(&mut ChatRequest) {
        let lacks = features.iter().copied().collect();
        move |request| {
            request.messages.truncate(1);
            request.lacks = lacks;
        }
    }

    #[test]
    fn what_the_server_refuses_is_left_out_or_goes_by_another_name() {
        let (short, long) = (Feature::MaxTokens, Feature::MaxCompletionTokens);
        let start = r#"{"messages":[{"role":"system","content":"Be brief."}],"model":"m","#;
        for (host, features, rest) in [
            ("h", vec![Feature::Seed], r#""max_tokens":9,"stream":false,"temperature":0.7}"#),
            ("h", vec![short], r#""max_completion_tokens":9,"stream":false,"seed":5,"temperature":0.7}"#),
            ("h", vec![long], r#""max_tokens":9,"stream":false,"seed":5,"temperature":0.7}"#),
            ("api.openai.com", vec![long], r#""max_tokens":9,"stream":false,"seed":5,"temperature":0.7}"#),
            ("h", vec![short, long], r#""stream":false,"seed":5,"temperature":0.7}"#),
            ("api.openai.com", vec![short, long], r#""stream":false,"seed":5,"temperature":0.7}"#),
        ] {
            let mut request = crate::backend::contract::request("m");
            (request.max_tokens, request.temperature, request.seed) = (Some(9), Some(0.7), 5);
            request.messages = vec![Message { role: Role::System, content: "Be brief.".into() }];
            lacking(&features)(&mut request);
            let body: Value = serde_json::from_slice(&encode(&request, host, ServerKind::default())).expect("JSON");
            let expected: Value = serde_json::from_str(&format!("{start}{rest}")).expect("JSON");
            assert_eq!(body, expected, "{host} {features:?}");
        }
        check(
            |request| {
                lacking(&[Feature::StreamOptions, Feature::JsonSchema])(request);
                request.stream = true;
                request.format = Format::Choice(vec!["pro".into(), "tie".into()]);
            },
            "h",
            &expect![[
                r#"{"messages":[{"role":"system","content":"Be brief."}],"model":"m","response_format":{"type":"json_object"},"stream":true,"max_tokens":9,"seed":5,"temperature":0.7}"#
            ]],
        );
    }

    #[test]
    fn the_files_own_fields_come_last() {
        check(
            |request| {
                request.messages.truncate(1);
                request.reasoning = Some(crate::prompt::Reasoning::Off);
                let extra = json!({
                    "top_k": 40, "temperature": 1, "chat_template_kwargs": { "x": 1 }, "seed": null,
                });
                let Value::Object(extra) = extra else { panic!("an object") };
                request.extra = std::sync::Arc::new(extra);
            },
            "h",
            &expect![[
                r#"{"messages":[{"role":"system","content":"Be brief."}],"model":"m","stream":false,"max_tokens":9,"seed":null,"temperature":1,"reasoning_effort":"none","top_k":40,"chat_template_kwargs":{"x":1}}"#
            ]],
        );
        let mut request = crate::backend::contract::request("m");
        request.reasoning = Some(crate::prompt::Reasoning::Off);
        let extra = json!({ "chat_template_kwargs": { "x": 1 } });
        request.extra = std::sync::Arc::new(extra.as_object().cloned().expect("an object"));
        let body: Value = serde_json::from_slice(&encode(&request, "h", ServerKind::Vllm)).expect("JSON");
        assert_eq!(body["chat_template_kwargs"], json!({ "enable_thinking": false, "x": 1 }));
    }
}
