//! The words for how a run is told in spans: decided once, so that telling of it again gives the same.

use serde::{Deserialize, Serialize};

use crate::base::SpanContext;

/// What about a run's spans is settled at its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traced {
    /// In which traces they are shown.
    pub shape: Shape,
    /// The span that whoever started the run gave it as its parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<SpanContext>,
}

/// In which traces the spans of a run are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// All in one.
    Run,
    /// One for each case, linked to the run's.
    #[default]
    Item,
}
