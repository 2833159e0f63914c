//! The command line: every command, option and help text.
//! Start at [`Arguments`].

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use super::apply_args::ApplyArgs;
pub use super::doctor_args::DoctorArgs;
pub use super::export_args::{ExportArgs, ExportFormat};
pub use super::gitops_args::{GitopsArgs, ProtocolChoice};
pub use super::gpu_args::GpuArgs;
pub use super::init::{InitArgs, Template};
pub use super::journal_args::{JournalArgs, JournalCommand, JournalRunArgs, PruneArgs, RepairArgs, SqlArgs};
pub use super::plan_args::{PlanArgs, PlanFormat};
pub use super::reproduce_args::ReproduceArgs;
pub use super::retry_args::RetryArgs;
pub use super::steer_args::{CancelArgs, SteerArgs, TopArgs, TuneArgs};
pub use super::trace_args::{TraceArgs, TraceCommand, TraceExportArgs, TraceFormat, TraceSendArgs};
use super::value::{Assignment, SeedChoice, grace};
use crate::base::Millis;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    a gate or too many cases failed
  2    the command line is wrong
  3    the pipeline is wrong
  4    a backend or model cannot be used
  5    the journal cannot be used (resumable)
  6    stopped by a budget (resumable)
  70   a bug in pipe
  130  interrupted by Ctrl-C (resumable)
  143  interrupted by SIGTERM or `pipe stop` (resumable), or by `pipe cancel`

With --json a command that could not do its work prints { error: { exit, message, help } } on stdout; one that \
finds the pipeline wrong adds `files`, as `pipe check --json` has it.

Examples:
  pipe init talks                        a pipeline to start from, in the folder talks
  pipe run pipelines/debate.yaml         a debate, by whatever model is found here
  pipe check pipelines/*.yaml            every mistake at once, before any call
  pipe show last                         what the latest run came to
";

/// Runs experiments and batches made of language-model calls, declared in YAML.
#[derive(Clone, Debug, Parser)]
#[command(name = "pipe", version, about, after_help = EXIT_CODES, propagate_version = true)]
#[command(max_term_width = 100, disable_help_subcommand = true, subcommand_required = true)]
pub struct Arguments {
    /// When to colour.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorWhen,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal, unless `NO_COLOR` is set; anywhere when `CLICOLOR_FORCE` is.
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Write a pipeline to start from, with data, a schema for editors and a check for CI.
    Init(InitArgs),
    /// Say everything that is wrong with pipeline files, without any call.
    Check(CheckArgs),
    /// Say what a run, or all that a directory holds, would ask, what is reused, and which edits cause calls.
    Plan(PlanArgs),
    /// Make the runs of a directory's pipelines match it: what is new or was edited runs, and nothing else.
    Apply(Box<ApplyArgs>),
    /// Check, plan and execute a pipeline.
    Run(Box<RunArgs>),
    /// Go on with a run that was paused, stopped, interrupted or killed.
    Resume(ResumeArgs),
    /// Ask what failed in a run again, in the same run; everything answered is kept.
    Retry(RetryArgs),
    /// Ask a run again from what it kept, and say what came out differently.
    Reproduce(Box<ReproduceArgs>),
    /// Start no new call of a live run until `pipe resume`; those in flight may end.
    Pause(SteerArgs),
    /// Change the limits of a live run: calls at once, retries, timeouts, budget.
    Tune(TuneArgs),
    /// Leave a live run in order: calls in flight may end, and `pipe resume` goes on later.
    Stop(SteerArgs),
    /// End a run for good: it keeps what it has, and cannot be resumed.
    Cancel(CancelArgs),
    /// Watch a run on the whole screen: cases, backends, speeds, failures, the latest answers.
    Top(TopArgs),
    /// Show what a run came to, or one of its cases down to prompts and answers.
    Show(ShowArgs),
    /// List the runs of this project.
    Runs(RunsArgs),
    /// Write the results of a run, one row per case.
    Results(ResultsArgs),
    /// Check, repair, compact or query the journal of a run: the one file in which everything about it is kept.
    Journal(JournalArgs),
    /// Delete runs that are over and old.
    Prune(PruneArgs),
    /// Write a run's rows as JSON lines, or requests as a file for a batch service.
    Export(ExportArgs),
    /// Draw where the time of a run went; bring its spans to an OpenTelemetry collector or into a file.
    Trace(TraceArgs),
    /// Show what graphics devices do, or did while a run went: was the GPU working, what did it wait for.
    Gpu(GpuArgs),
    /// Say what is found here: backends, models, devices, project; and what would be used.
    Doctor(DoctorArgs),
    /// Follow a branch of a repository: fetch, plan and apply each new commit.
    Gitops(Box<GitopsArgs>),
    /// Tell what a code such as P0110 means, with a wrong and a right example; without a code, list them all.
    Explain(ExplainArgs),
    /// Print the JSON Schema of pipeline files.
    Schema {
        /// That of files which pipelines include
        #[arg(long)]
        part: bool,
        /// That of `pipe.yaml`, which says what of a directory is to be run
        #[arg(long, conflicts_with = "part")]
        project: bool,
    },
    /// Print a script that completes commands and options in a shell.
    Completions(CompletionsArgs),
}

impl Command {
    /// Names the commands whose process works on a run.
    #[must_use]
    pub const fn works_as(&self) -> Option<&'static str> {
        match self {
            Self::Apply(_) => Some("apply"),
            Self::Run(_) => Some("run"),
            Self::Resume(_) => Some("resume"),
            Self::Retry(_) => Some("retry"),
            Self::Reproduce(_) => Some("reproduce"),
            Self::Gitops(args) if !args.status => Some("gitops"),
            _ => None,
        }
    }

    /// Tells whether a program reads what it prints, errors included.
    #[must_use]
    pub const fn wants_json(&self) -> bool {
        match self {
            Self::Init(args) => args.json,
            Self::Check(args) => args.json,
            Self::Plan(args) => args.json,
            Self::Apply(args) => args.session.json,
            Self::Run(args) => args.session.json,
            Self::Resume(args) => args.session.json,
            Self::Retry(args) => args.session.json,
            Self::Reproduce(args) => args.session.json,
            Self::Pause(args) | Self::Stop(args) => args.json,
            Self::Tune(args) => args.json,
            Self::Cancel(args) => args.json,
            Self::Top(args) => args.json,
            Self::Show(args) => args.json,
            Self::Runs(args) => args.json,
            Self::Results(args) => args.json,
            Self::Journal(args) => args.wants_json(),
            Self::Prune(args) => args.json,
            Self::Export(args) => args.json,
            Self::Trace(args) => args.wants_json(),
            Self::Gpu(args) => args.json,
            Self::Gitops(args) => args.json,
            Self::Doctor(args) => args.json,
            Self::Explain(args) => args.json,
            _ => false,
        }
    }
}

/// Options of `pipe check`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pipe check debate.yaml
  pipe check pipelines/*.yaml --format json | jq '.files[].diagnostics[]'
  pipe check pipelines/*.yaml --format github        annotations in a pull request
  pipe check .                                       pipe.yaml and all that it names

json: { files: [{ file, cases, items: [{ place, message, help }], diagnostics: [{ code, severity, message, \
file, line, column, end_line, end_column, help: [text], labels: [{ file, line, column, end_line, \
end_column, text }] }] }] }. Lines and columns count from 1, columns in characters, an end is the \
place after the last character; severity is error or warning; labels has all places, the first again.")]
pub struct CheckArgs {
    /// Pipeline files, or directories of them.
    #[arg(value_name = "FILE|DIR", required = true)]
    pub files: Vec<PathBuf>,
    /// What may differ from the file.
    #[command(flatten)]
    pub overrides: Overrides,
    /// How to print what is wrong.
    #[arg(long, value_name = "FORMAT", default_value = "text", conflicts_with = "json")]
    pub format: CheckFormat,
    /// The same as `--format json`.
    #[arg(long)]
    pub json: bool,
}

/// How `pipe check` prints what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// For people, with the lines of the file.
    Text,
    /// For editors and other programs.
    Json,
    /// Annotations for workflows on GitHub.
    Github,
}

/// What a command line changes in a file.
#[derive(Clone, Debug, Default, Args)]
pub struct Overrides {
    /// Give a parameter of the file a value; may be repeated.
    #[arg(short = 'p', long = "param", value_name = "NAME=VALUE")]
    pub params: Vec<Assignment>,
    /// Replace a value of the file, by its path; may be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub sets: Vec<Assignment>,
    /// Let files outside the project root be read.
    #[arg(long)]
    pub allow_outside: bool,
}

/// Options of `pipe run`.
#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(after_help = "\
Examples:
  pipe run debate.yaml
  pipe run debate.yaml -p rounds=5 --set actors.pro.temperature=0.2
  pipe run debate.yaml --backend http://127.0.0.1:8080/v1 --model llama3.2
  pipe run monte_carlo.yaml --backend sim --repeat 50 --out results.jsonl
  pipe run triage.yaml --limit 100        the first hundred items only")]
pub struct RunArgs {
    /// The pipeline file.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What may differ from the file.
    #[command(flatten)]
    pub overrides: Overrides,
    /// What it is asked of, and how much of it.
    #[command(flatten)]
    pub choice: Choice,
    /// Write the results here instead of where the file says.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Overwrite a results file that another run wrote.
    #[arg(long)]
    pub force: bool,
    /// Ask what the project's cache could answer, and keep nothing there: `cache: false`.
    #[arg(long, conflicts_with_all = ["refresh_cache", "resume"])]
    pub no_cache: bool,
    /// Ask everything, and let the answers take the place of those in the project's cache: `cache: refresh`.
    #[arg(long, conflicts_with_all = ["resume", "reuse"])]
    pub refresh_cache: bool,
    /// Start a new run that takes over nothing, though one of this file is not finished or has answers to reuse.
    #[arg(long, conflicts_with_all = ["resume", "reuse"])]
    pub new: bool,
    /// Start a new run that takes over what this one has settled in the same words; the default is the newest of the
    /// same name.
    #[arg(long, value_name = "RUN", conflicts_with = "resume")]
    pub reuse: Option<String>,
    /// Go on with the unfinished run of this file.
    #[arg(long)]
    pub resume: bool,
    /// Stop after the plan, before any call.
    #[arg(long)]
    pub dry_run: bool,
    /// Start only from a state that a commit has: the file in a git repository, and nothing in it changed.
    #[arg(long)]
    pub require_clean: bool,
    /// How the process ends and what it prints.
    #[command(flatten)]
    pub session: Session,
    /// What a settled task survives.
    #[arg(long, value_name = "WHAT", default_value = "power")]
    pub durability: DurabilityChoice,
}

/// What a command line decides for everything that is asked.
#[derive(Clone, Debug, Default, Args)]
pub struct Choice {
    /// Use this backend for everything: a URL, `auto`, `embedded` or `sim`.
    #[arg(long, value_name = "BACKEND")]
    pub backend: Option<String>,
    /// Use this model for everything.
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// The run's seed, or `random`.
    #[arg(long, value_name = "N|random")]
    pub seed: Option<SeedChoice>,
    /// How often to repeat every item.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: Option<u32>,
    /// Only so many items, from the start.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// How many calls may be in flight.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub concurrency: Option<u32>,
}

/// How a working process behaves.
#[derive(Clone, Debug, Args)]
pub struct Session {
    /// How long calls in flight may go on after Ctrl-C.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = grace)]
    pub grace: Millis,
    /// Print the summary as JSON on stdout.
    #[arg(long)]
    pub json: bool,
    /// Say nothing but errors and the results.
    #[arg(short, long)]
    pub quiet: bool,
    /// Tell metrics to a Prometheus while the run goes: at `/metrics` of this address, such as 127.0.0.1:9464.
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics_addr: Option<std::net::SocketAddr>,
    /// Send spans to this OpenTelemetry collector while the run goes. Default: as `OTEL_EXPORTER_OTLP_ENDPOINT` says.
    #[arg(long, value_name = "URL")]
    pub trace_to: Option<String>,
    /// Whether graphics devices are sampled while the run goes: for `pipe gpu`, traces and metrics.
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub gpu: GpuWhen,
    /// For one of several runs of a process: rows that have no file of their own stay in the journal, and it is told when
    /// this run hears signals itself.
    #[arg(skip)]
    pub among: Option<Arc<AtomicBool>>,
}

impl Session {
    /// Tells whether rows without a file go to a stdout that is no terminal.
    pub(super) const fn prints_rows(&self) -> bool {
        !self.json && self.among.is_none()
    }
}

/// Whether graphics devices are sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GpuWhen {
    /// Where a model is served on this machine.
    Auto,
    /// Wherever models are served.
    On,
    /// Never.
    Off,
}

/// What a settled task survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DurabilityChoice {
    /// A power cut.
    Power,
    /// `kill -9` of the process; faster on slow disks.
    Process,
}

/// Options of `pipe resume`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  pipe resume\n  pipe resume debate-20261121 --grace 2m")]
pub struct ResumeArgs {
    /// The run: `last`, or the start of its id.
    #[arg(value_name = "RUN", default_value = "last")]
    pub run: String,
    /// Replace a value of the file that changes nothing that is asked, by its path; may be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub sets: Vec<Assignment>,
    /// How the process ends and what it prints.
    #[command(flatten)]
    pub session: Session,
}

/// Options of `pipe show`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pipe show                         the latest run
  pipe show last --failed           its failed cases
  pipe show last --provenance       from which commit, files, input and models it was made
  pipe show last 0                  its first case: what was said in each step
  pipe show last m17#2 debate       item m17, repeat 2, step debate: prompts and answers
  pipe show last 0 debate turn/3    one call: options, seed, every attempt with its times

Each level prints JSON with --json, texts included.")]
pub struct ShowArgs {
    /// The run: `last`, or the start of its id.
    #[arg(value_name = "RUN", default_value = "last")]
    pub run: String,
    /// The case: its number, or its item's id, with `#` and the repeat when there are several.
    #[arg(value_name = "CASE", conflicts_with = "failed")]
    pub case: Option<String>,
    /// One of its steps.
    #[arg(value_name = "STEP")]
    pub step: Option<String>,
    /// One of the step's calls.
    #[arg(value_name = "CALL")]
    pub call: Option<String>,
    /// Show what models thought before their answers, whole.
    #[arg(long, requires = "case")]
    pub thoughts: bool,
    /// List the failed cases.
    #[arg(long)]
    pub failed: bool,
    /// Tell what the run was made from: commit, files, input, versions, models.
    #[arg(long, conflicts_with_all = ["case", "failed"])]
    pub provenance: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `pipe runs`.
#[derive(Clone, Debug, Args)]
pub struct RunsArgs {
    /// Print JSON, one run a line.
    #[arg(long)]
    pub json: bool,
}

/// Options of `pipe results`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pipe results                          the latest run's rows, on stdout
  pipe results last --out rows.csv      for a spreadsheet; .parquet for pandas, DuckDB, polars
  pipe results | jq -r '.\"verdict.choice\"' | sort | uniq -c")]
pub struct ResultsArgs {
    /// The run: `last`, or the start of its id.
    #[arg(value_name = "RUN", default_value = "last")]
    pub run: String,
    /// Write here instead of to stdout.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Overwrite the file if it exists.
    #[arg(long)]
    pub force: bool,
    /// How rows are written. Default: as the ending of --out says, else jsonl.
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<RowFormat>,
    /// Rows are JSON already; taken because every command takes it.
    #[arg(long)]
    pub json: bool,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RowFormat {
    /// One JSON object a line.
    Jsonl,
    /// Commas, and an apostrophe before what a spreadsheet would take for a formula.
    Csv,
    /// Typed columns; to a file only.
    Parquet,
}

/// Options of `pipe explain`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  pipe explain P0110\n  pipe explain          every code, one a line")]
pub struct ExplainArgs {
    /// The code, as `pipe check` prints it.
    #[arg(value_name = "CODE")]
    pub code: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `pipe completions`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  pipe completions bash > ~/.local/share/bash-completion/completions/pipe")]
pub struct CompletionsArgs {
    /// Which shell.
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}
