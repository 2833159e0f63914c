//! The command line of `pipe doctor`.

use clap::Args;

use crate::base::Millis;

/// Options of `pipe doctor`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pipe doctor
  pipe doctor --trace-to http://localhost:4318       do spans arrive there, and those of the model server with them?
  pipe doctor --fetch-model https://example.org/model.gguf

Where --trace-to or OTEL_EXPORTER_OTLP_ENDPOINT names a collector, the server that `auto` stands for is asked for one \
token, and the request's span is sent. Whether the server told a span of its own is looked up in Jaeger, at port 16686 of \
the same machine or at --query. A collector named here that does not take the span makes the command fail (4).")]
pub struct DoctorArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Download weights for the embedded model first.
    #[arg(long, value_name = "URL")]
    pub fetch_model: Option<String>,
    /// The collector's address for OTLP over HTTP: send it the span of one request.
    #[arg(long, value_name = "URL")]
    pub trace_to: Option<String>,
    /// Where Jaeger shows traces, if not at port 16686 beside the collector.
    #[arg(long, value_name = "URL")]
    pub query: Option<String>,
    /// How long the server's own span is looked for: servers send theirs every few seconds.
    #[arg(long, value_name = "TIME", default_value = "8s", value_parser = super::value::grace)]
    pub patience: Millis,
}
