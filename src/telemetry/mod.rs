//! Tells a run in OpenTelemetry's words: its spans are a projection of the journal, never a second record.
//! Reads: events, texts, `Plan`. Gives: the same spans, byte for byte, however often a run is told.
//! Never: back-pressure on a run, a fact that is in no event.
//! Start at [`Projector`] for the spans of a journal as they come, [`spans_of`] for those of one that is there, at
//! [`metrics::Metrics`] for counts of a run as it goes; [`names`] has every name.

mod attributes;
mod case;
mod chat;
mod content;
mod error_type;
mod evaluation;
pub mod metrics;
pub mod names;
mod projector;
mod resource;
mod run_spans;
mod sample;
mod settings;
mod span;
mod step;
#[cfg(test)]
mod tests;

pub use error_type::error_type;
pub use projector::{Projector, Texts, spans_of};
pub use sample::{Keep, Sample};
pub use settings::{Content, Settings};
pub use span::{Attribute, Kind, Link, Span, SpanEvent, Status, Value};
