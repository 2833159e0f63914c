//! A world that answers in any order, fails, forgets what was not committed, and dies; and what must survive it.

mod steer_tests;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use proptest::prelude::*;

mod given;
mod halting;

use self::given::{Draws, begun};
use super::*;
use crate::base::{ActorName, BackendName, CaseNo, Digest, Hasher, ItemId, Millis, StepName, Timestamp};
use crate::event::{
    Answer, CaseStatus, Event, Facts, Failure, FailureKind, FinishReason, Outcome, Recorded, Report, RunOutcome,
    RunResumed, StopCause, TaskAdopted, TaskOutput, TaskSettled, TaskStatus, TimeoutPhase, Timings, Usage, Verdict,
};
use crate::plan::{
    Actor, ActorIdx, BackendIdx, BackendPlan, BackendUrl, Call, CellIdx, Chat, Concurrency, Dialogue, History, Items,
    Judge, Limits, ModelChoice, Order, Pattern, Place, Plan, Sampling, Step as PlanStep, StepIdx, StepKind, Stop,
};
use crate::prompt::Templates;

const ITEMS: u64 = 12;
const SLOTS: [u32; 2] = [3, 2];

/// Two cells of a matrix: in the second one the actors ask the other backend, and talk one round less.
fn plan() -> Arc<Plan> {
    let first = cell("a", [0, 1, 1], 3);
    let others = vec![Arc::new(cell("b", [1, 0, 0], 2))];
    let cells = crate::plan::Cells::of(&first.matrix, others);
    Arc::new(Plan { cells, ..first })
}

/// chat → dialogue → judge over two backends, and a chat beside them.
fn cell(name: &str, backends: [usize; 3], rounds: u32) -> Plan {
    let mut templates = Templates::default();
    let any = templates.add("x").expect("compiles");
    let number = |n| NonZeroU32::new(n).expect("not 0");
    let actor = |name: &str, backend| Actor {
        name: ActorName::from(name),
        backend: BackendIdx(backend),
        model: ModelChoice::Auto,
        system: None,
        price: None,
        sampling: Sampling::default(),
    };
    let backend = |name: &str| BackendPlan {
        name: BackendName::from(name),
        url: BackendUrl::Sim { speed: 0 },
        api_key: None,
        concurrency: Concurrency::Auto,
    };
    let step = |name: &str, after: Vec<StepIdx>, kind| PlanStep {
        name: StepName::from(name),
        reads: after.clone(),
        after,
        kind,
    };
    let regex = regex::Regex::new("x").expect("valid");
    let steps = vec![
        step("brief", vec![], StepKind::Chat(Chat { actor: ActorIdx(0), prompt: any })),
        step("aside", vec![], StepKind::Chat(Chat { actor: ActorIdx(2), prompt: any })),
        step(
            "debate",
            vec![StepIdx(0)],
            StepKind::Dialogue(Dialogue {
                actors: vec![ActorIdx(0), ActorIdx(1)],
                opening: any,
                stop: Stop::Any(vec![Stop::Rounds(number(rounds)), Stop::Says(0), Stop::Agree(0), Stop::Budget(20)]),
                order: Order::Random,
                history: History::Last(number(2)),
                patterns: vec![Pattern { actor: None, regex }],
                captures: vec![None],
                likenesses: Vec::new(),
            }),
        ),
        step(
            "verdict",
            vec![StepIdx(2)],
            StepKind::Judge(Judge {
                actor: ActorIdx(2),
                question: any,
                choose: ["pro", "con"].map(str::to_owned).to_vec(),
                votes: number(3),
                blind: Some([ActorName::from("pro"), ActorName::from("con")]),
            }),
        ),
    ];
    let [pro, con, referee] = backends;
    Plan {
        name: "t".to_owned(),
        description: None,
        hash: Digest::of(b"t"),
        seed: 0,
        params: serde_json::Map::new(),
        backends: vec![backend("one"), backend("two")],
        actors: vec![actor("pro", pro), actor("con", con), actor("referee", referee)],
        steps,
        items: Items::One,
        limit: None,
        repeat: NonZeroU32::MIN,
        limits: Limits {
            timeouts: crate::plan::Timeouts { total: Millis::seconds(60), ..crate::plan::Timeouts::default() },
            ..Limits::default()
        },
        halt: None,
        tolerated: 0.0,
        results: None,
        templates,
        matrix: std::iter::once(("cell".to_owned(), name.into())).collect(),
        cells: crate::plan::Cells::default(),
    }
}

const fn cell_of(case: u64) -> CellIdx {
    CellIdx(if case % 2 == 1 { 1 } else { 0 })
}

/// What a backend answers: a pure function of what decides the prompt.
fn answer(place: &Place) -> Outcome {
    let mut prompt = Hasher::new("world")
        .field(place.item.as_str().as_bytes())
        .number(place.step.0 as u64)
        .field(place.call.path().as_str().as_bytes());
    for turn in &place.turns {
        prompt = prompt.field(turn.text.as_bytes());
    }
    for (_, input) in &place.inputs {
        prompt = prompt.field(format!("{:?}{:?}", input.status, input.output).as_bytes());
    }
    let digest = prompt.finish();
    let draw = digest.low_bits();
    if draw % 40 == 7 {
        return Outcome::Failed(Failure::new(FailureKind::Refused, "not this one"));
    }
    let verdict = matches!(place.call, Call::Vote { .. })
        .then(|| Verdict::Choice(if draw.is_multiple_of(3) { "con" } else { "pro" }.to_owned()));
    let facts = Facts {
        says: vec![draw % 7 == 1],
        captures: vec![Some(Digest::of(&[u8::try_from(draw % 5).expect("below 5")]))],
        about_tokens: u32::try_from(draw % 11).expect("below 11"),
        verdict,
        ..Facts::default()
    };
    Outcome::Answered(Answer { text: digest, finish: FinishReason::Stop, model: None, facts })
}

fn report(outcome: Outcome) -> Box<Report> {
    Box::new(Report {
        request: None,
        dropped_turns: 0,
        outcome,
        usage: Usage::default(),
        timings: Timings::default(),
    })
}

struct World {
    plan: Arc<Plan>,
    engine: Engine,
    now: Timestamp,
    /// Durable.
    log: Vec<Recorded>,
    /// Not durable yet, with what waits for it.
    pending: Vec<Step>,
    calls: Vec<StartCall>,
    failures: BTreeMap<Key, u32>,
    finished: Option<RunOutcome>,
    draws: Draws,
    checkpoints: Vec<(usize, crate::event::Snapshot)>,
    sends: u64,
    /// What another run has settled, by case.
    known: BTreeMap<u64, Vec<TaskAdopted>>,
}

fn options() -> Options {
    Options { slots: SLOTS.to_vec(), grace: Millis::seconds(30) }
}

impl World {
    fn new(seed: u64) -> Self {
        Self::of(plan(), seed)
    }

    fn of(plan: Arc<Plan>, seed: u64) -> Self {
        let engine = Engine::new(Arc::clone(&plan), options());
        let mut world = Self {
            plan,
            engine,
            now: Timestamp(0),
            log: Vec::new(),
            pending: Vec::new(),
            calls: Vec::new(),
            failures: BTreeMap::new(),
            finished: None,
            draws: Draws(seed),
            checkpoints: Vec::new(),
            sends: 0,
            known: BTreeMap::new(),
        };
        world.give(begun());
        world
    }

    fn give(&mut self, input: Input) {
        let step = self.engine.step(self.now, input);
        self.engine.check().expect("invariants hold after every step");
        self.pending.push(step);
    }

    fn commit(&mut self) {
        for step in std::mem::take(&mut self.pending) {
            self.log.extend(step.events);
            for effect in step.effects {
                match effect {
                    Effect::StartCall(start) => {
                        self.sends += 1;
                        self.calls.push(*start);
                    }
                    Effect::CancelCall(ticket, why) => self.give_back(why, |call| call.ticket == ticket),
                    Effect::RecallUnsent => self.give_back(FailureKind::Cancelled, |_| false),
                    // The world works on all that it is given.
                    Effect::Resize(..) => {}
                    Effect::Finish(outcome) => self.finished = Some(outcome),
                }
            }
        }
    }

    fn give_back(&mut self, why: FailureKind, which: impl Fn(&StartCall) -> bool) {
        while let Some(place) = self.calls.iter().position(&which) {
            let call = self.calls.remove(place);
            self.give(Input::Returned(call.ticket, report(Outcome::Failed(Failure::new(why, "asked to")))));
        }
    }

    fn admit(&mut self) {
        for _ in 0..self.engine.wants_cases() {
            let next = self.engine.state().cases.admitted;
            if next == ITEMS {
                self.give(Input::SourceEnded);
                return;
            }
            let item = ItemId::from(format!("item-{next}"));
            let adopted = self.known.get(&next).cloned().unwrap_or_default();
            self.give(Input::Offer(vec![Offered {
                item,
                repeat: 1,
                cell: cell_of(next),
                row: Digest::of(b"row"),
                adopted,
            }]));
        }
    }

    fn answer_one(&mut self, disturbed: bool) {
        if self.calls.is_empty() {
            return;
        }
        let which = if disturbed { self.draws.below(self.calls.len()) } else { 0 };
        let call = self.calls.remove(which);
        self.give(Input::Sent(call.ticket));
        let outcome = match disturbed.then(|| self.trouble(&call)).flatten() {
            Some(failure) => Outcome::Failed(failure),
            None => answer(&call.place),
        };
        let twice = disturbed && self.draws.below(5) == 0;
        self.give(Input::Returned(call.ticket, report(outcome.clone())));
        if twice {
            // Whatever comes a second time must change nothing.
            let before = self.engine.state().clone();
            self.give(Input::Returned(call.ticket, report(outcome)));
            assert_eq!(before, *self.engine.state());
        }
    }

    /// A failure that does not last: at most two that count for each call.
    fn trouble(&mut self, call: &StartCall) -> Option<Failure> {
        let failures = self.failures.entry(call.ticket.key).or_default();
        if *failures >= 2 || self.draws.below(4) != 0 {
            return None;
        }
        *failures += 1;
        let kinds = [
            FailureKind::Throttled,
            FailureKind::Overloaded,
            FailureKind::Loading,
            FailureKind::TimedOut(TimeoutPhase::Idle),
            FailureKind::Unreachable,
            FailureKind::CutOff,
            FailureKind::Malformed,
            FailureKind::FormatUnsupported,
        ];
        let mut failure = Failure::new(kinds[self.draws.below(kinds.len())], "for a while");
        if failure.kind == FailureKind::Throttled && self.draws.below(2) == 0 {
            failure.retry_after_ms = Some(self.draws.below(5_000) as u64);
        }
        if failure.kind == FailureKind::FormatUnsupported && !call.place.takes_format {
            failure.kind = FailureKind::CutOff;
        }
        Some(failure)
    }

    fn crash(&mut self) {
        self.pending.clear();
        self.calls.clear();
        let mut replay = Replay::from_zero(Arc::clone(&self.plan));
        for recorded in &self.log {
            replay.apply(recorded).expect("a journal replays");
        }
        for (upto, snapshot) in &self.checkpoints {
            let mut shorter =
                Replay::from_checkpoint(Arc::clone(&self.plan), snapshot.clone()).expect("a checkpoint restores");
            for recorded in &self.log[*upto..] {
                shorter.apply(recorded).expect("a journal replays");
            }
            assert_eq!(shorter.state(), replay.state(), "replay from zero equals every checkpoint");
        }
        let segment = replay.state().segment + 1;
        self.engine = replay.engine(options());
        let resumed = RunResumed { segment, version: "0".to_owned(), backends: Vec::new() };
        self.finished = None;
        if self.log.is_empty() {
            self.engine = Engine::new(Arc::clone(&self.plan), options());
            self.give(begun());
        } else {
            self.give(Input::Resume(Box::new(resumed)));
        }
    }

    fn tick(&mut self) {
        if let Some(at) = self.engine.next_wakeup() {
            self.now = self.now.max(at);
            self.give(Input::Tick);
        }
    }

    fn checkpoint(&mut self) {
        if self.pending.is_empty() {
            self.checkpoints.push((self.log.len(), self.engine.state().snapshot(&self.plan)));
        }
    }

    /// Runs to the end; `disturbed` with everything that can go wrong.
    fn run(mut self, disturbed: bool) -> Self {
        let mut troubles = 0;
        for _ in 0..200_000 {
            if self.finished == Some(RunOutcome::Complete) {
                return self;
            }
            if self.finished.is_some() {
                self.crash();
            }
            self.admit();
            let action = if disturbed { self.draws.below(24) } else { 8 };
            match action {
                0 if troubles < 12 => {
                    troubles += 1;
                    self.crash();
                }
                1 if troubles < 12 => {
                    troubles += 1;
                    self.give(Input::Stop(StopCause::Interrupt));
                }
                2 => self.checkpoint(),
                3 | 4 => self.tick(),
                5 => {
                    let slots = NonZeroU32::MIN.saturating_add(u32::try_from(self.draws.below(5)).expect("small"));
                    let backend = BackendIdx(self.draws.below(SLOTS.len()));
                    self.give(Input::Pause);
                    self.give(Input::Slots(backend, slots));
                }
                6 | 7 => self.give(Input::Unpause),
                _ => {
                    self.commit();
                    self.answer_one(disturbed);
                    if self.calls.is_empty() {
                        self.commit();
                    }
                    if self.calls.is_empty() {
                        self.tick();
                    }
                }
            }
        }
        panic!("bug: the run does not end; {:?}", self.engine.state().cases);
    }

    /// What users get: every case's outputs, without times and attempts.
    fn table(&self) -> Vec<String> {
        let mut rows: BTreeMap<CaseNo, Vec<String>> = BTreeMap::new();
        for recorded in &self.log {
            match &recorded.event {
                Event::CaseAdmitted(event) => rows.entry(event.case).or_default().push(event.item.to_string()),
                Event::TaskSettled(event) | Event::TaskAdopted(TaskAdopted { task: event, .. }) => {
                    let kind = event.failure.as_ref().map(|failure| failure.kind);
                    let line = format!("{} {:?} {:?} {kind:?}", event.step, event.status, event.output);
                    rows.entry(event.case).or_default().push(line);
                }
                Event::CaseSettled(event) => {
                    rows.entry(event.case).or_default().push(format!("{:?}", event.status));
                }
                _ => {}
            }
        }
        let mut table = Vec::new();
        for (case, mut row) in rows {
            row.sort();
            table.push(format!("{case} {}", row.join(" | ")));
        }
        table
    }
}

fn first_difference(one: &World, other: &World) -> Option<(String, String)> {
    let (one, other) = (one.table(), other.table());
    assert_eq!((one.len(), other.len()), (12, 12));
    one.into_iter().zip(other).find(|(one, other)| one != other)
}

#[test]
fn an_undisturbed_run_settles_every_case_once() {
    let world = World::new(1).run(false);
    let cases = world.engine.state().cases;
    assert_eq!((cases.admitted, cases.settled()), (ITEMS, ITEMS));
    assert!(cases.ok > 0 && cases.failed > 0, "the fixture must show both: {cases:?}");
    let asked: Vec<String> = world
        .log
        .iter()
        .filter_map(|recorded| match &recorded.event {
            Event::AttemptStarted(event) => Some(event.id.to_string()),
            _ => None,
        })
        .collect();
    let mut once = asked.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), asked.len());
    assert!(asked.iter().all(|id| id.ends_with("attempt 1")), "nothing failed, so nothing is asked again");
}

#[test]
fn a_failed_step_skips_what_reads_it_and_nothing_else() {
    let world = World::new(1).run(false);
    let mut skipped = 0;
    for recorded in &world.log {
        if let Event::TaskSettled(event) = &recorded.event
            && event.status == TaskStatus::Skipped
        {
            skipped += 1;
            assert_ne!(event.step.as_str(), "aside");
            assert_eq!(event.output, None);
        }
    }
    assert!(skipped > 0, "the fixture must show one");
}

#[test]
fn a_dialogue_stops_at_its_rounds_or_its_words() {
    let world = World::new(1).run(false);
    let mut endings = BTreeMap::new();
    for recorded in &world.log {
        if let Event::TaskSettled(event) = &recorded.event
            && let Some(TaskOutput::Dialogue { turns, stopped_by }) = &event.output
        {
            *endings.entry(stopped_by.clone()).or_insert(0) += 1;
            let all = if cell_of(event.case.0) == CellIdx(0) { 6 } else { 4 };
            assert!(turns.len() == all || stopped_by != "rounds", "{stopped_by} after {}", turns.len());
        }
    }
    assert!(["rounds", "says", "agree"].iter().all(|word| endings.contains_key(*word)), "{endings:?}");
}

/// What a run has settled of the steps that `takes` names, by case: as an earlier run's journal would tell it.
fn settled_by(world: &World, takes: impl Fn(&StepName, CaseNo) -> bool) -> BTreeMap<u64, Vec<TaskAdopted>> {
    let mut known: BTreeMap<u64, Vec<TaskAdopted>> = BTreeMap::new();
    for recorded in &world.log {
        if let Event::TaskSettled(task) = &recorded.event
            && matches!(task.status, TaskStatus::Ok | TaskStatus::Unscored)
            && takes(&task.step, task.case)
        {
            // The engine numbers what it adopts; the number in the record is the other run's.
            let task = TaskSettled { case: CaseNo(99), ..task.clone() };
            let adopted = TaskAdopted { from_run: "earlier".into(), from_case: CaseNo(99), task };
            let CaseNo(case) = recorded.event.case().expect("a task has one");
            known.entry(case).or_default().push(adopted);
        }
    }
    known
}

#[test]
fn what_is_adopted_is_not_asked() {
    let calm = World::new(1).run(false);
    let mut world = World::new(1);
    world.known = settled_by(&calm, |_, _| true);
    let world = world.run(false);
    assert_eq!(first_difference(&world, &calm), None);
    let tasks = |world: &World, kind: &str| world.log.iter().filter(|recorded| recorded.event.kind() == kind).count();
    let taken: usize = tasks(&world, "task_adopted");
    assert!(taken > 30, "{taken}");
    assert_eq!(taken + tasks(&world, "task_settled"), tasks(&calm, "task_settled"));
    // What failed in the earlier run is asked again, and nothing else.
    let asked_again = world.log.iter().filter_map(|recorded| match &recorded.event {
        Event::TaskSettled(task) => Some(task.status),
        _ => None,
    });
    assert!(asked_again.into_iter().all(|status| matches!(status, TaskStatus::Failed | TaskStatus::Skipped)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever part is adopted from an earlier run, with stops and crashes: the same table.
    #[test]
    fn any_part_may_be_adopted(seed: u64, part: u64) {
        let calm = World::new(0).run(false);
        let mut world = World::new(seed);
        let taken = |step: &StepName, CaseNo(case): CaseNo| {
            Hasher::new("part").number(part).number(case).field(step.as_str().as_bytes()).finish().low_bits().is_multiple_of(2)
        };
        // A task is adopted only when all that it reads is.
        let reads = |step: &StepName| ["brief", "debate", "verdict"].iter().position(|name| *name == step.as_str());
        let chain = |step: &StepName, case| reads(step).is_none_or(|place| {
            ["brief", "debate", "verdict"][..=place].iter().all(|&name| taken(&name.into(), case))
        });
        world.known = settled_by(&calm, |step, case| taken(step, case) && chain(step, case));
        prop_assert_eq!(first_difference(&world.run(true), &calm), None);
    }

    /// Any order of answers, failures that pass, stops and crashes: the same table.
    #[test]
    fn any_history_gives_the_same_table(seed: u64) {
        let calm = World::new(0).run(false);
        let disturbed = World::new(seed).run(true);
        prop_assert_eq!(first_difference(&calm, &disturbed), None);
    }

    /// A finished journal cut anywhere resumes to the same table.
    #[test]
    fn every_prefix_resumes(seed: u64) {
        let full = World::new(seed).run(true);
        let mut draws = Draws(seed);
        let cut = draws.below(full.log.len());
        let mut world = World::new(seed);
        world.log = full.log[..cut].to_vec();
        world.crash();
        prop_assert_eq!(first_difference(&full, &world.run(false)), None);
    }
}

fn fail_all(kind: FailureKind, retry_after_ms: Option<u64>) -> World {
    let mut world = World::new(3);
    for _ in 0..3_000 {
        if world.finished.is_some() {
            break;
        }
        world.admit();
        world.commit();
        match world.calls.pop() {
            Some(call) => {
                let mut failure = Failure::new(kind, "always");
                failure.retry_after_ms = retry_after_ms;
                world.give(Input::Sent(call.ticket));
                world.give(Input::Returned(call.ticket, report(Outcome::Failed(failure))));
            }
            None => world.tick(),
        }
    }
    world
}

#[test]
fn a_server_that_throttles_for_ever_is_given_up_after_the_plan_s_time() {
    let world = fail_all(FailureKind::Throttled, Some(60_000));
    assert_eq!(world.finished, Some(RunOutcome::Complete));
    assert_eq!(world.engine.state().cases.failed, ITEMS);
    let charged = world.log.iter().filter(|recorded| match &recorded.event {
        Event::AttemptEnded(ended) => ended.charged,
        _ => false,
    });
    assert_eq!(charged.count(), 0, "waits that the server dictates do not count as attempts");
}

#[test]
fn a_bad_key_stops_the_run_after_a_few_calls() {
    let world = fail_all(FailureKind::Unauthorized, None);
    assert!(matches!(world.finished, Some(RunOutcome::Stopped(StopCause::BackendUnusable { .. }))));
    assert!(world.sends <= 12, "{} calls were sent", world.sends);
}

#[test]
fn a_dead_backend_opens_the_breaker_and_stands_still() {
    let world = fail_all(FailureKind::Unreachable, None);
    assert_eq!(world.finished, None, "a run survives a backend that is down");
    let opened = world.log.iter().filter(|recorded| recorded.event.kind() == "capacity_changed").count();
    assert_eq!(opened, 2, "one breaker for each backend");
    let failed = world.engine.state().cases.failed;
    assert_eq!(failed, 0, "nothing is charged while the breaker is open");
    assert!(world.now > Timestamp(0).after(Millis::seconds(3_600)), "an hour has passed");
}

#[test]
fn a_server_that_dictates_a_wait_is_obeyed_by_all() {
    let mut world = World::new(3);
    world.admit();
    world.commit();
    let call = world.calls.remove(0);
    let mut failure = Failure::new(FailureKind::Throttled, "429");
    failure.retry_after_ms = Some(60_000);
    world.give(Input::Returned(call.ticket, report(Outcome::Failed(failure))));
    let backend = call.backend;
    while let Some(place) = world.calls.iter().position(|other| other.backend == backend) {
        let other = world.calls.remove(place);
        world.give(Input::Returned(other.ticket, report(answer(&other.place))));
        world.commit();
        assert!(world.calls.iter().filter(|other| other.backend == backend).count() <= 6);
    }
    assert!(world.calls.iter().all(|other| other.backend != backend), "nothing is sent there within the minute");
    world.now = Timestamp(0).after(Millis::seconds(61));
    world.give(Input::Tick);
    world.commit();
    assert!(world.calls.iter().any(|other| other.backend == backend), "and then it goes on");
}

#[test]
fn a_call_that_never_ends_is_cancelled_and_tried_again() {
    let mut world = World::new(3);
    world.admit();
    world.commit();
    let ticket = world.calls[0].ticket;
    world.give(Input::Sent(ticket));
    let total = world.plan.limits.timeouts.total;
    assert_eq!(world.engine.next_wakeup(), Some(world.now.after(total)));
    world.tick();
    world.commit();
    assert!(world.calls.iter().all(|call| call.ticket != ticket), "the driver was asked to give it up");
    let again = world.engine.state().call(ticket.key.case, ticket.key.step, ticket.key.call).expect("it was sent");
    assert!(matches!(again.phase, CallPhase::Ready(_)) && again.charged == 1, "{again:?}");
}

#[test]
fn a_second_stop_skips_the_grace() {
    let mut world = World::new(3);
    world.admit();
    world.commit();
    world.give(Input::Stop(StopCause::Interrupt));
    world.commit();
    assert_eq!(world.finished, None, "calls in flight may end");
    world.give(Input::Stop(StopCause::Interrupt));
    world.commit();
    world.commit();
    assert_eq!(world.finished, Some(RunOutcome::Stopped(StopCause::Interrupt)));
    assert!(world.engine.state().cases.settled() < ITEMS);
}

#[test]
fn retries_are_bounded_and_the_case_fails_with_its_reason() {
    let mut world = World::new(3);
    world.give(Input::Offer(vec![Offered {
        item: ItemId::from("a"),
        repeat: 1,
        cell: cell_of(0),
        row: Digest::of(b"r"),
        adopted: Vec::new(),
    }]));
    world.give(Input::SourceEnded);
    let mut sends = 0;
    while world.finished.is_none() {
        world.commit();
        let Some(call) = world.calls.pop() else {
            world.tick();
            continue;
        };
        let is_brief = call.ticket.key.step == StepIdx(0);
        sends += u32::from(is_brief);
        let outcome = match is_brief {
            true => Outcome::Failed(Failure::new(FailureKind::CutOff, "half an answer")),
            false => answer(&call.place),
        };
        world.give(Input::Returned(call.ticket, report(outcome)));
        world.commit();
    }
    assert_eq!(sends, 6);
    assert_eq!(world.engine.state().cases.failed, 1);
    let settled = world.log.iter().find_map(|recorded| match &recorded.event {
        Event::CaseSettled(event) => Some(event.status),
        _ => None,
    });
    assert_eq!(settled, Some(CaseStatus::Failed));
}
