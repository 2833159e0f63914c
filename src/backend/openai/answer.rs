//! Reading answers: the wire types, leniently, and what makes an answer whole, strictly.

use std::borrow::Cow;

use http::HeaderMap;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::refusal::Refusal;
use crate::backend::http::Scrub;
use crate::backend::port::{ChatRequest, Completion};
use crate::base::TokenCount;
use crate::event::{Claimed, Failure, FailureKind, FinishReason, Usage};

/// How much of an unreadable answer is shown, in characters.
const EXCERPT: usize = 80;
/// Longest id of an answer that is kept, in bytes; known ones have some 40.
const LONGEST_ID: usize = 128;

/// A whole answer, or one chunk of a stream: only what is read of it.
#[derive(Deserialize)]
pub(super) struct Wire<'a> {
    #[serde(default, borrow)]
    pub(super) model: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    pub(super) id: Option<Id<'a>>,
    #[serde(default, borrow)]
    pub(super) choices: Option<Vec<Choice<'a>>>,
    #[serde(default)]
    pub(super) usage: Option<Value>,
    /// llama.cpp: what it spent, in milliseconds.
    #[serde(default)]
    timings: Option<Value>,
    /// Ollama's own words for the same, in nanoseconds, which some in front of it hand on.
    #[serde(default)]
    load_duration: Option<Value>,
    #[serde(default)]
    prompt_eval_duration: Option<Value>,
    #[serde(default)]
    eval_duration: Option<Value>,
}

impl Wire<'_> {
    /// Reads what the server says that it spent; what is no number is unknown.
    pub(super) fn claimed(&self) -> Option<Claimed> {
        let millis = |name: &str| {
            let millis = self.timings.as_ref()?.get(name)?.as_f64().filter(|millis| (0.0..1e12).contains(millis))?;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 and 1e15")]
            Some((millis * 1e3) as u64)
        };
        let nanos = |value: &Option<Value>| Some(value.as_ref()?.as_u64()? / 1_000);
        let claimed = Claimed {
            load_us: nanos(&self.load_duration),
            prompt_us: millis("prompt_ms").or_else(|| nanos(&self.prompt_eval_duration)),
            answer_us: millis("predicted_ms").or_else(|| nanos(&self.eval_duration)),
            memory: None,
        };
        (claimed != Claimed::default()).then_some(claimed)
    }
}

/// What the server calls the answer: whatever else stands there is nothing to fail for.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Id<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Other(IgnoredAny),
}

impl Id<'_> {
    /// Returns it, if it is a text of a sane length.
    pub(super) fn text(self) -> Option<String> {
        match self {
            Self::Text(text) if !text.is_empty() && text.len() <= LONGEST_ID => Some(text.into_owned()),
            Self::Text(_) | Self::Other(_) => None,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Choice<'a> {
    #[serde(default)]
    pub(super) index: Option<u32>,
    #[serde(default, borrow)]
    pub(super) message: Option<Piece<'a>>,
    #[serde(default, borrow)]
    pub(super) delta: Option<Piece<'a>>,
    #[serde(default, borrow)]
    pub(super) finish_reason: Option<Cow<'a, str>>,
}

/// A message, or what a chunk adds to one.
#[derive(Deserialize)]
pub(super) struct Piece<'a> {
    #[serde(default, borrow)]
    content: Option<Content<'a>>,
    #[serde(default, borrow)]
    refusal: Option<Cow<'a, str>>,
    #[serde(default)]
    reasoning_content: Option<IgnoredAny>,
    #[serde(default)]
    reasoning: Option<IgnoredAny>,
    #[serde(default)]
    tool_calls: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: Option<String>,
}

impl Piece<'_> {
    /// Returns its text: the content, else the model's own refusal, which is its answer too.
    pub(super) fn text(&self) -> Option<Cow<'_, str>> {
        match (&self.content, &self.refusal) {
            (Some(Content::Text(text)), _) => Some(Cow::Borrowed(text)),
            (Some(Content::Parts(parts)), _) => {
                Some(Cow::Owned(parts.iter().filter_map(|part| part.text.as_deref()).collect()))
            }
            (None, Some(refusal)) => Some(Cow::Borrowed(refusal)),
            (None, None) => None,
        }
    }

    /// Returns true when the model said something that is not its answer: it thought, or called a tool.
    pub(super) fn has_other(&self) -> bool {
        self.reasoning_content.is_some()
            || self.reasoning.is_some()
            || self.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty())
    }
}

/// Reads a whole answer.
pub(super) fn read(
    body: &[u8],
    content_type: &str,
    request: &ChatRequest,
    scrub: &Scrub,
) -> Result<Completion, Failure> {
    let malformed = |detail: String| Failure::new(FailureKind::Malformed, detail);
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(malformed("the answer is empty".to_owned()));
    }
    if looks_like_html(body) {
        return Err(malformed(not_json(content_type, body, scrub)));
    }
    let text = std::str::from_utf8(body)
        .map_err(|error| malformed(format!("the answer is not UTF-8 from byte {} on", error.valid_up_to())))?;
    let wire: Wire<'_> = serde_json::from_str(text).map_err(|error| {
        let shown = scrub.excerpt(body, EXCERPT);
        malformed(format!("the answer is no chat completion: {error} (starts with {shown:?})"))
    })?;
    let refusal = || serde_json::from_str(text).ok().as_ref().and_then(Refusal::of_success);
    let refuse = |otherwise: Failure| match refusal() {
        Some(refusal) => refusal.failure(request, &HeaderMap::new()),
        None => otherwise,
    };
    let Some(choice) = wire.choices.as_deref().and_then(<[Choice<'_>]>::first) else {
        let shown = scrub.excerpt(body, EXCERPT);
        return Err(refuse(malformed(format!("the answer has no choices (starts with {shown:?})"))));
    };
    let piece = choice.message.as_ref();
    let finish = finish(choice.finish_reason.as_deref().unwrap_or_default()).map_err(refuse)?;
    let Some(content) = piece.and_then(Piece::text) else {
        return Err(malformed(no_content(piece.is_some_and(Piece::has_other), finish)));
    };
    let claimed = wire.claimed();
    Ok(Completion {
        text: content.into_owned(),
        thought: None,
        finish,
        reason: None,
        prompt_about: None,
        model: wire.model.map(Cow::into_owned),
        id: wire.id.and_then(Id::text),
        usage: wire.usage.as_ref().map(usage).unwrap_or_default(),
        claimed,
    })
}

/// Reads why an answer ended.
///
/// # Errors
/// When the reason says that this is no whole answer: filtered, given up, failed.
pub(super) fn finish(reason: &str) -> Result<FinishReason, Failure> {
    match reason {
        "stop" => Ok(FinishReason::Stop),
        "length" | "max_tokens" | "model_length" => Ok(FinishReason::Length),
        "content_filter" => {
            Err(Failure::new(FailureKind::ContentFiltered, "the provider's filter withheld the answer"))
        }
        "abort" | "cancelled" | "error" => {
            let detail = format!("the server gave the answer up (finish_reason {reason:?})");
            Err(Failure::new(FailureKind::CutOff, detail))
        }
        _ => Ok(FinishReason::Other),
    }
}

/// Describes an answer without content.
pub(super) fn no_content(has_other: bool, finish: FinishReason) -> String {
    match (has_other, finish) {
        (true, FinishReason::Length) => {
            "the answer's content is null: max_tokens went into reasoning before it began".to_owned()
        }
        (true, FinishReason::Stop | FinishReason::Other) => {
            "the answer's content is null: the model only thought or called a tool".to_owned()
        }
        (false, _) => "the answer's content is null".to_owned(),
    }
}

/// Describes an answer that is not JSON.
pub(super) fn not_json(content_type: &str, body: &[u8], scrub: &Scrub) -> String {
    let what = if content_type.is_empty() { "HTML" } else { content_type };
    let shown = scrub.excerpt(body, EXCERPT);
    format!("answered {what}, not JSON: is this an OpenAI-compatible server? (starts with {shown:?})")
}

/// Reads token counts; what is missing or no number is unknown.
pub(super) fn usage(value: &Value) -> Usage {
    let count = |pointer: &str| value.pointer(pointer).and_then(Value::as_u64).map(TokenCount);
    Usage {
        input: count("/prompt_tokens"),
        output: count("/completion_tokens"),
        cached: count("/prompt_tokens_details/cached_tokens"),
        reasoning: count("/completion_tokens_details/reasoning_tokens"),
    }
}

fn looks_like_html(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'<')
}
