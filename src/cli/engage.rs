//! The part that `run` and `resume` share: conduct, show, write the results, say the end.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use super::args::Session;
use super::exit::{CommandError, Exit, with_causes};
use super::live::{self, Display, Ending, Manner, say_ending};
use super::output::Output;
use super::printer::{BOLD, DIM, Printer, Stream, inert, paint};
use super::sampling::Devices;
use super::{cache, connect, learned, metrics, spans};
use crate::backend::Connected;
use crate::base::{CaseNo, Digest};
use crate::engine::{Engine, Input};
use crate::event::{BackendResolved, CaseAdmitted, GrowingFeatures, RunOutcome, StopCause, Traced};
use crate::journal::{EventLog, EventPage, EventSeq, JournalError, Reader, RunDir, RunLock, Text};
use crate::plan::Plan;
use crate::report::Tally;
use crate::run::{Audience, Clock, Conductor, Intake, Live, Reuse, RunError, Steer, TextCache};
use crate::task::OneOutput;
use crate::worker::{OutputsOfCases, Station, Tracing};

/// Cases up to which a terminal shows the talk itself.
const TALK_UP_TO: u64 = 3;

/// Wishes that may wait for the conductor: more than people utter between two of its steps.
const STEERS: usize = 16;

/// Everything that is ready before the first call.
pub(super) struct Engagement {
    pub(super) plan: Arc<Plan>,
    pub(super) connected: Vec<Connected>,
    pub(super) earlier: Option<Vec<BackendResolved>>,
    pub(super) dir: RunDir,
    pub(super) lock: RunLock,
    pub(super) log: Box<dyn EventLog>,
    pub(super) engine: Engine,
    pub(super) first: Vec<Input>,
    pub(super) first_texts: Vec<Text>,
    /// What another run has settled already.
    pub(super) reuse: Option<Reuse>,
    pub(super) total: u64,
    pub(super) output: Output,
    pub(super) session: Session,
    /// Where metrics go.
    pub(super) outlets: metrics::Outlets,
    /// What samples graphics devices.
    pub(super) devices: Devices,
    /// Where its spans and judgements go.
    pub(super) telling: Vec<spans::Telling>,
    /// How requests name their spans.
    pub(super) traced: Traced,
    pub(super) clock: Clock,
}

/// Runs to the end or to a stop.
///
/// # Errors
/// The journal, a thread or an output that cannot be used; how the run ends is an exit code.
pub(super) async fn engage(engagement: Engagement, printer: &mut Printer) -> Result<Exit, CommandError> {
    let Engagement { plan, connected, earlier, dir, lock, log, engine, first, first_texts, reuse, .. } = engagement;
    let Engagement { total, output, session, clock, outlets, telling, traced, devices, .. } = engagement;
    introduce(&dir, &plan, &connected, printer);
    let journal = dir.journal_path();
    let texts = Arc::new(TextCache::new(journal_lookup(&journal)?));
    let talk = total <= TALK_UP_TO && printer.err().is_terminal() && !session.quiet;
    let is_resumed = earlier.is_some();
    // Read on the display's thread: a million cases take longer to count than the first call may wait.
    let before = is_resumed.then(|| (journal.clone(), log.last_seq()));
    let manner = match () {
        () if session.quiet => Manner::Silent,
        () if talk => Manner::Talk(boxed_lookup(&texts)),
        () => Manner::Line,
    };
    let (live, listener) = mpsc::channel(live::CHANNEL);
    let display = show(manner, before, printer.err_again(), listener)?;

    let models = connect::models(&plan, &connected, earlier.as_deref());
    let about = metrics::About { run: &dir.id, plan: &plan, models: &models, journal: &journal, is_resumed };
    let (keeping, reader) = metrics::start(&about, outlets)?.unzip();
    let audience = audience(live, reader, total, &plan);
    let state = engine.state();
    let intake = if state.source_ended {
        Intake::over()
    } else {
        Intake::start(Arc::clone(&plan), state.passed(&plan), state.admitted_chain, reuse)
            .map_err(|error| CommandError::new(Exit::Bug, error.to_string()))?
    };
    let stream = talk || plan.limits.streams;
    let retuner = super::tune::Retuner::new(dir.clone(), stream);
    let (recall, keeper) = cache::open(&plan, &dir, &connected, printer);
    let station = Station {
        plan: Arc::clone(&plan),
        backends: connected.iter().map(|one| Arc::clone(&one.backend)).collect(),
        models,
        refused: connected.iter().map(|_| GrowingFeatures::default()).collect(),
        stream,
        texts: lookup(&texts),
        outputs: outputs(journal.clone()),
        tracing: Some(Tracing { run: dir.id.clone(), traced, state: spans::state() }),
        recall,
    };
    let followings =
        telling.into_iter().map(|telling| spans::follow(&dir, &plan, telling)).collect::<Result<_, _>>()?;
    let spool = dir.spool();
    spool.clear()?;
    let (steer, steers) = mpsc::channel(STEERS);
    let conductor = Conductor {
        engine,
        first,
        first_texts,
        log,
        station: Arc::new(station),
        texts,
        slots: connected.iter().map(|one| one.resolved.slots).collect(),
        intake,
        audience,
        sampler: devices.sampler,
        keeper,
        steers,
        clock,
    };
    let ended = tokio::select! {
        ended = Box::pin(conductor.conduct()) => ended,
        error = signals(steer.clone(), session.among.as_deref()) => {
            return Err(CommandError::new(Exit::Bug, format!("signals cannot be heard: {error}")));
        }
        () = crate::run::listen(spool, steer, Arc::new(move |sets| retuner.retune(sets))) => {
            return Err(CommandError::new(Exit::Bug, "nobody listens for orders"));
        }
    };
    let tally = tokio::task::spawn_blocking(move || display.join())
        .await
        .ok()
        .and_then(Result::ok)
        .ok_or_else(|| CommandError::new(Exit::Bug, "the display died"))?;
    let ended = ended.map_err(|error| left(&error))?;
    cache::say(&ended.cache, printer);
    // What was over ahead of its turn was shown, and does not count.
    let again = ended.facts_lost || matches!(ended.outcome, RunOutcome::Enough(_)) || plan.repeats.is_some();
    let tally = if again { tally_of(&journal)? } else { tally.map_err(|error| CommandError::journal(&error))? };
    let complete = ended.outcome.is_complete();
    let results = if complete { output.write(&dir, &plan, printer)?.map(|path| shown(&path)) } else { None };
    let mut summary = tally.summary(&dir.id);
    let answers = journal_lookup(&journal)?;
    summary.tell_answers(&answers);
    summary.total = summary.total.or(Some(total));
    summary.tolerated = (plan.tolerated > 0.0).then_some(plan.tolerated);
    if session.json {
        let summary = serde_json::to_string(&summary).map_err(std::io::Error::from)?;
        printer.line(&summary)?;
    }
    let kept = shown(&dir.path);
    let name = if is_of_this_home(&dir) { "last".to_owned() } else { kept.clone() };
    let spent = super::spent::keys(&dir, &summary);
    say_ending(printer, &summary, &Ending { results, kept, name: name.clone(), spent });
    drop(lock);
    learned::keep(&dir, &connected).iter().for_each(|trouble| printer.say(trouble));
    spans::end(followings, &dir, &name, printer).await?;
    metrics::end(keeping, printer).await;
    Ok(exit_of(&plan, &ended.outcome, &tally))
}

/// Returns true when `last` names a run from the working folder.
fn is_of_this_home(dir: &RunDir) -> bool {
    dir.path.parent().and_then(std::path::Path::parent) == Some(super::place::home_here().path())
}

/// Brings together who follows, and tells them what to expect.
fn audience(display: mpsc::Sender<Live>, reader: Option<mpsc::Sender<Live>>, total: u64, plan: &Plan) -> Audience {
    let audience = Audience::of(display).with(reader);
    // Everybody has just started and every channel is empty, so this cannot be lost.
    audience.mention(&Live::Total(Some(total)));
    if let Some(halt) = &plan.halt {
        audience.mention(&Live::Budget(halt.budgets()));
    }
    audience
}

/// Says what runs, with which parameters, and who answers; and to which run the process's own spans belong.
fn introduce(dir: &RunDir, plan: &Plan, connected: &[Connected], printer: &mut Printer) {
    tracing::Span::current().record("pipe.run.id", dir.id.as_str());
    let what = plan.description.as_deref().map(|text| format!(": {}", inert(text.trim()))).unwrap_or_default();
    printer.say(&format!("{}{what}", paint(BOLD, &plan.name)));
    for (name, value) in &plan.params {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        printer.say(&format!("  {name}: {}", inert(&value)));
    }
    for one in connected {
        let demo = if one.demo { ", a demo model" } else { "" };
        printer.say(&paint(DIM, &format!("{}{demo}", one.says)));
    }
}

/// Says why a run could not be left in order.
fn left(error: &RunError) -> CommandError {
    let told = match error {
        RunError::Bug(message) => CommandError::new(Exit::Bug, message.clone()),
        RunError::Journal(_) => CommandError::new(Exit::JournalUnusable, with_causes(error)),
    };
    told.help(KEPT)
}

const KEPT: &str = "everything acknowledged is kept; `pipe resume` goes on from there";

/// Waits for signals for ever and hands them on, and says when it does; ends only when signals cannot be heard.
async fn signals(steer: mpsc::Sender<Steer>, told: Option<&AtomicBool>) -> std::io::Error {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
        (Err(error), _) | (_, Err(error)) => return error,
    };
    told.iter().for_each(|told| told.store(true, Ordering::Relaxed));
    loop {
        let cause = tokio::select! {
            _ = interrupt.recv() => StopCause::Interrupt,
            _ = terminate.recv() => StopCause::Terminate,
        };
        // When so many wait already, one more says nothing new.
        drop(steer.try_send(Steer::Stop(cause)));
    }
}

/// Returns the exit code of a run that a condition of its `stop` ended.
pub(super) fn exit_of_condition(condition: &str) -> Exit {
    if condition == "budget" { Exit::Budget } else { Exit::GateFailed }
}

fn exit_of(plan: &Plan, outcome: &RunOutcome, tally: &Tally) -> Exit {
    match outcome {
        RunOutcome::Stopped(StopCause::Condition(reached)) => exit_of_condition(&reached.condition),
        RunOutcome::Complete | RunOutcome::Enough(_)
            if !plan.tolerates(tally.cases.failed, tally.cases.settled()) =>
        {
            Exit::GateFailed
        }
        // What was to be made of all cases is not there, however many of them may fail.
        RunOutcome::Complete if tally.over_all.failed() > 0 => Exit::GateFailed,
        RunOutcome::Complete | RunOutcome::Enough(_) => Exit::Done,
        RunOutcome::Stopped(StopCause::Interrupt) => Exit::Interrupted,
        RunOutcome::Stopped(StopCause::Terminate | StopCause::Command | StopCause::Cancel) => Exit::Terminated,
        RunOutcome::Stopped(StopCause::BackendUnusable { .. } | StopCause::BackendWaits { .. }) => {
            Exit::BackendUnusable
        }
        RunOutcome::Stopped(StopCause::SourceUnusable { .. }) => Exit::InvalidPipeline,
    }
}

type Lookup = dyn Fn(CaseNo, &Digest) -> Option<Arc<str>> + Send + Sync;

fn lookup(texts: &Arc<TextCache>) -> Arc<Lookup> {
    let texts = Arc::clone(texts);
    Arc::new(move |case, digest| texts.get_open(case, digest))
}

fn boxed_lookup(texts: &Arc<TextCache>) -> live::TextLookup {
    let texts = Arc::clone(texts);
    Box::new(move |case, digest| texts.get(case, digest))
}

/// Returns a reading of what cases came to, on a connection of its own each time: it is asked for at the end.
fn outputs(journal: std::path::PathBuf) -> Arc<OutputsOfCases> {
    Arc::new(move |matrix, step, visit| {
        let reader = Reader::open(&journal).map_err(|error| with_causes(&error))?;
        let look = &mut |record: crate::journal::CaseRecord| {
            let task = record.tasks.iter().find(|task| task.step == *step);
            if let Some(task) = task.filter(|_| record.admitted.matrix == *matrix) {
                let CaseAdmitted { case, item, repeat, .. } = &record.admitted;
                visit(&OneOutput { case: *case, item, repeat: *repeat, task });
            }
            Ok(())
        };
        reader.cases(CaseNo(0), look).map_err(|error| with_causes(&error))
    })
}

/// Returns a reading of the journal's texts on a connection of its own.
fn journal_lookup(journal: &std::path::Path) -> Result<Box<Lookup>, CommandError> {
    let reader = Mutex::new(Reader::open(journal).map_err(|error| CommandError::journal(&error))?);
    Ok(Box::new(move |case, digest| {
        let reader = reader.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        reader.text(Some(case), digest).ok().flatten()
    }))
}

/// Starts a display of a run, which counts first what the journal `before` has up to an event.
fn show(
    manner: Manner,
    before: Option<(PathBuf, EventSeq)>,
    err: Stream,
    listener: mpsc::Receiver<Live>,
) -> Result<JoinHandle<Result<Tally, JournalError>>, CommandError> {
    let display = move || {
        let tally = before.map_or_else(|| Ok(Tally::default()), |(journal, through)| tally_until(&journal, through));
        tally.map(|tally| Display::new(manner, err, tally))
    };
    let started = live::start(display, listener);
    started.map_err(|error| CommandError::new(Exit::Bug, format!("no thread for the display: {error}")))
}

/// Returns what a journal's events come to.
///
/// # Errors
/// The journal cannot be read.
pub(super) fn tally_of(journal: &std::path::Path) -> Result<Tally, CommandError> {
    tally_until(journal, EventSeq(u64::MAX)).map_err(|error| CommandError::journal(&error))
}

/// Returns what a journal's events come to, up to one of them.
fn tally_until(journal: &std::path::Path, through: EventSeq) -> Result<Tally, JournalError> {
    let reader = Reader::open(journal)?;
    let mut tally = Tally::of(reader.that_count()?);
    let mut page = EventPage { last: EventSeq::default(), has_more: true };
    while page.has_more && page.last < through {
        page = reader.page_after(page.last, &mut |seq, recorded| {
            if seq <= through {
                tally.add(&recorded);
            }
            Ok(())
        })?;
    }
    Ok(tally)
}

/// Returns a path as short as it can be from here.
fn shown(path: &std::path::Path) -> String {
    let here = std::env::current_dir().ok();
    let relative = here.as_deref().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path);
    relative.display().to_string()
}
