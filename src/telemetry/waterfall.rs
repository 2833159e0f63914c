//! Spans → the rows of a waterfall: what was part of what, in the order of time.
//! Start at [`waterfall`].

use std::collections::BTreeMap;

use super::names;
use super::span::{Span, Status, Value};
use crate::base::{SpanContext, Timestamp};

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// What it is called within what it is part of.
    pub label: String,
    /// What it is.
    pub sort: BarSort,
    /// For each level above, and for itself at the end: whether it is the last of its siblings.
    pub last: Vec<bool>,
    /// When it began.
    pub start: Timestamp,
    /// When it was over.
    pub end: Timestamp,
    /// When the first piece of a streamed answer came.
    pub first_piece: Option<Timestamp>,
    /// Tokens of the prompt.
    pub input: Option<u64>,
    /// Tokens of the answer.
    pub output: Option<u64>,
    /// What devices used for it beyond idling, in joules: an allocation, of the whole the sum of its requests.
    pub joules: Option<f64>,
    /// Why it failed: `error.type`, and what happened.
    pub error: Option<(String, String)>,
    /// What was not done in it, or taken over.
    pub notes: Vec<String>,
}

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarSort {
    /// Everything that has parts.
    Whole,
    /// One request.
    Request,
    /// The wait before a request is sent again.
    Wait,
}

/// Returns the rows of spans, parents before what is part of them. Spans of the run as a whole are left out.
#[must_use]
pub fn waterfall(spans: &[Span]) -> Vec<Bar> {
    let known: BTreeMap<SpanContext, &Span> = spans.iter().map(|span| (span.context, span)).collect();
    let mut parts: BTreeMap<Option<SpanContext>, Vec<&Span>> = BTreeMap::new();
    for span in known.values().filter(|span| span.attribute(names::CASE).is_some()) {
        let above = span.parent.map(|parent| SpanContext { trace: span.context.trace, span: parent });
        let above = above.filter(|above| known.get(above).is_some_and(|span| span.attribute(names::CASE).is_some()));
        parts.entry(above).or_default().push(span);
    }
    for siblings in parts.values_mut() {
        // Where both begin at once, a wait comes after the request that failed, and what is longer first.
        siblings.sort_by_key(|span| {
            (span.start, span.name == names::BACKOFF_SPAN, std::cmp::Reverse(span.end), span.context)
        });
    }
    let mut bars = Vec::new();
    add(&parts, None, &mut Vec::new(), &mut bars);
    bars
}

/// Adds what is part of a span, and returns the joules of all of it.
fn add(
    parts: &BTreeMap<Option<SpanContext>, Vec<&Span>>,
    whole: Option<SpanContext>,
    last: &mut Vec<bool>,
    bars: &mut Vec<Bar>,
) -> Option<f64> {
    let siblings = parts.get(&whole)?;
    let mut joules = None;
    for (place, span) in siblings.iter().enumerate() {
        last.push(place + 1 == siblings.len());
        let at = bars.len();
        bars.push(bar(span, last.clone()));
        let within = add(parts, Some(span.context), last, bars);
        bars[at].joules = bars[at].joules.or(within);
        joules = [joules, bars[at].joules].into_iter().flatten().reduce(|one, other| one + other);
        last.pop();
    }
    joules
}

fn bar(span: &Span, last: Vec<bool>) -> Bar {
    let operation = text(span, names::OPERATION);
    let sort = match operation {
        Some(names::CHAT) => BarSort::Request,
        _ if span.name == names::BACKOFF_SPAN => BarSort::Wait,
        _ => BarSort::Whole,
    };
    let error = match &span.status {
        Status::Unset => None,
        Status::Error(what) => Some((text(span, names::ERROR_TYPE).unwrap_or("_OTHER").to_owned(), what.clone())),
    };
    let first_piece = number(span, names::FIRST_CHUNK).map(|seconds| {
        #[expect(clippy::cast_possible_truncation, reason = "microseconds of a call are fewer than 2^53")]
        let micros = (seconds * 1e6) as i64;
        Timestamp(span.start.0.saturating_add(micros))
    });
    Bar {
        label: label(span, sort),
        sort,
        last,
        start: span.start,
        end: span.end,
        first_piece: first_piece.filter(|_| sort == BarSort::Request),
        input: count(span, names::INPUT_TOKENS),
        output: count(span, names::OUTPUT_TOKENS),
        joules: number(span, names::GPU_ENERGY),
        error,
        notes: span.events.iter().filter_map(note).collect(),
    }
}

fn label(span: &Span, sort: BarSort) -> String {
    let said = |key| text(span, key).unwrap_or_default();
    match sort {
        BarSort::Request => {
            let again = count(span, names::ATTEMPT).filter(|&attempt| attempt > 1);
            let again = again.map(|attempt| format!(", attempt {attempt}")).unwrap_or_default();
            format!("{} {}{again}", said(names::CALL), said(names::ACTOR))
        }
        BarSort::Wait => "wait".to_owned(),
        BarSort::Whole => match (text(span, names::OPERATION), text(span, names::STEP)) {
            (_, Some(step)) => match text(span, names::EACH) {
                Some(each) => format!("{step}[{each}]"),
                None => step.to_owned(),
            },
            (Some(names::INVOKE_WORKFLOW), None) => {
                let case = count(span, names::CASE).unwrap_or_default();
                let repeat = count(span, names::REPEAT).filter(|&repeat| repeat > 1);
                let repeat = repeat.map(|repeat| format!("#{repeat}")).unwrap_or_default();
                format!("case {case} {}{repeat}", said(names::ITEM_ID))
            }
            (_, None) => span.name.clone(),
        },
    }
}

/// Tells what happened in a span without a span of its own.
fn note(event: &super::SpanEvent) -> Option<String> {
    let said = |key: &str| {
        let attribute = event.attributes.iter().find(|attribute| attribute.key == key)?;
        attribute.value.as_text().map(str::to_owned)
    };
    let step = said(names::STEP)?;
    match event.name {
        names::SKIPPED_EVENT => {
            let why = match said(names::BECAUSE)?.as_str() {
                "when" => "its `when` does not hold".to_owned(),
                "on_error" => "`on_error`".to_owned(),
                _ => "a step that it reads failed".to_owned(),
            };
            Some(format!("{step} was not asked: {why}"))
        }
        names::ADOPTED_EVENT => Some(format!("{step} was taken over from {}", said(names::FROM_RUN)?)),
        _ => None,
    }
}

fn text<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    span.attribute(key).and_then(Value::as_text)
}

fn count(span: &Span, key: &str) -> Option<u64> {
    match span.attribute(key)? {
        Value::Int(count) => u64::try_from(*count).ok(),
        Value::Text(_) | Value::Float(_) | Value::Bool(_) | Value::Texts(_) => None,
    }
}

fn number(span: &Span, key: &str) -> Option<f64> {
    match span.attribute(key)? {
        Value::Float(number) => Some(*number),
        Value::Text(_) | Value::Int(_) | Value::Bool(_) | Value::Texts(_) => None,
    }
}
