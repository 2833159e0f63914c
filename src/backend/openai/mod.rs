//! Any server that speaks OpenAI's chat completions over HTTP.
//! Reads: a [`super::ChatRequest`]. Gives: a [`super::Completion`] or a [`crate::event::Failure`].
//!
//! What servers send is read leniently where it cannot mislead (unknown fields, finish reasons, shapes of errors)
//! and strictly where it can: half an answer, no content, another protocol are failures.
//! Never: a second try; whether to try again is decided from [`crate::event::FailureKind`] by others.
//! Start at [`OpenAi`].

mod adapter;
mod error_object;
mod events;
mod fields;
mod finish;
mod halves;
#[cfg(test)]
mod kinds_tests;
mod lenient;
mod page;
mod partial;
#[cfg(test)]
mod partial_tests;
#[cfg(test)]
mod recorded_tests;
mod refusal;
mod request;
mod rules;
mod rules_after;
mod rules_before;
#[cfg(test)]
mod rules_tests;
mod stream;
#[cfg(test)]
mod tests;
mod usage;
mod wire;

pub use adapter::{ConfigError, OpenAi, OpenAiConfig};
pub use request::{batch_body, options};
