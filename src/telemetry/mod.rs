//! Tells a run in OpenTelemetry's words: its spans are a projection of the journal, never a second record.
//! Reads: events, texts, `Plan`. Gives: the same spans, byte for byte, however often a run is told.
//! Never: back-pressure on a run, a fact that is in no event.
//! Start at [`Projector`] for the spans of a journal as they come, [`spans_of`] for those of one that is there,
//! [`Courier`] to bring them to a collector, [`metrics::Metrics`] for counts of a run as it goes; [`names`] has every
//! name.

mod attributes;
mod batch;
mod case;
mod chat;
mod collector;
mod content;
mod courier;
#[cfg(test)]
mod courier_tests;
mod cursor;
mod error_type;
mod evaluation;
mod json;
mod lookup;
pub mod metrics;
pub mod names;
mod own;
mod perfetto;
mod post;
mod probe;
mod projector;
mod record;
mod resource;
mod run_spans;
mod sample;
mod settings;
mod signal;
mod span;
mod step;
mod summary;
mod teller;
#[cfg(test)]
mod teller_tests;
#[cfg(test)]
mod tests;
mod waterfall;
mod windows;
#[cfg(test)]
mod windows_tests;
mod wire;

pub use collector::{Collector, CollectorError, Variable, resource};
pub use courier::{Courier, Delivered, Patience, SendError};
pub use cursor::Sent;
pub use error_type::error_type;
pub use json::request as json_request;
pub use lookup::{Lookup, Other, Seen};
pub use own::Own;
pub use perfetto::Rows;
pub use post::Untaken;
pub use probe::{Made, Probe};
pub use projector::{Projector, Texts};
pub use record::Record;
pub use settings::Settings;
pub use signal::Signal;
pub use span::{Attribute, Kind, Link, Span, SpanEvent, Status, Value};
pub use teller::spans_of;
pub use waterfall::{Bar, BarSort, waterfall};
pub use wire::{request as wire_request, span as wire_span};
