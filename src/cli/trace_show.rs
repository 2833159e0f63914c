//! `pipe trace RUN [CASE]`: where the time of a case went, request by request; of a run, which cases took longest.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::exit::{CommandError, Exit};
use super::gpu_run::{attributed, round};
use super::printer::{BOLD, DIM, Printer, inert, paint};
use super::show::{case_name, find, open, state};
use super::trace_args::TraceShowArgs;
use super::trace_draw::{Lane, draw};
use crate::base::{CaseNo, Timestamp, TraceId};
use crate::event::{AttemptId, CaseAdmitted, CaseStatus, Event, FailureKind, Outcome, Recorded, Usage};
use crate::journal::{CaseRecord, EventSeq, Home, JournalError, Reader, RunDir, Samples};
use crate::plan::Content;
use crate::report::gpu::Flown;
use crate::report::{duration, grouped, status_word};
use crate::telemetry::{Bar, BarSort, Projector, Settings, Span, waterfall};

/// Cases of a run up to which all of them are drawn.
const ALL_UP_TO: u64 = 3;
/// Cases of a larger run that are drawn: those that took longest.
const SLOWEST: usize = 15;

/// Draws a case, or the cases of a run that took longest.
///
/// # Errors
/// There is no such run or case, or its journal cannot be read.
pub(super) fn show(args: &TraceShowArgs, home: &Home, printer: &mut Printer) -> Result<Exit, CommandError> {
    let journal = |error: JournalError| CommandError::journal(&error);
    let dir = find(home, &args.run)?;
    let reader = open(&dir)?;
    let counts = reader.case_counts().map_err(journal)?;
    let cases: Vec<CaseRecord> = match &args.case {
        Some(name) => found(&reader, name)?,
        None if counts.admitted <= ALL_UP_TO => (0..counts.admitted)
            .filter_map(|number| reader.case(CaseNo(number)).transpose())
            .collect::<Result<_, _>>()
            .map_err(journal)?,
        None => return slowest(args, &dir, &reader, printer),
    };
    let numbers: BTreeSet<CaseNo> = cases.iter().map(|case| case.admitted.case).collect();
    let parts = parts(&reader, &numbers).map_err(journal)?;
    let drawn: Vec<(CaseRecord, Vec<Span>)> = cases
        .into_iter()
        .map(|case| Ok((spans_of_case(&dir, &reader, case.admitted.case, &parts)?, case)))
        .map(|pair: Result<_, JournalError>| pair.map(|(spans, case)| (case, spans)))
        .collect::<Result<_, _>>()
        .map_err(journal)?;
    if args.json {
        let cases: Vec<Value> = drawn.iter().map(|(case, spans)| case_json(case, spans)).collect();
        printer.line(&json!({ "run": dir.id.as_str(), "cases": cases }).to_string())?;
        return Ok(Exit::Done);
    }
    let width = printer.out().width();
    for (place, (case, spans)) in drawn.iter().enumerate() {
        let bars = waterfall(spans);
        let gap = if place > 0 { "\n" } else { "" };
        printer.line(&format!("{gap}{}", headline(case, spans, &bars)))?;
        if bars.is_empty() {
            printer.line("nothing of it is over yet")?;
            continue;
        }
        let lanes = lanes(&reader, &bars).map_err(journal)?;
        printer.data(&format!("\n{}", draw(&bars, &lanes, width)))?;
    }
    if let [(case, _)] = drawn.as_slice() {
        let deeper = format!("pipe show {} {}  (what was asked and answered)", args.run, case.admitted.case);
        printer.line(&format!("\n{}", paint(DIM, &inert(&deeper))))?;
    }
    Ok(Exit::Done)
}

fn found(reader: &Reader, name: &str) -> Result<Vec<CaseRecord>, CommandError> {
    let found = super::show_case::find(reader, name).map_err(|error| CommandError::journal(&error))?;
    if found.is_empty() {
        let message = format!("the run has no case {name:?}");
        let help = "give its number (the first is 0), or its item's id, with #2 for the second repeat";
        return Err(CommandError::new(Exit::Usage, message).help(help));
    }
    Ok(found)
}

/// What devices did for requests.
type Parts = BTreeMap<AttemptId, Flown>;

/// Returns what devices did for the requests of cases, as `pipe gpu RUN` shares it. Cost: the whole log, twice, where
/// devices were sampled, for what one request used depends on all that were in flight with it; else none.
fn parts(reader: &Reader, cases: &BTreeSet<CaseNo>) -> Result<Parts, JournalError> {
    let devices = reader.gpu_devices()?;
    let mut parts = Parts::new();
    if !devices.is_empty() {
        attributed(reader, &devices, &mut |flown| {
            if cases.contains(&flown.id.case) {
                parts.insert(flown.id.clone(), flown.clone());
            }
        })?;
    }
    Ok(parts)
}

/// Tells one case in spans, without its texts. Cost: its own events.
fn spans_of_case(dir: &RunDir, reader: &Reader, case: CaseNo, parts: &Parts) -> Result<Vec<Span>, JournalError> {
    let settings = Settings { content: Content::None, ..Settings::default() };
    let mut projector = Projector::new(dir.id.clone(), settings, None);
    let (at, started) = reader.run_started()?;
    let mut spans = Vec::new();
    projector.pass(&Recorded { at, event: Event::RunStarted(started) });
    reader.events_of(case, &mut |_, recorded| {
        let part = match &recorded.event {
            Event::AttemptEnded(ended) => parts.get(&ended.id),
            _ => None,
        };
        projector.add_with(&recorded, part, &|_, _| None, &mut |span| spans.push(span));
        Ok(())
    })?;
    projector.finish(&|_, _| None, &mut |span| spans.push(span));
    Ok(spans)
}

/// Returns what devices did in the time of rows.
fn lanes(reader: &Reader, bars: &[Bar]) -> Result<Vec<Lane>, JournalError> {
    let from = bars.iter().map(|bar| bar.start).min().unwrap_or_default();
    let until = bars.iter().map(|bar| bar.end).max().unwrap_or_default();
    let devices = reader.gpu_devices()?;
    let mut lanes: Vec<Lane> = devices.iter().map(|device| Lane::of(device.index)).collect();
    // A sample that reaches into the time begins within a second or two before it.
    let wanted = Samples { from: Timestamp(from.0 - 5_000_000), until, ..Samples::ALL };
    reader.gpu_samples(&wanted, &mut |sample| {
        let place = devices.iter().position(|device| device.id == sample.device);
        let Some(lane) = place.and_then(|place| lanes.get_mut(place)) else { return Ok(()) };
        for (offset, percent) in &sample.busy {
            lane.add(Timestamp(sample.at.0 + offset), *percent);
        }
        Ok(())
    })?;
    lanes.retain(|lane| !lane.entries.is_empty());
    Ok(lanes)
}

fn headline(case: &CaseRecord, spans: &[Span], bars: &[Bar]) -> String {
    let requests = bars.iter().filter(|bar| bar.sort == BarSort::Request);
    let failed = requests.clone().filter(|bar| bar.error.is_some()).count();
    let mut words = vec![super::check::counted(requests.count() as u64, "request")];
    if failed > 0 {
        words.push(format!("{failed} failed"));
    }
    let admitted = &case.admitted;
    let name = inert(&format!("case {} · {} · {}", admitted.case, case_name(admitted), state(case))).into_owned();
    let trace = spans.first().map(|span| format!(" · trace {}", span.context.trace)).unwrap_or_default();
    format!("{} {}", paint(BOLD, &name), paint(DIM, &format!("· {}{trace}", words.join(", "))))
}

fn case_json(case: &CaseRecord, spans: &[Span]) -> Value {
    let bars = waterfall(spans);
    let from = bars.iter().map(|bar| bar.start).min().unwrap_or_default();
    let rows: Vec<Value> = bars.iter().map(|bar| bar_json(bar, from)).collect();
    let trace = spans.first().map(|span| span.context.trace).map(|trace: TraceId| trace.to_string());
    let admitted = &case.admitted;
    json!({
        "case": admitted.case, "item": admitted.item.as_str(), "repeat": admitted.repeat, "matrix": admitted.matrix,
        "trace": trace, "rows": rows,
    })
}

fn bar_json(bar: &Bar, from: Timestamp) -> Value {
    let millis = |at: Timestamp| at.since(from).0;
    let sort = match bar.sort {
        BarSort::Whole => "whole",
        BarSort::Request => "request",
        BarSort::Wait => "wait",
    };
    let error = bar.error.as_ref().map(|(kind, what)| json!({ "type": kind, "detail": what }));
    json!({
        "label": bar.label, "sort": sort, "depth": bar.last.len() - 1, "start_ms": millis(bar.start),
        "end_ms": millis(bar.end), "first_piece_ms": bar.first_piece.map(millis), "input_tokens": bar.input,
        "output_tokens": bar.output, "energy_j": bar.joules.map(round), "error": error, "notes": bar.notes,
    })
}

/// One case among many.
#[derive(Clone, Debug)]
struct Walk {
    admitted: CaseAdmitted,
    began: Timestamp,
    latest: Timestamp,
    status: Option<CaseStatus>,
    requests: u64,
    failed: u64,
    usage: Usage,
}

impl Walk {
    const fn took(&self) -> u64 {
        self.latest.micros_since(self.began)
    }

    fn take(&mut self, at: Timestamp, event: &Event) {
        self.latest = self.latest.max(at);
        match event {
            Event::AttemptEnded(ended) => {
                let kind = match &ended.outcome {
                    Outcome::Answered(_) => None,
                    Outcome::Failed(failure) => Some(failure.kind),
                };
                // Never a request.
                if kind == Some(FailureKind::Unsent) {
                    return;
                }
                self.requests += 1;
                self.failed += u64::from(kind.is_some());
                self.usage.add(&ended.usage);
            }
            Event::CaseSettled(settled) => self.status = Some(settled.status),
            Event::CaseReopened(_) => self.status = None,
            _ => {}
        }
    }

    fn bar(&self, joules: Option<f64>) -> Bar {
        let CaseAdmitted { case, item, repeat, .. } = &self.admitted;
        let repeat = if *repeat > 1 { format!("#{repeat}") } else { String::new() };
        let failed = (self.failed > 0)
            .then(|| format!("{} of {} requests failed", grouped(self.failed), grouped(self.requests)));
        let status = self.status.map_or("goes on", status_word);
        let notes = failed.into_iter().chain((status != "ok").then(|| status.to_owned()));
        let notes: Vec<String> = notes.collect();
        Bar {
            label: format!("case {case} {item}{repeat}"),
            sort: BarSort::Whole,
            last: vec![true],
            start: self.began,
            end: self.latest,
            first_piece: None,
            input: self.usage.input.map(|tokens| tokens.0),
            output: self.usage.output.map(|tokens| tokens.0),
            joules,
            error: None,
            notes: if notes.is_empty() { Vec::new() } else { vec![notes.join(", ")] },
        }
    }
}

/// Draws the cases that took longest, on the time of the whole run.
fn slowest(args: &TraceShowArgs, dir: &RunDir, reader: &Reader, printer: &mut Printer) -> Result<Exit, CommandError> {
    let mut walks: BTreeMap<CaseNo, Walk> = BTreeMap::new();
    let read = reader.events_after(EventSeq::default(), &mut |_, recorded| {
        let Recorded { at, event } = recorded;
        if let Event::CaseAdmitted(admitted) = &event {
            let (case, usage) = (admitted.case, Usage::default());
            let admitted = admitted.clone();
            let walk = Walk { admitted, began: at, latest: at, status: None, requests: 0, failed: 0, usage };
            walks.insert(case, walk);
        } else if let Some(walk) = event.case().and_then(|case| walks.get_mut(&case)) {
            walk.take(at, &event);
        }
        Ok(())
    });
    read.map_err(|error| CommandError::journal(&error))?;
    let all = walks.len() as u64;
    let mut walks: Vec<Walk> = walks.into_values().collect();
    walks.sort_by_key(|walk| (std::cmp::Reverse(walk.took()), walk.admitted.case));
    let middle = walks.get(walks.len() / 2).map_or(0, Walk::took);
    walks.truncate(SLOWEST);
    let numbers = walks.iter().map(|walk| walk.admitted.case).collect();
    let parts = parts(reader, &numbers).map_err(|error| CommandError::journal(&error))?;
    let mut energies: BTreeMap<CaseNo, f64> = BTreeMap::new();
    for part in parts.values().filter(|part| part.concurrency().is_some()) {
        *energies.entry(part.id.case).or_default() += part.millijoules / 1e3;
    }
    let joules = |walk: &Walk| energies.get(&walk.admitted.case).copied();
    if args.json {
        let slowest: Vec<Value> = walks.iter().map(|walk| walk_json(walk, joules(walk))).collect();
        let told = json!({ "run": dir.id.as_str(), "cases": all, "median_ms": middle / 1_000, "slowest": slowest });
        printer.line(&told.to_string())?;
        return Ok(Exit::Done);
    }
    let head = format!("{} · the {} slowest of {} cases", dir.id, walks.len(), grouped(all));
    let half = format!(" · half of all take {} or less", duration(middle));
    printer.line(&format!("{}{}\n", paint(BOLD, &inert(&head)), paint(DIM, &half)))?;
    let bars: Vec<Bar> = walks.iter().map(|walk| walk.bar(joules(walk))).collect();
    let width = printer.out().width();
    let lanes = lanes(reader, &bars).map_err(|error| CommandError::journal(&error))?;
    printer.data(&draw(&bars, &lanes, width))?;
    if let Some(first) = walks.first() {
        let deeper = format!("pipe trace {} {}  (the slowest, request by request)", args.run, first.admitted.case);
        printer.line(&format!("\n{}", paint(DIM, &inert(&deeper))))?;
    }
    Ok(Exit::Done)
}

fn walk_json(walk: &Walk, joules: Option<f64>) -> Value {
    let CaseAdmitted { case, item, repeat, .. } = &walk.admitted;
    json!({
        "case": case, "item": item.as_str(), "repeat": repeat, "ms": walk.took() / 1_000,
        "status": walk.status.map(status_word), "requests": walk.requests, "failed": walk.failed,
        "input_tokens": walk.usage.input, "output_tokens": walk.usage.output,
        "energy_j": joules.map(round),
    })
}
