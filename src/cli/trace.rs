//! `pipe trace`: the spans of a run, to a collector or a file.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::exit::{CommandError, Exit, with_causes};
use super::output::ToStdout;
use super::printer::Printer;
use super::show::{find, open};
use super::trace_args::{TraceArgs, TraceCommand, TraceExportArgs, TraceFormat, TraceSendArgs};
use crate::journal::{Home, JournalError, RunDir};
use crate::plan::Plan;
use crate::report::grouped;
use crate::telemetry::{
    Collector, CollectorError, Courier, Delivered, Patience, Rows, SendError, Settings, Signal, Span, json_request,
    resource, spans_of, wire_request, wire_span,
};

/// Spans of one request in a file.
const TOGETHER: usize = 512;

/// Does what is asked with a run's spans.
///
/// # Errors
/// No such run, a journal that cannot be read, no collector, or one that refuses.
///
/// # Cancel safety
/// What was sent is remembered; a file may be left half written.
pub(super) async fn trace(args: &TraceArgs, home: &Home, printer: &mut Printer) -> Result<Exit, CommandError> {
    match &args.command {
        Some(TraceCommand::Send(args)) => send(args, home, printer).await,
        Some(TraceCommand::Export(args)) => export(args, home, printer),
        None => super::trace_show::show(&args.show, home, printer),
    }
}

/// Reads a variable of the environment.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

pub(super) fn no_collector(error: &CollectorError) -> CommandError {
    CommandError::new(Exit::Usage, error.to_string())
}

pub(super) fn unsent(error: &SendError) -> CommandError {
    match error {
        SendError::Journal(error) => CommandError::journal(error),
        SendError::Refused { help, .. } => CommandError::new(Exit::BackendUnusable, error.to_string()).help(*help),
        SendError::Write { .. } | SendError::Client(_) => CommandError::new(Exit::GateFailed, with_causes(error)),
        SendError::Died => CommandError::new(Exit::Bug, with_causes(error)),
    }
}

/// Returns the plan that a run was begun with, and how it is told; without a plan, says so.
///
/// # Errors
/// The environment says how to tell it what is not understood.
fn told_by(dir: &RunDir, printer: &mut Printer) -> Result<(Option<Arc<Plan>>, Settings), CommandError> {
    let plan = match super::tune::plan_of(dir) {
        Ok(plan) => Some(plan),
        Err(why) => {
            printer.say(&format!("{}: told without its plan: {why}", dir.id));
            None
        }
    };
    let settings = Settings::of(plan.as_deref(), &variable).map_err(|error| no_collector(&error))?;
    Ok((plan, settings))
}

async fn send(args: &TraceSendArgs, home: &Home, printer: &mut Printer) -> Result<Exit, CommandError> {
    let dir = find(home, &args.run)?;
    open(&dir)?;
    let (plan, settings) = told_by(&dir, printer)?;
    let mut collectors = Vec::new();
    for signal in [Signal::Traces, Signal::Logs] {
        let found = Collector::find(signal, args.to.as_deref(), &variable);
        collectors.extend(found.map_err(|error| no_collector(&error))?);
    }
    if collectors.is_empty() {
        let message = "no collector is named";
        let help = "pipe trace send --to http://localhost:4318, or set OTEL_EXPORTER_OTLP_ENDPOINT";
        return Err(CommandError::new(Exit::Usage, message).help(help));
    }
    let mut patience = Until(Instant::now() + args.patience.duration());
    let mut told = json!({ "run": dir.id.as_str() });
    let mut pending = None;
    for collector in collectors {
        let place = collector.to_string();
        let courier = Courier::open(&dir, plan.clone(), settings.clone(), collector, args.again);
        let mut courier = courier.map_err(|error| unsent(&error))?;
        let sent =
            if dir.is_held() { courier.deliver(&mut patience).await } else { courier.finish(&mut patience).await };
        sent.map_err(|error| unsent(&error))?;
        let delivered = courier.delivered().await.map_err(|error| unsent(&error))?;
        let word = delivered.signal.word();
        told[word] = counts(&delivered);
        told[if delivered.signal == Signal::Traces { "to" } else { "judgements_to" }] = json!(place);
        if !args.json {
            printer.line(&format!("{word}: {} → {place}", says(&delivered)))?;
        }
        if delivered.pending > 0 {
            pending = pending.or(Some((word, place)));
        }
    }
    if args.json {
        printer.line(&told.to_string())?;
    }
    let Some((word, place)) = pending else { return Ok(Exit::Done) };
    let message = format!("{place} did not take all {word} in {} s", args.patience.0 / 1_000);
    Err(CommandError::new(Exit::BackendUnusable, message)
        .help("nothing is lost: the same command goes on from there; --patience 10m waits longer"))
}

/// Returns what became of spans or records, in one line.
pub(super) fn says(delivered: &Delivered) -> String {
    let Delivered { signal, sent, pending } = delivered;
    let made = sent.acked + sent.rejected + sent.refused + pending;
    let line = format!(
        "{} made, {} acked, {} rejected, {} pending",
        grouped(made),
        grouped(sent.acked),
        grouped(sent.rejected + sent.refused),
        grouped(*pending)
    );
    match sent.refused {
        0 => line,
        refused => format!("{line} ({} unreadable to it: kept in {}-refused.otlp)", grouped(refused), signal.word()),
    }
}

fn counts(delivered: &Delivered) -> serde_json::Value {
    let Delivered { sent, pending, .. } = delivered;
    let made = sent.acked + sent.rejected + sent.refused + pending;
    json!({ "made": made, "acked": sent.acked, "rejected": sent.rejected, "unreadable": sent.refused, "pending": pending })
}

/// Waits until a moment, and no longer.
struct Until(Instant);

impl Patience for Until {
    fn is_over(&self) -> bool {
        // A collector that takes spans is given them all.
        false
    }

    async fn wait(&mut self, wait: Duration) -> bool {
        if Instant::now() + wait > self.0 {
            return false;
        }
        tokio::time::sleep(wait).await;
        true
    }
}

fn export(args: &TraceExportArgs, home: &Home, printer: &mut Printer) -> Result<Exit, CommandError> {
    let dir = find(home, &args.run)?;
    let reader = open(&dir)?;
    let (plan, settings) = told_by(&dir, printer)?;
    let mut count = 0_u64;
    let resource = resource(&variable);
    let mut trouble = None;
    let mut write_all = |out: &mut dyn Write| -> Result<(), JournalError> {
        let mut file = SpanFile::begin(args.format, resource.clone());
        let mut visit = |span: Span| {
            count += 1;
            if trouble.is_none() {
                trouble = file.add(span, out).err();
            }
            Ok(())
        };
        spans_of(&reader, &dir.id, settings.clone(), plan.clone(), &mut visit)?;
        if trouble.is_none() {
            trouble = file.end(out).and_then(|()| out.flush()).err();
        }
        Ok(())
    };
    let written = match &args.out {
        Some(path) if path.exists() && !args.force => {
            let message = format!("{} exists", path.display());
            return Err(CommandError::new(Exit::Usage, message).help("--force replaces it"));
        }
        Some(path) => write_all(&mut BufWriter::new(File::create(path)?)),
        None if args.format == TraceFormat::Otlp => {
            let message = "protocol buffers are written to a file only";
            return Err(
                CommandError::new(Exit::Usage, message).help("pipe trace export --format otlp --out run.otlp")
            );
        }
        None => write_all(&mut ToStdout(printer)),
    };
    written.map_err(|error| CommandError::journal(&error))?;
    trouble.map_or(Ok(()), Err)?;
    if let Some(path) = &args.out {
        printer.say(&format!("{} in {}", super::check::counted(count, "span"), path.display()));
    }
    Ok(Exit::Done)
}

/// Spans on their way into a file.
struct SpanFile {
    format: TraceFormat,
    resource: Vec<crate::telemetry::Attribute>,
    together: Vec<Span>,
    rows: Rows,
    has_begun: bool,
}

impl SpanFile {
    fn begin(format: TraceFormat, resource: Vec<crate::telemetry::Attribute>) -> Self {
        Self { format, resource, together: Vec::new(), rows: Rows::default(), has_begun: false }
    }

    fn add(&mut self, span: Span, out: &mut dyn Write) -> io::Result<()> {
        if self.format == TraceFormat::Perfetto {
            for entry in self.rows.add(&span) {
                out.write_all(if self.has_begun { b",\n" } else { b"{\"traceEvents\":[\n" })?;
                self.has_begun = true;
                out.write_all(entry.to_string().as_bytes())?;
            }
            return Ok(());
        }
        self.together.push(span);
        if self.together.len() < TOGETHER { Ok(()) } else { self.write(out) }
    }

    fn write(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let spans = std::mem::take(&mut self.together);
        if spans.is_empty() {
            return Ok(());
        }
        if self.format == TraceFormat::OtlpJson {
            return writeln!(out, "{}", json_request(&self.resource, &spans));
        }
        let encoded: Vec<Vec<u8>> = spans.iter().map(wire_span).collect();
        out.write_all(&wire_request(&self.resource, encoded.iter().map(Vec::as_slice)))
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        match self.format {
            TraceFormat::Perfetto if self.has_begun => writeln!(out, "\n]}}"),
            TraceFormat::Perfetto => writeln!(out, "{{\"traceEvents\":[]}}"),
            TraceFormat::OtlpJson | TraceFormat::Otlp => self.write(out),
        }
    }
}
