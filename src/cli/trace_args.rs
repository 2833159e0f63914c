//! The command lines that bring spans elsewhere.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Options of `pipe trace`.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  pipe trace                                         the newest run: all of it, or its slowest cases
  pipe trace last 17                                 where the time of one case went, request by request
  pipe trace send --to http://localhost:4318         the spans of the newest run, to Jaeger or any OTLP collector
  pipe trace export last --out run.json              the same as a file
  pipe trace export last --format perfetto --out p.json && open https://ui.perfetto.dev")]
pub struct TraceArgs {
    /// What to do with them; without it they are drawn here.
    #[command(subcommand)]
    pub command: Option<TraceCommand>,
    /// What is drawn.
    #[command(flatten)]
    pub show: TraceShowArgs,
}

impl TraceArgs {
    /// Tells whether a program reads what it prints.
    #[must_use]
    pub const fn wants_json(&self) -> bool {
        match &self.command {
            Some(TraceCommand::Send(args)) => args.json,
            Some(TraceCommand::Export(args)) => args.json,
            None => self.show.json,
        }
    }
}

/// What of a run is drawn.
#[derive(Clone, Debug, Args)]
pub struct TraceShowArgs {
    /// The run: `last`, or the start of its id.
    #[arg(value_name = "RUN", default_value = "last")]
    pub run: String,
    /// The case: its number, or its item's id, with `#` and the repeat when there are several.
    #[arg(value_name = "CASE")]
    pub case: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What to do with the spans of a run.
#[derive(Clone, Debug, Subcommand)]
pub enum TraceCommand {
    /// Send them to a collector; what it has already is not sent again.
    Send(TraceSendArgs),
    /// Write them to a file or to stdout.
    Export(TraceExportArgs),
}

/// Options of `pipe trace send`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pipe trace send --to http://localhost:4318
  pipe trace send last --again                    everything once more: equal spans are equal bytes

Without --to, OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT names the collector; keys go into \
OTEL_EXPORTER_OTLP_HEADERS. A collector that is down or busy is tried again for --patience. With OTEL_LOGS_EXPORTER=otlp \
judgements go there too, as log records beside the answers judged.")]
pub struct TraceSendArgs {
    /// The run: `last`, or the start of its id.
    #[arg(value_name = "RUN", default_value = "last")]
    pub run: String,
    /// The collector's address for OTLP over HTTP.
    #[arg(long, value_name = "URL")]
    pub to: Option<String>,
    /// Send all of it, whatever was sent before.
    #[arg(long)]
    pub again: bool,
    /// How long a collector that is down or busy is waited for.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = super::value::grace)]
    pub patience: crate::base::Millis,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `pipe trace export`.
#[derive(Clone, Debug, Args)]
pub struct TraceExportArgs {
    /// The run: `last`, or the start of its id.
    #[arg(value_name = "RUN", default_value = "last")]
    pub run: String,
    /// How spans are written.
    #[arg(long, value_name = "FORMAT", default_value = "otlp-json")]
    pub format: TraceFormat,
    /// Write here instead of to stdout.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Overwrite the file if it exists.
    #[arg(long)]
    pub force: bool,
    /// Spans are JSON already, unless --format says otherwise; taken because every command takes it.
    #[arg(long)]
    pub json: bool,
}

/// How spans are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TraceFormat {
    /// One request a line, as a collector's file exporter writes and its `otlpjsonfile` receiver reads them.
    OtlpJson,
    /// Protocol buffers: the bytes that a collector is sent; to a file only.
    Otlp,
    /// For ui.perfetto.dev and Chrome's own viewer: what each backend did at every moment.
    Perfetto,
}
