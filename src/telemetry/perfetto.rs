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
        entries.extend(counters(span, process));
        entries
    }
}

/// Returns what a device's samples say, as curves.
fn counters(span: &Span, process: u64) -> Vec<Json> {
    let name = span.attribute(names::HW_NAME).and_then(Value::as_text).unwrap_or_default();
    let curves = [
        (names::HW_GPU_UTILIZATION, "busy", 100.0, "%"),
        (names::HW_POWER, "power", 1.0, "W"),
        (names::HW_GPU_MEMORY, "memory", 1.0 / 1_048_576.0, "MiB"),
        (names::HW_TEMPERATURE, "temperature", 1.0, "°C"),
    ];
    let samples = span.events.iter().filter(|event| event.name == names::GPU_SAMPLE_EVENT);
    let entries = samples.flat_map(|event| {
        curves.iter().filter_map(move |(key, what, scale, unit)| {
            let told = event.attributes.iter().find(|attribute| attribute.key == *key)?;
            let mut args = serde_json::Map::new();
            args.insert((*unit).to_owned(), json!(number(&told.value)? * scale));
            let name = format!("{name} {what}");
            Some(json!({ "ph": "C", "name": name, "pid": process, "ts": event.at.0, "args": args }))
        })
    });
    entries.collect()
}

#[expect(clippy::cast_precision_loss, reason = "bytes of a device are fewer than 2^52")]
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Float(number) => Some(*number),
        Value::Int(whole) => Some(*whole as f64),
        Value::Text(_) | Value::Bool(_) | Value::Texts(_) => None,
    }
}

fn group_of(span: &Span) -> String {
    let text = |key| span.attribute(key).and_then(Value::as_text);
    match span.kind {
        Kind::Client => format!("requests: {}", text(names::BACKEND_NAME).unwrap_or("?")),
        Kind::Internal if span.name == names::GPU_WINDOW_SPAN => "devices".to_owned(),
        // What is told of all cases together is the run's.
        Kind::Internal if span.attribute(names::ITEM_ID).is_none() => "run".to_owned(),
        Kind::Internal if span.attribute(names::STEP).is_some() => "steps".to_owned(),
        Kind::Internal => "cases".to_owned(),
    }
}

fn label(span: &Span) -> String {
    let text = |key| span.attribute(key).and_then(Value::as_text);
    if let (names::GPU_WINDOW_SPAN, Some(name)) = (span.name.as_str(), text(names::HW_NAME)) {
        return name.to_owned();
    }
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
