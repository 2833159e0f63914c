//! The command lines that steer a run or watch it from another shell.

use clap::Args;

use super::value::Assignment;

/// Options of `pipe pause` and `pipe stop`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pipe pause                  the newest run that is live
  pipe resume                 ... goes on
  pipe stop debate-2026       that run; once more gives up the calls in flight")]
pub struct SteerArgs {
    /// The run: `last`, the newest that is live, or the start of its id.
    #[arg(value_name = "RUN", default_value = "last")]
    pub run: String,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `pipe tune`.
#[derive(Clone, Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true)))]
#[command(after_help = "\
Examples:
  pipe tune --concurrency 16                    the newest run that is live, each of its backends
  pipe tune debate-2026 --concurrency 2 --backend local
  pipe tune --set limits.retries.attempts=9 --set limits.timeouts.total=2h
  pipe tune --set stop.budget.tokens=10M

What --set says stays with the run, also after a resume; --concurrency holds until the process ends. \
Calls that start or are retried from then on keep it, unless their step says something of its own.

Can be set: limits.concurrency; limits.retries.attempts, .within, .backoff; \
limits.timeouts.connect, .first_token, .idle, .total (first_token and idle where answers are streamed); \
stop.budget.tokens, .cost, .time; stop.errors.count, .fraction, .after. For anything else: \
`pipe stop`, then `pipe resume --set …`.")]
pub struct TuneArgs {
    /// The run: `last`, the newest that is live, or the start of its id.
    #[arg(value_name = "RUN", default_value = "last")]
    pub run: String,
    /// How many calls may be in flight from now on; those that are may end.
    #[arg(long, value_name = "N", group = "what")]
    pub concurrency: Option<std::num::NonZeroU32>,
    /// Replace a limit of the file, by its path; may be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE", group = "what")]
    pub sets: Vec<Assignment>,
    /// At this backend alone, by its name in the file.
    #[arg(long, value_name = "NAME", conflicts_with = "sets")]
    pub backend: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `pipe cancel`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pipe cancel                         the newest run that is live; asks before it does
  pipe cancel debate-2026 --yes
  pipe run debate.yaml --reuse last   a new run takes over what a cancelled one has")]
pub struct CancelArgs {
    /// The run: `last`, the newest that is live, or the start of its id.
    #[arg(value_name = "RUN", default_value = "last")]
    pub run: String,
    /// Do not ask.
    #[arg(short, long)]
    pub yes: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `pipe top`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pipe top                    the newest run that is live; else the newest
  pipe top debate-2026        that one, from any shell, live or over
  pipe top --once             one look at it, as text
  pipe top --json | jq .pace  one look at it, for programs

busy: calls that the backend works on, of its slots; next: sent as soon as a slot is free; again: failed, to be \
asked again. All of it is read in the journal: the run never waits for who watches.")]
pub struct TopArgs {
    /// The run: `last`, the newest that is live, or the start of its id.
    #[arg(value_name = "RUN", default_value = "last")]
    pub run: String,
    /// Print one look at it instead of taking the screen.
    #[arg(long)]
    pub once: bool,
    /// Print one look at it as JSON.
    #[arg(long)]
    pub json: bool,
}
