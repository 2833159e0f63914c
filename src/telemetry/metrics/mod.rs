//! A run in numbers: counters, histograms and gauges of the `opentelemetry` SDK, fed by the run's facts.
//! Reads: events, as they are acknowledged. Gives: Prometheus' text format, and OTLP.
//! Start at [`Metrics`]; [`serve()`] answers scrapes, [`Push`] says where metrics are pushed to.

mod devices;
mod encode;
mod gauges;
mod instruments;
pub mod names;
mod push;
mod reader;
mod serve;
#[cfg(test)]
mod tests;

pub use push::{Push, Pushed};
pub use reader::{Allowed, Metrics, ModelOf};
pub use serve::{Scrape, serve};
