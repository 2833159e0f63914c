//! The command line: one file per command, terminal rendering, exit codes.
//! Never: logic that another surface would need.
//! Start at [`Arguments`]; [`Exit`] has the numbers that the shell sees.

pub mod args;
mod check;
mod connect;
pub mod diagnostics;
mod engage;
pub mod exit;
pub mod files;
pub mod live;
mod output;
mod pipeline;
mod place;
pub mod printer;
mod resume;
mod run;
#[cfg(test)]
pub(crate) mod testing;
pub mod value;

pub use args::Arguments;
pub use exit::{CommandError, Exit};
pub use printer::Printer;
