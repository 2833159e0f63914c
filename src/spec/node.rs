//! A YAML document as a tree in which everything knows its place.

use std::sync::Arc;

use super::Text;
use crate::diag::Span;

/// Something with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The thing.
    pub value: T,
    /// Where it is written.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Puts a thing and a place together.
    pub const fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

/// One value of the document.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it is written.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
}

/// What a [`Node`] is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// One value, not yet resolved to a type.
    Scalar(Text),
    /// A list.
    List(Vec<Node>),
    /// A map, in the file's order; keys are distinct.
    Map(Vec<(Spanned<String>, Node)>),
    /// Something that has already been reported.
    Invalid,
}

/// A scalar with its type, by the core schema of YAML 1.2.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`; `yes` and `no` are text.
    Bool(bool),
    /// A whole number.
    Integer(i128),
    /// Another number.
    Float(f64),
    /// Everything else, and all that is quoted.
    Text(String),
}

impl Node {
    /// Returns how many nodes this is, itself included.
    pub(super) fn size(&self) -> usize {
        match &self.kind {
            Kind::Scalar(_) | Kind::Invalid => 1,
            Kind::List(entries) => 1 + entries.iter().map(Self::size).sum::<usize>(),
            Kind::Map(entries) => 1 + entries.iter().map(|(_, value)| value.size()).sum::<usize>(),
        }
    }

    /// Returns a key of a map with its value; none when this is no map.
    pub(super) fn entry(&self, key: &str) -> Option<&(Spanned<String>, Self)> {
        let Kind::Map(entries) = &self.kind else { return None };
        entries.iter().find(|(name, _)| name.value == key)
    }

    /// Returns the value of a key of a map; none when this is no map.
    pub(super) fn value(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|(_, value)| value)
    }

    /// Returns the value of a key of a map, to change it; none when this is no map.
    pub(super) fn value_mut(&mut self, key: &str) -> Option<&mut Self> {
        let Kind::Map(entries) = &mut self.kind else { return None };
        entries.iter_mut().find(|(name, _)| name.value == key).map(|(_, value)| value)
    }

    /// Returns what it is, for messages.
    pub(super) fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar(text) => text.literal().describe(),
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
            Kind::Invalid => "unreadable",
        }
    }
}

impl Literal {
    /// Resolves an unquoted scalar.
    #[must_use]
    pub fn of_plain(text: &str) -> Self {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => Self::Null,
            "true" | "True" | "TRUE" => Self::Bool(true),
            "false" | "False" | "FALSE" => Self::Bool(false),
            _ => number(text).unwrap_or_else(|| Self::Text(text.to_owned())),
        }
    }

    /// Returns the value as JSON; none for numbers that JSON does not have.
    #[must_use]
    pub fn to_json(&self) -> Option<serde_json::Value> {
        use serde_json::Value;
        match self {
            Self::Null => Some(Value::Null),
            Self::Bool(yes) => Some(Value::Bool(*yes)),
            Self::Integer(number) => {
                let small = i64::try_from(*number).map(Value::from).ok();
                small.or_else(|| u64::try_from(*number).map(Value::from).ok())
            }
            Self::Float(number) => serde_json::Number::from_f64(*number).map(Value::Number),
            Self::Text(text) => Some(Value::String(text.clone())),
        }
    }

    /// Takes a JSON scalar; none for lists and maps.
    #[must_use]
    pub fn of_json(value: &serde_json::Value) -> Option<Self> {
        use serde_json::Value;
        match value {
            Value::Null => Some(Self::Null),
            Value::Bool(yes) => Some(Self::Bool(*yes)),
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Number(number) => {
                let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
                whole.map(Self::Integer).or_else(|| number.as_f64().map(Self::Float))
            }
            Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// Returns what it is, for messages.
    #[must_use]
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Null => "empty",
            Self::Bool(_) => "true or false",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::Text(_) => "text",
        }
    }

    /// Returns the value as a reader would write it.
    #[must_use]
    pub fn show(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(yes) => yes.to_string(),
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Text(text) => format!("{text:?}"),
        }
    }
}

/// Reads decimal, `0o` and `0x` whole numbers and decimal fractions; `.inf` and `.nan` stay text.
fn number(text: &str) -> Option<Literal> {
    if let Some(digits) = text.strip_prefix("0x") {
        return i128::from_str_radix(digits, 16).ok().map(Literal::Integer);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return i128::from_str_radix(digits, 8).ok().map(Literal::Integer);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let starts_like_one = unsigned.starts_with(|first: char| first.is_ascii_digit())
        || (unsigned.starts_with('.') && unsigned[1..].starts_with(|second: char| second.is_ascii_digit()));
    if !starts_like_one {
        return None;
    }
    if unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(Literal::Integer);
    }
    let plain = unsigned.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    text.parse().ok().filter(|number: &f64| plain && number.is_finite()).map(Literal::Float)
}

/// A text with the name of its file.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) file: Arc<str>,
    /// Added to every place: where the text starts in what [`Span::file`] stands for.
    pub(super) offset: usize,
}

impl Source {
    pub(super) fn span(&self, start: usize, end: usize) -> Span {
        Span::new(&self.file, start + self.offset..end + self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_follow_yaml_1_2() {
        let check = |text: &str, expected: Literal| assert_eq!(Literal::of_plain(text), expected, "{text}");
        check("3", Literal::Integer(3));
        check("-3", Literal::Integer(-3));
        check("0x1F", Literal::Integer(31));
        check("0.5", Literal::Float(0.5));
        check("1e3", Literal::Float(1000.0));
        check(".5", Literal::Float(0.5));
        for text in ["yes", "no", "1s..60s", "5%", "2026-01-01", ".inf", "1.2.3", "e5", "-", "8k", "."] {
            check(text, Literal::Text(text.to_owned()));
        }
    }
}
