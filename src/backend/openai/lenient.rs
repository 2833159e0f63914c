//! Documents of any form: what is there is read, wherever a server has put it.
//! Start at [`read`].

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::error_object::ErrorObject;
use super::usage;
use super::wire::{Chunk, Document, Said, claimed, sane_id};
use crate::event::Usage;

/// Fields in which servers put thoughts; the first that holds one is read, for some send the same in two.
const THOUGHTS: &[&str] = &[
    "reasoning_content",
    "reasoning",
    "thinking",
    "reasoning_text",
    "thought",
    "thoughts",
    "thinking_content",
    "reasoning_details",
    "thinking_blocks",
];

/// Reads a document.
pub(super) fn read(value: &Value) -> Document<'static> {
    let usage = usage_of(value);
    if let Some(error) = ErrorObject::in_success(value) {
        return Document::Error(Box::new(error), usage);
    }
    let Some(object) = value.as_object() else { return Document::Chunk(Chunk::default()) };
    let choice = match object.get("choices") {
        Some(Value::Array(choices)) => chosen(choices),
        Some(choice @ Value::Object(_)) => Some(choice),
        // Ollama's own form has one message and no choices.
        _ => object.get("message").filter(|message| message.is_object()).map(|_| value),
    };
    if let Some(error) = choice.and_then(|choice| choice.get("error")).and_then(ErrorObject::of_error) {
        return Document::Error(Box::new(error), usage);
    }
    let text = |name: &str| object.get(name).and_then(Value::as_str);
    Document::Chunk(Chunk {
        model: text("model").filter(|model| !model.is_empty()).map(|model| Cow::Owned(model.to_owned())),
        id: text("id").and_then(sane_id),
        said: choice.and_then(Value::as_object).map(said),
        usage,
        claimed: claimed(&|name| object.get(name)),
        is_marked: false,
    })
}

/// Returns the usage of a document, wherever it stands.
pub(super) fn usage_of(value: &Value) -> Usage {
    let places =
        ["/usage", "/usageMetadata", "/x_groq/usage", "/choices/0/usage", "/message/usage", "/response/usage"];
    let beside = usage::read(value);
    places.iter().filter_map(|place| value.pointer(place)).map(usage::read).fold(beside, usage::merged)
}

/// Returns the choice that is meant: we never want more than one, so any number that is no list's index is no matter.
fn chosen(choices: &[Value]) -> Option<&Value> {
    let index = |choice: &Value| match choice.get("index") {
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    choices.iter().find(|choice| index(choice) == Some(0)).or_else(|| choices.first())
}

fn said(choice: &Map<String, Value>) -> Said<'static> {
    let piece = ["delta", "message"].iter().find_map(|name| choice.get(*name)?.as_object());
    let is_whole = choice.get("delta").and_then(Value::as_object).is_none();
    let word = |names: &[&str]| {
        let word = names.iter().find_map(|name| choice.get(*name)?.as_str().filter(|word| !word.is_empty()));
        word.map(|word| Cow::Owned(word.to_owned()))
    };
    let reason = word(&["finish_reason", "finishReason", "done_reason", "stop_reason"]);
    let native = word(&["native_finish_reason", "nativeFinishReason"]);
    let Some(piece) = piece else {
        let text = choice.get("text").map(|text| content(text).text).unwrap_or_default();
        return Said { text: Cow::Owned(text), reason, native, ..Said::default() };
    };
    let content = piece.get("content").or_else(|| piece.get("text")).map(content).unwrap_or_default();
    let fields = || THOUGHTS.iter().filter_map(|name| piece.get(*name)).map(thought_of);
    let thought = fields().find(|thought| !thought.is_empty()).unwrap_or_default() + &content.thought;
    let refusal = piece.get("refusal").and_then(Value::as_str).filter(|_| content.text.trim().is_empty());
    let calls = |name: &str| match piece.get(name) {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Array(calls)) => !calls.is_empty(),
        Some(Value::Object(call)) => !call.is_empty(),
        Some(_) => true,
    };
    Said {
        text: Cow::Owned(refusal.map_or(content.text, str::to_owned)),
        thought: Cow::Owned(thought),
        // Without a role, a message in Ollama's stream adds to what came before.
        is_whole: is_whole && !choice.contains_key("done"),
        has_role: piece.get("role").is_some_and(Value::is_string),
        calls: calls("tool_calls") || calls("function_call"),
        reason,
        native,
    }
}

/// The text and the thoughts of a content.
#[derive(Default)]
struct Content {
    text: String,
    thought: String,
}

/// Reads a content: a text, parts, or a value that stands where a text should, which is written as JSON.
fn content(value: &Value) -> Content {
    match value {
        Value::Null => Content::default(),
        Value::String(text) => Content { text: text.clone(), thought: String::new() },
        Value::Array(parts) if parts.iter().any(is_part) || parts.is_empty() => {
            let mut read = Content::default();
            parts.iter().for_each(|part| read.add(part));
            read
        }
        Value::Object(_) if is_part(value) => {
            let mut read = Content::default();
            read.add(value);
            read
        }
        other => Content { text: other.to_string(), thought: String::new() },
    }
}

fn is_part(part: &Value) -> bool {
    part.is_string()
        || part.get("type").is_some_and(Value::is_string)
        || part.get("text").is_some_and(Value::is_string)
}

impl Content {
    fn add(&mut self, part: &Value) {
        if let Value::String(text) = part {
            self.text.push_str(text);
            return;
        }
        let kind = part.get("type").and_then(Value::as_str).unwrap_or("text");
        let is_thought = part.get("thought").and_then(Value::as_bool) == Some(true)
            || ["think", "reason", "thought"].iter().any(|word| kind.contains(word));
        if is_thought {
            self.thought.push_str(&thought_of(part));
        } else {
            let text =
                ["text", "refusal", "content", "output_text"].iter().find_map(|name| part.get(*name)?.as_str());
            self.text.push_str(text.unwrap_or_default());
        }
    }
}

/// Reads a thought: a text, or one in the parts of a list or the fields of an object. What is encrypted is none.
fn thought_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(thought_of).collect(),
        Value::Object(object) => ["text", "thinking", "reasoning", "summary", "content", "reasoning_content"]
            .iter()
            .filter_map(|name| object.get(*name))
            .map(thought_of)
            .find(|thought| !thought.is_empty())
            .unwrap_or_default(),
        _ => String::new(),
    }
}
