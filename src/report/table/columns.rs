//! Which columns a table has, and what stands in them.

use indexmap::IndexMap;
use serde_json::{Map, Value};

/// What every value of a column is; null is all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColumnKind {
    /// Nothing but null.
    #[default]
    Nothing,
    /// True or false.
    Boolean,
    /// Whole numbers of 64 bits.
    Integer,
    /// Numbers.
    Number,
    /// Text; in a mixed column also what other values are as JSON.
    Text,
}

/// The columns of a table, in the order in which rows have them first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableColumns(IndexMap<String, ColumnKind>);

impl TableColumns {
    /// Names columns before any row is seen.
    pub fn of(names: impl IntoIterator<Item = String>) -> Self {
        Self(names.into_iter().map(|name| (name, ColumnKind::Nothing)).collect())
    }

    /// Adds the columns of a row: each before the first known one that follows it there, else at the end.
    pub fn add(&mut self, row: &Map<String, Value>) {
        let mut place = 0;
        for (name, value) in row {
            let kind = kind_of(value);
            if let Some((found, _, known)) = self.0.get_full_mut(name) {
                *known = known.with(kind);
                place = found + 1;
                continue;
            }
            self.0.shift_insert(place.min(self.0.len()), name.clone(), kind);
            place += 1;
        }
    }

    /// Returns true when a row has no column that is not among these.
    #[must_use]
    pub fn hold(&self, row: &Map<String, Value>) -> bool {
        row.keys().all(|name| self.0.contains_key(name))
    }

    /// Returns the columns with what stands in them.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, ColumnKind)> {
        self.0.iter().map(|(name, kind)| (name.as_str(), *kind))
    }
}

impl ColumnKind {
    /// Returns what a column is that has values of both kinds.
    const fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, kind) | (kind, Self::Nothing) => kind,
            (Self::Boolean, Self::Boolean) => Self::Boolean,
            (Self::Integer, Self::Integer) => Self::Integer,
            (Self::Integer | Self::Number, Self::Integer | Self::Number) => Self::Number,
            (Self::Boolean | Self::Integer | Self::Number | Self::Text, _) => Self::Text,
        }
    }
}

fn kind_of(value: &Value) -> ColumnKind {
    match value {
        Value::Null => ColumnKind::Nothing,
        Value::Bool(_) => ColumnKind::Boolean,
        Value::Number(number) if number.is_i64() => ColumnKind::Integer,
        // A whole number that 64 bits with a sign do not hold would lose digits as a fraction.
        Value::Number(number) if number.is_u64() => ColumnKind::Text,
        Value::Number(_) => ColumnKind::Number,
        Value::String(_) | Value::Array(_) | Value::Object(_) => ColumnKind::Text,
    }
}

/// Returns a value as text: texts as they are, lists and maps as JSON, null as nothing.
pub(super) fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Some(value.to_string()),
    }
}
