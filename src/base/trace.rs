//! Ids of traces and spans: hashes over what a request is, so that telling of it again gives the same.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{Digest, Hasher, ItemId, RunId};

/// Names a trace: 16 bytes, never all zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId([u8; 16]);

/// Names a span within its trace: 8 bytes, never all zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId([u8; 8]);

/// A span with its trace: what travels to a server as `traceparent`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanContext {
    /// The trace.
    pub trace: TraceId,
    /// The span.
    pub span: SpanId,
}

/// What a span is about: equal parts give equal ids.
#[derive(Clone, Copy, Debug)]
pub struct SpanParts<'a> {
    /// The case's trace, whatever trace its spans are shown in; the run's for what is about the run.
    pub about: TraceId,
    /// The step.
    pub step: &'a str,
    /// The element, in a `for_each` step.
    pub each: &'a str,
    /// The question.
    pub call: &'a str,
    /// Which request for it, from 1; which opening of a case or which process, from 0.
    pub number: u32,
    /// What sort of span.
    pub kind: &'a str,
}

impl TraceId {
    /// Returns the trace of what is about a run as a whole.
    #[must_use]
    pub fn of_run(run: &RunId) -> Self {
        Self::cut(Hasher::new("pipe trace 1").field(run.as_str().as_bytes()).finish())
    }

    /// Returns the trace of a case: by its content, never its position. `closing` tells what is done over all cases of
    /// a cell from a case.
    #[must_use]
    pub fn of_case(run: &RunId, item: &ItemId, repeat: u32, matrix: &Map<String, Value>, closing: bool) -> Self {
        let matrix: BTreeMap<&String, &Value> = matrix.iter().collect();
        let matrix = serde_json::to_string(&matrix).unwrap_or_default();
        let hasher = Hasher::new("pipe trace 1").field(run.as_str().as_bytes()).field(item.as_str().as_bytes());
        Self::cut(hasher.number(u64::from(repeat)).field(matrix.as_bytes()).number(u64::from(closing)).finish())
    }

    /// Takes sixteen bytes for an id; none when all are zero, which names no trace.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    fn cut(digest: Digest) -> Self {
        // One hash in 2^128 is all zero.
        Self::from_bytes(*digest.as_bytes()).unwrap_or(Self([1; 16]))
    }
}

impl SpanId {
    /// Returns the id of what these parts name.
    #[must_use]
    pub fn of(parts: &SpanParts<'_>) -> Self {
        let SpanParts { about, step, each, call, number, kind } = parts;
        let hasher = Hasher::new("pipe span 1").field(about.as_bytes()).field(step.as_bytes());
        let hasher = hasher.field(each.as_bytes()).field(call.as_bytes()).number(u64::from(*number));
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&hasher.field(kind.as_bytes()).finish().as_bytes()[..8]);
        Self::from_bytes(bytes).unwrap_or(Self([1; 8]))
    }

    /// Takes eight bytes for an id; none when all are zero, which names no span.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 8]) -> Option<Self> {
        (bytes != [0; 8]).then_some(Self(bytes))
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEXLOWER.encode_mut_str(&self.0, &mut [0; 32]))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEXLOWER.encode_mut_str(&self.0, &mut [0; 16]))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// As W3C writes it in `traceparent`: version 00, sampled, and not by random ids.
impl fmt::Display for SpanContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-01", self.trace, self.span)
    }
}

impl fmt::Debug for SpanContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no `traceparent`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no traceparent: 00-<32 hexadecimal digits>-<16>-<2>")]
pub struct ParseContextError(String);

impl FromStr for SpanContext {
    type Err = ParseContextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseContextError(text.to_owned());
        let parts: Vec<&str> = text.trim().split('-').collect();
        // Later versions may add parts; version ff is forbidden.
        let [version, trace, span, flags, ..] = parts.as_slice() else { return Err(refuse()) };
        if version.len() != 2 || *version == "ff" || flags.len() != 2 || (*version == "00" && parts.len() != 4) {
            return Err(refuse());
        }
        hex::<1>(version).and(hex::<1>(flags)).ok_or_else(refuse)?;
        let trace = hex(trace).and_then(TraceId::from_bytes).ok_or_else(refuse)?;
        let span = hex(span).and_then(SpanId::from_bytes).ok_or_else(refuse)?;
        Ok(Self { trace, span })
    }
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let is_whole = text.len() == N * 2 && HEXLOWER.decode_mut(text.as_bytes(), &mut bytes).is_ok();
    is_whole.then_some(bytes)
}

/// What other tracing systems want handed on with a trace: W3C's `tracestate`, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceState(Arc<str>);

/// A text that is no `tracestate`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no tracestate: up to 32 entries of the form vendor=value, separated by commas")]
pub struct ParseStateError(String);

impl TraceState {
    /// Returns it as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TraceState {
    type Err = ParseStateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_key = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(&byte);
        let is_value = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'=';
        let is_entry = |entry: &str| {
            let (key, value) = entry.split_once('=')?;
            (!key.is_empty() && key.bytes().all(is_key) && value.bytes().all(is_value)).then_some(())
        };
        let mut entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let count = entries.clone().count();
        if count == 0 || count > 32 || entries.any(|entry| is_entry(entry).is_none()) {
            return Err(ParseStateError(text.to_owned()));
        }
        Ok(Self(Arc::from(text.trim())))
    }
}

impl Serialize for SpanContext {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SpanContext {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_as_it_is_written() {
        let context: SpanContext = GIVEN.parse().expect("it is one");
        assert_eq!(context.to_string(), GIVEN);
        let later = "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-more";
        assert_eq!(later.parse::<SpanContext>().ok(), Some(context), "a later version, not sampled");
        for wrong in [
            "",
            "00-0-0-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        ] {
            assert!(wrong.parse::<SpanContext>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_tracestate_is_handed_on_as_it_came_or_not_at_all() {
        for right in ["rojo=00f067aa0ba902b7", "rojo=1, congo=t61rcWkgMzE,", "1a@b=x y"] {
            assert_eq!(
                right.parse::<TraceState>().map(|state| state.as_str().to_owned()).ok().as_deref(),
                Some(right)
            );
        }
        let many = vec!["a=1"; 33].join(",");
        for wrong in ["", " , ", "rojo", "Rojo=1", "=1", "a=b=c", "a=\u{7}", "a=1,b", &many] {
            assert!(wrong.parse::<TraceState>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_case_is_known_by_its_content_alone() {
        let (run, item) = (RunId::from("debate-1"), ItemId::from("m1"));
        let matrix = |value: Value| value.as_object().cloned().unwrap_or_default();
        let one = TraceId::of_case(&run, &item, 1, &matrix(json!({ "a": 1, "b": 2 })), false);
        assert_eq!(one, TraceId::of_case(&run, &item, 1, &matrix(json!({ "b": 2, "a": 1 })), false), "in any order");
        assert_ne!(one, TraceId::of_case(&run, &item, 2, &matrix(json!({ "a": 1, "b": 2 })), false));
        assert_ne!(one, TraceId::of_case(&run, &item, 1, &matrix(json!({ "a": 1, "b": 3 })), false));
        assert_ne!(
            one,
            TraceId::of_case(&RunId::from("debate-2"), &item, 1, &matrix(json!({ "a": 1, "b": 2 })), false)
        );
        assert_ne!(one, TraceId::of_run(&run));
    }

    #[test]
    fn every_part_of_a_span_counts() {
        let about = TraceId::of_run(&RunId::from("debate-1"));
        let parts = SpanParts { about, step: "judge", each: "", call: "vote/1", number: 1, kind: "chat" };
        let one = SpanId::of(&parts);
        assert_eq!(one, SpanId::of(&parts));
        for other in [
            SpanParts { step: "", each: "judge", ..parts },
            SpanParts { call: "vote/2", ..parts },
            SpanParts { number: 2, ..parts },
            SpanParts { kind: "backoff", ..parts },
        ] {
            assert_ne!(one, SpanId::of(&other), "{other:?}");
        }
    }
}
