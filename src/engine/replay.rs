//! A run from its checkpoint and the events after it; and the checkpoint from a run.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::backend_state::BackendState;
use super::clock::Clock;
use super::evidence::Prefix;
use super::repeats::Repeats;
use super::spent::SpentBy;
use super::state::{CallPhase, CallState, CaseState, ElementState, IllegalEvent, Opened, RunState, TaskState};
use super::step::{Engine, Options};
use crate::base::{CaseNo, EachKey, StepName};
use crate::event::{
    CaseReopened, Feature, Recorded, SnapAsked, SnapBackend, SnapCall, SnapCallState, SnapCase, SnapElement,
    SnapOpened, SnapTask, SnapTaskState, Snapshot,
};
use crate::plan::{Call, Plan, StepIdx};

/// Rebuilds a run event by event.
#[derive(Debug)]
pub struct Replay {
    plan: Arc<Plan>,
    state: RunState,
}

impl Replay {
    /// Starts before the first event.
    #[must_use]
    pub fn from_zero(plan: Arc<Plan>) -> Self {
        let state = RunState::new(&plan);
        Self { plan, state }
    }

    /// Starts at a checkpoint.
    ///
    /// # Errors
    /// The checkpoint speaks of steps, calls or backends that the plan does not have.
    pub fn from_checkpoint(plan: Arc<Plan>, snapshot: Snapshot) -> Result<Self, IllegalEvent> {
        let state = RunState::restore(&plan, snapshot).map_err(|why| IllegalEvent { kind: "checkpoint", why })?;
        Ok(Self { plan, state })
    }

    /// Takes one event in, in the journal's order.
    ///
    /// # Errors
    /// The event cannot follow the ones before it.
    pub fn apply(&mut self, recorded: &Recorded) -> Result<(), IllegalEvent> {
        self.state.apply(&self.plan, recorded)
    }

    /// Returns the state reached so far.
    #[must_use]
    pub const fn state(&self) -> &RunState {
        &self.state
    }

    /// Returns an engine that goes on from here; the driver's first input must be `Resume`.
    #[must_use]
    pub fn engine(self, options: Options) -> Engine {
        Engine::at(self.plan, self.state, options)
    }
}

impl RunState {
    /// Returns the state in the durable form.
    #[must_use]
    pub fn snapshot(&self, plan: &Plan) -> Snapshot {
        let open = self.open.iter().map(|(&case, state)| snap_case(plan, case, state));
        let backends = plan.backends.iter().zip(&self.backends).map(|(plan, state)| SnapBackend {
            backend: plan.name.clone(),
            open_since: state.open_since,
            open_ms: state.open_ms,
            takes_format: !state.lacks.has(Feature::ResponseFormat),
            lacks: state.lacks,
            models_lack: state.models_lack.iter().map(|(model, lacks)| (model.clone(), *lacks)).collect(),
            answered: state.answered,
        });
        Snapshot {
            cases: self.cases,
            source_ended: self.source_ended,
            closings: self.closings,
            admitted_chain: Some(self.admitted_chain),
            usage: self.usage,
            estimated: self.estimated,
            spent: self.spent.snapshot(plan),
            segment: self.segment,
            paused_since: self.paused_since,
            paused_ms: self.paused_ms,
            earlier_us: self.clock.earlier_us,
            began: self.clock.began,
            latest: self.clock.latest,
            open: open.collect(),
            backends: backends.collect(),
            all_cases: self.all_cases,
            prefix: self.prefix.snapshot(),
            repeats: self.repeats.snapshot(plan),
        }
    }

    fn restore(plan: &Plan, snapshot: Snapshot) -> Result<Self, String> {
        let mut state = Self::new(plan);
        state.cases = snapshot.cases;
        state.source_ended = snapshot.source_ended;
        state.closings = snapshot.closings;
        state.admitted_chain = snapshot.admitted_chain.unwrap_or(state.admitted_chain);
        state.usage = snapshot.usage;
        state.estimated = snapshot.estimated;
        state.spent = SpentBy::restore(plan, snapshot.spent)?;
        state.segment = snapshot.segment;
        state.all_cases = snapshot.all_cases;
        state.prefix = Prefix::restore(snapshot.prefix);
        state.repeats = Repeats::restore(plan, snapshot.repeats)?;
        state.paused_since = snapshot.paused_since;
        state.paused_ms = snapshot.paused_ms;
        state.clock = Clock { earlier_us: snapshot.earlier_us, began: snapshot.began, latest: snapshot.latest };
        for stored in snapshot.backends {
            let place = plan.backends.iter().position(|backend| backend.name == stored.backend);
            let place = place.ok_or_else(|| format!("the plan has no backend {}", stored.backend))?;
            let SnapBackend { backend: _, open_since, open_ms, takes_format, lacks, models_lack, answered } = stored;
            let lacks = if takes_format { lacks } else { lacks.with(Feature::ResponseFormat) };
            let models_lack = models_lack.into_iter().collect();
            state.backends[place] = BackendState { open_since, open_ms, lacks, models_lack, answered };
        }
        for stored in snapshot.open {
            let (number, case) = restore_case(plan, stored)?;
            state.open.insert(number, case);
        }
        Ok(state)
    }

    /// Takes in that a case goes on that was over.
    pub(super) fn reopen(&mut self, plan: &Plan, event: &CaseReopened) -> Result<(), String> {
        let (number, case) = restore_case(plan, event.now.clone())?;
        if number.0 >= self.cases.admitted || self.open.contains_key(&number) {
            return Err(format!("case {number} is not over"));
        }
        self.cases.reopen(event.was);
        self.open.insert(number, case);
        Ok(())
    }
}

fn snap_case(plan: &Plan, case: CaseNo, state: &CaseState) -> SnapCase {
    let of = plan.cell(state.cell);
    let asked = |(&(step, ref each, call), &attempts): (&(StepIdx, Option<EachKey>, Call), &u32)| SnapAsked {
        step: of.step(step).name.clone(),
        each: each.clone(),
        call: call.path(),
        attempts,
    };
    SnapCase {
        case,
        item: state.item.clone(),
        repeat: state.repeat,
        matrix: of.matrix.clone(),
        closing: plan.is_closing(state.cell),
        row: state.row,
        tasks: state.tasks.iter().enumerate().filter_map(|(step, task)| snap_task(of, step, task)).collect(),
        opened: state.opened.iter().map(|(&step, opened)| snap_opened(of, step, opened)).collect(),
        asked: state.asked.iter().map(asked).collect(),
    }
}

fn restore_case(plan: &Plan, stored: SnapCase) -> Result<(CaseNo, CaseState), String> {
    let cell = plan.find_cell(&stored.matrix).map(|cell| if stored.closing { plan.closing_of(cell) } else { cell });
    let cell = cell.ok_or_else(|| format!("the plan has no cell for case {}", stored.case))?;
    let of = plan.cell(cell);
    let find = |step: &StepName| of.find_step(step).ok_or_else(|| format!("the plan has no step {step}"));
    let mut tasks = vec![TaskState::Open(BTreeMap::new()); of.steps.len()];
    for SnapTask { step, state } in stored.tasks {
        tasks[find(&step)?.0] = restore_task(state)?;
    }
    let mut opened = BTreeMap::new();
    for SnapOpened { step, elements } in stored.opened {
        let elements = elements.map(|elements| elements.into_iter().map(restore_element).collect());
        opened.insert(find(&step)?, Opened { elements: elements.transpose()? });
    }
    let mut asked = BTreeMap::new();
    for SnapAsked { step, each, call: path, attempts } in stored.asked {
        let of_path = Call::parse(&path).ok_or_else(|| format!("unknown call {path}"))?;
        asked.insert((find(&step)?, each, of_path), attempts);
    }
    let case = CaseState { item: stored.item, repeat: stored.repeat, cell, row: stored.row, tasks, opened, asked };
    Ok((stored.case, case))
}

fn snap_task(plan: &Plan, step: usize, task: &TaskState) -> Option<SnapTask> {
    Some(SnapTask { step: plan.steps[step].name.clone(), state: snap_state(task)? })
}

fn snap_state(task: &TaskState) -> Option<SnapTaskState> {
    match task {
        TaskState::Open(calls) if calls.is_empty() => None,
        TaskState::Open(calls) => {
            Some(SnapTaskState::Begun(calls.iter().map(|(&call, state)| snap_call(call, state)).collect()))
        }
        TaskState::Settled(record) => Some(SnapTaskState::Settled(Box::new((**record).clone()))),
    }
}

fn snap_opened(plan: &Plan, step: StepIdx, opened: &Opened) -> SnapOpened {
    let element = |element: &ElementState| SnapElement {
        key: element.key.clone(),
        value: element.value,
        state: snap_state(&element.task),
    };
    let elements = opened.elements.as_ref().map(|elements| elements.iter().map(element).collect());
    SnapOpened { step: plan.step(step).name.clone(), elements }
}

fn restore_task(stored: SnapTaskState) -> Result<TaskState, String> {
    Ok(match stored {
        SnapTaskState::Settled(record) => TaskState::Settled(Arc::from(record)),
        SnapTaskState::Begun(calls) => {
            TaskState::Open(calls.into_iter().map(restore_call).collect::<Result<_, _>>()?)
        }
    })
}

fn restore_element(stored: SnapElement) -> Result<ElementState, String> {
    let SnapElement { key, value, state } = stored;
    let task = state.map_or(Ok(TaskState::Open(BTreeMap::new())), restore_task)?;
    Ok(ElementState { key, value, task })
}

fn snap_call(call: Call, state: &CallState) -> SnapCall {
    SnapCall {
        call: call.path(),
        attempts: state.attempts,
        charged: state.charged,
        first: state.first,
        open_ms_before: state.open_ms_before,
        usage: state.usage,
        busy_us: state.busy_us,
        state: match &state.phase {
            CallPhase::Ready(at) => SnapCallState::Ready(*at),
            CallPhase::InFlight(attempt) => SnapCallState::InFlight(*attempt),
            CallPhase::Answered(answer) => SnapCallState::Answered(answer.clone()),
            CallPhase::Failed(failure) => SnapCallState::Failed(failure.clone()),
        },
    }
}

fn restore_call(stored: SnapCall) -> Result<(Call, CallState), String> {
    let call = Call::parse(&stored.call).ok_or_else(|| format!("unknown call {}", stored.call))?;
    let phase = match stored.state {
        SnapCallState::Ready(at) => CallPhase::Ready(at),
        SnapCallState::InFlight(attempt) => CallPhase::InFlight(attempt),
        SnapCallState::Answered(answer) => CallPhase::Answered(answer),
        SnapCallState::Failed(failure) => CallPhase::Failed(failure),
    };
    let state = CallState {
        attempts: stored.attempts,
        charged: stored.charged,
        first: stored.first,
        open_ms_before: stored.open_ms_before,
        usage: stored.usage,
        busy_us: stored.busy_us,
        phase,
    };
    Ok((call, state))
}
