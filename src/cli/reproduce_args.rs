//! The command line of `pipe reproduce`.

use clap::Args;

use super::args::Session;

/// Options of `pipe reproduce`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pipe reproduce                          the latest run, asked again from what it kept, and compared
  pipe reproduce debate-2026 --json       what differs, for a program
  pipe reproduce debate-2026 --with last  compare two runs that are there, without asking

A new run is made of the texts, parameters, seed and models that the journal has, whatever the files say now; rows of \
items are read where they were, and must be what they were. Nothing is taken from a cache or an earlier run. \
With --json: the new run's summary, then the comparison, a line each.
Ends with 0 where all cases came to the same, with 1 where some did not.")]
pub struct ReproduceArgs {
    /// The run: `last`, or the start of its id.
    #[arg(value_name = "RUN", default_value = "last")]
    pub run: String,
    /// Compare it with this run instead of asking again.
    #[arg(long, value_name = "RUN")]
    pub with: Option<String>,
    /// How the process ends and what it prints.
    #[command(flatten)]
    pub session: Session,
}
