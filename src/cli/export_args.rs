//! The command line of `pipe export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::args::Overrides;

/// Options of `pipe export`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pipe export last --out batch.jsonl                 every call of the latest run, as it was sent
  pipe export score.yaml --model gpt-4o-mini         calls of a pipeline that need no answer first
  pipe export last --format jsonl --out rows.jsonl   the rows of a run, of one that still goes on too

One JSON object a line. Requests are as OpenAI's Batch API takes them: { custom_id, method, url, body }. A custom_id is \
CASE/STEP/CALL, as `pipe show` takes them.")]
pub struct ExportArgs {
    /// A run (`last`, or the start of its id), or a pipeline file (.yaml).
    #[arg(value_name = "RUN|FILE", default_value = "last")]
    pub what: String,
    /// What is written, and how.
    #[arg(long, value_name = "FORMAT", default_value = "openai-batch")]
    pub format: ExportFormat,
    /// Name this model in every request.
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// What may differ from the file.
    #[command(flatten)]
    pub overrides: Overrides,
    /// Write here instead of to stdout.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Overwrite the file if it exists.
    #[arg(long)]
    pub force: bool,
    /// Requests are JSON already; taken because every command takes it.
    #[arg(long)]
    pub json: bool,
}

/// What is written, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Requests: the input file of OpenAI's Batch API.
    OpenaiBatch,
    /// Rows of a run, as `pipe results` writes them, one JSON object a line.
    Jsonl,
}
