//! The shape that an answer must have.

use std::sync::Arc;

use serde_json::Value;

/// What a backend makes sure of, if it can: by `response_format` or a grammar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// Any text.
    Text,
    /// A JSON object `{"choice": "<one of these>"}`.
    Choice(Vec<String>),
    /// A JSON value that matches this JSON Schema.
    Json(Arc<Value>),
}
