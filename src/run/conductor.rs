//! The one owner of a live run: every input goes through it in one order.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::mpsc;

use super::audience::Audience;
use super::clock::Clock;
use super::dispatch::{Dispatch, Returned};
use super::evaluations::{Asked, Evaluated, Evaluations};
use super::intake::{Intake, IntakeError, Read};
use super::keeping::{self, Keeping};
use super::live::Live;
use super::orders::Retuned;
use super::sampling;
use super::texts::TextCache;
use crate::base::{BackendName, CaseNo, Timestamp};
use crate::cache::{Entry, Keeper, Told};
use crate::engine::{Effect, Engine, Input, Step, Ticket};
use crate::event::{Event, GpuDevice, Outcome, Recorded, RunFailed, RunOutcome, Snapshot, StopCause};
use crate::gpu::{Sampler, Sampling};
use crate::journal::{Batch, Committed, EventLog, JournalError, Text, Writer};
use crate::plan::BackendIdx;
use crate::worker::Station;

/// Events between two checkpoints (`design/engine.md`).
const CHECKPOINT_EVERY: usize = 20_000;
/// Commit notices that may wait for the conductor; the writer waits when it is full, which only delays a commit.
const NOTICES: usize = 256;

/// Cases admitted in one go, before the journal is given what they come to.
const MOST_AT_ONCE: usize = 256;
/// Batches that may wait for the journal while new cases are admitted.
const MOST_WAITING: usize = 64;

/// Everything that a live run is made of.
pub struct Conductor {
    /// New, or replayed.
    pub engine: Engine,
    /// `Begin`, or `Resume` and what was tuned since.
    pub first: Vec<Input>,
    /// Texts that the first event speaks of.
    pub first_texts: Vec<Text>,
    /// Where events go.
    pub log: Box<dyn EventLog>,
    /// Where calls are made.
    pub station: Arc<Station>,
    /// Texts of open cases.
    pub texts: Arc<TextCache>,
    /// Calls that each backend works on at once.
    pub slots: Vec<u32>,
    /// Where cases come from.
    pub intake: Intake,
    /// Where answers are kept for other runs.
    pub keeper: Option<Keeper>,
    /// What samples graphics devices, and those that it found.
    pub sampler: Option<(Sampler, Vec<GpuDevice>)>,
    /// Who follows.
    pub audience: Audience,
    /// Where people steer.
    pub steers: mpsc::Receiver<Steer>,
    /// The time.
    pub clock: Clock,
}

/// What people may ask of a live run.
#[derive(Clone, Debug)]
pub enum Steer {
    /// Leave the run; a second time skips ahead.
    Stop(StopCause),
    /// Start no new call.
    Pause,
    /// Start calls again.
    Unpause,
    /// Work on so many calls at once: of one backend, or of each.
    Slots(Option<BackendName>, NonZeroU32),
    /// Keep other limits.
    Tune(Box<Retuned>),
}

/// How a process left a run.
#[derive(Debug)]
pub struct Ending {
    /// Complete, or stopped and resumable.
    pub outcome: RunOutcome,
    /// The display was held for so long that it missed facts: whoever sums them up reads the journal instead.
    pub facts_lost: bool,
    /// What there is to tell of the cache.
    pub cache: Told,
}

/// A run that could not be left in order.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The journal cannot be written; what is acknowledged is safe.
    #[error("the journal cannot be written")]
    Journal(#[source] Arc<JournalError>),
    /// A bug.
    #[error("bug: {0}")]
    Bug(String),
}

/// What waits for a commit.
struct Waiting {
    ticket: u64,
    effects: Vec<Effect>,
    facts: Arc<[Recorded]>,
    keep: Vec<Entry>,
}

struct Running<'a> {
    engine: Engine,
    station: Arc<Station>,
    texts: &'a TextCache,
    dispatch: Dispatch,
    evaluations: Evaluations,
    writer: &'a Writer,
    waiting: VecDeque<Waiting>,
    /// Facts and effects of steps not yet handed to the writer.
    events: Vec<Recorded>,
    new_texts: Vec<Text>,
    checkpoint: Option<Snapshot>,
    effects: Vec<Effect>,
    since_checkpoint: usize,
    keeping: Option<Keeping>,
    sampling: Option<Sampling>,
    audience: Audience,
    outcome: Option<RunOutcome>,
    clock: Clock,
}

impl Conductor {
    /// Runs until every case is settled or a stop is complete.
    ///
    /// Record first, act second: an effect is performed when the events of its step are on disk.
    ///
    /// # Errors
    /// The journal cannot be written, or a bug. Both leave a journal that a resume can take up.
    ///
    /// # Cancel safety
    /// Not cancel safe: send on `steers` instead of dropping the future.
    pub async fn conduct(self) -> Result<Ending, RunError> {
        let (notice, mut committed) = mpsc::channel(NOTICES);
        let on_commit = move |commit: Committed| {
            // A conductor that is gone has nothing left to do with it.
            drop(notice.blocking_send(commit));
        };
        let writer =
            Writer::start(self.log, Box::new(on_commit)).map_err(|error| RunError::Journal(Arc::new(error)))?;
        let dispatch = Dispatch::new(Arc::clone(&self.station), &self.slots, self.audience.display());
        let evaluations = Evaluations::new(Arc::clone(&self.station));
        let mut run = Running {
            engine: self.engine,
            station: self.station,
            texts: &self.texts,
            dispatch,
            evaluations,
            writer: &writer,
            waiting: VecDeque::new(),
            events: Vec::new(),
            new_texts: self.first_texts,
            checkpoint: None,
            effects: Vec::new(),
            since_checkpoint: 0,
            keeping: self.keeper.map(Keeping::new),
            sampling: self.sampler.and_then(|found| sampling::start(found, &writer, &self.audience, self.clock)),
            audience: self.audience,
            outcome: None,
            clock: self.clock,
        };
        let mut intake = Some(self.intake);
        let mut steers = self.steers;
        let mut last_busy = 0;

        let result = async {
            for input in self.first {
                run.give(input)?;
            }
            loop {
                run.admit(&mut intake)?;
                run.submit();
                if run.outcome.is_some() && run.waiting.is_empty() {
                    return Ok(());
                }
                let busy = run.dispatch.busy();
                if busy != last_busy {
                    last_busy = busy;
                    run.audience.mention(&Live::InFlight(u32::try_from(busy).unwrap_or(u32::MAX)));
                }
                let wakeup = run.engine.next_wakeup();
                let wants_case = run.wants_case();
                tokio::select! {
                    commit = committed.recv() => {
                        let Some(commit) = commit else { return Err(RunError::Bug("the writer went away".to_owned())) };
                        run.committed(commit)?;
                        while let Ok(commit) = committed.try_recv() {
                            run.committed(commit)?;
                        }
                    }
                    returned = run.dispatch.next() => {
                        run.returned(returned.map_err(RunError::Bug)?)?;
                        while let Some(returned) = run.dispatch.ready() {
                            run.returned(returned.map_err(RunError::Bug)?)?;
                        }
                    }
                    evaluated = run.evaluations.next() => {
                        run.evaluated(evaluated.map_err(RunError::Bug)?)?;
                        while let Some(evaluated) = run.evaluations.ready() {
                            run.evaluated(evaluated.map_err(RunError::Bug)?)?;
                        }
                    }
                    () = keeping::caught_up(&mut run.keeping) => {}
                    case = next_case(&mut intake), if wants_case => run.offer(&mut intake, case)?,
                    Some(steer) = steers.recv() => run.steer(steer)?,
                    () = sleep_until(&run.clock, wakeup), if wakeup.is_some() => run.give(Input::Tick)?,
                }
            }
        }
        .await;

        if let Err(RunError::Bug(message)) = &result {
            let at = run.clock.now();
            let event = Event::RunFailed(RunFailed { message: message.clone() });
            run.writer.submit(Batch { events: [Recorded { at, event }].into(), ..Batch::default() });
        }
        let outcome = run.outcome.take();
        let Running { audience, keeping, sampling, .. } = run;
        if let Some(sampling) = sampling {
            sampling.stop();
        }
        drop(committed);
        // The first failure names the cause; what closing says after it is only its echo.
        let closed = close(writer).await;
        let facts_lost = audience.finish().await;
        let cache = keeping::told(keeping).await;
        result?;
        closed?;
        let outcome = outcome.ok_or_else(|| RunError::Bug("a run ended without an outcome".to_owned()))?;
        Ok(Ending { outcome, facts_lost, cache })
    }
}

/// Closes the journal off the runtime's threads: it syncs.
async fn close(writer: Writer) -> Result<(), RunError> {
    match tokio::task::spawn_blocking(move || writer.close()).await {
        Ok(closed) => closed.map_err(|error| RunError::Journal(Arc::new(error))),
        Err(panic) => Err(RunError::Bug(panic.to_string())),
    }
}

async fn next_case(intake: &mut Option<Intake>) -> Option<Result<Read, IntakeError>> {
    match intake {
        Some(intake) => intake.next().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(clock: &Clock, wakeup: Option<Timestamp>) {
    match wakeup {
        Some(at) => tokio::time::sleep_until(clock.instant(at)).await,
        None => std::future::pending().await,
    }
}

impl Running<'_> {
    /// Gives one input to the engine and keeps what follows for the next commit.
    fn give(&mut self, input: Input) -> Result<(), RunError> {
        let now = self.clock.now();
        let engine = &mut self.engine;
        let step = catch_unwind(AssertUnwindSafe(|| engine.step(now, input)))
            .map_err(|panic| RunError::Bug(panic_text(&*panic)))?;
        let Step { events, effects } = step;
        if let Some(keeping) = &mut self.keeping {
            keeping.look(&events);
        }
        self.since_checkpoint += events.len();
        self.events.extend(events);
        self.effects.extend(effects);
        if self.since_checkpoint >= CHECKPOINT_EVERY {
            // A signed number: the layer that makes spans of these writes unsigned ones as texts.
            let events = i64::try_from(self.since_checkpoint).unwrap_or(i64::MAX);
            let _span = tracing::info_span!("pipe.checkpoint", events).entered();
            self.since_checkpoint = 0;
            self.checkpoint = Some(self.engine.state().snapshot(&self.station.plan));
            self.submit();
        }
        Ok(())
    }

    fn steer(&mut self, steer: Steer) -> Result<(), RunError> {
        match steer {
            Steer::Stop(cause) => self.give(Input::Stop(cause)),
            Steer::Pause => self.give(Input::Pause),
            Steer::Unpause => self.give(Input::Unpause),
            Steer::Slots(backend, slots) => {
                let plan = Arc::clone(&self.station.plan);
                let backends = plan.backends.iter().enumerate();
                let mut meant = backends.filter(|(_, one)| backend.as_ref().is_none_or(|name| *name == one.name));
                meant.try_for_each(|(place, _)| self.give(Input::Slots(BackendIdx(place), slots)))
            }
            Steer::Tune(retuned) => {
                let Retuned { plan, tuned, slots } = *retuned;
                slots.into_iter().try_for_each(|(backend, slots)| self.give(Input::Slots(backend, slots)))?;
                if let Some(halt) = &plan.halt {
                    self.audience.mention(&Live::Budget(halt.budgets()));
                }
                self.give(Input::Retune(Box::new(tuned), plan))
            }
        }
    }

    /// Hands what was kept to the writer.
    fn submit(&mut self) {
        if self.events.is_empty() && self.effects.is_empty() {
            return;
        }
        if self.effects.iter().any(|effect| matches!(effect, Effect::Finish(_))) {
            // Before the end is recorded, so that whoever reads that has all samples.
            if let Some(sampling) = self.sampling.take() {
                sampling.stop();
            }
            self.checkpoint = Some(self.engine.state().snapshot(&self.station.plan));
        }
        let facts: Arc<[Recorded]> = Arc::from(std::mem::take(&mut self.events));
        let (texts, checkpoint) = (std::mem::take(&mut self.new_texts), self.checkpoint.take());
        let effects = std::mem::take(&mut self.effects);
        let ticket = self.writer.submit(Batch { events: Arc::clone(&facts), texts, checkpoint });
        let keep = self.keeping.as_mut().map(Keeping::of_batch).unwrap_or_default();
        self.waiting.push_back(Waiting { ticket, effects, facts, keep });
    }

    /// Performs what waited for a commit, and tells the display.
    fn committed(&mut self, commit: Committed) -> Result<(), RunError> {
        commit.result.map_err(RunError::Journal)?;
        while let Some(waiting) = self.waiting.front() {
            if waiting.ticket > commit.through {
                break;
            }
            let Some(Waiting { effects, facts, keep, .. }) = self.waiting.pop_front() else { break };
            if let Some(keeping) = &mut self.keeping {
                keeping.committed(keep);
            }
            for effect in effects {
                self.perform(effect)?;
            }
            for fact in facts.iter() {
                if let Event::CaseSettled(settled) = &fact.event {
                    self.texts.forget(settled.case);
                    if let Some(keeping) = &mut self.keeping {
                        keeping.forget(settled.case);
                    }
                }
            }
            self.audience.tell(&facts);
        }
        Ok(())
    }

    fn perform(&mut self, effect: Effect) -> Result<(), RunError> {
        match effect {
            Effect::StartCall(call) => {
                if let Some(ticket) = self.dispatch.start(call) {
                    self.give(Input::Sent(ticket))?;
                }
            }
            Effect::Evaluate(evaluate) => self.evaluations.start(Asked::Task(evaluate)),
            Effect::Observe(observe) => self.evaluations.start(Asked::Case(observe)),
            Effect::CancelCall(ticket, why) => {
                if let Some(returned) = self.dispatch.cancel(ticket, why) {
                    self.report(returned)?;
                }
            }
            Effect::RecallUnsent => {
                for returned in self.dispatch.recall() {
                    self.report(returned)?;
                }
            }
            Effect::Resize(backend, slots) => {
                for ticket in self.dispatch.resize(backend.0, slots) {
                    self.give(Input::Sent(ticket))?;
                }
            }
            Effect::Finish(outcome) => self.outcome = Some(outcome),
        }
        Ok(())
    }

    /// A call under way is over: its slot goes to the next one at once.
    fn returned(&mut self, returned: Returned) -> Result<(), RunError> {
        let backend = self.backend_of(returned.ticket);
        let next = self.dispatch.free(returned.ticket, backend);
        self.report(returned)?;
        if let Some(ticket) = next {
            self.give(Input::Sent(ticket))?;
        }
        Ok(())
    }

    fn backend_of(&self, ticket: Ticket) -> usize {
        self.engine.backend_of(ticket.key).0
    }

    fn evaluated(&mut self, evaluated: Evaluated) -> Result<(), RunError> {
        let (key, found) = match evaluated {
            Evaluated::Task { key, found } => (key, found),
            Evaluated::Case { case, observed } => return self.give(Input::Observed(case, observed)),
        };
        for (digest, text) in found.texts {
            self.texts.put(key.case, digest, &text);
            self.new_texts.push(Text { case: Some(key.case), digest, body: text });
        }
        self.give(Input::Evaluated(key, Box::new(found.evaluation)))
    }

    fn report(&mut self, returned: Returned) -> Result<(), RunError> {
        let Returned { ticket, worked } = returned;
        if let (Some(keeping), Some((worth, entry))) = (&mut self.keeping, worked.keep) {
            keeping.give(ticket, worth, entry);
        }
        // Prompts are read again by people only; what later prompts are made of is kept at hand.
        let answer = match &worked.report.outcome {
            Outcome::Answered(answer) => Some(answer.text),
            Outcome::Failed(_) => None,
        };
        for (digest, text) in worked.texts {
            if answer == Some(digest) {
                self.texts.put(ticket.key.case, digest, &text);
            }
            self.new_texts.push(Text { case: Some(ticket.key.case), digest, body: text });
        }
        self.give(Input::Returned(ticket, Box::new(worked.report)))
    }

    /// Admits the cases that have been read already and would be worked on.
    fn admit(&mut self, intake: &mut Option<Intake>) -> Result<(), RunError> {
        // Cases whose tasks are all adopted keep no slot busy, so the engine wants more without end.
        let mut left = MOST_AT_ONCE;
        while self.wants_case()
            && left > 0
            && let Some(case) = intake.as_mut().and_then(Intake::ready)
        {
            self.offer(intake, Some(case))?;
            left -= 1;
        }
        Ok(())
    }

    /// A journal that falls behind is waited for: what waits for it is bounded by calls in flight and by this.
    fn wants_case(&self) -> bool {
        let is_behind = self.keeping.as_ref().is_some_and(Keeping::is_behind);
        !is_behind && self.waiting.len() < MOST_WAITING && self.engine.wants_cases() > 0
    }

    fn offer(
        &mut self,
        intake: &mut Option<Intake>,
        case: Option<Result<Read, IntakeError>>,
    ) -> Result<(), RunError> {
        match case {
            Some(Ok(Read { offered, texts })) => {
                let case = CaseNo(self.engine.state().cases.admitted);
                for text in texts {
                    self.texts.put(case, text.digest, &text.body);
                    self.new_texts.push(text.in_case(case));
                }
                self.give(Input::Offer(vec![offered]))
            }
            Some(Err(error)) => {
                *intake = None;
                self.give(Input::Stop(StopCause::SourceUnusable { reason: error.to_string() }))
            }
            None => {
                *intake = None;
                self.give(Input::SourceEnded)
            }
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message").to_owned()
}
