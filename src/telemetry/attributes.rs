//! Collects attributes in a fixed order; what is not known is left out.

use std::borrow::Cow;

use super::names;
use super::span::{Attribute, Value};
use crate::event::Usage;

/// Attributes on their way into a span, an event or a link.
#[derive(Clone, Debug, Default)]
pub(super) struct Attributes(Vec<Attribute>);

impl Attributes {
    /// Returns none yet, with room for a span's.
    pub(super) fn of_span() -> Self {
        Self(Vec::with_capacity(32))
    }

    /// Adds one.
    pub(super) fn put(&mut self, key: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> &mut Self {
        self.0.push(Attribute { key: key.into(), value: value.into() });
        self
    }

    /// Adds one if it is known.
    pub(super) fn maybe(&mut self, key: &'static str, value: Option<impl Into<Value>>) -> &mut Self {
        if let Some(value) = value {
            self.put(key, value);
        }
        self
    }

    /// Adds the tokens that are known.
    pub(super) fn usage(&mut self, usage: &Usage) -> &mut Self {
        self.maybe(names::INPUT_TOKENS, usage.input.map(|count| count.0));
        self.maybe(names::OUTPUT_TOKENS, usage.output.map(|count| count.0));
        self.maybe(names::CACHED_TOKENS, usage.cached.map(|count| count.0));
        self.maybe(names::REASONING_TOKENS, usage.reasoning.map(|count| count.0))
    }

    /// Adds the values of a cell, each under a name of its own.
    pub(super) fn matrix(&mut self, matrix: &serde_json::Map<String, serde_json::Value>) -> &mut Self {
        for (name, value) in matrix {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.put(format!("{}{name}", names::MATRIX), value);
        }
        self
    }

    /// Returns them.
    pub(super) fn take(&mut self) -> Vec<Attribute> {
        std::mem::take(&mut self.0)
    }
}
