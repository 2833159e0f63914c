//! What of a case that is over is asked again, from its events alone.
//! Reads: `Plan`, the events of one case. Gives: [`CaseReopened`]. Never: whether to do it.
//! Start at [`History::reopened`].

use std::collections::{BTreeMap, BTreeSet};

use super::state::{CaseState, IllegalEvent};
use crate::base::{EachKey, Timestamp};
use crate::event::{
    Answer, AttemptEnded, AttemptId, Because, CaseAdmitted, CaseReopened, CaseStatus, Element, ElementSettled,
    Evaluated, Event, FailureKind, Outcome, Recorded, SnapAsked, SnapCall, SnapCallState, SnapCase, SnapElement,
    SnapOpened, SnapTask, SnapTaskState, TaskSettled, TaskStatus, Usage, Verdict,
};
use crate::plan::{Ballot, Call, Plan, StepIdx, StepKind};

/// Which tasks are to be asked again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Again {
    /// Those that failed.
    pub failed: bool,
    /// Judgements that cannot be counted.
    pub unscored: bool,
    /// Those of which `on_error` took the failure.
    pub eased: bool,
    /// Of this step alone.
    pub step: Option<StepIdx>,
}

/// All that is known of one case, also of its tasks that are over.
#[derive(Debug, Default)]
pub struct History {
    admitted: Option<CaseAdmitted>,
    settled: BTreeMap<StepIdx, TaskSettled>,
    /// Those that another run has paid for.
    adopted: BTreeSet<StepIdx>,
    /// Calls that were answered.
    answered: BTreeMap<Task, BTreeMap<Call, SnapCall>>,
    /// Elements of `for_each` steps.
    elements: BTreeMap<StepIdx, Vec<(Element, Option<TaskSettled>)>>,
    /// The latest request of every call, and how long all took.
    sent: BTreeMap<(Task, Call), (u32, u64)>,
    status: Option<CaseStatus>,
}

type Task = (StepIdx, Option<EachKey>);

impl History {
    /// Takes the next event of the case.
    ///
    /// # Errors
    /// It speaks of what the plan has not.
    pub fn add(&mut self, plan: &Plan, recorded: &Recorded) -> Result<(), IllegalEvent> {
        let done = match &recorded.event {
            Event::CaseAdmitted(event) => {
                self.admitted = Some(event.clone());
                Ok(())
            }
            Event::AttemptStarted(event) => self.start(plan, &event.id),
            Event::AttemptEnded(event) => self.end(plan, recorded.at, event),
            Event::Evaluated(event) => self.open(plan, event),
            Event::ElementSettled(event) => self.settle_element(plan, event),
            Event::TaskSettled(event) => self.settle(plan, event).map(|step| {
                self.adopted.remove(&step);
            }),
            Event::TaskAdopted(event) => self.settle(plan, &event.task).map(|step| {
                self.adopted.insert(step);
            }),
            Event::CaseSettled(event) => {
                self.status = Some(event.status);
                Ok(())
            }
            Event::CaseReopened(event) => self.restart(plan, &event.now),
            _ => Ok(()),
        };
        done.map_err(|why| IllegalEvent { kind: recorded.event.kind(), why })
    }

    /// Returns what was admitted and how it ended; none while it has not.
    #[must_use]
    pub fn ended(&self) -> Option<(&CaseAdmitted, CaseStatus)> {
        self.admitted.as_ref().zip(self.status)
    }

    /// Returns what the case comes to when it goes on; none when it is not over, or nothing in it is wanted.
    ///
    /// Kept is every record that does not read what is asked again, and of the tasks that are themselves asked again
    /// every answer that counts.
    #[must_use]
    pub fn reopened(&self, plan: &Plan, again: &Again) -> Option<CaseReopened> {
        let (admitted, was) = self.ended()?;
        let mut dirty: BTreeMap<StepIdx, Why> = BTreeMap::new();
        for place in (0..plan.steps.len()).map(StepIdx) {
            let Some(record) = self.settled.get(&place) else { continue };
            if plan.step(place).after.iter().any(|before| dirty.contains_key(before)) {
                dirty.insert(place, Why::Reads);
            } else if again.step.is_none_or(|step| step == place) && self.is_wanted(plan, place, record, again) {
                dirty.insert(place, Why::Wanted);
            }
        }
        if dirty.is_empty() {
            return None;
        }
        let mut now = SnapCase {
            case: admitted.case,
            item: admitted.item.clone(),
            repeat: admitted.repeat,
            matrix: admitted.matrix.clone(),
            closing: false,
            row: admitted.row,
            tasks: Vec::new(),
            opened: Vec::new(),
            asked: Vec::new(),
        };
        let mut former = Vec::new();
        for (&place, record) in &self.settled {
            let step = record.step.clone();
            let state = match dirty.get(&place) {
                None => Some(SnapTaskState::Settled(Box::new(record.clone()))),
                Some(Why::Reads) => None,
                Some(Why::Wanted) => match self.elements.get(&place) {
                    Some(elements) => {
                        let elements = elements.iter().map(|element| self.element(place, element, again));
                        now.opened.push(SnapOpened { step: step.clone(), elements: Some(elements.collect()) });
                        None
                    }
                    None => self.kept(&(place, None), record),
                },
            };
            if dirty.contains_key(&place) {
                let paid = if self.adopted.contains(&place) { Usage::default() } else { record.usage };
                former.push(TaskSettled { usage: paid, ..record.clone() });
            }
            now.tasks.extend(state.map(|state| SnapTask { step, state }));
        }
        now.asked = self.asked(plan, &dirty, &now);
        Some(CaseReopened { was, former, now })
    }

    /// A claim and a value come out as before, so they are looked at again only with what they read.
    fn is_wanted(&self, plan: &Plan, place: StepIdx, record: &TaskSettled, again: &Again) -> bool {
        if matches!(plan.step(place).kind, StepKind::Transform(_) | StepKind::Assert(_)) {
            return false;
        }
        let mut elements = self.elements.get(&place).into_iter().flatten().filter_map(|(_, task)| task.as_ref());
        again.takes(record) || elements.any(|task| again.takes(task))
    }

    fn element(
        &self,
        place: StepIdx,
        (element, task): &(Element, Option<TaskSettled>),
        again: &Again,
    ) -> SnapElement {
        let Element { key, value } = element.clone();
        let state = match task {
            Some(task) if again.takes(task) => self.kept(&(place, Some(key.clone())), task),
            Some(task) => Some(SnapTaskState::Settled(Box::new(task.clone()))),
            None => None,
        };
        SnapElement { key, value, state }
    }

    /// Returns the answers that hold of a task that is asked again.
    fn kept(&self, task: &Task, record: &TaskSettled) -> Option<SnapTaskState> {
        let mismatched = record.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::Mismatched);
        let calls = self.answered.get(task).filter(|_| !mismatched)?;
        let without = |call: &Call| calls.get(call).is_some_and(|answered| !counts(answered));
        let unreadable = calls.keys().map(|call| chain(*call)).any(|first| without(&last_of(calls, first)));
        let holds = |call: &Call| match record.status {
            // When all its votes can be read and come to nothing, there is nothing to keep.
            TaskStatus::Unscored => unreadable && !without(&last_of(calls, chain(*call))),
            TaskStatus::Ok | TaskStatus::Failed | TaskStatus::Skipped => true,
        };
        let kept: Vec<SnapCall> =
            calls.iter().filter(|(call, _)| holds(call)).map(|(_, answered)| answered.clone()).collect();
        (!kept.is_empty()).then_some(SnapTaskState::Begun(kept))
    }

    /// Returns the requests of which nothing else is kept.
    fn asked(&self, plan: &Plan, dirty: &BTreeMap<StepIdx, Why>, now: &SnapCase) -> Vec<SnapAsked> {
        let mut asked = Vec::new();
        for ((task, call), &(attempts, _)) in &self.sent {
            let (place, each) = task;
            let step = &plan.step(*place).name;
            let path = call.path();
            let is_kept = |state: &SnapTaskState| match state {
                SnapTaskState::Settled(_) => true,
                SnapTaskState::Begun(calls) => calls.iter().any(|kept| kept.call == path),
            };
            let tasks = now.tasks.iter().filter(|task| task.step == *step && each.is_none()).map(|task| &task.state);
            let opened = now.opened.iter().filter(|opened| opened.step == *step).flat_map(|opened| &opened.elements);
            let elements = opened.flatten().filter(|element| Some(&element.key) == each.as_ref());
            let states = tasks.chain(elements.filter_map(|element| element.state.as_ref()));
            if dirty.contains_key(place) && !states.into_iter().any(is_kept) {
                asked.push(SnapAsked { step: step.clone(), each: each.clone(), call: path, attempts });
            }
        }
        asked
    }

    fn start(&mut self, plan: &Plan, id: &AttemptId) -> Result<(), String> {
        let (task, call) = named(plan, id)?;
        let (sent, _) = self.sent.entry((task, call)).or_default();
        *sent = (*sent).max(id.attempt.0);
        Ok(())
    }

    fn end(&mut self, plan: &Plan, at: Timestamp, event: &AttemptEnded) -> Result<(), String> {
        let (task, call) = named(plan, &event.id)?;
        let (sent, busy_us) = self.sent.entry((task.clone(), call)).or_default();
        *sent = (*sent).max(event.id.attempt.0);
        *busy_us += event.busy_us();
        if let Outcome::Answered(answer) = &event.outcome {
            let answered = SnapCall {
                call: call.path(),
                attempts: *sent,
                charged: 0,
                first: at,
                open_ms_before: 0,
                usage: event.usage_of_answer(),
                busy_us: *busy_us,
                state: SnapCallState::Answered(answer.clone()),
            };
            self.answered.entry(task).or_default().insert(call, answered);
        }
        Ok(())
    }

    fn open(&mut self, plan: &Plan, event: &Evaluated) -> Result<(), String> {
        let step = find(plan, event.step.as_str())?;
        match &event.each {
            Some(each) => {
                self.elements.insert(step, each.iter().map(|element| (element.clone(), None)).collect());
            }
            None => drop(self.elements.remove(&step)),
        }
        Ok(())
    }

    fn settle_element(&mut self, plan: &Plan, event: &ElementSettled) -> Result<(), String> {
        let step = find(plan, event.task.step.as_str())?;
        let mut elements = self.elements.get_mut(&step).into_iter().flatten();
        let found = elements.find(|(element, _)| element.key == event.each);
        let (_, task) = found.ok_or_else(|| format!("{} has no element {}", event.task.step, event.each))?;
        *task = Some(event.task.clone());
        Ok(())
    }

    fn settle(&mut self, plan: &Plan, event: &TaskSettled) -> Result<StepIdx, String> {
        let step = find(plan, event.step.as_str())?;
        self.settled.insert(step, event.clone());
        Ok(step)
    }

    /// Takes in what an earlier reopening kept; how often calls were asked stays known.
    fn restart(&mut self, plan: &Plan, now: &SnapCase) -> Result<(), String> {
        self.status = None;
        self.settled.clear();
        let elements = std::mem::take(&mut self.elements);
        let answered = std::mem::take(&mut self.answered);
        let keep = |task: Task, state: &SnapTaskState, known: &mut BTreeMap<Task, BTreeMap<Call, SnapCall>>| {
            if let SnapTaskState::Begun(calls) = state {
                let calls = calls.iter().filter_map(|call| Some((Call::parse(&call.call)?, call.clone())));
                known.insert(task, calls.collect());
            } else if let Some(calls) = answered.get(&task) {
                known.insert(task, calls.clone());
            }
        };
        for SnapTask { step, state } in &now.tasks {
            let step = find(plan, step.as_str())?;
            keep((step, None), state, &mut self.answered);
            if let SnapTaskState::Settled(record) = state {
                self.settled.insert(step, (**record).clone());
                // Its elements are over with it, and may be wanted another time.
                if let Some(kept) = elements.get(&step) {
                    self.elements.insert(step, kept.clone());
                    let of_step = answered.iter().filter(|((place, _), _)| *place == step);
                    self.answered.extend(of_step.map(|(task, calls)| (task.clone(), calls.clone())));
                }
            }
        }
        for SnapOpened { step, elements } in &now.opened {
            let step = find(plan, step.as_str())?;
            let mut opened = Vec::new();
            for SnapElement { key, value, state } in elements.iter().flatten() {
                if let Some(state) = state {
                    keep((step, Some(key.clone())), state, &mut self.answered);
                }
                let task = match state {
                    Some(SnapTaskState::Settled(record)) => Some((**record).clone()),
                    Some(SnapTaskState::Begun(_)) | None => None,
                };
                opened.push((Element { key: key.clone(), value: *value }, task));
            }
            self.elements.insert(step, opened);
        }
        Ok(())
    }
}

impl CaseState {
    /// Returns how often a call was asked before the case was reopened.
    pub(super) fn asked_before(&self, plan: &Plan, id: &AttemptId) -> u32 {
        if self.asked.is_empty() {
            return 0;
        }
        let call = plan.find_step(&id.step).zip(Call::parse(&id.call));
        call.and_then(|(step, call)| self.asked.get(&(step, id.each.clone(), call)).copied()).unwrap_or(0)
    }
}

/// Why a task is asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// It is one of those that are wanted.
    Wanted,
    /// It reads one, so that nothing of it holds.
    Reads,
}

impl Again {
    fn takes(&self, record: &TaskSettled) -> bool {
        match record.status {
            TaskStatus::Failed => self.failed,
            TaskStatus::Unscored => self.unscored,
            TaskStatus::Ok | TaskStatus::Skipped => self.eased && record.because == Some(Because::OnError),
        }
    }
}

/// Returns the first question of those that mend one another.
fn chain(call: Call) -> Call {
    match call {
        Call::Repair(_) => Call::Say,
        Call::Vote(ballot) => Call::Vote(Ballot { repair: 0, ..ballot }),
        other => other,
    }
}

/// Returns the last answered question of those that mend the first.
fn last_of(calls: &BTreeMap<Call, SnapCall>, first: Call) -> Call {
    calls.keys().rev().find(|call| chain(**call) == first).copied().unwrap_or(first)
}

/// Returns true for an answer that has the form that was asked for.
fn counts(call: &SnapCall) -> bool {
    match &call.state {
        SnapCallState::Answered(Answer { facts, .. }) => {
            facts.invalid.is_none() && !matches!(facts.verdict, Some(Verdict::Unscored(_)))
        }
        SnapCallState::Ready(_) | SnapCallState::InFlight(_) | SnapCallState::Failed(_) => true,
    }
}

fn find(plan: &Plan, step: &str) -> Result<StepIdx, String> {
    plan.find_step(&step.into()).ok_or_else(|| format!("the plan has no step {step}"))
}

fn named(plan: &Plan, id: &AttemptId) -> Result<(Task, Call), String> {
    let call = Call::parse(&id.call).ok_or_else(|| format!("unknown call {}", id.call))?;
    Ok(((find(plan, id.step.as_str())?, id.each.clone()), call))
}
