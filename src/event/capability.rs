//! What a server takes in a request, as far as it is known.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::de::{Deserializer, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

/// Something in a request, or about how it is sent, that servers may refuse although the file does not ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// `response_format`, of any type.
    ResponseFormat,
    /// `response_format` of type `json_schema`; `json_object` may still be taken.
    JsonSchema,
    /// `seed`.
    Seed,
    /// `stream_options`.
    StreamOptions,
    /// `max_tokens`: the length goes as `max_completion_tokens`.
    MaxTokens,
    /// `max_completion_tokens`: the length goes as `max_tokens`.
    MaxCompletionTokens,
    /// Answers as event streams.
    Streamed,
    /// Answers in one piece.
    Whole,
    /// A path that ends with the API's version, such as `/v1`.
    VersionedPath,
    /// The path as it is written, without a version.
    PlainPath,
    /// `reasoning_effort`.
    ReasoningEffort,
    /// `reasoning: { … }`.
    ReasoningObject,
    /// `chat_template_kwargs`.
    TemplateKwargs,
    /// `thinking: { … }`.
    ThinkingObject,
    /// A bound of the tokens of a thought as a field of its own.
    ThinkingBudget,
}

impl Feature {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::ResponseFormat,
        Self::JsonSchema,
        Self::Seed,
        Self::StreamOptions,
        Self::MaxTokens,
        Self::MaxCompletionTokens,
        Self::Streamed,
        Self::Whole,
        Self::VersionedPath,
        Self::PlainPath,
        Self::ReasoningEffort,
        Self::ReasoningObject,
        Self::TemplateKwargs,
        Self::ThinkingObject,
        Self::ThinkingBudget,
    ];

    /// Returns the name of the field, or of what it is about: `seed`, `a whole answer`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::ResponseFormat => "response_format",
            Self::JsonSchema => "response_format json_schema",
            Self::Seed => "seed",
            Self::StreamOptions => "stream_options",
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
            Self::Streamed => "streaming",
            Self::Whole => "answers in one piece",
            Self::VersionedPath => "a path with a version",
            Self::PlainPath => "a path without a version",
            Self::ReasoningEffort => "reasoning_effort",
            Self::ReasoningObject => "reasoning",
            Self::TemplateKwargs => "chat_template_kwargs",
            Self::ThinkingObject => "thinking",
            Self::ThinkingBudget => "thinking_budget",
        }
    }

    /// Returns true when models of one server differ in it.
    #[must_use]
    pub const fn is_of_model(self) -> bool {
        matches!(
            self,
            Self::ReasoningEffort
                | Self::ReasoningObject
                | Self::TemplateKwargs
                | Self::ThinkingObject
                | Self::ThinkingBudget
        )
    }
}

/// A set of features; written as the list of their names. One that a later version wrote is passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Features(u32);

impl Features {
    /// None.
    pub const NONE: Self = Self(0);

    /// Returns the set with one more.
    #[must_use]
    pub const fn with(self, feature: Feature) -> Self {
        Self(self.0 | 1 << feature as u32)
    }

    /// Returns what is in either of two sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns true when a feature is in it.
    #[must_use]
    pub const fn has(self, feature: Feature) -> bool {
        self.0 & 1 << feature as u32 != 0
    }

    /// Returns true when nothing is in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// Returns what is in it, in a fixed order.
    pub fn iter(self) -> impl Iterator<Item = Feature> {
        Feature::ALL.into_iter().filter(move |feature| self.has(*feature))
    }
}

/// A set of features that grows while several threads look at it.
#[derive(Debug, Default)]
pub struct GrowingFeatures(AtomicU32);

impl GrowingFeatures {
    /// Adds one.
    pub fn add(&self, feature: Feature) {
        self.0.fetch_or(Features::NONE.with(feature).0, Ordering::Relaxed);
    }

    /// Returns what is in it now.
    #[must_use]
    pub fn now(&self) -> Features {
        Features(self.0.load(Ordering::Relaxed))
    }
}

impl FromIterator<Feature> for Features {
    fn from_iter<I: IntoIterator<Item = Feature>>(features: I) -> Self {
        features.into_iter().fold(Self::NONE, Self::with)
    }
}

impl Serialize for Features {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Features {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = Features;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of names of features")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut words: A) -> Result<Features, A::Error> {
                let mut found = Features::NONE;
                while let Some(word) = words.next_element::<serde_json::Value>()? {
                    if let Ok(feature) = serde_json::from_value(word) {
                        found = found.with(feature);
                    }
                }
                Ok(found)
            }
        }
        deserializer.deserialize_seq(Words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_written_as_names_and_passes_over_what_it_does_not_know() {
        let set: Features = [Feature::Seed, Feature::ThinkingBudget].into_iter().collect();
        let text = serde_json::to_string(&set).unwrap();
        assert_eq!(text, r#"["seed","thinking_budget"]"#);
        assert_eq!(serde_json::from_str::<Features>(&text).unwrap(), set);
        assert_eq!(
            serde_json::from_str::<Features>(r#"["seed","telepathy"]"#).unwrap(),
            Features::NONE.with(Feature::Seed)
        );
        assert_eq!(Feature::ALL.into_iter().collect::<Features>().iter().count(), Feature::ALL.len());
    }
}
