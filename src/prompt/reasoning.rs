//! How much a model may think before it answers.

use std::num::NonZeroU32;

/// What is asked of a model that reasons; each server has its own words for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reasoning {
    /// No thought.
    Off,
    /// A short one.
    Low,
    /// One of middle length.
    Medium,
    /// A long one.
    High,
    /// At most so many tokens.
    Budget(NonZeroU32),
}

impl Reasoning {
    /// Returns how it is written in a file: `off`, `low`, `medium`, `high`, or the number of tokens.
    #[must_use]
    pub fn word(self) -> String {
        match self {
            Self::Off => "off".to_owned(),
            Self::Low => "low".to_owned(),
            Self::Medium => "medium".to_owned(),
            Self::High => "high".to_owned(),
            Self::Budget(tokens) => tokens.to_string(),
        }
    }
}
