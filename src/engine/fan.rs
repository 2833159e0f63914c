//! What comes next in a step of a case: whether it is done, for which elements, and what they come to together.
//! Reads: `Plan`, `CaseState`. Gives: evaluations, calls, records. A task's own work is in `frontier`.

use super::call::{ElementNo, Key, Question, TaskKey};
use super::frontier::{self, Calls, Frontier};
use super::state::{CaseState, ElementState, TaskState};
use crate::base::{CaseNo, EachKey, Timestamp};
use crate::event::{Because, ElementOutput, TaskOutput, TaskSettled, TaskStatus, Usage};
use crate::plan::{Call, Plan, Step, StepIdx};

/// Characters of a failure's detail (`event/failure.rs`).
const LONGEST_DETAIL: usize = 400;

/// One thing that comes next.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// Something is to be evaluated.
    Evaluate(TaskKey, Question),
    /// A call may be sent, not before its time; none sends at once.
    Call(TaskKey, Call, Option<Timestamp>),
    /// An element is over.
    SettleElement(ElementNo, Box<TaskSettled>),
    /// The step is over in this case.
    Settle(Box<TaskSettled>),
}

/// Returns all that comes next in one step of an open case; nothing while it waits.
pub(super) fn next(plan: &Plan, number: CaseNo, case: &CaseState, index: StepIdx) -> Vec<Next> {
    let TaskState::Open(calls) = &case.tasks[index.0] else { return Vec::new() };
    let step = plan.step(index);
    let whole = TaskKey { case: number, step: index, element: None };
    let mut blocked = false;
    for &before in &step.after {
        match case.settled(before) {
            None => return Vec::new(),
            Some(record) => blocked |= record.blocks(),
        }
    }
    if blocked {
        return vec![Next::Settle(Box::new(skipped(number, step, None)))];
    }
    if !step.course.opens() {
        return of_task(plan, case, whole, calls);
    }
    match case.opened.get(&index) {
        None => vec![Next::Evaluate(whole, Question::Opening)],
        Some(opened) => match &opened.elements {
            None => of_task(plan, case, whole, calls),
            Some(elements) => of_elements(plan, case, whole, elements),
        },
    }
}

/// Returns the record of a step that is not done.
pub(super) fn skipped(number: CaseNo, step: &Step, because: Option<Because>) -> TaskSettled {
    let record = frontier::settled(number, step, TaskStatus::Skipped, None, None, &Calls::new());
    TaskSettled { because, ..record }
}

fn of_task(plan: &Plan, case: &CaseState, key: TaskKey, calls: &Calls) -> Vec<Next> {
    match frontier::work(plan, (key.case, case, key.step), calls) {
        Frontier::Waits => Vec::new(),
        Frontier::Works => vec![Next::Evaluate(key, Question::Work)],
        Frontier::Gathers => vec![Next::Evaluate(key, Question::Gather)],
        Frontier::Calls(calls) => calls.into_iter().map(|(call, at)| Next::Call(key, call, at)).collect(),
        Frontier::Settles(record) => match key.element {
            None => vec![Next::Settle(record)],
            Some(element) => vec![Next::SettleElement(element, record)],
        },
    }
}

/// An element that fails holds up no other: which ones are asked must not depend on which one answers first.
fn of_elements(plan: &Plan, case: &CaseState, whole: TaskKey, elements: &[ElementState]) -> Vec<Next> {
    let mut all = Vec::new();
    let mut settled = Vec::with_capacity(elements.len());
    for (number, element) in (0..).map(ElementNo).zip(elements) {
        match &element.task {
            TaskState::Settled(record) => settled.push((&element.key, &**record)),
            TaskState::Open(calls) => {
                all.extend(of_task(plan, case, TaskKey { element: Some(number), ..whole }, calls));
            }
        }
    }
    if settled.len() < elements.len() {
        all
    } else {
        vec![Next::Settle(Box::new(joined(whole.case, plan.step(whole.step), &settled)))]
    }
}

/// Returns what the elements come to together: their outputs in the order of the list, and the first failure.
fn joined(number: CaseNo, step: &Step, elements: &[(&EachKey, &TaskSettled)]) -> TaskSettled {
    let mut usage = Usage::default();
    let mut busy_ms = 0;
    let mut status = TaskStatus::Ok;
    let mut outputs = Vec::with_capacity(elements.len());
    for (key, record) in elements {
        usage.add(&record.usage);
        busy_ms += record.busy_ms;
        status = match (status, record.status) {
            (_, TaskStatus::Failed) | (TaskStatus::Failed, _) => TaskStatus::Failed,
            (_, TaskStatus::Unscored) | (TaskStatus::Unscored, _) => TaskStatus::Unscored,
            (status, TaskStatus::Ok | TaskStatus::Skipped) => status,
        };
        let TaskSettled { output, failure, status, .. } = (*record).clone();
        outputs.push(ElementOutput { key: (*key).clone(), status, output, failure });
    }
    let failed = |element: &&ElementOutput| element.status == TaskStatus::Failed;
    let failure = outputs.iter().find(failed).and_then(|first| {
        let mut failure = first.failure.clone()?;
        let count = outputs.iter().filter(failed).count();
        let which = format!("{count} of {} elements, the first {:?}", outputs.len(), first.key.as_str());
        failure.detail = format!("{which}: {}", failure.detail).chars().take(LONGEST_DETAIL).collect();
        Some(failure)
    });
    let output = Some(TaskOutput::Each { elements: outputs });
    let record = frontier::settled(number, step, status, output, failure.as_ref(), &Calls::new());
    TaskSettled { usage, busy_ms, ..record }
}

/// Returns true when a call that was queued may still be sent.
pub(super) fn is_wanted(plan: &Plan, case: &CaseState, key: Key) -> bool {
    let Some(calls) = case.calls(key.task()) else { return false };
    match frontier::work(plan, (key.case, case, key.step), calls) {
        Frontier::Calls(calls) => calls.iter().any(|&(call, _)| call == key.call),
        Frontier::Waits | Frontier::Works | Frontier::Gathers | Frontier::Settles(_) => false,
    }
}
