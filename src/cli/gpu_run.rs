//! `pipe gpu RUN`: was the GPU working? What it did while a run went, what it waited for, who used how much.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::exit::{CommandError, Exit};
use super::gpu::titled;
use super::gpu_args::GpuArgs;
use super::gpu_switches;
use super::printer::{BOLD, DIM, Printer, inert, paint};
use super::show::{find, open};
use super::table::Table;
use crate::base::{EachKey, Timestamp};
use crate::event::{GpuCan, GpuDevice, GpuSample, RunStarted};
use crate::journal::{EventPage, EventSeq, Home, JournalError, Reader, Samples};
use crate::report::gpu::attribution::{METHOD, USUAL_PREFILL};
use crate::report::gpu::switches::{Switched, Switches};
use crate::report::gpu::{Beside, DeviceReport, First, Flown, GpuReport, Second, Used};
use crate::report::{duration, energy, grouped, tenths, wrapped};

const MIB: u64 = 1 << 20;
/// Processes that are told of each device.
const MOST_PROCESSES: usize = 5;
/// Where texts stand beside what they are about.
const SAYS_INDENT: usize = 13;
/// Samples that tell of less of the requests' time tell of too little of their energy.
const FULL_COVERAGE: f64 = 0.9;

/// Tells what devices did while a run went.
///
/// # Errors
/// There is no such run, or its journal cannot be read.
pub(super) fn of_run(run: &str, args: &GpuArgs, home: &Home, printer: &mut Printer) -> Result<Exit, CommandError> {
    let journal = |error: JournalError| CommandError::journal(&error);
    let dir = find(home, run)?;
    let reader = open(&dir)?;
    let (began, started) = reader.run_started().map_err(journal)?;
    let devices = reader.gpu_devices().map_err(journal)?;
    if devices.is_empty() {
        let why = unsampled(&started);
        let (switched, Beside { told: beside }) = switches(&reader).map_err(journal)?;
        if args.json {
            let told = json!({
                "run": dir.id.as_str(), "available": false, "reason": why, "devices": [],
                "switches": gpu_switches::to_json(&switched, began), "cpu_fallback_suspected": Some(&beside).filter(|beside| !beside.is_empty()),
            });
            printer.line(&told.to_string())?;
        } else if !args.calls {
            printer.line(&format!("{} has no samples of graphics devices: {}", dir.id, inert(&why)))?;
            let told = gpu_switches::text(&switched, began, printer.out().width());
            printer.data(&format!("{}{told}", suspected(&beside)))?;
        }
        return Ok(Exit::Done);
    }
    let mut trouble = Ok(());
    let report = attributed(&reader, &devices, &mut |flown| {
        if args.calls && trouble.is_ok() {
            trouble = printer.line(&call_json(flown, began).to_string());
        }
    });
    let report = report.map_err(journal)?;
    trouble?;
    if args.calls {
        return Ok(Exit::Done);
    }
    let (switched, _) = switches(&reader).map_err(journal)?;
    if args.json {
        let mut told = to_json(dir.id.as_str(), &report);
        told["switches"] = gpu_switches::to_json(&switched, began);
        printer.line(&told.to_string())?;
        return Ok(Exit::Done);
    }
    let width = printer.out().width();
    printer.data(&text(dir.id.as_str(), &report, began, width))?;
    printer.data(&gpu_switches::text(&switched, began, width))?;
    Ok(Exit::Done)
}

/// Shares what devices used among the requests of a run, and tells each its part. Cost: the whole log, twice.
pub(super) fn attributed(
    reader: &Reader,
    devices: &[GpuDevice],
    tell: &mut dyn FnMut(&Flown),
) -> Result<GpuReport, JournalError> {
    let mut first = First::new(devices);
    walk(reader, &mut |step| match step {
        Step::Event(recorded) => first.event(&recorded),
        Step::Sample(sample) => first.sample(&sample),
        Step::Settle(read) => first.settle(read),
    })?;
    let mut second = Second::new(devices, first.finish());
    walk(reader, &mut |step| match step {
        Step::Event(recorded) => second.event(&recorded),
        Step::Sample(sample) => second.sample(&sample),
        Step::Settle(read) => second.settle(read, tell),
    })?;
    Ok(second.finish(tell))
}

/// Finds the switches of model that the run caused, and what servers told of models beside devices.
fn switches(reader: &Reader) -> Result<(Switched, Beside), JournalError> {
    let (mut switches, mut beside) = (Switches::default(), Beside::default());
    let mut page = EventPage { last: EventSeq::default(), has_more: true };
    while page.has_more {
        page = reader.page_after(page.last, &mut |_, recorded| {
            switches.event(&recorded);
            beside.event(&recorded.event);
            Ok(())
        })?;
    }
    Ok((switches.finish(), beside))
}

/// Says why there are no samples.
fn unsampled(started: &RunStarted) -> String {
    match &started.gpu {
        Some(seen) => seen.reason.clone().unwrap_or_else(|| "none is written yet".to_owned()),
        None => "none of its models was served on this machine, or --gpu off said so (`pipe run --gpu on` samples \
                 anyway)"
            .to_owned(),
    }
}

/// One step on the way through a journal.
enum Step {
    Event(Box<crate::event::Recorded>),
    Sample(Box<GpuSample>),
    Settle(Timestamp),
}

/// Goes through events and samples in the order of time, a page of events and the samples of its time together.
fn walk(reader: &Reader, take: &mut dyn FnMut(Step)) -> Result<(), JournalError> {
    let mut page = EventPage { last: EventSeq::default(), has_more: true };
    let mut from = Timestamp(i64::MIN);
    while page.has_more {
        let mut read = from;
        page = reader.page_after(page.last, &mut |_, recorded| {
            read = read.max(recorded.at);
            take(Step::Event(Box::new(recorded)));
            Ok(())
        })?;
        let until = if page.has_more { read } else { Timestamp(i64::MAX) };
        reader.gpu_samples(&Samples { from, until, ..Samples::ALL }, &mut |sample| {
            take(Step::Sample(Box::new(sample)));
            Ok(())
        })?;
        take(Step::Settle(read));
        from = until;
    }
    Ok(())
}

fn call_json(flown: &Flown, began: Timestamp) -> Value {
    let id = &flown.id;
    json!({
        "case": id.case, "step": id.step.as_str(), "each": id.each.as_ref().map(EachKey::as_str),
        "call": id.call.as_str(), "attempt": id.attempt.0, "model": &*flown.model,
        "start_ms": flown.work.sent.since(began).0, "ms": flown.work.end.since(flown.work.sent).0,
        "input_tokens_uncached": flown.work.prompt, "output_tokens": flown.work.answer,
        "energy_j": round(flown.millijoules / 1e3), "busy_s": round(flown.busy_s),
        "concurrency": flown.concurrency().map(round), "attribution": METHOD, "by": flown.method(),
        "coverage": round(flown.coverage()),
    })
}

/// Rounds to a thousandth: more is not known.
pub(super) fn round(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

fn to_json(run: &str, report: &GpuReport) -> Value {
    let used = |of: &std::collections::BTreeMap<String, Used>| {
        let one = |(name, used): (&String, &Used)| {
            json!({
                "name": name, "requests": used.requests, "energy_j": round(used.millijoules / 1e3),
                "busy_s": round(used.busy_s), "input_tokens_uncached": used.prompt, "output_tokens": used.answer,
                "j_per_1000_output_tokens": used.joules_per_thousand().map(round),
            })
        };
        of.iter().map(one).collect::<Vec<_>>()
    };
    json!({
        "run": run, "available": true, "devices": report.devices, "requests": report.requests,
        "attribution": {
            "method": METHOD, "coverage": report.coverage().map(round), "energy_j": round(report.requests_mj() / 1e3),
            "by_tokens_j": round(report.by_tokens_mj / 1e3), "prefill_weight": report.prefill,
            "usual_prefill_weight": USUAL_PREFILL, "error_of_one_alone": report.error_alone().map(round),
            "upper_bound": report.devices.iter().any(|device| device.foreign),
        },
        "models": used(&report.models), "steps": used(&report.steps), "cpu_fallback_suspected": report.fallback(),
    })
}

fn share(part: f64, whole: f64) -> String {
    if whole > 0.0 { format!("{:.1} %", part / whole * 100.0) } else { "?".to_owned() }
}

fn time(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a run, never negative")]
    let micros = (seconds.max(0.0) * 1e6) as u64;
    duration(micros)
}

fn joules(millijoules: f64) -> String {
    energy(millijoules / 1e3)
}

fn text(run: &str, report: &GpuReport, began: Timestamp, width: usize) -> String {
    let mut text = format!("{}\n", paint(BOLD, &format!("{} · was the GPU working?", inert(run))));
    for device in &report.devices {
        text.push_str(&of_device(device, began, width));
    }
    text.push_str(&suspected(&report.fallback().unwrap_or_default()));
    text.push_str(&used(report, width));
    text
}

/// Says why work is suspected to have been done on the CPU; nothing where it is not.
fn suspected(reasons: &[String]) -> String {
    if reasons.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{}\n", paint(BOLD, "suspected: the model ran on the CPU, at least in part"));
    reasons.iter().for_each(|reason| writeln!(text, "  {}", inert(reason)).expect("a text takes all"));
    text.push_str(
        "  `pipe doctor` says what helps, `pipe gpu --watch` what devices do; the server's log says where it put its \
         layers\n",
    );
    text
}

fn of_device(device: &DeviceReport, began: Timestamp, width: usize) -> String {
    let name = titled(device.index, &device.name, device.parent.is_some());
    let sampled = match device.sampled.is_empty() {
        true => "never sampled".to_owned(),
        false => format!("sampled for {}", time(device.seconds)),
    };
    let mut text = format!("\n{}\n  {}\n", paint(BOLD, &name), paint(DIM, &format!("{}, {sampled}", device.id)));
    let mut line = |what: &str, says: String| {
        let says = wrapped(&says, width, SAYS_INDENT);
        // The first stands beside what it is about, with the blanks that it begins with.
        writeln!(text, "  {what:<10} {}", &says[SAYS_INDENT..]).expect("a text takes all");
    };
    if device.mig && device.parent.is_some() {
        // It is said of the whole.
    } else if device.mig {
        line("MIG", "of a device in instances only memory is told: no request is told its energy".to_owned());
    } else if device.sampled.is_empty() {
        line("untold", "its driver supports no reading, or does not let this user read".to_owned());
    } else {
        let has = |what| device.sampled.contains(&what);
        if !has(GpuCan::Energy) {
            line("energy", "its driver has no counter of energy: no request is told any".to_owned());
        }
        if !has(GpuCan::Busy) || (device.known_s <= 0.0 && device.seconds >= 2.0) {
            line("busy", "its driver told no utilisation: nobody can say whether it worked".to_owned());
        }
    }
    if device.known_s > 0.0 {
        let whole = share(device.busy_s, device.known_s);
        line(
            "busy",
            match device.flight_s > 0.0 {
                true => {
                    let flight = share(device.flight_busy_s, device.flight_s);
                    format!("{flight} of the time in which requests were in flight, {whole} of all time")
                }
                false => format!("{whole} of the time; no request was in flight"),
            },
        );
        if device.polled {
            line("", "looked at ten times a second: what lies between two looks is not seen".to_owned());
        }
        let idle = share(f64_of(device.idle_polls), f64_of(device.polls));
        line("a poll", format!("a look once a second would have seen it idle {idle} of the time"));
        if device.hidden_bursts > 0 {
            let (bursts, hidden) = (grouped(device.hidden_bursts), time(device.hidden_s));
            let bursts = if device.hidden_bursts == 1 { "1 burst".to_owned() } else { format!("{bursts} bursts") };
            line("", format!("and missed {bursts} of work, {hidden} in all, between looks that saw nothing"));
        }
        let mut idle: Vec<_> = device.idle_s.iter().filter(|(_, seconds)| **seconds >= 0.05).collect();
        idle.sort_by(|one, other| other.1.total_cmp(one.1));
        for (place, (cause, seconds)) in idle.into_iter().enumerate() {
            line(if place == 0 { "idle" } else { "" }, format!("{:>8}  {}", time(*seconds), cause.says()));
        }
        for (place, gap) in device.gaps.iter().enumerate() {
            let at = duration(gap.at.micros_since(began));
            let what = if place == 0 { "gaps" } else { "" };
            line(what, format!("{:>8}  at +{at}: {}", time(gap.seconds), gap.cause.says()));
        }
    }
    if let Some(whole) = device.millijoules {
        let idle = match device.idle_watts {
            Some(watts) => format!("{} idle ({watts:.1} W)", joules(device.idle_mj)),
            None => "idle part unknown: no ten quiet seconds".to_owned(),
        };
        let (requests, nobody) = (joules(device.requests_mj), joules(device.unattributed_mj));
        line("energy", format!("{}: {requests} by requests, {idle}, {nobody} by nobody in flight", joules(whole)));
    }
    let most = [
        device.most_watts.map(|watts| format!("{watts:.0} W")),
        device.celsius.map(|celsius| format!("{celsius} °C")),
        device.memory.map(|memory| {
            let all = device.memory_total.map_or(String::new(), |all| format!(" of {}", grouped(all / MIB)));
            format!("{}{all} MiB in use", grouped(memory / MIB))
        }),
    ];
    let most: Vec<String> = most.into_iter().flatten().collect();
    if !most.is_empty() {
        line("at most", most.join(", "));
    }
    for (why, seconds) in &device.throttled_s {
        line("throttled", format!("{} by {why}", time(*seconds)));
    }
    let mut processes: Vec<_> = device.processes.iter().collect();
    processes.sort_by_key(|(_, process)| std::cmp::Reverse((process.percent, process.held)));
    for (place, (pid, process)) in processes.into_iter().take(MOST_PROCESSES).enumerate() {
        let held = process.held.map_or_else(|| "memory".to_owned(), |held| format!("{} MiB", grouped(held / MIB)));
        let computed = format!("computed in {} of {} looks", process.computing, device.looks);
        let what = if place == 0 { "processes" } else { "" };
        let name = process.name.as_ref().map(|name| format!(" ({})", inert(name))).unwrap_or_default();
        line(what, format!("{pid}{name} held {held}, {computed}"));
    }
    if device.foreign {
        line("", "more than one computed: the energy told to requests is an upper bound".to_owned());
    }
    if device.holes > 0 {
        line("holes", format!("{} times readings were missed; the counter carries over them", device.holes));
    }
    if let Some(lost) = device.lost {
        line("lost", format!("at +{}: nothing more is known of it", duration(lost.micros_since(began))));
    }
    text
}

#[expect(clippy::cast_precision_loss, reason = "seconds of a run")]
const fn f64_of(count: u64) -> f64 {
    count as f64
}

/// Says who used how much, by which method, and how good that is.
fn used(report: &GpuReport, width: usize) -> String {
    let Some(coverage) = report.coverage() else { return String::new() };
    let mut table = Table::new(&["who", "requests", "energy", "J per 1,000 answered", "time on devices"]);
    let is_known = report.devices.iter().any(|device| device.known_s > 0.0);
    let models = report.models.iter().map(|(name, used)| (format!("model {name}"), used));
    for (name, used) in models.chain(report.steps.iter().map(|(name, used)| (format!("step {name}"), used))) {
        // Of requests whose energy is known in part, the tokens are known in whole.
        let bound = if coverage < FULL_COVERAGE { "≥ " } else { "" };
        let per =
            used.joules_per_thousand().map_or_else(|| "?".to_owned(), |joules| format!("{bound}{}", tenths(joules)));
        let (requests, spent) = (grouped(used.requests), joules(used.millijoules));
        let busy = if is_known { time(used.busy_s) } else { "?".to_owned() };
        table.add(&[&inert(&name), &requests, &spent, &per, &busy]);
    }
    let mut notes = vec![format!(
        "{METHOD}: energy beyond idling, shared among requests in flight by tokens ({} of it) or else by time; it tells \
         of {:.0} % of their time",
        share(report.by_tokens_mj, report.requests_mj()),
        coverage * 100.0
    )];
    for (model, weight) in &report.prefill {
        notes.push(format!("a token of a prompt of {} costs {weight:.2} of one answered, by this run", inert(model)));
    }
    if report.prefill.is_empty() {
        notes.push(format!("a token of a prompt is taken to cost {USUAL_PREFILL} of one answered"));
    }
    if let Some(error) = report.error_alone() {
        notes.push(format!(
            "error, estimated: one request alone up to {:.0} %, one among others 20-40 %, steps and models that of the \
             sensor (about 5 %)",
            error * 100.0
        ));
    }
    notes.push("all devices are taken to work for all of these requests".to_owned());
    let table = table.render(width, |head| paint(DIM, head));
    let notes: Vec<String> = notes.iter().map(|note| paint(DIM, &wrapped(note, width, 0))).collect();
    format!("\n{table}\n{}\n", notes.join("\n"))
}
