//! Reading a refusal: an HTTP status with a body, or an error object in a 200 or a stream.

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::backend::http::{Scrub, retry_after};
use crate::backend::port::{ChatRequest, Format};
use crate::event::{Failure, FailureKind};

/// How much of a body without an error object is shown, in characters.
const EXCERPT: usize = 120;

/// What a server said instead of an answer.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The HTTP status, or the one that an error object in a 200 names.
    status: Option<u16>,
    /// For people.
    message: String,
    /// Everything that may name the sort of error, in small letters: message, code, type, param.
    said: String,
}

impl Refusal {
    /// Reads the body of an answer whose status is no success.
    pub(super) fn of_body(status: StatusCode, body: &[u8], scrub: &Scrub) -> Self {
        let status = status.as_u16();
        match serde_json::from_slice::<Value>(body).ok().as_ref().and_then(ErrorObject::find) {
            Some(error) => Self { status: Some(status), ..Self::of_object(&error) },
            None if body.is_empty() => Self { status: Some(status), message: String::new(), said: String::new() },
            None => {
                let message = scrub.excerpt(body, EXCERPT);
                Self { status: Some(status), said: message.to_lowercase(), message }
            }
        }
    }

    /// Reads an error object out of an answer that was called a success, if one is there.
    pub(super) fn of_success(value: &Value) -> Option<Self> {
        ErrorObject::find(value).map(|error| Self::of_object(&error))
    }

    /// Takes an error event that is no JSON.
    pub(super) fn plain(text: &str) -> Self {
        Self { status: None, message: text.to_owned(), said: text.to_lowercase() }
    }

    fn of_object(error: &ErrorObject) -> Self {
        let said = format!("{} {} {} {}", error.message, error.code, error.kind, error.param).to_lowercase();
        let status = error.code.parse().ok().filter(|status| (400..600).contains(status));
        Self { status, message: error.message.clone(), said }
    }

    /// Turns it into a failure of `request`.
    pub(super) fn failure(self, request: &ChatRequest, headers: &HeaderMap) -> Failure {
        let kind = self.kind(request);
        let hint = match kind {
            FailureKind::Unauthorized => "; check the api key",
            FailureKind::Forbidden => "; check what the api key may do",
            FailureKind::Refused if self.status == Some(404) => "; is the base URL right?",
            FailureKind::Loading => "; the model is being loaded",
            _ => "",
        };
        let said = if self.message.is_empty() { "no reason given" } else { &self.message };
        let detail = match self.status {
            Some(status) => format!("{status}: {said}{hint}"),
            None => format!("the answer is an error: {said}{hint}"),
        };
        Failure { status: self.status, retry_after_ms: retry_after::read(headers), ..Failure::new(kind, detail) }
    }

    fn kind(&self, request: &ChatRequest) -> FailureKind {
        match self.status {
            Some(401) => FailureKind::Unauthorized,
            Some(403) => FailureKind::Forbidden,
            Some(402) => FailureKind::QuotaExhausted,
            Some(429) if self.is_quota() => FailureKind::QuotaExhausted,
            Some(429) => FailureKind::Throttled,
            Some(503) if self.says_any(&["loading"]) => FailureKind::Loading,
            // Servers that load on demand say this between two models.
            Some(400..=499 | 500 | 503)
                if self.says_any(&[
                    "no models loaded",
                    "model is not loaded",
                    "model not loaded",
                    "model unloaded",
                ]) =>
            {
                FailureKind::Loading
            }
            Some(408 | 409 | 502..=504 | 506..=599) => FailureKind::Overloaded,
            // Some servers say 500 or nothing where others say 400.
            Some(_) | None if self.is_overflow() => FailureKind::ContextOverflow,
            Some(500) => FailureKind::Overloaded,
            Some(_) if self.is_format(request) => FailureKind::FormatUnsupported,
            Some(status) if self.is_model(status, request) => FailureKind::ModelMissing,
            Some(_) => FailureKind::Refused,
            None if self.is_quota() => FailureKind::QuotaExhausted,
            None if self.says_any(&["rate_limit", "rate limit"]) => FailureKind::Throttled,
            None => FailureKind::Overloaded,
        }
    }

    /// The spellings of OpenAI, llama.cpp, vLLM, SGLang, Ollama, Anthropic's and Google's compatible faces.
    fn is_overflow(&self) -> bool {
        self.says_any(&[
            "context_length_exceeded",
            "exceed_context_size",
            "context length",
            "context size",
            "context window",
            "maximum context",
            "prompt is too long",
            "input is too long",
            "input token count",
            "prompt length",
            "too many tokens",
            "input tokens exceed",
            "reduce the length",
            "max_new_tokens` must be",
            "max_seq_len",
            "prompt contains",
        ])
    }

    fn is_quota(&self) -> bool {
        self.says_any(&[
            "insufficient_quota",
            "exceeded your current quota",
            "billing",
            "insufficient balance",
            "credit",
        ])
    }

    fn is_format(&self, request: &ChatRequest) -> bool {
        request.format != Format::Text
            && self.says_any(&[
                "response_format",
                "response format",
                "json_schema",
                "json schema",
                "structured output",
                "structured_output",
                "guided",
                "grammar",
            ])
    }

    fn is_model(&self, status: u16, request: &ChatRequest) -> bool {
        let missing = ["not found", "not exist", "unknown", "no such", "not a valid", "not available"];
        self.says_any(&["model_not_found"])
            || (self.says_all(&["model"]) && self.says_any(&missing))
            || (status == 404 && !request.model.is_empty() && self.said.contains(&request.model.to_lowercase()))
    }

    fn says_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.said.contains(word))
    }

    fn says_all(&self, words: &[&str]) -> bool {
        words.iter().all(|word| self.said.contains(word))
    }
}

/// The parts of an error object, whatever its shape; numbers as text.
struct ErrorObject {
    message: String,
    code: String,
    kind: String,
    param: String,
}

impl ErrorObject {
    /// Finds `{"error": {…}}`, `{"error": "…"}`, `{"object": "error", "message": …}` and `{"detail": …}`.
    fn find(value: &Value) -> Option<Self> {
        let object = value.as_object()?;
        let inner = match object.get("error") {
            None | Some(Value::Null | Value::Bool(false)) => None,
            Some(error) => Some(error),
        };
        match inner {
            Some(Value::Object(error)) => {
                let part = |name| error.get(name).map(text_of).unwrap_or_default();
                let (message, code, kind, param) = (part("message"), part("code"), part("type"), part("param"));
                let message = if message.is_empty() { Value::Object(error.clone()).to_string() } else { message };
                Some(Self { message, code, kind, param })
            }
            Some(error) => Some(Self::plain(text_of(error))),
            None if object.contains_key("choices") => None,
            None => match (object.get("message"), object.get("detail")) {
                (Some(message), _) => {
                    let part = |name| object.get(name).map(text_of).unwrap_or_default();
                    Some(Self {
                        message: text_of(message),
                        code: part("code"),
                        kind: part("type"),
                        param: part("param"),
                    })
                }
                (None, Some(detail)) => Some(Self::plain(text_of(detail))),
                (None, None) => None,
            },
        }
    }

    fn plain(message: String) -> Self {
        Self { message, code: String::new(), kind: String::new(), param: String::new() }
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::backend::port::CallLimits;

    fn request(format: Format) -> ChatRequest {
        let second = Duration::from_secs(1);
        ChatRequest {
            model: "llama3.2".into(),
            messages: vec![],
            temperature: None,
            top_p: None,
            max_tokens: None,
            stop: vec![],
            seed: 0,
            format,
            stream: false,
            reasoning: None,
            extra: std::sync::Arc::default(),
            lacks: crate::event::Features::NONE,
            trace: None,
            limits: CallLimits { connect: second, first_token: second, idle: second },
        }
    }

    fn check(status: u16, body: &str, expected: &str) {
        let status = StatusCode::from_u16(status).expect("a status");
        let request = request(Format::Choice(vec!["a".into()]));
        let failure =
            Refusal::of_body(status, body.as_bytes(), &Scrub::default()).failure(&request, &HeaderMap::new());
        assert_eq!(format!("{} | {}", failure.kind.word(), failure.detail), expected);
    }

    #[test]
    fn names_refusals_in_the_spellings_of_many_servers() {
        check(
            400,
            r#"{"error":{"code":400,"message":"the request exceeds the available context size, try increasing it","type":"exceed_context_size_error","n_prompt_tokens":9000,"n_ctx":2048}}"#,
            "context overflow | 400: the request exceeds the available context size, try increasing it",
        );
        check(
            400,
            r#"{"object":"error","message":"This model's maximum context length is 2048 tokens","type":"BadRequestError","param":null,"code":400}"#,
            "context overflow | 400: This model's maximum context length is 2048 tokens",
        );
        check(
            404,
            r#"{"error":{"message":"model \"llama3.2\" not found, try pulling it first","type":"api_error","param":null,"code":null}}"#,
            "model missing | 404: model \"llama3.2\" not found, try pulling it first",
        );
        check(404, r#"{"detail":"Not Found"}"#, "refused | 404: Not Found; is the base URL right?");
        check(
            503,
            r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#,
            "loading | 503: Loading model; the model is being loaded",
        );
        check(
            503,
            r#"{"error":"server busy, please try again.  maximum pending requests exceeded"}"#,
            "overloaded | 503: server busy, please try again.  maximum pending requests exceeded",
        );
        check(
            429,
            r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#,
            "quota exhausted | 429: You exceeded your current quota",
        );
        check(429, "slow down", "throttled | 429: slow down");
        check(
            400,
            r#"{"error":{"message":"Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model","param":"response_format"}}"#,
            "format unsupported | 400: Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model",
        );
        check(401, "", "unauthorized | 401: no reason given; check the api key");
        check(422, r#"{"detail":[{"loc":["body","seed"]}]}"#, r#"refused | 422: [{"loc":["body","seed"]}]"#);
        check(529, "", "overloaded | 529: no reason given");
    }

    #[test]
    fn a_format_that_was_not_asked_for_is_not_the_reason() {
        let body = br#"{"error":{"message":"bad response_format"}}"#;
        let failure = Refusal::of_body(StatusCode::BAD_REQUEST, body, &Scrub::default())
            .failure(&request(Format::Text), &HeaderMap::new());
        assert_eq!(failure.kind, FailureKind::Refused);
    }

    #[test]
    fn an_error_in_a_success_is_found() {
        let kind = |body: &str| {
            let value: Value = serde_json::from_str(body).expect("JSON");
            Refusal::of_success(&value).map(|refusal| refusal.failure(&request(Format::Text), &HeaderMap::new()).kind)
        };
        assert_eq!(kind(r#"{"error":{"code":429,"message":"upstream"}}"#), Some(FailureKind::Throttled));
        assert_eq!(kind(r#"{"error":"oh no"}"#), Some(FailureKind::Overloaded));
        assert_eq!(kind(r#"{"error":null,"choices":[]}"#), None);
        assert_eq!(kind(r#"{"message":"x","choices":[]}"#), None);
    }
}
