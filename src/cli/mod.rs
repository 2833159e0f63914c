//! The command line: one file per command, terminal rendering, exit codes.
//! Never: logic that another surface would need.
//! Start at [`Arguments`]; [`Exit`] has the numbers that the shell sees.

mod applied;
mod apply;
mod apply_args;
pub mod args;
#[cfg(test)]
mod args_tests;
mod asked;
mod cache;
mod check;
mod command;
mod connect;
mod cost;
mod desired;
mod devices;
pub mod diagnostics;
mod doctor;
mod doctor_args;
mod doctor_report;
#[cfg(test)]
mod doctor_tests;
mod doctor_trace;
#[cfg(test)]
mod doctor_trace_tests;
mod earlier;
mod engage;
pub mod exit;
mod explain;
mod export;
mod export_args;
pub mod files;
mod gitops;
mod gitops_args;
mod gitops_standing;
mod gitops_statuses;
mod glance;
mod gpu;
mod gpu_args;
mod gpu_run;
mod gpu_switches;
mod init;
mod journal;
mod journal_args;
mod journal_sql;
mod kept;
mod learned;
pub mod live;
mod metrics;
mod output;
mod pipeline;
mod place;
mod plan;
mod plan_args;
mod plan_project;
pub mod printer;
mod project;
mod prompts;
mod prospect;
mod provenance;
mod prune;
mod prune_cache;
mod reproduce;
mod reproduce_args;
mod resolved;
mod results;
mod resume;
mod retry;
mod retry_args;
mod reuse;
mod run;
mod runs;
mod sampling;
mod show;
mod show_case;
mod show_provenance;
mod show_step;
mod show_texts;
mod spans;
mod spent;
mod standing;
mod stdin;
mod steer;
mod steer_args;
mod table;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tokens;
mod top;
mod trace;
mod trace_args;
mod trace_draw;
mod trace_show;
mod tune;
pub mod value;

pub use args::Arguments;
pub use command::execute;
pub use exit::{CommandError, Exit};
pub use printer::Printer;
