//! The step function: inputs in, events and effects out.

use std::sync::Arc;

use super::call::{Effect, Input, Key, Offered, StartCall, Step, TaskKey, Ticket};
use super::fan::{self, Next};
use super::flow::{Flight, Flow, Stopping};
use super::frontier;
use super::state::{CallPhase, RunState};
use crate::base::{AttemptNo, CaseNo, Millis, ModelName, Timestamp};
use crate::event::{
    AttemptId, AttemptStarted, CaseAdmitted, CaseReopened, DrainStage, Event, FailureKind, Recorded, RunEnded,
    RunOutcome, RunResumed, SourceEnded, Stage, StopCause, TimeoutPhase,
};
use crate::plan::{BackendIdx, Ground, ModelChoice, Place, Plan, StepIdx, StepKind};

/// Most cases that are open at once; memory depends on this, not on the size of the input.
const MOST_OPEN: usize = 4_096;
/// Evaluations under way in a plan without models: as many as fill some commits.
const EVALUATED_AHEAD: usize = 64;

/// What the engine is told about this process.
#[derive(Clone, Debug)]
pub struct Options {
    /// Calls that each backend works on at once, by the plan's order.
    pub slots: Vec<u32>,
    /// How long calls in flight may go on after a stop was asked for.
    pub grace: Millis,
}

/// A run: its state, and what is under way.
#[derive(Debug)]
pub struct Engine {
    pub(super) plan: Arc<Plan>,
    pub(super) state: RunState,
    pub(super) flow: Flow,
    pub(super) now: Timestamp,
    grace: Millis,
}

impl Engine {
    /// Returns a run before its first event; the driver's first input must be `Begin`.
    #[must_use]
    pub fn new(plan: Arc<Plan>, options: Options) -> Self {
        let state = RunState::new(&plan);
        Self::at(plan, state, options)
    }

    pub(super) fn at(plan: Arc<Plan>, state: RunState, options: Options) -> Self {
        let Options { slots, grace } = options;
        assert_eq!(slots.len(), plan.backends.len(), "bug: one number of slots per backend of the plan");
        Self { plan, state, flow: Flow::new(&slots), now: Timestamp(i64::MIN), grace }
    }

    /// Takes in one thing that happened and says what follows from it.
    ///
    /// `now` must not go backwards; an earlier one is taken for the latest seen. Cost: independent of the number of cases.
    pub fn step(&mut self, now: Timestamp, input: Input) -> Step {
        self.now = self.now.max(now);
        let mut step = Step::default();
        match input {
            Input::Begin(begun) => self.record(&mut step, Event::RunStarted(*begun)),
            Input::Resume(resumed) => self.resume(&mut step, *resumed, Vec::new()),
            Input::Retry(resumed, cases) => self.resume(&mut step, *resumed, cases),
            Input::Tune(tuned) => self.record(&mut step, Event::RunTuned(*tuned)),
            Input::Offer(cases) => cases.into_iter().for_each(|case| self.admit(&mut step, case)),
            Input::SourceEnded => {
                if !self.state.source_ended {
                    let cases = self.state.cases.admitted;
                    self.record(&mut step, Event::SourceEnded(SourceEnded { cases }));
                }
            }
            Input::Sent(ticket) => self.sent(ticket),
            Input::Returned(ticket, report) => self.returned(&mut step, ticket, *report),
            Input::Evaluated(key, evaluation) => self.evaluated(&mut step, key, *evaluation),
            Input::Observed(case, observed) => self.observed(&mut step, case, observed),
            Input::Stop(cause) => self.stop(&mut step, cause),
            Input::Pause => self.pause(&mut step),
            Input::Unpause => self.unpause(&mut step),
            Input::Slots(backend, slots) => self.resize(&mut step, backend, slots),
            Input::Retune(tuned, plan) => self.retune(&mut step, *tuned, plan),
            Input::Tick => {}
        }
        self.pass_time(&mut step);
        self.settle_suspects(&mut step);
        self.give_up_silent(&mut step);
        self.halt(&mut step);
        self.close(&mut step);
        self.dispatch(&mut step);
        self.finish(&mut step);
        self.debug_check();
        step
    }

    /// Returns when to give a [`Input::Tick`] if nothing else happens before.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        let delayed = self.flow.delayed.first().map(|&(at, _)| at);
        let deadline = self.flow.deadlines.first().map(|&(at, _)| at);
        let stopping = self.flow.stopping.as_ref();
        let stop = stopping.filter(|stopping| stopping.stage == Stage::Draining).map(|stopping| stopping.deadline);
        let holds = self.starts_nothing();
        let lanes = self.flow.lanes.iter().filter(|lane| !lane.ready.is_empty() && !holds);
        let opens = lanes.filter_map(|lane| lane.opens(self.now)).min();
        let up = if stopping.is_none() && !self.flow.finished { self.time_is_up() } else { None };
        [delayed, deadline, stop, opens, up, self.silent_until()].into_iter().flatten().min()
    }

    /// Returns how many more cases would keep every slot busy, with one round of calls waiting behind the ones under way.
    #[must_use]
    pub fn wants_cases(&self) -> usize {
        if self.state.source_ended || self.starts_nothing() || self.flow.finished {
            return 0;
        }
        let lanes = self.flow.lanes.iter();
        let (target, backlog) = lanes.fold((0, 0), |(target, backlog), lane| {
            (target + lane.slots * 3, backlog + lane.ready.len() + lane.started.len())
        });
        // Without a model nothing is ever sent; what is being evaluated will be a call, or is over at once.
        let target = if self.flow.lanes.is_empty() { EVALUATED_AHEAD } else { target };
        let backlog = backlog + self.flow.evaluating.len() + self.flow.observing.len();
        let ahead = usize::try_from(self.state.room_ahead(&self.plan)).unwrap_or(usize::MAX);
        // A plan whose first step waits at one backend must not starve the others, hence the sum over lanes.
        target.saturating_sub(backlog).min(MOST_OPEN.saturating_sub(self.state.open.len())).min(ahead)
    }

    /// Returns what has happened so far.
    #[must_use]
    pub const fn state(&self) -> &RunState {
        &self.state
    }

    /// Returns how many requests are recorded and not returned.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.flow.in_flight()
    }

    /// Returns how many reports came for requests that were no longer current.
    #[must_use]
    pub const fn late_reports(&self) -> u64 {
        self.flow.late
    }

    /// The only road into the state: live runs and resumes both take it.
    pub(super) fn record(&mut self, step: &mut Step, event: Event) {
        let recorded = Recorded { at: self.now, event };
        if let Err(illegal) = self.state.apply(&self.plan, &recorded) {
            panic!("bug: the engine made an illegal event: {illegal}");
        }
        step.events.push(recorded);
    }

    fn admit(&mut self, step: &mut Step, offered: Offered) {
        let case = CaseNo(self.state.cases.admitted);
        if self.state.repeats.are_enough(&offered.item, offered.cell) {
            return;
        }
        let Offered { item, repeat, cell, row, adopted } = offered;
        let matrix = self.plan.cell(cell).matrix.clone();
        self.record(step, Event::CaseAdmitted(CaseAdmitted { case, item, repeat, matrix, row }));
        for mut task in adopted {
            task.task.case = case;
            self.record(step, Event::TaskAdopted(task));
        }
        self.advance(step, case);
    }

    fn resume(&mut self, step: &mut Step, resumed: RunResumed, reopened: Vec<CaseReopened>) {
        self.record(step, Event::RunResumed(resumed));
        self.repeated_before(step);
        for (lane, state) in self.flow.lanes.iter_mut().zip(&self.state.backends) {
            lane.trials = state.open_since.map(|_| super::breaker::Trials::new(self.now));
        }
        let interrupted: Vec<Ticket> =
            self.state.open.iter().flat_map(|(&case, state)| tickets(case, state)).collect();
        for ticket in interrupted {
            self.interrupt(step, ticket);
        }
        for case in reopened {
            self.record(step, Event::CaseReopened(case));
        }
        let cases: Vec<CaseNo> = self.state.open.keys().copied().collect();
        cases.into_iter().for_each(|case| self.advance(step, case));
    }

    /// Settles what can be settled in a case and queues the calls that may be sent.
    pub(super) fn advance(&mut self, step: &mut Step, number: CaseNo) {
        let steps = self.plan_of(number).steps.len();
        for place in 0..steps {
            while self.advance_step(step, number, StepIdx(place)) {}
        }
        let status = self.state.open.get(&number).and_then(frontier::case_status);
        if let Some(status) = status {
            self.settle_case(step, number, status);
        }
    }

    /// Returns true when elements were settled, so that the step itself may be over now.
    fn advance_step(&mut self, step: &mut Step, number: CaseNo, index: StepIdx) -> bool {
        let Some(case) = self.state.open.get(&number) else { return false };
        let mut again = false;
        for next in fan::next(self.plan.cell(case.cell), number, case, index) {
            match next {
                Next::Evaluate(key, question) => self.evaluate(step, key, question),
                Next::Call(key, call, not_before) => self.queue(key.call(call), not_before),
                Next::SettleElement(element, record) => {
                    again = true;
                    self.settle(step, TaskKey { case: number, step: index, element: Some(element) }, *record);
                }
                Next::Settle(record) => self.record(step, Event::TaskSettled(*record)),
            }
        }
        again
    }

    fn queue(&mut self, key: Key, not_before: Option<Timestamp>) {
        if let Some(at) = not_before.filter(|&at| at > self.now) {
            self.flow.delayed.insert((at, key));
            return;
        }
        let BackendIdx(lane) = self.backend_of(key);
        self.flow.lanes[lane].ready.insert(key);
    }

    /// Returns where a call goes.
    #[must_use]
    pub fn backend_of(&self, key: Key) -> BackendIdx {
        let Some(case) = self.state.open.get(&key.case) else { return self.started_at(key) };
        let plan = self.plan.cell(case.cell);
        plan.actor(plan.speaker(key.step, &case.item, case.repeat, key.call)).backend
    }

    /// Returns the plan of the cell that a case belongs to; of the first one when the case is over.
    fn plan_of(&self, case: CaseNo) -> &Plan {
        self.plan.cell(self.state.open.get(&case).map(|case| case.cell).unwrap_or_default())
    }

    /// Returns where a call of a case that is over was sent. None is under way then, so a report for one is late
    /// wherever it is looked for.
    fn started_at(&self, key: Key) -> BackendIdx {
        let lane = self.flow.lanes.iter().position(|lane| lane.started.contains_key(&key));
        BackendIdx(lane.unwrap_or_default())
    }

    fn pass_time(&mut self, step: &mut Step) {
        while let Some(&(at, key)) = self.flow.delayed.first() {
            if at > self.now {
                break;
            }
            self.flow.delayed.pop_first();
            self.queue(key, None);
        }
        while let Some(&(at, ticket)) = self.flow.deadlines.first() {
            if at > self.now {
                break;
            }
            self.flow.deadlines.pop_first();
            self.cancel(step, ticket, FailureKind::TimedOut(TimeoutPhase::Total));
        }
        let late = self.flow.stopping.as_ref().filter(|stopping| stopping.deadline <= self.now);
        if let Some(Stopping { stage: Stage::Draining, cause, .. }) = late.cloned() {
            self.cancel_all(step, cause);
        }
    }

    fn dispatch(&mut self, step: &mut Step) {
        if self.starts_nothing() {
            return;
        }
        for lane in 0..self.flow.lanes.len() {
            while self.flow.lanes[lane].opens(self.now).is_some_and(|at| at <= self.now) {
                let Some(key) = self.flow.lanes[lane].take_ready() else { break };
                if self.is_wanted(key) {
                    self.start(step, BackendIdx(lane), key);
                }
            }
        }
    }

    /// A call may have been queued and then lost its purpose, when another vote of the same judge failed.
    fn is_wanted(&self, key: Key) -> bool {
        let Some(case) = self.state.open.get(&key.case) else { return false };
        fan::is_wanted(self.plan.cell(case.cell), case, key)
    }

    fn start(&mut self, step: &mut Step, backend: BackendIdx, key: Key) {
        let sent = self.state.call(key).map_or_else(|| self.asked_before(key), |call| call.attempts);
        let ticket = Ticket { key, attempt: AttemptNo(sent + 1) };
        let place = self.place(key, backend);
        let id = self.id(ticket);
        let actor = self.plan_of(key.case).actor(place.actor).name.clone();
        let name = self.plan.backends[backend.0].name.clone();
        self.record(step, Event::AttemptStarted(AttemptStarted { id, actor, backend: name }));

        let now = self.now;
        let lane = &mut self.flow.lanes[backend.0];
        lane.minute.sent(now);
        lane.first_sent.get_or_insert((now, self.state.paused_ms));
        let Ticket { attempt, .. } = ticket;
        let lacks = place.lacks;
        lane.started.insert(key, Flight { attempt, deadline: None, cancelled: false, lacks });
        if let Some(trials) = &mut lane.trials {
            trials.begin();
        }
        let timeouts = self.limits(key).timeouts;
        step.effects.push(Effect::StartCall(Box::new(StartCall { ticket, place, backend, timeouts })));
    }

    /// Returns the number of the latest request for a call before its case was reopened.
    fn asked_before(&self, key: Key) -> u32 {
        let reopened = self.state.open.get(&key.case).filter(|case| !case.asked.is_empty());
        reopened.map_or(0, |case| case.asked_before(&self.plan, &self.id(Ticket { key, attempt: AttemptNo(1) })))
    }

    /// Returns the model that a call asks for, by the name in the file.
    pub(super) fn model_asked(&self, key: Key) -> ModelName {
        let Some(case) = self.state.open.get(&key.case) else { return ModelName::from("auto") };
        let plan = self.plan.cell(case.cell);
        match &plan.actor(plan.speaker(key.step, &case.item, case.repeat, key.call)).model {
            ModelChoice::Auto => ModelName::from("auto"),
            ModelChoice::Named(name) => ModelName::from(&**name),
        }
    }

    fn place(&self, key: Key, backend: BackendIdx) -> Place {
        let case = &self.state.open[&key.case];
        let plan = self.plan.cell(case.cell);
        let step = plan.step(key.step);
        let turns = match (&step.kind, case.calls(key.task())) {
            (StepKind::Dialogue(_), Some(calls)) => frontier::turns(plan, case, key.step, calls),
            _ => Vec::new(),
        };
        let Ground { repeat, row, each, inputs, .. } = self.ground(key.task());
        Place {
            case: key.case,
            item: case.item.clone(),
            repeat,
            cell: case.cell,
            row,
            step: key.step,
            each,
            call: key.call,
            actor: plan.speaker(key.step, &case.item, case.repeat, key.call),
            turns,
            mended: case.calls(key.task()).and_then(|calls| frontier::mends(calls, key.call)),
            inputs,
            lacks: self.state.backends[backend.0].lacks_of(self.model_asked(key).as_str()),
        }
    }

    pub(super) fn id(&self, ticket: Ticket) -> AttemptId {
        let Key { case, step, element, call } = ticket.key;
        let each = element.and_then(|element| Some(self.state.open.get(&case)?.element(step, element)?.key.clone()));
        AttemptId {
            case,
            step: self.plan_of(case).step(step).name.clone(),
            each,
            call: call.path(),
            attempt: ticket.attempt,
        }
    }

    fn sent(&mut self, ticket: Ticket) {
        let BackendIdx(lane) = self.backend_of(ticket.key);
        let deadline = self.now.after(self.limits(ticket.key).timeouts.total);
        if let Some(flight) = self.flow.lanes[lane].started.get_mut(&ticket.key)
            && flight.attempt == ticket.attempt
            && flight.deadline.is_none()
        {
            flight.deadline = Some(deadline);
            self.flow.deadlines.insert((deadline, ticket));
        }
    }

    fn cancel(&mut self, step: &mut Step, ticket: Ticket, why: FailureKind) {
        let BackendIdx(lane) = self.backend_of(ticket.key);
        if let Some(flight) = self.flow.lanes[lane].started.get_mut(&ticket.key)
            && flight.attempt == ticket.attempt
            && !flight.cancelled
        {
            flight.cancelled = true;
            step.effects.push(Effect::CancelCall(ticket, why));
        }
    }

    /// Stops the run, or skips ahead when it is stopping already.
    pub(super) fn stop(&mut self, step: &mut Step, cause: StopCause) {
        match &self.flow.stopping {
            // For good: nothing is waited for, whatever has been asked before.
            _ if cause == StopCause::Cancel && !self.flow.finished => {
                self.spare(step);
                step.effects.push(Effect::RecallUnsent);
                self.cancel_all(step, cause);
            }
            None if !self.flow.finished => {
                let stage = Stage::Draining;
                self.record(step, Event::DrainStage(DrainStage { stage, cause: cause.clone() }));
                self.flow.stopping = Some(Stopping { stage, cause, deadline: self.now.after(self.grace) });
                self.spare(step);
                step.effects.push(Effect::RecallUnsent);
            }
            Some(Stopping { stage: Stage::Draining, cause, .. }) => {
                let cause = cause.clone();
                self.cancel_all(step, cause);
            }
            Some(_) | None => {}
        }
    }

    fn cancel_all(&mut self, step: &mut Step, cause: StopCause) {
        let stage = Stage::Cancelling;
        self.record(step, Event::DrainStage(DrainStage { stage, cause: cause.clone() }));
        self.flow.stopping = Some(Stopping { stage, cause, deadline: self.now });
        let flights = self.flow.lanes.iter().flat_map(|lane| &lane.started);
        let tickets: Vec<Ticket> = flights.map(|(&key, flight)| Ticket { key, attempt: flight.attempt }).collect();
        tickets.into_iter().for_each(|ticket| self.cancel(step, ticket, FailureKind::Cancelled));
    }

    fn finish(&mut self, step: &mut Step) {
        let settled = self.state.source_ended && self.state.open.is_empty();
        let complete = settled && self.state.closings == self.plan.closings();
        let stopped = self.flow.stopping.as_ref().map(|stopping| stopping.cause.clone());
        let outcome = match stopped {
            _ if self.flow.finished || self.flow.in_flight() > 0 => return,
            _ if !self.flow.evaluating.is_empty() || !self.flow.observing.is_empty() => return,
            _ if let Some(met) = self.state.prefix.met() => RunOutcome::Enough(met.clone()),
            _ if complete => RunOutcome::Complete,
            Some(cause) => RunOutcome::Stopped(cause),
            None => return,
        };
        self.flow.finished = true;
        let RunState { cases, usage, .. } = self.state;
        self.record(step, Event::RunEnded(RunEnded { outcome: outcome.clone(), cases, usage }));
        step.effects.push(Effect::Finish(outcome));
    }
}

/// Returns the requests of a case that were in flight.
fn tickets(case: CaseNo, state: &super::state::CaseState) -> Vec<Ticket> {
    let mut found = Vec::new();
    for place in 0..state.tasks.len() {
        let step = StepIdx(place);
        for task in state.parts(step).map(|element| TaskKey { case, step, element }) {
            for (&call, state) in state.calls(task).into_iter().flatten() {
                if let CallPhase::InFlight(attempt) = state.phase {
                    found.push(Ticket { key: task.call(call), attempt });
                }
            }
        }
    }
    found
}
