//! `pipe top` from its arguments: the screen, or one look at it as text or JSON.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::follow::Followed;
use super::page::{View, page};
use super::screen;
use crate::base::Timestamp;
use crate::cli::args::TopArgs;
use crate::cli::exit::{CommandError, Exit};
use crate::cli::glance::word;
use crate::cli::printer::Printer;
use crate::cli::steer::live_or_newest;
use crate::journal::Home;

/// Lines of a look at a run that is no screen.
const LINES: usize = 40;
/// Answers and failures of a look as JSON.
const LISTED: usize = 20;

/// Shows a run on the whole screen until someone leaves it; with `--once` or `--json`, one look.
///
/// # Errors
/// No such run, a journal that cannot be read, or no terminal.
pub(in crate::cli) async fn top(args: &TopArgs, home: &Home, printer: &mut Printer) -> Result<Exit, CommandError> {
    let dir = live_or_newest(home, &args.run)?;
    if args.once || args.json {
        let mut run = Followed::open(dir)?;
        run.read(Duration::MAX)?;
        let now = run.moment(now());
        if args.json {
            printer.line(&to_json(&run, now).to_string())?;
            return Ok(Exit::Done);
        }
        let width = printer.out().width();
        for line in text(&run, now, width) {
            printer.line(&line)?;
        }
        return Ok(Exit::Done);
    }
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        let error = CommandError::new(Exit::Usage, "a full screen needs a terminal");
        return Err(error.help("`pipe top --once` prints one look at it, --json for programs"));
    }
    let unheard = |error| CommandError::new(Exit::Bug, format!("signals cannot be heard: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(unheard)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(unheard)?;
    let leave = Arc::new(AtomicBool::new(false));
    let (home, hears) = (home.clone(), Arc::clone(&leave));
    let mut shown = tokio::task::spawn_blocking(move || screen::show(&home, dir, &hears));
    let mut exit = Exit::Done;
    let shown = tokio::select! {
        shown = &mut shown => shown,
        // Whoever ends it from outside gets their terminal back as well.
        () = async { tokio::select! { _ = terminate.recv() => {}, _ = hangup.recv() => {} } } => {
            leave.store(true, Ordering::Relaxed);
            exit = Exit::Terminated;
            shown.await
        }
    };
    shown.map_err(|error| CommandError::new(Exit::Bug, error.to_string()))??;
    Ok(exit)
}

/// Returns a look at a run as lines of text.
pub(super) fn text(run: &Followed, now: Timestamp, width: usize) -> Vec<String> {
    let view = View {
        run: &run.dir.id,
        place: None,
        watch: &run.watch,
        status: run.status(),
        now,
        texts: &|case, digest| run.text(case, digest),
        cases_from: None,
        footer: None,
        is_up_to_date: run.is_up_to_date,
    };
    page(&view, width, LINES).iter().map(|line| line.to_string().trim_end().to_owned()).collect()
}

/// Returns a look at a run for programs.
pub(super) fn to_json(run: &Followed, now: Timestamp) -> Value {
    let watch = &run.watch;
    let skip = |count: usize| count.saturating_sub(LISTED);
    let failures: Vec<Value> = watch
        .mishaps
        .iter()
        .skip(skip(watch.mishaps.len()))
        .map(
            |mishap| json!({ "at_us": mishap.at, "id": mishap.id, "failure": mishap.failure, "again": mishap.again }),
        )
        .collect();
    let said: Vec<Value> = watch
        .said
        .iter()
        .skip(skip(watch.said.len()))
        .map(|said| json!({ "at_us": said.at, "id": said.id, "actor": said.actor, "text": run.text(said.id.case, &said.text) }))
        .collect();
    let kinds =
        watch.tally.failures.ranked().into_iter().map(|(kind, count)| json!({ "kind": kind.word(), "count": count }));
    json!({
        "run": run.dir.id,
        "status": word(run.status()),
        "at_us": now,
        "cases": watch.tally.cases,
        "total": watch.total(),
        "pace": watch.pace(now),
        "tokens": watch.tally.usage,
        "from_cache": watch.tally.from_cache,
        "in_flight": watch.in_flight(),
        "backends": watch.lanes,
        "failures": kinds.collect::<Vec<_>>(),
        "recent_failures": failures,
        "recent_answers": said,
    })
}

/// Returns the time on the wall.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
