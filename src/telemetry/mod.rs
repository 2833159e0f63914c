//! What happened in a run, in the words of OpenTelemetry. Readers of events, all of them: nothing here changes a run.
//! Reads: `event`, `report`. Gives: metrics.
//! Start at [`metrics::Metrics`].

mod error_type;
pub mod metrics;
mod resource;

pub use error_type::error_type;
