//! What has happened so far: changed by events alone, live and in replay.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::backend_state::BackendState;
use super::call::{ElementNo, Key, TaskKey};
use super::clock::Clock;
use super::evidence::Prefix;
use super::repeats::Repeats;
use super::spent::SpentBy;
use crate::base::{AttemptNo, CaseNo, Digest, EachKey, Hasher, ItemId, StepName, Timestamp};
use crate::event::{
    Answer, AttemptEnded, AttemptId, AttemptStarted, CaseCounts, Element, ElementSettled, Evaluated, Event, Failure,
    Outcome, Recorded, TaskSettled, Usage,
};
use crate::plan::{ActorIdx, BackendIdx, Call, CellIdx, Plan, StepIdx};

/// A run at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct RunState {
    /// Cases by how they stand.
    pub cases: CaseCounts,
    /// Every case has been admitted.
    pub source_ended: bool,
    /// How many cells have begun with what is done over all of their cases.
    pub closings: u64,
    /// Hash over the admitted items in order.
    pub admitted_chain: Digest,
    /// Tokens over all attempts.
    pub usage: Usage,
    /// What servers did not report of them, by the length of the texts.
    pub estimated: Usage,
    /// Both by who spent them.
    pub spent: SpentBy,
    /// Which process this is, from 0.
    pub segment: u32,
    /// Since when no new call starts; none while the run is not paused.
    pub paused_since: Option<Timestamp>,
    /// How long it was paused before that, in milliseconds.
    pub paused_ms: u64,
    /// How long processes have worked on the run.
    pub clock: Clock,
    /// Cases that are not settled.
    pub open: BTreeMap<CaseNo, CaseState>,
    /// By the plan's order of backends.
    pub backends: Vec<BackendState>,
    /// How many cases there will be, where the run's condition on evidence asks for it.
    pub all_cases: Option<u64>,
    /// What that condition has seen.
    pub prefix: Prefix,
    /// Which items are being repeated, where that may end early.
    pub repeats: Repeats,
}

/// A case that is not settled.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseState {
    /// Its item.
    pub item: ItemId,
    /// Its repeat.
    pub repeat: u32,
    /// Its cell of the matrix.
    pub cell: CellIdx,
    /// Its row.
    pub row: Digest,
    /// By the plan's order of steps.
    pub tasks: Vec<TaskState>,
    /// Steps whose condition holds and whose elements are known; only those that have either.
    pub opened: BTreeMap<StepIdx, Opened>,
    /// The latest request of calls of which nothing else is kept, in a case that was reopened.
    pub asked: BTreeMap<(StepIdx, Option<EachKey>, Call), u32>,
}

/// A step whose condition holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened {
    /// The elements of a `for_each` step.
    pub elements: Option<Vec<ElementState>>,
}

/// One element of a `for_each` step.
#[derive(Clone, Debug, PartialEq)]
pub struct ElementState {
    /// What it is known by.
    pub key: EachKey,
    /// It, as JSON, in the journal's texts.
    pub value: Digest,
    /// Where its task stands.
    pub task: TaskState,
}

/// Where a task stands. Whether a task without calls may begin follows from the others.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskState {
    /// It has the calls sent so far; none before its first.
    Open(BTreeMap<Call, CallState>),
    /// It is over.
    Settled(Arc<TaskSettled>),
}

/// A call that has been sent at least once.
#[derive(Clone, Debug, PartialEq)]
pub struct CallState {
    /// Requests so far.
    pub attempts: u32,
    /// Those that failed and count against the limit.
    pub charged: u32,
    /// When the first was recorded.
    pub first: Timestamp,
    /// How long calls to the backend had stood still before the first, in milliseconds.
    pub open_ms_before: u64,
    /// Tokens of the answer.
    pub usage: Usage,
    /// Time spent in all its requests, in microseconds.
    pub busy_us: u64,
    /// Where it stands.
    pub phase: CallPhase,
}

/// Where a call stands.
#[derive(Clone, Debug, PartialEq)]
pub enum CallPhase {
    /// To be sent again, not before then.
    Ready(Timestamp),
    /// Sent, or about to be.
    InFlight(AttemptNo),
    /// Answered.
    Answered(Answer),
    /// Given up.
    Failed(Failure),
}

/// An event that cannot follow what happened before it: a bug, damage, or a journal of another plan.
#[derive(Debug, thiserror::Error)]
#[error("event {kind} cannot follow what the journal says before it: {why}")]
pub struct IllegalEvent {
    /// Which kind.
    pub kind: &'static str,
    /// What does not fit.
    pub why: String,
}

impl CaseState {
    /// Returns a task's calls; none when it is settled.
    pub(super) fn calls(&self, key: TaskKey) -> Option<&BTreeMap<Call, CallState>> {
        let task = match key.element {
            None => &self.tasks[key.step.0],
            Some(element) => &self.element(key.step, element)?.task,
        };
        match task {
            TaskState::Open(calls) => Some(calls),
            TaskState::Settled(_) => None,
        }
    }

    /// Returns an element of a `for_each` step whose list is known.
    pub(super) fn element(&self, step: StepIdx, ElementNo(number): ElementNo) -> Option<&ElementState> {
        self.opened.get(&step)?.elements.as_ref()?.get(number as usize)
    }

    /// Returns the elements of a step, in order; none without `for_each`, or before its list is known.
    pub(super) fn elements(&self, step: StepIdx) -> impl Iterator<Item = (ElementNo, &ElementState)> {
        let elements = self.opened.get(&step).and_then(|opened| opened.elements.as_ref());
        (0..).map(ElementNo).zip(elements.into_iter().flatten())
    }

    /// Returns every task of a step that may have calls: the step's own, and those of its elements.
    pub(super) fn parts(&self, step: StepIdx) -> impl Iterator<Item = Option<ElementNo>> {
        std::iter::once(None).chain(self.elements(step).map(|(element, _)| Some(element)))
    }

    /// Returns a task's record; none when it is not settled.
    #[must_use]
    pub fn settled(&self, step: StepIdx) -> Option<&Arc<TaskSettled>> {
        match &self.tasks[step.0] {
            TaskState::Settled(record) => Some(record),
            TaskState::Open(_) => None,
        }
    }
}

impl RunState {
    /// Returns the state before the first event.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let fresh = BackendState::default();
        Self {
            cases: CaseCounts::default(),
            source_ended: false,
            closings: 0,
            admitted_chain: Hasher::new("pipe admitted 1").finish(),
            usage: Usage::default(),
            estimated: Usage::default(),
            spent: SpentBy::default(),
            segment: 0,
            paused_since: None,
            paused_ms: 0,
            clock: Clock::default(),
            open: BTreeMap::new(),
            backends: vec![fresh; plan.backends.len()],
            all_cases: None,
            prefix: Prefix::default(),
            repeats: Repeats::default(),
        }
    }

    /// Takes one event in: the only road into the state.
    ///
    /// # Errors
    /// The event cannot follow; the state is then of no use.
    pub fn apply(&mut self, plan: &Plan, recorded: &Recorded) -> Result<(), IllegalEvent> {
        let at = recorded.at;
        let before = self.clock.latest;
        self.clock.tick(at, matches!(recorded.event, Event::RunResumed(_)));
        let done = match &recorded.event {
            Event::RunResumed(event) => {
                self.segment = event.segment;
                self.all_cases = event.cases.or(self.all_cases);
                self.know(plan, &event.backends);
                // The time between two processes is no one's: neither the calls' nor the limits'.
                match (self.paused_since, before) {
                    (None, Some(before)) => self.paused_ms += at.since(before).0,
                    (Some(_), _) | (None, None) => self.end_pause(at),
                }
                Ok(())
            }
            Event::RunPaused(_) => {
                self.paused_since.get_or_insert(at);
                Ok(())
            }
            Event::RunUnpaused(_) => {
                self.end_pause(at);
                Ok(())
            }
            Event::CaseAdmitted(event) => self.admit(plan, event),
            Event::SourceEnded(_) => {
                self.source_ended = true;
                Ok(())
            }
            Event::CellClosing(event) => self.close(plan, event),
            Event::AttemptStarted(event) => self.start(plan, at, event),
            Event::AttemptEnded(event) => self.end(plan, event),
            Event::Evaluated(event) => self.open(plan, event),
            Event::ElementSettled(event) => self.settle_element(plan, event),
            Event::TaskSettled(event) => self.settle(plan, event),
            Event::TaskAdopted(event) => self.settle(plan, &event.task),
            Event::CaseSettled(event) => match self.open.remove(&event.case) {
                Some(case) if plan.is_closing(case.cell) => Ok(()),
                Some(case) => {
                    self.cases.settle(event.status);
                    if let Some(evidence) = &plan.evidence {
                        self.prefix.settle((plan, evidence), event.case, &event.observed, self.all_cases);
                    }
                    self.repeats.settle(plan, case.cell, event, case.repeat);
                    Ok(())
                }
                None => Err(format!("case {} is not open", event.case)),
            },
            Event::CaseReopened(event) => self.reopen(plan, event),
            Event::CapacityChanged(event) => {
                let place = plan.backends.iter().position(|backend| backend.name == event.backend);
                match place {
                    Some(place) => {
                        self.backends[place].change(at, event.change, event.model.as_ref());
                        Ok(())
                    }
                    None => Err(format!("the plan has no backend {}", event.backend)),
                }
            }
            Event::RunStarted(event) => {
                self.all_cases = event.cases;
                self.know(plan, &event.backends);
                Ok(())
            }
            Event::StopReached(event) => {
                if event.case.is_some() {
                    self.prefix.tell();
                }
                Ok(())
            }
            Event::RepeatsReached(event) => {
                self.repeats.reached(event);
                Ok(())
            }
            Event::RunTuned(_)
            | Event::WindowTrimmed(_)
            | Event::DrainStage(_)
            | Event::RunEnded(_)
            | Event::RunFailed(_) => Ok(()),
        };
        done.map_err(|why| IllegalEvent { kind: recorded.event.kind(), why })
    }

    /// Returns a call that has been sent.
    #[must_use]
    pub fn call(&self, key: Key) -> Option<&CallState> {
        self.open.get(&key.case)?.calls(key.task())?.get(&key.call)
    }

    /// Returns how many requests are recorded and not over: of a run that is replayed, those that its process took
    /// along.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        let tasks = self.open.values().flat_map(|case| &case.tasks);
        let calls = tasks.filter_map(|task| match task {
            TaskState::Open(calls) => Some(calls.values()),
            TaskState::Settled(_) => None,
        });
        calls.flatten().filter(|call| matches!(call.phase, CallPhase::InFlight(_))).count() as u64
    }

    /// Returns how long calls to a backend have stood still through no fault of theirs, up to `now`: its breaker was
    /// open, or the run paused. Where both were, both count: a limit in time is the later for it, never the earlier.
    pub(super) fn still_ms(&self, backend: usize, now: Timestamp) -> u64 {
        let paused = self.paused_ms + self.paused_since.map_or(0, |since| now.since(since).0);
        self.backends[backend].open_ms_until(now) + paused
    }

    fn end_pause(&mut self, at: Timestamp) {
        if let Some(since) = self.paused_since.take() {
            self.paused_ms += at.since(since).0;
        }
    }

    fn task(&mut self, plan: &Plan, id: &AttemptId) -> Result<(Call, &mut BTreeMap<Call, CallState>), String> {
        let call = Call::parse(&id.call).ok_or_else(|| format!("unknown call {}", id.call))?;
        let (step, case) = self.step_of(plan, id.case, &id.step)?;
        let task = match &id.each {
            None => &mut case.tasks[step.0],
            Some(each) => &mut case.find_element(step, each)?.task,
        };
        match task {
            TaskState::Open(calls) => Ok((call, calls)),
            TaskState::Settled(_) => Err(format!("{} of case {} is settled", id.step, id.case)),
        }
    }

    /// Returns an open case with the place of one of its steps: what closes a cell has others than its cases.
    fn step_of(&mut self, plan: &Plan, case: CaseNo, step: &StepName) -> Result<(StepIdx, &mut CaseState), String> {
        let found = self.open.get_mut(&case).ok_or_else(|| format!("case {case} is not open"))?;
        let place = plan.cell(found.cell).find_step(step);
        Ok((place.ok_or_else(|| format!("the plan has no step {step}"))?, found))
    }

    fn open(&mut self, plan: &Plan, event: &Evaluated) -> Result<(), String> {
        let (step, case) = self.step_of(plan, event.case, &event.step)?;
        if matches!(case.tasks[step.0], TaskState::Settled(_)) || case.opened.contains_key(&step) {
            return Err(format!("{} of case {} has begun already", event.step, event.case));
        }
        let element = |Element { key, value }: &Element| ElementState {
            key: key.clone(),
            value: *value,
            task: TaskState::Open(BTreeMap::new()),
        };
        let elements = event.each.as_ref().map(|each| each.iter().map(element).collect());
        case.opened.insert(step, Opened { elements });
        Ok(())
    }

    fn settle_element(&mut self, plan: &Plan, event: &ElementSettled) -> Result<(), String> {
        let ElementSettled { each, task } = event;
        let (step, case) = self.step_of(plan, task.case, &task.step)?;
        let element = case.find_element(step, each)?;
        if matches!(element.task, TaskState::Settled(_)) {
            return Err(format!("{each} of {} of case {} is settled already", task.step, task.case));
        }
        element.task = TaskState::Settled(Arc::new(task.clone()));
        Ok(())
    }

    fn start(&mut self, plan: &Plan, at: Timestamp, event: &AttemptStarted) -> Result<(), String> {
        let backend = plan.backends.iter().position(|backend| backend.name == event.backend);
        let backend = backend.ok_or_else(|| format!("the plan has no backend {}", event.backend))?;
        let open_ms_before = self.still_ms(backend, at);
        let asked = self.open.get(&event.id.case).map_or(0, |case| case.asked_before(plan, &event.id));
        let (call, calls) = self.task(plan, &event.id)?;
        let state = calls.entry(call).or_insert_with(|| CallState {
            attempts: asked,
            charged: 0,
            first: at,
            open_ms_before,
            usage: Usage::default(),
            busy_us: 0,
            phase: CallPhase::Ready(at),
        });
        if !matches!(state.phase, CallPhase::Ready(_)) || event.id.attempt.0 != state.attempts + 1 {
            return Err(format!("{} cannot start while the call is {:?}", event.id, state.phase));
        }
        state.attempts = event.id.attempt.0;
        state.phase = CallPhase::InFlight(event.id.attempt);
        Ok(())
    }

    fn end(&mut self, plan: &Plan, event: &AttemptEnded) -> Result<(), String> {
        let spender = self.spender(plan, &event.id);
        let (call, calls) = self.task(plan, &event.id)?;
        let Some(state) = calls.get_mut(&call) else { return Err(format!("{} never started", event.id)) };
        if state.phase != CallPhase::InFlight(event.id.attempt) {
            return Err(format!("{} is not in flight", event.id));
        }
        state.busy_us += event.busy_us();
        match (&event.outcome, event.retry_at) {
            (Outcome::Answered(answer), _) => {
                state.usage = event.usage_of_answer();
                state.phase = CallPhase::Answered(answer.clone());
            }
            (Outcome::Failed(_), Some(retry_at)) => {
                state.charged += u32::from(event.charged);
                state.phase = CallPhase::Ready(retry_at);
            }
            (Outcome::Failed(failure), None) => {
                state.charged += u32::from(event.charged);
                state.phase = CallPhase::Failed(failure.clone());
            }
        }
        // What a failed request has used is spent as well.
        self.usage.add(&event.usage);
        self.estimated.add(&event.estimated);
        if let Some((cell, actor)) = spender {
            self.spent.add(cell, actor, &event.usage);
            self.spent.add(cell, actor, &event.estimated);
            if matches!(event.outcome, Outcome::Answered(_)) && event.from_cache.is_none() {
                let BackendIdx(place) = plan.cell(cell).actor(actor).backend;
                self.backends[place].answered = true;
            }
        }
        Ok(())
    }

    /// Returns who speaks in a request, and in which cell.
    fn spender(&self, plan: &Plan, id: &AttemptId) -> Option<(CellIdx, ActorIdx)> {
        let case = self.open.get(&id.case)?;
        let of = plan.cell(case.cell);
        let (step, call) = (of.find_step(&id.step)?, Call::parse(&id.call)?);
        // What closes a cell has the same actors as its cases.
        Some((plan.home_of(case.cell), of.speaker(step, &case.item, case.repeat, call)))
    }

    fn settle(&mut self, plan: &Plan, event: &TaskSettled) -> Result<(), String> {
        let (step, case) = self.step_of(plan, event.case, &event.step)?;
        if matches!(case.tasks[step.0], TaskState::Settled(_)) {
            return Err(format!("{} of case {} is settled already", event.step, event.case));
        }
        case.tasks[step.0] = TaskState::Settled(Arc::new(event.clone()));
        case.opened.remove(&step);
        Ok(())
    }
}

impl CaseState {
    /// Cost: the elements of the step.
    fn find_element(&mut self, step: StepIdx, each: &EachKey) -> Result<&mut ElementState, String> {
        let elements = self.opened.get_mut(&step).and_then(|opened| opened.elements.as_mut());
        let found = elements.and_then(|elements| elements.iter_mut().find(|element| element.key == *each));
        found.ok_or_else(|| format!("step {} has no element {each}", step.0))
    }
}
