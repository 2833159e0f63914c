//! What a task needs next, from its calls alone.
//! Reads: `Plan`, `CaseState`. Gives: calls that may be sent, or the record that settles the task.

use std::collections::BTreeMap;

use super::state::{CallPhase, CallState, CaseState, TaskState};
use super::stop::{Ending, Judged, Talk, ending};
use crate::base::{CaseNo, Timestamp, TokenCount};
use crate::event::{
    Answer, Because, CaseStatus, Facts, Failure, FailureKind, TaskOutput, TaskSettled, TaskStatus, Turn, Usage,
    Verdict,
};
use crate::judge::{Asked, judgement};
use crate::plan::{
    ActorIdx, Ballot, Call, Chat, Dialogue, Inquiry, Judge, Mended, OnError, Plan, RoundJudge, Step, StepIdx,
    StepKind, Way,
};

/// What comes next in a task.
#[derive(Debug, PartialEq)]
pub(super) enum Frontier {
    /// Something it waits for is not there: other tasks, or answers.
    Waits,
    /// These calls may be sent, each not before its time; none sends at once.
    Calls(Vec<(Call, Option<Timestamp>)>),
    /// It needs no model: its output is to be evaluated.
    Works,
    /// It is over.
    Settles(Box<TaskSettled>),
}

pub(super) type Calls = BTreeMap<Call, CallState>;

/// Returns what comes next in a task that may be done: `calls` are its own, or those of one element.
pub(super) fn work(plan: &Plan, (number, case, index): (CaseNo, &CaseState, StepIdx), calls: &Calls) -> Frontier {
    let step = plan.step(index);
    let next = match &step.kind {
        StepKind::Chat(chat) => say(number, step, chat, calls),
        StepKind::Dialogue(dialogue) => talk(plan, (number, case, index), dialogue, calls),
        StepKind::Judge(judge) => votes(plan, number, step, judge, calls),
        StepKind::Transform(_) | StepKind::Assert(_) => Frontier::Works,
    };
    match next {
        Frontier::Settles(record) => Frontier::Settles(Box::new(eased(step, *record))),
        other => other,
    }
}

/// Does what `on_error` says of a task that failed.
pub(super) fn eased(step: &Step, record: TaskSettled) -> TaskSettled {
    if record.status != TaskStatus::Failed {
        return record;
    }
    match &step.course.on_error {
        OnError::Fail => record,
        OnError::Skip => TaskSettled { status: TaskStatus::Skipped, because: Some(Because::OnError), ..record },
        OnError::Default { output, .. } => TaskSettled {
            status: TaskStatus::Ok,
            because: Some(Because::OnError),
            output: Some(output.clone()),
            ..record
        },
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
            TaskStatus::Skipped if !record.blocks() => CaseStatus::Ok,
            TaskStatus::Failed | TaskStatus::Skipped => CaseStatus::Failed,
        });
    }
    Some(status)
}

/// Returns the turns answered so far, in order.
pub(super) fn turns(plan: &Plan, case: &CaseState, step: StepIdx, calls: &Calls) -> Vec<Turn> {
    let turn =
        |(actor, answer): (ActorIdx, &Answer)| Turn { actor: plan.actor(actor).name.clone(), text: answer.text };
    answered_turns(plan, case, step, calls).map(turn).collect()
}

/// Returns who took each answered turn, with what was answered.
fn answered_turns<'a>(
    plan: &'a Plan,
    case: &'a CaseState,
    step: StepIdx,
    calls: &'a Calls,
) -> impl Iterator<Item = (ActorIdx, &'a Answer)> {
    calls.iter().filter_map(move |(&call, state)| match (call, &state.phase) {
        (Call::Turn(_), CallPhase::Answered(answer)) => {
            Some((plan.speaker(step, &case.item, case.repeat, call), answer))
        }
        _ => None,
    })
}

fn say(number: CaseNo, step: &Step, chat: &Chat, calls: &Calls) -> Frontier {
    let repairs = chat.form.as_ref().map_or(0, |(_, repairs)| *repairs);
    let asked = |repair| if repair == 0 { Call::Say } else { Call::Repair(repair) };
    match mended(calls, repairs, asked) {
        Found::Answered(Answer { facts: Facts { invalid: Some(complaint), .. }, .. }) => {
            let failure = mismatch(complaint, repairs);
            settles(number, step, TaskStatus::Failed, None, Some(&failure), calls)
        }
        Found::Answered(answer) => {
            settles(number, step, TaskStatus::Ok, Some(TaskOutput::Chat { text: answer.text }), None, calls)
        }
        Found::Other(frontier) => frontier,
        Found::Failed(failure) => settles(number, step, TaskStatus::Failed, None, Some(failure), calls),
    }
}

fn mismatch(complaint: &str, repairs: u32) -> Failure {
    let after = match repairs {
        0 => String::new(),
        1 => ", and asked again the model did no better".to_owned(),
        many => format!(", and asked {many} times again the model did no better"),
    };
    Failure::new(FailureKind::Mismatched, format!("{complaint}{after}"))
}

fn talk(
    plan: &Plan,
    (number, case, index): (CaseNo, &CaseState, StepIdx),
    dialogue: &Dialogue,
    calls: &Calls,
) -> Frontier {
    let step = plan.step(index);
    let turns_begun = calls.keys().filter(|call| matches!(call, Call::Turn(_))).count();
    let latest = u32::try_from(turns_begun.max(1)).expect("a dialogue is bounded by a u32");
    match one(calls, Call::Turn(latest)) {
        Found::Other(frontier) => return frontier,
        Found::Failed(failure) => return settles(number, step, TaskStatus::Failed, None, Some(failure), calls),
        Found::Answered(_) => {}
    }
    let speakers = u32::try_from(dialogue.actors.len()).expect("few actors");
    let asked = |which: usize| {
        let which = u32::try_from(which).expect("few judges");
        let inquiry = Inquiry { round: latest / speakers, which, repair: 0 };
        mended(calls, dialogue.judges[inquiry.which as usize].repair, |repair| {
            Call::Ask(Inquiry { repair, ..inquiry })
        })
    };
    let judged = |(which, judge): (usize, &RoundJudge)| match latest.is_multiple_of(speakers).then(|| asked(which)) {
        None => Judged::Nothing,
        Some(Found::Other(_) | Found::Failed(_)) => Judged::Unasked,
        Some(Found::Answered(answer)) => match verdict(answer) {
            Verdict::Choice(option) if option == judge.on => Judged::Over,
            Verdict::Choice(_) => Judged::GoesOn,
            Verdict::Score(_) | Verdict::Ranking(_) | Verdict::Json | Verdict::Unscored(_) => Judged::Nothing,
        },
    };
    let judged: Vec<Judged> = dialogue.judges.iter().enumerate().map(judged).collect();
    let said: Vec<_> =
        answered_turns(plan, case, index, calls).map(|(actor, answer)| (actor, &answer.facts)).collect();
    let tokens = spent_until(calls, latest, speakers);
    match ending(&dialogue.stop, Talk { said: &said, speakers: dialogue.actors.len(), tokens, judged: &judged }) {
        Ending::GoesOn | Ending::Unknown => Frontier::Calls(vec![(Call::Turn(latest + 1), None)]),
        Ending::Asks(which) => match asked(which) {
            Found::Other(frontier) => frontier,
            Found::Failed(failure) => settles(number, step, TaskStatus::Failed, None, Some(failure), calls),
            Found::Answered(_) => panic!("bug: a judge that has answered is asked again"),
        },
        Ending::Over(word) => {
            let turns = turns(plan, case, index, calls);
            let output = TaskOutput::Dialogue { turns, stopped_by: word.to_owned() };
            settles(number, step, TaskStatus::Ok, Some(output), None, calls)
        }
    }
}

/// Returns the tokens spent on a dialogue up to a turn. What is asked after it counts from the next turn on: whether a
/// judge is asked must not change what the conditions beside it say.
fn spent_until(calls: &Calls, turn: u32, speakers: u32) -> u64 {
    let counts = |call: &Call| match call {
        Call::Turn(_) => true,
        Call::Ask(inquiry) => inquiry.round.saturating_mul(speakers) < turn,
        Call::Say | Call::Repair(_) | Call::Vote(_) => false,
    };
    let spent = calls.iter().filter(|(call, _)| counts(call)).map(|(_, state)| match &state.phase {
        CallPhase::Answered(answer) => spent(answer, &state.usage),
        CallPhase::Ready(_) | CallPhase::InFlight(_) | CallPhase::Failed(_) => 0,
    });
    spent.sum()
}

/// Returns what an answer took of the dialogue's budget: as the server counted, else by the length of the answer.
fn spent(answer: &Answer, usage: &Usage) -> u64 {
    match (usage.input, usage.output) {
        (None, None) => u64::from(answer.facts.about_tokens),
        (input, output) => [input, output].into_iter().flatten().map(|TokenCount(tokens)| tokens).sum::<u64>().max(1),
    }
}

fn votes(plan: &Plan, number: CaseNo, step: &Step, judge: &Judge, calls: &Calls) -> Frontier {
    let mut wanted = Vec::new();
    let mut failure = None;
    let mut in_flight = false;
    let mut asked: Vec<Asked> = Vec::new();
    for ballot in judge.ballots() {
        match mended(calls, judge.repair, |repair| Call::Vote(Ballot { repair, ..ballot })) {
            Found::Answered(answer) if ballot.way == Way::Straight => asked.push(Asked {
                straight: verdict(answer),
                exchanged: None,
                reason: answer.text,
                by: judge.is_panel().then(|| plan.actor(judge.actor(ballot)).name.clone()),
            }),
            // The straight way of the same vote comes right before; when it is missing the task does not settle yet.
            Found::Answered(answer) => {
                if let Some(straight) = asked.last_mut() {
                    straight.exchanged = Some(verdict(answer));
                }
            }
            Found::Failed(found) => failure = failure.or(Some(found)),
            Found::Other(Frontier::Calls(calls)) => wanted.extend(calls),
            Found::Other(Frontier::Waits | Frontier::Works | Frontier::Settles(_)) => in_flight = true,
        }
    }
    match (failure, in_flight) {
        (None, _) if !wanted.is_empty() => Frontier::Calls(wanted),
        // After a failure the other votes are not asked any more; those in flight are waited for, so that their cost
        // is counted.
        (_, true) => Frontier::Waits,
        (Some(failure), false) => settles(number, step, TaskStatus::Failed, None, Some(failure), calls),
        (None, false) => {
            let judgement = judgement(&asked, judge.rule, &judge.options());
            let status = match judgement.verdict {
                Verdict::Unscored(_) => TaskStatus::Unscored,
                Verdict::Choice(_) | Verdict::Score(_) | Verdict::Ranking(_) | Verdict::Json => TaskStatus::Ok,
            };
            settles(number, step, status, Some(TaskOutput::Judge(judgement)), None, calls)
        }
    }
}

/// Returns the answer that a call asks to mend; none for a call that asks for the first time.
pub(super) fn mends(calls: &Calls, call: Call) -> Option<Mended> {
    match &calls.get(&call.mends()?)?.phase {
        CallPhase::Answered(answer) => Some(Mended { answer: answer.text, complaint: answer.facts.invalid.clone()? }),
        CallPhase::Ready(_) | CallPhase::InFlight(_) | CallPhase::Failed(_) => None,
    }
}

/// Looks at a question and, while its answer has not the form that was asked for, at the same question asked again.
fn mended(calls: &Calls, repairs: u32, asked: impl Fn(u32) -> Call) -> Found<'_> {
    let mut repair = 0;
    loop {
        match one(calls, asked(repair)) {
            Found::Answered(answer) if answer.facts.invalid.is_some() && repair < repairs => repair += 1,
            found => return found,
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
    Frontier::Settles(Box::new(settled(case, step, status, output, failure, calls)))
}

/// Returns the record of a task that is over, with what its calls took.
pub(super) fn settled(
    case: CaseNo,
    step: &Step,
    status: TaskStatus,
    output: Option<TaskOutput>,
    failure: Option<&Failure>,
    calls: &Calls,
) -> TaskSettled {
    let mut usage = Usage::default();
    let mut busy_us = 0;
    for call in calls.values() {
        usage.add(&call.usage);
        busy_us += call.busy_us;
    }
    TaskSettled {
        case,
        step: step.name.clone(),
        status,
        because: None,
        output,
        failure: failure.cloned(),
        usage,
        busy_ms: busy_us / 1_000,
    }
}
