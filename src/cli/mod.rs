//! The command line: one file per command, terminal rendering, exit codes.
//! Never: logic that another surface would need.
//! Start at [`Arguments`]; [`Exit`] has the numbers that the shell sees.

pub mod args;
pub mod exit;
pub mod live;
pub mod printer;
#[cfg(test)]
pub(crate) mod testing;
pub mod value;

pub use args::Arguments;
pub use exit::{CommandError, Exit};
pub use printer::Printer;
