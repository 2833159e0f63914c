//! How a run is told in spans, as the file has it; outside identity.

use crate::event::Shape;

/// See [`super::Plan::telemetry`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Telemetry {
    /// Whether prompts and answers leave this machine.
    pub content: Content,
    /// In which traces; none is as the size of the run says.
    pub shape: Option<Shape>,
    /// Which cases; none is all.
    pub sample: Option<Sample>,
}

/// Whether prompts and answers go along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// Whole, up to 32 KiB an attribute.
    #[default]
    Full,
    /// Their digests alone.
    Hash,
    /// Neither.
    None,
}

/// Keeps a share of the cases, and those worth looking at.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Of all cases, by a hash of what they are: 0 to 1.
    pub ratio: f64,
    /// Kept whatever the hash says.
    pub keep: Vec<Keep>,
}

/// Cases that are always kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// A task failed.
    Error,
    /// A request had to be sent again.
    Retried,
    /// A judge answered nothing that can be counted.
    Unscored,
}

impl Content {
    /// Returns the word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Hash => "hash",
            Self::None => "none",
        }
    }
}

impl Keep {
    /// Returns the word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Retried => "retried",
            Self::Unscored => "unscored",
        }
    }
}
