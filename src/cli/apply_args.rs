//! Options of `pipe apply`.

use std::path::PathBuf;

use clap::Args;

use super::args::Session;

/// Options of `pipe apply`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pipe apply .                      what `pipe plan .` shows, done; again, and nothing is left to do
  pipe apply experiments --prune    the runs of pipelines that were removed are deleted, too
  pipe apply . --only nightly       one of them
  pipe apply . --require-clean      only what is committed

One pipeline after the other. All are checked first: when one is wrong, none is begun (exit 3). Answers of the newest run \
of the same name count where the same is asked; a run that was interrupted goes on; one by a schedule asks everything \
anew. When cases failed beyond `tolerate`, or a run could not be seen to its end, the others run all the same, and the \
exit code is that of the worst. On Ctrl-C the run stops in order, and the next `pipe apply` goes on with it.

--json: a line for each run that ended, as `pipe run --json` has it, and one for the whole: { project, entries: \
[{ name, file, state, run, exit, message }], deleted: [run], exit }.")]
pub struct ApplyArgs {
    /// The directory, or its pipe.yaml.
    #[arg(value_name = "DIR", default_value = ".")]
    pub project: PathBuf,
    /// Only this pipeline of it; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// Delete the runs that were begun for pipelines which are no longer there.
    #[arg(long, conflicts_with = "only")]
    pub prune: bool,
    /// Delete without asking.
    #[arg(long, requires = "prune")]
    pub yes: bool,
    /// Begin only from a state that a git commit has.
    #[arg(long, conflicts_with = "commit")]
    pub require_clean: bool,
    /// The commit that the directory was made from, where it is no clone: recorded with every run.
    #[arg(long, value_name = "ID", requires = "repository")]
    pub commit: Option<String>,
    /// The repository of that commit.
    #[arg(long, value_name = "URL", requires = "commit")]
    pub repository: Option<String>,
    /// How the process ends and what it prints.
    #[command(flatten)]
    pub session: Session,
}
