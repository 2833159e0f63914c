//! A world that answers in any order, fails, forgets what was not committed, and dies; and what must survive it.

mod plan_for_tests;
mod steer_tests;
mod world_for_tests;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use proptest::prelude::*;

mod cached;
mod enough;
mod given;
mod halting;
mod repeating;
mod retrying;

use self::given::Draws;
use super::*;
use crate::base::{CaseNo, Digest, Hasher, ItemId, Millis, StepName, Timestamp};
use crate::event::{
    Because, Capacity, CaseStatus, Event, Failure, FailureKind, Outcome, RunOutcome, StopCause, TaskAdopted,
    TaskOutput, TaskSettled, TaskStatus,
};
use crate::plan::{CellIdx, Limits, StepIdx, Timeouts};

use plan_for_tests::cell_of;
use world_for_tests::*;

fn first_difference(one: &World, other: &World) -> Option<(String, String)> {
    let (one, other) = (one.table(), other.table());
    // Twelve cases, and what closes two cells where something is made of all cases.
    assert!(one.len() == other.len() && [12, 14].contains(&one.len()), "{} and {} cases", one.len(), other.len());
    one.into_iter().zip(other).find(|(one, other)| one != other)
}

#[test]
fn an_undisturbed_run_settles_every_case_once() {
    let world = World::new(1).run(false);
    let cases = world.engine.state().cases;
    assert_eq!((cases.admitted, cases.settled()), (ITEMS, ITEMS));
    assert!(cases.ok > 0 && cases.failed > 0, "the fixture must show both: {cases:?}");
    let closings = world.log.iter().filter_map(|recorded| match &recorded.event {
        Event::CellClosing(event) => Some((event.case.0, event.matrix["cell"].as_str().map(str::to_owned))),
        _ => None,
    });
    let closings: Vec<_> = closings.collect();
    assert_eq!(closings, [(ITEMS, Some("a".to_owned())), (ITEMS + 1, Some("b".to_owned()))], "once for each cell");
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
fn elements_and_conditions_are_settled_and_none_is_asked_twice() {
    let world = World::new(1).run(false);
    let mut elements = 0;
    let mut seen = std::collections::BTreeSet::new();
    let (mut unmet, mut after_unmet, mut eased, mut empty) = (Vec::new(), 0, 0, 0);
    for recorded in &world.log {
        match &recorded.event {
            Event::AttemptStarted(event) => assert!(seen.insert(event.id.to_string()), "{}", event.id),
            Event::ElementSettled(event) => {
                elements += 1;
                assert_eq!(event.task.step.as_str(), "parts");
            }
            Event::TaskSettled(event) => {
                if let Some(TaskOutput::Each { elements }) = &event.output {
                    empty += u32::from(elements.is_empty());
                    let keys: Vec<&str> = elements.iter().map(|element| element.key.as_str()).collect();
                    assert_eq!(keys, ["part 0", "part 1", "part 2"][..keys.len()], "in the order of the list");
                }
                if event.because == Some(Because::When) {
                    unmet.push(event.case);
                }
                eased += u32::from(event.because == Some(Because::OnError));
                if event.step.as_str() == "end" && event.status == TaskStatus::Ok {
                    after_unmet += u32::from(unmet.contains(&event.case));
                }
            }
            _ => {}
        }
    }
    assert!(
        elements > 5 && empty > 0 && !unmet.is_empty() && after_unmet > 0,
        "{elements} {empty} {unmet:?} {eased}"
    );
    let ended = |case: &CaseNo| {
        world.log.iter().any(|recorded| matches!(&recorded.event, Event::CaseSettled(event) if event.case == *case && event.status == CaseStatus::Ok))
    };
    assert!(unmet.iter().any(ended), "what `when` leaves out fails no case");
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
    assert!(["rounds", "says", "agree", "judge_says"].iter().all(|word| endings.contains_key(*word)), "{endings:?}");
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
        Event::TaskSettled(task) if task.case.0 < ITEMS => Some(task.status),
        _ => None,
    });
    assert!(asked_again.into_iter().all(|status| matches!(status, TaskStatus::Failed | TaskStatus::Skipped)));
}

/// Asks for a stop while one call is in flight and one case open; none when that call was not the last.
fn stopped_at_the_last_call(seed: u64) -> Option<World> {
    let mut world = World::new(seed);
    for _ in 0..10_000 {
        world.admit();
        world.commit();
        if world.finished.is_some() {
            break;
        }
        let is_late = world.engine.state().cases.settled() + 1 == ITEMS && world.evaluations.is_empty();
        if is_late && world.engine.in_flight() == 1 {
            world.give(Input::Stop(StopCause::Interrupt));
        } else if !world.calls.is_empty() {
            let which = world.draws.below(world.calls.len());
            world.calls.swap(0, which);
        }
        world.answer_one(false);
    }
    (world.engine.state().cases.settled() == ITEMS).then_some(world)
}

#[test]
fn what_is_over_all_cases_waits_for_the_last_and_begins_in_no_run_that_stops() {
    let mut world = (0..40).find_map(stopped_at_the_last_call).expect("the call was the last in one of forty orders");
    assert_eq!(world.finished, Some(RunOutcome::Stopped(StopCause::Interrupt)), "the run is not complete");
    assert_eq!(world.engine.state().closings, 0);
    world.crash();
    let world = world.run(false);
    assert_eq!(world.engine.state().closings, 2, "whoever resumes it closes the cells");
    assert_eq!(first_difference(&world, &World::new(1).run(false)), None);
    let status = |name: &str| {
        world.log.iter().find_map(|recorded| match &recorded.event {
            Event::TaskSettled(task) if task.step.as_str() == name => Some(task.status),
            _ => None,
        })
    };
    assert_eq!((status("count"), status("after")), (Some(TaskStatus::Ok), Some(TaskStatus::Ok)));
    assert_eq!(status("marks"), Some(TaskStatus::Failed), "one that fails holds up no other");
    let cases = world.engine.state().cases;
    assert_eq!((cases.admitted, cases.settled()), (ITEMS, ITEMS), "and is none of the cases");
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
        let ways = [["brief", "debate", "verdict"].as_slice(), &["brief", "parts", "sum", "maybe", "end"]];
        let chain = |step: &StepName, case| ways.iter().all(|way| {
            let place = way.iter().position(|name| *name == step.as_str());
            place.is_none_or(|place| way[..=place].iter().all(|&name| taken(&name.into(), case)))
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
    fail_from(World::new(3), kind, retry_after_ms)
}

/// A world in which every backend has answered once.
fn answered_once() -> World {
    let mut world = World::new(3);
    for _ in 0..100 {
        world.admit();
        world.commit();
        if world.engine.state().backends.iter().all(|backend| backend.answered) {
            break;
        }
        world.answer_one(false);
    }
    world
}

fn fail_from(mut world: World, kind: FailureKind, retry_after_ms: Option<u64>) -> World {
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
            None if !world.evaluations.is_empty() => world.evaluate_one(false),
            None => world.tick(),
        }
    }
    world
}

#[test]
fn a_server_that_throttles_for_ever_stops_the_run_after_the_plan_s_time() {
    let world = fail_all(FailureKind::Throttled, Some(60_000));
    let Some(RunOutcome::Stopped(StopCause::BackendWaits { until, .. })) = world.finished else {
        panic!("{:?}", world.finished)
    };
    assert_eq!(until, Timestamp(0).after(Millis::seconds(660)), "the time at which to come back");
    assert_eq!(world.engine.state().cases.failed, 0, "every case stays open");
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
fn a_wait_beyond_what_a_call_may_wait_stops_the_run_at_once() {
    let world = fail_from(answered_once(), FailureKind::Throttled, Some(3_600_000));
    let Some(RunOutcome::Stopped(StopCause::BackendWaits { until, .. })) = world.finished else {
        panic!("{:?}", world.finished)
    };
    let (left, now) = (until.since(world.now), world.now.since(Timestamp(0)));
    assert!(left > Millis::seconds(3_500) && now < Millis::seconds(120), "{left:?} {now:?}");
    assert_eq!(world.engine.state().cases.failed, 0, "the calls that met it stay open, too");
}

#[test]
fn a_long_wait_is_announced_once() {
    let mut world = answered_once();
    world.admit();
    world.commit();
    let before = world.log.len();
    for _ in 0..2 {
        let Some(call) = world.calls.pop() else { panic!("several calls are under way") };
        let failure = Failure { retry_after_ms: Some(60_000), ..Failure::new(FailureKind::Throttled, "slow down") };
        world.give(Input::Returned(call.ticket, report(Outcome::Failed(failure))));
        world.commit();
    }
    let held = world.log[before..].iter().filter_map(|recorded| match &recorded.event {
        Event::CapacityChanged(changed) => Some(changed.change),
        _ => None,
    });
    let until = world.now.after(Millis::seconds(60));
    let changes: Vec<_> = held.collect();
    assert!(!changes.is_empty() && changes.iter().all(|change| *change == Capacity::HeldUntil(until)), "{changes:?}");
    assert!(changes.len() <= SLOTS.len(), "once for each backend");
}

#[test]
fn a_backend_that_never_answers_stops_the_run_within_the_plan_s_time() {
    let world = fail_all(FailureKind::Unreachable, None);
    assert!(matches!(world.finished, Some(RunOutcome::Stopped(StopCause::BackendUnusable { .. }))));
    assert_eq!(world.engine.state().cases.failed, 0, "every case stays open");
    assert!(world.now <= Timestamp(0).after(Millis::seconds(630)), "{:?}", world.now);
}

#[test]
fn what_every_call_is_refused_for_stops_the_run_after_a_few() {
    for kind in [FailureKind::Refused, FailureKind::ReasoningCut, FailureKind::Malformed] {
        let world = fail_all(kind, None);
        assert!(matches!(world.finished, Some(RunOutcome::Stopped(StopCause::BackendUnusable { .. }))), "{kind:?}");
        assert_eq!(world.engine.state().cases.failed, 0, "{kind:?}: every case stays open");
        assert!(world.sends <= 40, "{kind:?}: {} calls were sent", world.sends);
    }
    for kind in [FailureKind::ContextOverflow, FailureKind::ContentFiltered] {
        let world = fail_all(kind, None);
        assert_eq!(world.finished, Some(RunOutcome::Complete), "{kind:?} is about one prompt");
    }
    let world = fail_from(answered_once(), FailureKind::Refused, None);
    assert_eq!(world.finished, Some(RunOutcome::Complete), "a backend that has answered is of use");
}

#[test]
fn a_dead_backend_opens_the_breaker_and_stands_still() {
    let world = fail_from(answered_once(), FailureKind::Unreachable, None);
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
    let again = world.engine.state().call(ticket.key).expect("it was sent");
    assert!(matches!(again.phase, CallPhase::Ready(_)) && again.charged == 1, "{again:?}");
}

#[test]
fn a_step_bounds_its_own_requests() {
    let plan = Arc::into_inner(plan_for_tests::plan()).expect("nobody else holds it");
    let plan = plan_for_tests::each_cell(plan, |mut cell| {
        let total = Millis::seconds(5);
        let timeouts = Timeouts { total, ..cell.limits.timeouts };
        for step in &mut cell.steps {
            step.course.limits = Some(Limits { timeouts, attempts: NonZeroU32::MIN, ..cell.limits.clone() });
        }
        cell
    });
    let mut world = World::of(Arc::new(plan), 3);
    world.admit();
    world.commit();
    let ticket = world.calls[0].ticket;
    assert_eq!(world.calls[0].timeouts.total, Millis::seconds(5));
    world.give(Input::Sent(ticket));
    assert_eq!(world.engine.next_wakeup(), Some(world.now.after(Millis::seconds(5))));
    world.tick();
    world.commit();
    world.commit();
    // Given up at the next answer: until then all calls may fail so.
    for _ in 0..20 {
        world.answer_one(false);
        world.commit();
    }
    let given_up = world.log.iter().find_map(|recorded| match &recorded.event {
        Event::AttemptEnded(ended) if ended.id.case == ticket.key.case => Some(ended.retry_at),
        _ => None,
    });
    assert_eq!(given_up, Some(None), "one attempt is all that there is");
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
        if !world.evaluations.is_empty() {
            world.evaluate_one(false);
            continue;
        }
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
