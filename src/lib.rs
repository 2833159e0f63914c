//! `pipe` runs experiments and batches made of language-model calls, declared in YAML.
//!
//! The modules stand in the order in which a reader should meet them; `ARCHITECTURE.md` has the map, and
//! `tests/it/house.rs` holds the arrows between them.

pub mod backend;
pub mod base;
pub mod cache;
pub mod cli;
pub mod diag;
pub mod engine;
pub mod event;
pub mod gitops;
pub mod gpu;
pub mod journal;
pub mod judge;
pub mod plan;
pub mod profile;
pub mod prompt;
pub mod report;
pub mod run;
pub mod sim;
pub mod spec;
pub mod stats;
pub mod task;
pub mod telemetry;
pub mod worker;
