//! Spans as Perfetto and `chrome://tracing` read them: what each backend, the steps and the cases did at every moment.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::names;
use super::span::{Attribute, Kind, Span, Value};
use crate::base::Timestamp;

/// Puts spans into rows, so that no two in one row overlap.
///
/// Spans come in the order of their ends; a row is free for a span that begins after the last one in it has ended.
#[derive(Debug, Default)]
pub struct Rows {
    groups: BTreeMap<String, Vec<Timestamp>>,
}

impl Rows {
    /// Returns the entries of a span: those that name its group, where it is the first of it, and its own.
    pub fn add(&mut self, span: &Span) -> Vec<Json> {
        let group = group_of(span);
        let is_new = !self.groups.contains_key(&group);
        let rows = self.groups.entry(group.clone()).or_default();
        let free = rows.iter().position(|end| *end <= span.start);
        let row = free.unwrap_or_else(|| {
            rows.push(span.end);
            rows.len() - 1
        });
        rows[row] = span.end;
        let process = number_of(&group);
        let mut entries = Vec::new();
        if is_new {
            entries.push(json!({ "ph": "M", "name": "process_name", "pid": process, "args": { "name": group } }));
        }
        let args: serde_json::Map<String, Json> = span.attributes.iter().map(argument).collect();
        entries.push(json!({
            "ph": "X", "name": label(span), "cat": "pipe", "pid": process, "tid": row + 1,
            "ts": span.start.0, "dur": span.end.micros_since(span.start), "args": args,
        }));
        entries
    }
}

fn group_of(span: &Span) -> String {
    let text = |key| span.attribute(key).and_then(Value::as_text);
    match span.kind {
        Kind::Client => format!("requests: {}", text(names::BACKEND_NAME).unwrap_or("?")),
        // What is told of all cases together is the run's.
        Kind::Internal if span.attribute(names::ITEM_ID).is_none() => "run".to_owned(),
        Kind::Internal if span.attribute(names::STEP).is_some() => "steps".to_owned(),
        Kind::Internal => "cases".to_owned(),
    }
}

fn label(span: &Span) -> String {
    let text = |key| span.attribute(key).and_then(Value::as_text);
    match (text(names::ITEM_ID), text(names::CALL), text(names::STEP)) {
        (Some(item), Some(call), Some(step)) => format!("{step} {call} · {item}"),
        (Some(item), _, Some(step)) => format!("{step} · {item}"),
        (Some(item), _, None) => item.to_owned(),
        _ => span.name.clone(),
    }
}

fn number_of(group: &str) -> u64 {
    crate::base::Digest::of(group.as_bytes()).low_bits() & 0x7fff_ffff
}

fn argument(attribute: &Attribute) -> (String, Json) {
    let value = match &attribute.value {
        Value::Text(text) => json!(text),
        Value::Int(whole) => json!(whole),
        Value::Float(float) => json!(float),
        Value::Bool(flag) => json!(flag),
        Value::Texts(texts) => json!(texts),
    };
    (attribute.key.to_string(), value)
}
