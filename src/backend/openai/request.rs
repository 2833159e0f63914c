//! The body of a request, in OpenAI's own types.

use async_openai::types::chat::{
    ChatCompletionRequestAssistantMessage, ChatCompletionRequestMessage, ChatCompletionRequestSystemMessage,
    ChatCompletionRequestUserMessage, ChatCompletionStreamOptions, CreateChatCompletionRequest, ResponseFormat,
    ResponseFormatJsonSchema, StopConfiguration,
};
use serde_json::json;

use crate::backend::discover::ServerKind;
use crate::backend::port::{ChatRequest, Format};
use crate::prompt::{Message, Role};

/// Returns the JSON that is posted. What the request leaves open is not sent.
///
/// The length goes as `max_tokens`, which every server understands, except to OpenAI's own hosts, whose newer models
/// refuse that name.
#[expect(deprecated, reason = "`max_tokens` and `seed` are deprecated by OpenAI and current everywhere else")]
pub(super) fn encode(request: &ChatRequest, host: &str, _server: ServerKind) -> Vec<u8> {
    let is_openai = host == "api.openai.com" || host.ends_with(".openai.com") || host.ends_with(".openai.azure.com");
    let wire = CreateChatCompletionRequest {
        model: request.model.to_string(),
        messages: request.messages.iter().map(message).collect(),
        temperature: request.temperature.map(single),
        top_p: request.top_p.map(single),
        max_tokens: request.max_tokens.filter(|_| !is_openai),
        max_completion_tokens: request.max_tokens.filter(|_| is_openai),
        stop: (!request.stop.is_empty()).then(|| StopConfiguration::StringArray(request.stop.clone())),
        seed: Some(i64::from(request.seed)),
        response_format: response_format(&request.format),
        stream: request.stream.then_some(true),
        stream_options: request
            .stream
            .then_some(ChatCompletionStreamOptions { include_usage: Some(true), include_obfuscation: None }),
        ..CreateChatCompletionRequest::default()
    };
    serde_json::to_vec(&wire).expect("strings, numbers and string-keyed maps have a JSON form")
}

/// Returns the JSON of a request in a file for OpenAI's Batch API.
#[must_use]
pub fn batch_body(request: &ChatRequest) -> Vec<u8> {
    encode(request, "api.openai.com", ServerKind::OpenAiCompatible)
}

fn message(message: &Message) -> ChatCompletionRequestMessage {
    let content = &*message.content;
    match message.role {
        Role::System => ChatCompletionRequestSystemMessage::from(content).into(),
        Role::User => ChatCompletionRequestUserMessage::from(content).into(),
        Role::Assistant => ChatCompletionRequestAssistantMessage::from(content).into(),
    }
}

fn response_format(format: &Format) -> Option<ResponseFormat> {
    let (name, schema) = match format {
        Format::Text => return None,
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
                r#"{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello"}],"model":"m","max_tokens":9,"seed":5,"temperature":0.7}"#
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
}
