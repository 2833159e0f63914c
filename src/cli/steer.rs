//! `pipe pause`, `pipe stop`, `pipe cancel`: one shell steers the run of another.
//!
//! An order is left in the run's folder; that it was carried out is an event in the journal, which is waited for.

use std::io::{BufRead as _, IsTerminal as _};
use std::time::{Duration, Instant};

use serde_json::json;

use super::args::{CancelArgs, SteerArgs};
use super::engage::tally_of;
use super::exit::{CommandError, Exit, with_causes};
use super::kept::Kept;
use super::printer::Printer;
use super::{check, show};
use crate::event::{Event, Recorded, RunEnded, RunOutcome, StopCause};
use crate::journal::{Batch, EventLog as _, EventSeq, Home, Order, Reader, RunDir, Sqlite};
use crate::report::stop_phrase;
use crate::run::Clock;

/// How long an answer is waited for: a process that commits looks for orders five times a second.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The journal says so.
    Done,
    /// The run was over before.
    Over(RunOutcome),
    /// The process died before.
    Gone,
}

/// Holds back new calls of a live run.
///
/// # Errors
/// No such run, nobody works on it, or it does not answer.
pub(super) async fn pause(args: &SteerArgs, home: &Home, printer: &mut Printer) -> Result<Exit, CommandError> {
    let dir = live_or_newest(home, &args.run)?;
    if !dir.is_held() {
        return Err(nobody(&dir, "pause")?);
    }
    if is_paused(&dir)? {
        return told(
            &dir,
            "paused",
            &format!("{} is paused already: `pipe resume` goes on", dir.id),
            args.json,
            printer,
        );
    }
    let done = |event: &Event| matches!(event, Event::RunPaused(_));
    match order(&dir, &Order::Pause, &done).await? {
        Heard::Done => {
            let says = format!("{} is paused: calls in flight may end; `pipe resume` goes on", dir.id);
            told(&dir, "paused", &says, args.json, printer)
        }
        other => over(&dir, &other, args.json, printer),
    }
}

/// Lets calls of a paused run start again.
///
/// # Errors
/// It does not answer.
pub(super) async fn unpause(dir: &RunDir, as_json: bool, printer: &mut Printer) -> Result<Exit, CommandError> {
    let done = |event: &Event| matches!(event, Event::RunUnpaused(_));
    match order(dir, &Order::Unpause, &done).await? {
        Heard::Done => {
            let says = format!("{} was paused and goes on, in the process that works on it", dir.id);
            told(dir, "running", &says, as_json, printer)
        }
        other => over(dir, &other, as_json, printer),
    }
}

/// Has a live run left in order.
///
/// # Errors
/// No such run, or it does not answer.
pub(super) async fn stop(args: &SteerArgs, home: &Home, printer: &mut Printer) -> Result<Exit, CommandError> {
    let dir = live_or_newest(home, &args.run)?;
    if !dir.is_held() {
        let error = nobody(&dir, "stop")?;
        return told(&dir, "not_running", &error.to_string(), args.json, printer);
    }
    let done = |event: &Event| matches!(event, Event::DrainStage(_));
    match order(&dir, &Order::Stop, &done).await? {
        Heard::Done => {
            let says = format!("{} is stopping: calls in flight may end; `pipe resume` goes on later", dir.id);
            told(&dir, "stopping", &says, args.json, printer)
        }
        other => over(&dir, &other, args.json, printer),
    }
}

/// Ends a run for good, live or not.
///
/// # Errors
/// No such run, nobody says yes, or the journal cannot be written.
pub(super) async fn cancel(args: &CancelArgs, home: &Home, printer: &mut Printer) -> Result<Exit, CommandError> {
    let dir = live_or_newest(home, &args.run)?;
    let reader = show::open(&dir)?;
    let last = reader.last_event().map_err(|error| CommandError::journal(&error))?;
    if let Some((_, Recorded { event: Event::RunEnded(ended), .. })) = &last
        && ended.outcome.is_final()
    {
        return over(&dir, &Heard::Over(ended.outcome.clone()), args.json, printer);
    }
    let counts = reader.case_counts().map_err(|error| CommandError::journal(&error))?;
    if !args.yes && !is_wanted(&dir, counts.settled(), printer)? {
        return Err(CommandError::new(Exit::Usage, format!("{} was not cancelled", dir.id)));
    }
    if dir.is_held() {
        let done = |event: &Event| matches!(event, Event::DrainStage(drain) if drain.cause == StopCause::Cancel);
        match order(&dir, &Order::Cancel, &done).await? {
            Heard::Done | Heard::Over(RunOutcome::Stopped(StopCause::Cancel)) => {}
            // Its process ended in another way just now: what is left is a run like any other that nobody works on.
            Heard::Over(RunOutcome::Stopped(_)) | Heard::Gone => record(&dir)?,
            Heard::Over(outcome @ (RunOutcome::Complete | RunOutcome::Enough(_))) => {
                return over(&dir, &Heard::Over(outcome), args.json, printer);
            }
        }
    } else {
        record(&dir)?;
    }
    let kept = check::counted(counts.settled(), "case");
    told(
        &dir,
        "cancelled",
        &format!("{} is cancelled; {kept} stay: `pipe results {}`", dir.id, dir.id),
        args.json,
        printer,
    )
}

/// Tells whether a process works on a run and holds calls back.
///
/// # Errors
/// The journal cannot be read.
pub(super) fn is_paused(dir: &RunDir) -> Result<bool, CommandError> {
    if !dir.is_held() {
        return Ok(false);
    }
    show::open(dir)?.is_paused().map_err(|error| CommandError::journal(&error))
}

/// Finds the run that is meant: `last` is the newest that somebody works on; without any, the newest.
///
/// # Errors
/// None, or more than one.
pub(super) fn live_or_newest(home: &Home, reference: &str) -> Result<RunDir, CommandError> {
    if reference == "last" {
        let runs = home.runs().map_err(|error| CommandError::journal(&error))?;
        if let Some(live) = runs.into_iter().find(RunDir::is_held) {
            return Ok(live);
        }
    }
    show::find(home, reference)
}

/// Says that nobody works on a run, and where it stands.
fn nobody(dir: &RunDir, verb: &str) -> Result<CommandError, CommandError> {
    let reader = show::open(dir)?;
    let last = reader.last_event().map_err(|error| CommandError::journal(&error))?;
    let over = matches!(last, Some((_, Recorded { event: Event::RunEnded(ended), .. })) if ended.outcome.is_final());
    let help = if over { "`pipe runs` lists the others" } else { "`pipe resume` goes on with it" };
    Ok(CommandError::new(Exit::Usage, format!("{} is not running: nothing to {verb}", dir.id)).help(help))
}

/// Leaves an order and waits until the journal says that it was carried out.
pub(super) async fn order(
    dir: &RunDir,
    order: &Order,
    is_done: &dyn Fn(&Event) -> bool,
) -> Result<Heard, CommandError> {
    let unread = |error: crate::journal::JournalError| CommandError::journal(&error);
    let reader = show::open(dir)?;
    let mut seen = reader.last_event().map_err(unread)?.map_or(EventSeq(0), |(seq, _)| seq);
    let spool = dir.spool();
    let name = spool.post(order, Clock::start(None).now()).map_err(|error| {
        CommandError::new(Exit::GateFailed, format!("{} takes no orders: {error}", dir.id))
            .help("it has just begun, or an older version works on it: try again, or interrupt its process")
    })?;
    let asked = Instant::now();
    loop {
        // Looked at before the events: what a process says last, it says before it goes.
        let is_held = dir.is_held();
        if let Some(heard) = heard(&reader, &mut seen, is_done)? {
            return Ok(heard);
        }
        if let Some(why) = spool.refusal(&name) {
            return Err(CommandError::new(Exit::GateFailed, format!("{} refuses: {why}", dir.id)));
        }
        if !is_held {
            // It may have said its last word before it was asked, and have written results since.
            return Ok(match reader.last_event().map_err(unread)? {
                Some((_, Recorded { event: Event::RunEnded(ended), .. })) => Heard::Over(ended.outcome),
                Some(_) | None => Heard::Gone,
            });
        }
        if asked.elapsed() > PATIENCE {
            let what = match spool.withdraw(&name) {
                true => "the order was taken back, nothing has changed",
                false => "the order was taken, what came of it is not in the journal yet",
            };
            let message = format!("{} has not answered within {} s: {what}", dir.id, PATIENCE.as_secs());
            return Err(CommandError::new(Exit::GateFailed, message).help("`pipe show` tells how far it is"));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn heard(
    reader: &Reader,
    seen: &mut EventSeq,
    is_done: &dyn Fn(&Event) -> bool,
) -> Result<Option<Heard>, CommandError> {
    let mut heard = None;
    let from = *seen;
    let mut look = |seq, recorded: Recorded| {
        *seen = seq;
        if heard.is_none() {
            heard = match &recorded.event {
                event if is_done(event) => Some(Heard::Done),
                Event::RunEnded(ended) => Some(Heard::Over(ended.outcome.clone())),
                _ => None,
            };
        }
        Ok(())
    };
    reader.events_after(from, &mut look).map_err(|error| CommandError::journal(&error))?;
    Ok(heard)
}

/// Says how a run ended before an order reached it.
pub(super) fn over(dir: &RunDir, heard: &Heard, as_json: bool, printer: &mut Printer) -> Result<Exit, CommandError> {
    let (result, says) = match heard {
        Heard::Over(RunOutcome::Complete | RunOutcome::Enough(_)) => ("complete", format!("{} is complete", dir.id)),
        Heard::Over(RunOutcome::Stopped(StopCause::Cancel)) => ("cancelled", format!("{} is cancelled", dir.id)),
        Heard::Over(RunOutcome::Stopped(cause)) => {
            ("stopped", format!("{} was stopped {}", dir.id, stop_phrase(cause)))
        }
        Heard::Gone | Heard::Done => {
            ("interrupted", format!("the process of {} has just died: `pipe resume` goes on", dir.id))
        }
    };
    told(dir, result, &says, as_json, printer)
}

pub(super) fn told(
    dir: &RunDir,
    result: &str,
    says: &str,
    as_json: bool,
    printer: &mut Printer,
) -> Result<Exit, CommandError> {
    if as_json {
        printer.line(&json!({ "run": dir.id, "status": result }).to_string())?;
    } else {
        printer.say(says);
    }
    Ok(Exit::Done)
}

/// Asks whether a run shall really end.
fn is_wanted(dir: &RunDir, settled: u64, printer: &mut Printer) -> Result<bool, CommandError> {
    if !std::io::stdin().is_terminal() || !printer.err().is_terminal() {
        let message = format!("{} would end for good, and nobody is here to ask", dir.id);
        return Err(CommandError::new(Exit::Usage, message).help("--yes does not ask; `pipe stop` ends it for now"));
    }
    let kept = check::counted(settled, "case");
    let asks = format!("end {} for good? {kept} stay, it cannot be resumed [y/N] ", dir.id);
    printer.err().write(&asks)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Records the end of a run that nobody works on.
fn record(dir: &RunDir) -> Result<(), CommandError> {
    let unwritten = |error: crate::journal::JournalError| CommandError::journal(&error);
    let lock = dir.lock().map_err(|error| CommandError::new(Exit::Usage, with_causes(&error)))?;
    let journal = dir.journal_path();
    let reader = show::open(dir)?;
    let (_, started) = reader.run_started().map_err(unwritten)?;
    let latest = reader.last_event().map_err(unwritten)?.map(|(_, last)| last.at);
    let tally = tally_of(&journal)?;
    let mut log = Sqlite::open(&journal, Kept::read(&started)?.durability()).map_err(unwritten)?;
    let ended = RunEnded { outcome: RunOutcome::Stopped(StopCause::Cancel), cases: tally.cases, usage: tally.usage };
    let recorded = Recorded { at: Clock::start(latest).now(), event: Event::RunEnded(ended) };
    log.append(&[Batch { events: [recorded].into(), ..Batch::default() }]).map_err(unwritten)?;
    log.finish().map_err(unwritten)?;
    drop(lock);
    Ok(())
}
