//! The command line of `pipe retry`.

use clap::Args;

use super::args::Session;
use super::value::Assignment;

/// Options of `pipe retry`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pipe retry                                 what failed in the latest run
  pipe retry last --unscored                 judgements that cannot be counted
  pipe retry last --step verdict             what failed in one step
  pipe retry debate-2026 m17 m18#2           what failed of an item, and of the second repeat of another

The run goes on as with `pipe resume`: steps that were skipped because of the failed one are asked too, and so is \
what reads it; every other answer is kept. Attempts are counted anew, a case counts once, its latest outcome holds.")]
pub struct RetryArgs {
    /// The run: `last`, or the start of its id.
    #[arg(value_name = "RUN", default_value = "last")]
    pub run: String,
    /// Only cases of these items: ids, with `#` and the repeat for one of several; or numbers of cases.
    #[arg(value_name = "ITEM")]
    pub items: Vec<String>,
    /// Ask tasks that failed; the default.
    #[arg(long)]
    pub failed: bool,
    /// Ask judgements that cannot be counted.
    #[arg(long)]
    pub unscored: bool,
    /// Ask tasks whose failure `on_error` took.
    #[arg(long)]
    pub eased: bool,
    /// Only of this step, and what reads it.
    #[arg(long, value_name = "STEP")]
    pub step: Option<String>,
    /// Replace a value of the file that changes nothing that is asked, by its path; may be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub sets: Vec<Assignment>,
    /// How the process ends and what it prints.
    #[command(flatten)]
    pub session: Session,
}
