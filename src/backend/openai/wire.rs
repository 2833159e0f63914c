//! One document of an answer: a whole answer, or one chunk of a stream.
//! Reads: its JSON. Gives: a [`Chunk`], or the error that stands in its place.
//!
//! Nearly every document has the form that OpenAI gives it and is read in one pass without copies of what is not needed;
//! every other one is read again by [`super::lenient`].
//! Start at [`read`].

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::error_object::ErrorObject;
use super::{halves, lenient, usage};
use crate::event::{Claimed, Usage};

/// Longest id of an answer that is kept, in bytes; known ones have some 40.
const LONGEST_ID: usize = 128;

/// What a document says.
#[expect(clippy::large_enum_variant, reason = "nearly every document is a chunk")]
pub(super) enum Document<'a> {
    /// A part of an answer, or all of it.
    Chunk(Chunk<'a>),
    /// An error that came as a success; what was spent on it, if it says so.
    Error(Box<ErrorObject>, Usage),
}

/// A part of an answer, or all of it.
#[derive(Default)]
pub(super) struct Chunk<'a> {
    pub(super) model: Option<Cow<'a, str>>,
    pub(super) id: Option<String>,
    /// What its choice says; none when it has none.
    pub(super) said: Option<Said<'a>>,
    pub(super) usage: Usage,
    pub(super) claimed: Option<Claimed>,
    /// Its texts hold marks of [`halves`].
    pub(super) is_marked: bool,
}

/// What the choice of a document says.
#[derive(Default)]
pub(super) struct Said<'a> {
    /// The content, else the model's own refusal, which is its answer too.
    pub(super) text: Cow<'a, str>,
    /// What stands in a field of its own for thoughts.
    pub(super) thought: Cow<'a, str>,
    /// It stands in `message`: all of it, and nothing to be added to what came before.
    pub(super) is_whole: bool,
    /// It names who speaks: so does the first chunk of a stream.
    pub(super) has_role: bool,
    /// The model calls a tool.
    pub(super) calls: bool,
    /// Why the answer ended.
    pub(super) reason: Option<Cow<'a, str>>,
    /// Why it did by the words of the server behind the gateway.
    pub(super) native: Option<Cow<'a, str>>,
}

/// Reads a document.
///
/// # Errors
/// When it is no JSON.
pub(super) fn read(text: &str) -> Result<Document<'_>, serde_json::Error> {
    if let Ok(wire) = serde_json::from_str::<Wire<'_>>(text)
        && let Some(chunk) = wire.plain()
    {
        return Ok(Document::Chunk(chunk));
    }
    let marked = halves::marked(text);
    let value: Value = serde_json::from_str(marked.as_deref().unwrap_or(text))?;
    Ok(match lenient::read(&value) {
        Document::Chunk(chunk) => Document::Chunk(Chunk { is_marked: marked.is_some(), ..chunk }),
        error @ Document::Error(..) => error,
    })
}

/// A document in the form that nearly all have; any other form is no such document.
#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(default, borrow)]
    model: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    id: Option<Id<'a>>,
    #[serde(default, borrow)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(default)]
    usage: Option<Value>,
    #[serde(default)]
    error: Option<IgnoredAny>,
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
    /// Groq's streams: it holds the usage.
    #[serde(default)]
    x_groq: Option<IgnoredAny>,
}

/// What the server calls the answer: whatever else stands there is nothing to fail for.
#[derive(Deserialize)]
#[serde(untagged)]
enum Id<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Other(IgnoredAny),
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default, borrow)]
    message: Option<Piece<'a>>,
    #[serde(default, borrow)]
    delta: Option<Piece<'a>>,
    #[serde(default, borrow)]
    finish_reason: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    native_finish_reason: Option<Cow<'a, str>>,
    #[serde(default, rename = "finishReason")]
    camel_reason: Option<IgnoredAny>,
    #[serde(default)]
    error: Option<IgnoredAny>,
    #[serde(default)]
    text: Option<IgnoredAny>,
    #[serde(default)]
    usage: Option<IgnoredAny>,
}

/// A message, or what a chunk adds to one.
#[derive(Deserialize)]
struct Piece<'a> {
    #[serde(default)]
    role: Option<IgnoredAny>,
    #[serde(default, borrow)]
    content: Option<Cow<'a, str>>,
    #[serde(default)]
    refusal: Option<IgnoredAny>,
    #[serde(default, borrow)]
    reasoning_content: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    reasoning: Option<Cow<'a, str>>,
    #[serde(default)]
    thinking: Option<IgnoredAny>,
    #[serde(default)]
    reasoning_text: Option<IgnoredAny>,
    #[serde(default)]
    reasoning_details: Option<IgnoredAny>,
    #[serde(default)]
    thought: Option<IgnoredAny>,
    #[serde(default)]
    thoughts: Option<IgnoredAny>,
    #[serde(default)]
    thinking_content: Option<IgnoredAny>,
    #[serde(default)]
    thinking_blocks: Option<IgnoredAny>,
    #[serde(default)]
    tool_calls: Option<IgnoredAny>,
    #[serde(default)]
    function_call: Option<IgnoredAny>,
}

impl<'a> Wire<'a> {
    /// Returns what it says, if it has nothing that needs another look.
    fn plain(mut self) -> Option<Chunk<'a>> {
        if self.error.is_some() || self.x_groq.is_some() {
            return None;
        }
        let claimed = self.claimed();
        let said = match self.choices.as_mut()?.len() {
            0 => None,
            1 => Some(self.choices.as_mut()?.pop()?.plain()?),
            _ => return None,
        };
        if said.is_none() && self.usage.is_none() {
            return None;
        }
        Some(Chunk {
            model: self.model.filter(|model| !model.is_empty()),
            id: self.id.and_then(Id::text),
            said,
            usage: self.usage.as_ref().map(usage::read).unwrap_or_default(),
            claimed,
            is_marked: false,
        })
    }

    /// Reads what the server says that it spent; what is no number is unknown.
    fn claimed(&self) -> Option<Claimed> {
        claimed(&|name| match name {
            "timings" => self.timings.as_ref(),
            "load_duration" => self.load_duration.as_ref(),
            "prompt_eval_duration" => self.prompt_eval_duration.as_ref(),
            _ => self.eval_duration.as_ref(),
        })
    }
}

/// Reads what a server says that it spent on an answer, from the fields that `field` finds.
pub(super) fn claimed<'v>(field: &dyn Fn(&str) -> Option<&'v Value>) -> Option<Claimed> {
    let timings = field("timings");
    let millis = |name: &str| {
        let millis = timings?.get(name)?.as_f64().filter(|millis| (0.0..1e12).contains(millis))?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 and 1e15")]
        Some((millis * 1e3) as u64)
    };
    let nanos = |name: &str| Some(field(name)?.as_u64()? / 1_000);
    let claimed = Claimed {
        load_us: nanos("load_duration"),
        prompt_us: millis("prompt_ms").or_else(|| nanos("prompt_eval_duration")),
        answer_us: millis("predicted_ms").or_else(|| nanos("eval_duration")),
        memory: None,
    };
    (claimed != Claimed::default()).then_some(claimed)
}

/// Returns an id, if it is of a sane length.
pub(super) fn sane_id(id: &str) -> Option<String> {
    (!id.is_empty() && id.len() <= LONGEST_ID).then(|| id.to_owned())
}

impl Id<'_> {
    fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => sane_id(&text),
            Self::Other(_) => None,
        }
    }
}

impl<'a> Choice<'a> {
    fn plain(self) -> Option<Said<'a>> {
        let is_odd =
            self.camel_reason.is_some() || self.error.is_some() || self.text.is_some() || self.usage.is_some();
        if is_odd {
            return None;
        }
        let is_whole = self.delta.is_none() && self.message.is_some();
        let said = match self.delta.or(self.message) {
            Some(piece) => piece.plain()?,
            None => Said::default(),
        };
        Some(Said { is_whole, reason: self.finish_reason, native: self.native_finish_reason, ..said })
    }
}

impl<'a> Piece<'a> {
    fn plain(self) -> Option<Said<'a>> {
        let odd = [
            &self.refusal,
            &self.thinking,
            &self.reasoning_text,
            &self.reasoning_details,
            &self.thought,
            &self.thoughts,
            &self.thinking_content,
            &self.thinking_blocks,
            &self.tool_calls,
            &self.function_call,
        ];
        if odd.into_iter().any(Option::is_some) {
            return None;
        }
        let thought = self.reasoning_content.filter(|text| !text.is_empty()).or(self.reasoning);
        Some(Said {
            text: self.content.unwrap_or_default(),
            thought: thought.unwrap_or_default(),
            has_role: self.role.is_some(),
            ..Said::default()
        })
    }
}
