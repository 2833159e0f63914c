//! Events to write and ways to read them back.

use crate::base::{ActorName, AttemptNo, BackendName, CallPath, CaseNo, Digest, ItemId, StepName, Timestamp};
use crate::event::{
    Answer, AttemptEnded, AttemptId, AttemptStarted, CaseAdmitted, CaseCounts, CaseReopened, CaseSettled, CaseStatus,
    Event, Facts, Failure, FinishReason, Judgement, Message, Outcome, Recorded, RunStarted, SnapCase, Snapshot,
    TaskOutput, TaskSettled, TaskStatus, Timings, Usage,
};
use crate::journal::{Batch, EventLog, EventSeq, Text};

fn at(micros: i64, event: Event) -> Recorded {
    Recorded { at: Timestamp(1_700_000_000_000_000 + micros), event }
}

/// A run's first event.
pub(crate) fn started() -> Recorded {
    let event = RunStarted {
        cases: None,
        format: crate::event::FORMAT,
        name: "debate".to_owned(),
        plan: Digest::of(b"plan"),
        source: Digest::of(b"source"),
        files: std::collections::BTreeMap::new(),
        file: "debate.yaml".to_owned(),
        overrides: serde_json::json!({"motion": "Cats rule.", "temperature": 0.7}),
        seed: u64::MAX,
        version: "0.1.0".to_owned(),
        backends: Vec::new(),
        prices: std::collections::BTreeMap::new(),
        cell_prices: Vec::new(),
        traced: None,
        provenance: None,
        gpu: None,
    };
    at(0, Event::RunStarted(event))
}

/// The admission of case `case`.
pub(crate) fn admitted(case: u64) -> Recorded {
    let item = ItemId::from(format!("item-{case}"));
    let row = Text::of(row(case)).digest;
    at(
        1,
        Event::CaseAdmitted(CaseAdmitted {
            case: CaseNo(case),
            item,
            repeat: 1,
            matrix: serde_json::Map::new(),
            row,
        }),
    )
}

/// The row of case `case`.
pub(crate) fn row(case: u64) -> String {
    format!(r#"{{"motion":"number {case}"}}"#)
}

/// A batch of events without texts.
pub(crate) fn batch(events: impl IntoIterator<Item = Recorded>) -> Batch {
    Batch { events: events.into_iter().collect(), ..Batch::default() }
}

/// A state that can be told from others.
pub(crate) fn snapshot(admitted: u64) -> Snapshot {
    Snapshot { cases: CaseCounts { admitted, ..CaseCounts::default() }, ..Snapshot::default() }
}

/// All events after `seq`, with the promise of numbers without gaps checked.
pub(crate) fn events_of(log: &dyn EventLog, seq: EventSeq) -> Vec<Recorded> {
    let (mut events, mut last) = (Vec::new(), seq);
    log.events_after(seq, &mut |seq, recorded| {
        assert_eq!(seq, last.next());
        last = seq;
        events.push(recorded);
        Ok(())
    })
    .expect("the log can be read");
    assert_eq!(last, log.last_seq().max(seq));
    events
}

/// Names a request of case `case`.
pub(super) fn attempt(case: u64, call: &str, attempt: u32) -> AttemptId {
    let (step, call) = (StepName::from("talk"), CallPath::from(call));
    AttemptId { case: CaseNo(case), step, each: None, call, attempt: AttemptNo(attempt) }
}

/// A request begins.
pub(super) fn attempt_started(id: AttemptId) -> Recorded {
    let (actor, backend) = (ActorName::from("ada"), BackendName::from("local"));
    at(2, Event::AttemptStarted(AttemptStarted { id, actor, backend }))
}

/// A request ends with an answer, to `prompt` and to that answer.
pub(super) fn answered(id: AttemptId, prompt: &str, answer: &str) -> Batch {
    let (said, answer) = (Text::of(prompt), Text::of(answer));
    let outcome = Outcome::Answered(Answer {
        prompt_about: None,
        reason: None,
        thought: None,
        text: answer.digest,
        finish: FinishReason::Stop,
        model: Some("tiny".to_owned()),
        id: None,
        facts: Facts::default(),
    });
    let request = vec![Message("system".into(), said.digest), Message("user".into(), answer.digest)];
    Batch { events: [ended(id, request, outcome)].into(), texts: vec![said, answer], checkpoint: None }
}

/// A request ends without one.
pub(super) fn failed(id: AttemptId, failure: Failure) -> Recorded {
    ended(id, Vec::new(), Outcome::Failed(failure))
}

fn ended(id: AttemptId, request: Vec<Message>, outcome: Outcome) -> Recorded {
    let usage = Usage { input: Some(crate::base::TokenCount(11)), output: None, cached: None, reasoning: None };
    let timings = Timings { queued_us: 5, first_token_us: None, total_us: 2_500, claimed: None };
    let ended = AttemptEnded {
        estimated: Usage::default(),
        id,
        request,
        outcome,
        usage,
        timings,
        charged: true,
        retry_at: None,
        from_cache: None,
    };
    at(3, Event::AttemptEnded(ended))
}

/// A task ends with nothing to read.
pub(super) fn task_settled(case: u64, step: &str) -> Recorded {
    settled(case, step, None)
}

/// A judge ends.
pub(super) fn judged(case: u64, step: &str, judgement: Judgement) -> Recorded {
    settled(case, step, Some(TaskOutput::Judge(judgement)))
}

fn settled(case: u64, step: &str, output: Option<TaskOutput>) -> Recorded {
    let (case, step, usage) = (CaseNo(case), StepName::from(step), Usage::default());
    let task =
        TaskSettled { case, step, status: TaskStatus::Ok, because: None, output, failure: None, usage, busy_ms: 3 };
    at(4, Event::TaskSettled(task))
}

/// A case ends.
pub(super) fn case_settled(case: u64, status: CaseStatus) -> Recorded {
    at(5, Event::CaseSettled(CaseSettled { case: CaseNo(case), status, observed: Vec::new() }))
}

/// A case goes on: `former`, the record of a task, is taken back.
pub(super) fn reopened(case: u64, was: CaseStatus, former: Recorded) -> Recorded {
    let Event::TaskSettled(former) = former.event else { panic!("the record of a task") };
    let now = SnapCase {
        case: CaseNo(case),
        item: format!("item-{case}").as_str().into(),
        repeat: 1,
        matrix: serde_json::Map::new(),
        closing: false,
        row: Digest::of(b"row"),
        tasks: Vec::new(),
        opened: Vec::new(),
        asked: Vec::new(),
    };
    at(6, Event::CaseReopened(CaseReopened { was, former: vec![former], now }))
}
