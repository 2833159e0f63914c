//! What a task needs next, from its calls alone.
//! Reads: `Plan`, `CaseState`. Gives: calls that may be sent, or the record that settles the task.

use std::collections::BTreeMap;

use super::state::{CallPhase, CallState, CaseState, TaskState};
use super::stop::{Talk, stopped_by};
use crate::base::{CaseNo, Timestamp, TokenCount};
use crate::event::{Answer, CaseStatus, Failure, TaskOutput, TaskSettled, TaskStatus, Turn, Usage, Verdict};
use crate::judge::{Asked, judgement};
use crate::plan::{ActorIdx, Call, Dialogue, Judge, Plan, Step, StepIdx, StepKind};

/// What comes next in a task.
#[derive(Debug, PartialEq)]
pub(super) enum Frontier {
    /// Something it waits for is not there: other tasks, or answers.
    Waits,
    /// These calls may be sent, each not before its time; none sends at once.
    Calls(Vec<(Call, Option<Timestamp>)>),
    /// It is over.
    Settles(Box<TaskSettled>),
}

type Calls = BTreeMap<Call, CallState>;

/// Returns what comes next in one task of an open case.
pub(super) fn frontier(plan: &Plan, number: CaseNo, case: &CaseState, index: StepIdx) -> Frontier {
    let TaskState::Open(calls) = &case.tasks[index.0] else { return Frontier::Waits };
    let step = plan.step(index);
    let mut blocked = false;
    for &before in &step.after {
        match case.settled(before) {
            None => return Frontier::Waits,
            Some(record) => blocked |= matches!(record.status, TaskStatus::Failed | TaskStatus::Skipped),
        }
    }
    if blocked {
        return settles(number, step, TaskStatus::Skipped, None, None, calls);
    }
    match &step.kind {
        StepKind::Chat(_) => chat(number, step, calls),
        StepKind::Dialogue(dialogue) => talk(plan, (number, case, index), dialogue, calls),
        StepKind::Judge(judge) => votes(number, step, judge, calls),
    }
}

/// Returns how a case ends, none while a task is open.
pub(super) fn case_status(case: &CaseState) -> Option<CaseStatus> {
    let mut status = CaseStatus::Ok;
    for task in &case.tasks {
        let TaskState::Settled(record) = task else { return None };
        status = status.max(match record.status {
            TaskStatus::Ok => CaseStatus::Ok,
            TaskStatus::Unscored => CaseStatus::Unscored,
            TaskStatus::Failed | TaskStatus::Skipped => CaseStatus::Failed,
        });
    }
    Some(status)
}

/// Returns the turns answered so far, in order.
pub(super) fn turns(plan: &Plan, case: &CaseState, step: StepIdx, calls: &Calls) -> Vec<Turn> {
    let turn = |(actor, answer, _): (ActorIdx, &Answer, _)| Turn {
        actor: plan.actor(actor).name.clone(),
        text: answer.text,
    };
    answered_turns(plan, case, step, calls).map(turn).collect()
}

/// Returns who took each answered turn, with what was answered and the tokens it took.
fn answered_turns<'a>(
    plan: &'a Plan,
    case: &'a CaseState,
    step: StepIdx,
    calls: &'a Calls,
) -> impl Iterator<Item = (ActorIdx, &'a Answer, &'a Usage)> {
    calls.iter().filter_map(move |(&call, state)| match (call, &state.phase) {
        (Call::Turn(_), CallPhase::Answered(answer)) => {
            Some((plan.speaker(step, &case.item, case.repeat, call), answer, &state.usage))
        }
        _ => None,
    })
}

fn chat(number: CaseNo, step: &Step, calls: &Calls) -> Frontier {
    match one(calls, Call::Say) {
        Found::Answered(answer) => {
            settles(number, step, TaskStatus::Ok, Some(TaskOutput::Chat { text: answer.text }), None, calls)
        }
        Found::Other(frontier) => frontier,
        Found::Failed(failure) => settles(number, step, TaskStatus::Failed, None, Some(failure), calls),
    }
}

fn talk(
    plan: &Plan,
    (number, case, index): (CaseNo, &CaseState, StepIdx),
    dialogue: &Dialogue,
    calls: &Calls,
) -> Frontier {
    let step = plan.step(index);
    let latest = u32::try_from(calls.len().max(1)).expect("a dialogue is bounded by a u32");
    match one(calls, Call::Turn(latest)) {
        Found::Other(frontier) => return frontier,
        Found::Failed(failure) => return settles(number, step, TaskStatus::Failed, None, Some(failure), calls),
        Found::Answered(_) => {}
    }
    let taken: Vec<_> = answered_turns(plan, case, index, calls).collect();
    let said: Vec<_> = taken.iter().map(|(actor, answer, _)| (*actor, &answer.facts)).collect();
    let tokens = taken.iter().map(|(_, answer, usage)| spent(answer, usage)).sum();
    let talk = Talk { said: &said, speakers: dialogue.actors.len(), tokens };
    match stopped_by(&dialogue.stop, talk) {
        None => Frontier::Calls(vec![(Call::Turn(latest + 1), None)]),
        Some(word) => {
            let turns = turns(plan, case, index, calls);
            let output = TaskOutput::Dialogue { turns, stopped_by: word.to_owned() };
            settles(number, step, TaskStatus::Ok, Some(output), None, calls)
        }
    }
}

/// Returns what a turn took of the dialogue's budget: as the server counted, else by the length of the answer.
fn spent(answer: &Answer, usage: &Usage) -> u64 {
    match (usage.input, usage.output) {
        (None, None) => u64::from(answer.facts.about_tokens),
        (input, output) => [input, output].into_iter().flatten().map(|TokenCount(tokens)| tokens).sum::<u64>().max(1),
    }
}

fn votes(number: CaseNo, step: &Step, judge: &Judge, calls: &Calls) -> Frontier {
    let mut wanted = Vec::new();
    let mut failure = None;
    let mut in_flight = false;
    let mut asked = Vec::new();
    for vote in 1..=judge.votes.get() {
        let mut ways = [None, None];
        for exchanged in [false, true] {
            if exchanged && judge.blind.is_none() {
                continue;
            }
            let call = Call::Vote { vote, exchanged };
            match one(calls, call) {
                Found::Answered(answer) => ways[usize::from(exchanged)] = Some(answer),
                Found::Failed(found) => failure = failure.or(Some(found)),
                Found::Other(Frontier::Calls(calls)) => wanted.extend(calls),
                Found::Other(Frontier::Waits | Frontier::Settles(_)) => in_flight = true,
            }
        }
        let [straight, exchanged] = ways;
        if let Some(straight) = straight {
            asked.push(Asked {
                straight: verdict(straight),
                exchanged: exchanged.map(verdict),
                reason: straight.text,
            });
        }
    }
    match (failure, in_flight) {
        (None, _) if !wanted.is_empty() => Frontier::Calls(wanted),
        // After a failure the other votes are not asked any more; those in flight are waited for, so that their cost
        // is counted.
        (_, true) => Frontier::Waits,
        (Some(failure), false) => settles(number, step, TaskStatus::Failed, None, Some(failure), calls),
        (None, false) => {
            let judgement = judgement(&asked, &judge.choose);
            let status = match judgement.verdict {
                Verdict::Choice(_) => TaskStatus::Ok,
                Verdict::Unscored(_) => TaskStatus::Unscored,
            };
            settles(number, step, status, Some(TaskOutput::Judge(judgement)), None, calls)
        }
    }
}

fn verdict(answer: &Answer) -> Verdict {
    answer.facts.verdict.clone().expect("bug: a judge's answer carries no verdict; the task module always reads one")
}

enum Found<'a> {
    Answered(&'a Answer),
    Failed(&'a Failure),
    Other(Frontier),
}

fn one(calls: &Calls, call: Call) -> Found<'_> {
    match calls.get(&call).map(|state| &state.phase) {
        None => Found::Other(Frontier::Calls(vec![(call, None)])),
        Some(CallPhase::Ready(at)) => Found::Other(Frontier::Calls(vec![(call, Some(*at))])),
        Some(CallPhase::InFlight(_)) => Found::Other(Frontier::Waits),
        Some(CallPhase::Answered(answer)) => Found::Answered(answer),
        Some(CallPhase::Failed(failure)) => Found::Failed(failure),
    }
}

fn settles(
    case: CaseNo,
    step: &Step,
    status: TaskStatus,
    output: Option<TaskOutput>,
    failure: Option<&Failure>,
    calls: &Calls,
) -> Frontier {
    let mut usage = Usage::default();
    let mut busy_us = 0;
    for call in calls.values() {
        usage.add(&call.usage);
        busy_us += call.busy_us;
    }
    Frontier::Settles(Box::new(TaskSettled {
        case,
        step: step.name.clone(),
        status,
        output,
        failure: failure.cloned(),
        usage,
        busy_ms: busy_us / 1_000,
    }))
}
