//! Options of `pipe plan`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::args::{Choice, Overrides};

/// Options of `pipe plan`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pipe plan debate.yaml                       what would be asked, and what the newest run has already
  pipe plan debate.yaml --against debate-2026 compared with that run
  pipe plan debate.yaml --prompts             the messages of the first case, as they would be sent
  pipe plan debate.yaml --resolved            the pipeline with everything filled in
  pipe plan .                                 what `pipe apply .` would do about every pipeline here
  pipe plan . --format markdown               the same, for a comment on a pull request

Of a directory, its pipe.yaml says which pipelines, with what and when; without one it is every pipeline in it, once. \
Each is new, changed, due by its schedule, unfinished, running, failed, unchanged or removed.")]
pub struct PlanArgs {
    /// The pipeline file, or a directory of pipelines.
    #[arg(value_name = "FILE|DIR")]
    pub file: PathBuf,
    /// What may differ from the file.
    #[command(flatten)]
    pub overrides: Overrides,
    /// What it is asked of, and how much of it.
    #[command(flatten)]
    pub choice: Choice,
    /// Compare with this run instead of the newest of the same name: `last`, or the start of its id.
    #[arg(long, value_name = "RUN")]
    pub against: Option<String>,
    /// How to print the plan of a directory.
    #[arg(long, value_name = "FORMAT", default_value = "text", conflicts_with_all = ["json", "prompts", "resolved"])]
    pub format: PlanFormat,
    /// Of a directory that is no clone: the repository that it was made from, as `pipe apply` was told it. What was removed
    /// since is told by it.
    #[arg(long, value_name = "URL")]
    pub repository: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Print what would be sent for the first case.
    #[arg(long, conflicts_with_all = ["json", "resolved"])]
    pub prompts: bool,
    /// Print the pipeline as YAML with everything filled in; secrets are left out.
    #[arg(long, conflicts_with = "json")]
    pub resolved: bool,
}

/// How the plan of a directory is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// For people.
    Text,
    /// For comments on pull requests.
    Markdown,
    /// For programs.
    Json,
}

impl PlanArgs {
    /// Tells whether an option is given that is about one pipeline.
    #[must_use]
    pub const fn is_of_one(&self) -> bool {
        let Overrides { params, sets, allow_outside } = &self.overrides;
        let Choice { seed, repeat, limit, backend, model, concurrency } = &self.choice;
        !params.is_empty()
            || !sets.is_empty()
            || *allow_outside
            || seed.is_some()
            || repeat.is_some()
            || limit.is_some()
            || backend.is_some()
            || model.is_some()
            || concurrency.is_some()
            || self.against.is_some()
            || self.prompts
            || self.resolved
    }
}
