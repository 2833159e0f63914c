//! A span as it leaves the projection: plain values, in a fixed order.

use std::borrow::Cow;

use crate::base::{SpanContext, SpanId, Timestamp};

/// One span. Equal spans are told in equal bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Its ids: hashes of what it is about.
    pub context: SpanContext,
    /// The span that it is part of, in the same trace, or whoever started the run.
    pub parent: Option<SpanId>,
    /// By the conventions: the operation and what it is done with.
    pub name: String,
    /// See [`Kind`].
    pub kind: Kind,
    /// When it began.
    pub start: Timestamp,
    /// When it was over, never before its start.
    pub end: Timestamp,
    /// In a fixed order, each name once.
    pub attributes: Vec<Attribute>,
    /// In the order of time.
    pub events: Vec<SpanEvent>,
    /// To other spans.
    pub links: Vec<Link>,
    /// See [`Status`].
    pub status: Status,
}

/// Which side of a call a span is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Work of our own.
    Internal,
    /// A request to a server.
    Client,
}

/// How a span ended. Success is never stated, by the conventions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Nothing failed that was not tried again.
    #[default]
    Unset,
    /// It failed: what happened, for people. `error.type` stands among the attributes.
    Error(String),
}

/// A name and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// Of [`super::names`], or made from one.
    pub key: Cow<'static, str>,
    /// The value.
    pub value: Value,
}

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// Several texts.
    Texts(Vec<String>),
}

/// Something that happened in a span.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanEvent {
    /// When.
    pub at: Timestamp,
    /// What.
    pub name: &'static str,
    /// More about it.
    pub attributes: Vec<Attribute>,
}

/// A relation to another span.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// To which.
    pub to: SpanContext,
    /// Why.
    pub attributes: Vec<Attribute>,
}

impl Span {
    /// Returns the value under a name.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<&Value> {
        self.attributes.iter().find(|attribute| attribute.key == key).map(|attribute| &attribute.value)
    }
}

impl Value {
    /// Returns the text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Int(_) | Self::Float(_) | Self::Bool(_) | Self::Texts(_) => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(i64::from(number))
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}
