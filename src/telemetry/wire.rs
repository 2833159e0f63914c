//! Spans as OTLP writes them in protocol buffers, byte for byte the same for equal spans.
//!
//! Written here and not by generated types: some forty fields whose numbers are fixed for ever, against thirty crates, and
//! a span goes from the projection into the request without a copy of its texts in between. The numbers are those of
//! `opentelemetry/proto/{trace,logs,common,resource}/v1` in `opentelemetry-proto` 1.9; decoders of others read it in
//! `tests/telemetry`.

use super::names;
use super::record::Record;
use super::span::{Attribute, Kind, Link, Span, SpanEvent, Status, Value};
use crate::base::Timestamp;

/// The severity of what is neither wrong nor a detail.
const INFO: u64 = 9;
/// Of the flags of W3C's trace context: sampled.
const SAMPLED: u32 = 1;

/// Returns one span, framed as an entry of a `ScopeSpans`.
#[must_use]
pub fn span(span: &Span) -> Vec<u8> {
    let mut out = Vec::with_capacity(512 + span.attributes.iter().map(length).sum::<usize>());
    nested(&mut out, 2, |out| {
        bytes(out, 1, span.context.trace.as_bytes());
        bytes(out, 2, span.context.span.as_bytes());
        if let Some(parent) = span.parent {
            bytes(out, 4, parent.as_bytes());
        }
        bytes(out, 5, span.name.as_bytes());
        number(
            out,
            6,
            match span.kind {
                Kind::Internal => 1,
                Kind::Client => 3,
            },
        );
        fixed64(out, 7, nanos(span.start));
        fixed64(out, 8, nanos(span.end));
        attributes(out, 9, &span.attributes);
        span.events.iter().for_each(|event| nested(out, 11, |out| write_event(out, event)));
        span.links.iter().for_each(|link| nested(out, 13, |out| write_link(out, link)));
        if let Status::Error(message) = &span.status {
            nested(out, 15, |out| {
                bytes(out, 2, message.as_bytes());
                number(out, 3, 2);
            });
        }
        fixed32(out, 16, SAMPLED);
    });
    out
}

/// Returns one log record, framed as an entry of a `ScopeLogs`: its number there is that of a span in its own.
pub(super) fn record(record: &Record) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    nested(&mut out, 2, |out| {
        fixed64(out, 1, nanos(record.at));
        number(out, 2, INFO);
        attributes(out, 6, &record.attributes);
        fixed32(out, 8, SAMPLED);
        bytes(out, 9, record.context.trace.as_bytes());
        bytes(out, 10, record.context.span.as_bytes());
        // When it is sent is no part of it: sent again, it is the same.
        fixed64(out, 11, nanos(record.at));
        bytes(out, 12, record.name.as_bytes());
    });
    out
}

/// Returns a request of spans that [`span`] has written, or of records, for what `resource` says of this program.
///
/// Requests of both differ in nothing but their entries.
pub fn request<'s>(resource: &[Attribute], spans: impl Iterator<Item = &'s [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    nested(&mut out, 1, |out| {
        nested(out, 1, |out| attributes(out, 1, resource));
        nested(out, 2, |out| {
            nested(out, 1, |out| {
                bytes(out, 1, names::SCOPE.as_bytes());
                bytes(out, 2, env!("CARGO_PKG_VERSION").as_bytes());
            });
            spans.for_each(|span| out.extend_from_slice(span));
            bytes(out, 3, names::SCHEMA_URL.as_bytes());
        });
    });
    out
}

/// Returns how many spans or records a collector says it refused, and why, out of its answer.
#[must_use]
pub(super) fn rejected(answer: &[u8]) -> Option<(u64, String)> {
    let partial = fields(answer).find_map(|(field, value)| match (field, value) {
        (1, Field::Bytes(bytes)) => Some(bytes),
        _ => None,
    })?;
    let (mut count, mut why) = (0, String::new());
    for (field, value) in fields(partial) {
        match (field, value) {
            (1, Field::Number(number)) => count = number,
            (2, Field::Bytes(bytes)) => why = String::from_utf8_lossy(bytes).into_owned(),
            _ => {}
        }
    }
    (count > 0).then_some((count, why))
}

fn write_event(out: &mut Vec<u8>, event: &SpanEvent) {
    fixed64(out, 1, nanos(event.at));
    bytes(out, 2, event.name.as_bytes());
    attributes(out, 3, &event.attributes);
}

fn write_link(out: &mut Vec<u8>, link: &Link) {
    bytes(out, 1, link.to.trace.as_bytes());
    bytes(out, 2, link.to.span.as_bytes());
    attributes(out, 4, &link.attributes);
    fixed32(out, 6, SAMPLED);
}

/// Writes a list of names and values, each under `field`.
pub(super) fn attributes(out: &mut Vec<u8>, field: u32, list: &[Attribute]) {
    for Attribute { key, value } in list {
        nested(out, field, |out| {
            bytes(out, 1, key.as_bytes());
            nested(out, 2, |out| write_value(out, value));
        });
    }
}

fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Text(text) => bytes(out, 1, text.as_bytes()),
        Value::Bool(flag) => number(out, 2, u64::from(*flag)),
        Value::Int(whole) => number(out, 3, whole.cast_unsigned()),
        Value::Float(float) => fixed64(out, 4, float.to_bits()),
        Value::Texts(texts) => nested(out, 5, |out| {
            texts.iter().for_each(|text| nested(out, 1, |out| bytes(out, 1, text.as_bytes())));
        }),
    }
}

/// Returns about how long an attribute will be.
fn length(attribute: &Attribute) -> usize {
    let value = match &attribute.value {
        Value::Text(text) => text.len(),
        Value::Int(_) | Value::Float(_) | Value::Bool(_) => 9,
        Value::Texts(texts) => texts.iter().map(|text| text.len() + 4).sum(),
    };
    attribute.key.len() + value + 8
}

/// Returns nanoseconds since the epoch.
pub(super) fn nanos(at: Timestamp) -> u64 {
    u64::try_from(at.0).unwrap_or_default().saturating_mul(1_000)
}

fn tag(out: &mut Vec<u8>, field: u32, kind: u8) {
    varint(out, u64::from(field) << 3 | u64::from(kind));
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Writes a whole number, as a varint.
pub(super) fn number(out: &mut Vec<u8>, field: u32, number: u64) {
    tag(out, field, 0);
    varint(out, number);
}

/// Writes eight bytes: a time, a number that takes all of them, or a real one.
pub(super) fn fixed64(out: &mut Vec<u8>, field: u32, number: u64) {
    tag(out, field, 1);
    out.extend_from_slice(&number.to_le_bytes());
}

fn fixed32(out: &mut Vec<u8>, field: u32, number: u32) {
    tag(out, field, 5);
    out.extend_from_slice(&number.to_le_bytes());
}

/// Writes a text or bytes.
pub(super) fn bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    tag(out, field, 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes a message within a message: its length is known only when it is written, and then put before it.
pub(super) fn nested(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    tag(out, field, 2);
    let start = out.len();
    write(out);
    let length = out.len() - start;
    let mut prefix = Vec::with_capacity(5);
    varint(&mut prefix, length as u64);
    out.resize(out.len() + prefix.len(), 0);
    out.copy_within(start..start + length, start + prefix.len());
    out[start..start + prefix.len()].copy_from_slice(&prefix);
}

enum Field<'b> {
    Number(u64),
    Bytes(&'b [u8]),
}

/// Reads the fields of a message; what is cut or strange ends it.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = (u64, Field<'_>)> {
    std::iter::from_fn(move || {
        let tag = take_varint(&mut rest)?;
        let value = match tag & 7 {
            0 => Field::Number(take_varint(&mut rest)?),
            1 => Field::Bytes(take(&mut rest, 8)?),
            2 => {
                let length = usize::try_from(take_varint(&mut rest)?).ok()?;
                Field::Bytes(take(&mut rest, length)?)
            }
            5 => Field::Bytes(take(&mut rest, 4)?),
            _ => return None,
        };
        Some((tag >> 3, value))
    })
}

fn take<'b>(rest: &mut &'b [u8], length: usize) -> Option<&'b [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..70).step_by(7) {
        let byte = *take(rest, 1)?.first()?;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_lengths_are_written_as_the_format_has_them() {
        let mut out = Vec::new();
        number(&mut out, 1, 300);
        nested(&mut out, 2, |out| bytes(out, 1, &[7; 200]));
        assert_eq!(out[..3], [0x08, 0xac, 0x02]);
        assert_eq!(out[3..9], [0x12, 0xcb, 0x01, 0x0a, 0xc8, 0x01]);
        assert_eq!(out.len(), 9 + 200);
    }

    #[test]
    fn a_collector_that_refuses_some_spans_says_so() {
        let mut answer = Vec::new();
        nested(&mut answer, 1, |out| {
            number(out, 1, 3);
            bytes(out, 2, b"too old");
        });
        assert_eq!(rejected(&answer), Some((3, "too old".to_owned())));
        assert_eq!(rejected(&[]), None, "all taken");
        for cut in 0..answer.len() {
            // Whatever a server answers, nothing panics.
            drop(rejected(&answer[..cut]));
        }
    }
}
