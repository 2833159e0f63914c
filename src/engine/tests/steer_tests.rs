//! Pausing and cancelling, whatever else happens.

use proptest::prelude::*;

use std::num::NonZeroU32;
use std::sync::Arc;

use super::plan_for_tests::plan;
use super::*;
use crate::plan::{BackendIdx, Limits, Plan};

#[test]
fn a_paused_run_starts_nothing_and_its_limits_stand_still() {
    let mut world = World::new(3);
    world.admit();
    world.commit();
    let call = world.calls.remove(0);
    world.give(Input::Returned(call.ticket, report(Outcome::Failed(Failure::new(FailureKind::CutOff, "half")))));
    world.give(Input::Pause);
    world.give(Input::Pause);
    while let Some(call) = world.calls.pop() {
        world.give(Input::Returned(call.ticket, report(answer(&call.place))));
        world.commit();
    }
    assert_eq!(world.engine.in_flight(), 0);
    assert_eq!(world.engine.wants_cases(), 0, "no case enters a paused run");
    // Far longer than a call may take in all.
    world.now = world.now.after(Millis(world.plan.limits.within.0 * 100));
    world.give(Input::Tick);
    world.commit();
    assert_eq!(world.calls.len(), 0);
    assert_eq!(world.engine.next_wakeup(), None, "nobody waits for anything but a word");
    world.checkpoint();
    world.give(Input::Unpause);
    world.commit();
    let again = world.calls.iter().position(|other| other.ticket.key == call.ticket.key).expect("it is asked again");
    let again = world.calls.remove(again);
    world.give(Input::Returned(again.ticket, report(Outcome::Failed(Failure::new(FailureKind::CutOff, "half")))));
    let key = call.ticket.key;
    let state = world.engine.state().call(key).expect("it was sent");
    assert!(matches!(state.phase, CallPhase::Ready(_)), "the pause is not charged to the call: {state:?}");
    let pauses = world.log.iter().filter(|recorded| recorded.event.kind() == "run_paused").count();
    assert_eq!(pauses, 1, "a pause of what is paused is none");
    assert_eq!(first_difference(&world.run(false), &World::new(3).run(false)), None);
}

#[test]
fn more_slots_are_filled_and_fewer_are_waited_for() {
    let slots = |count| Input::Slots(BackendIdx(0), NonZeroU32::new(count).expect("not 0"));
    let at_first = |world: &World| world.calls.iter().filter(|call| call.backend == BackendIdx(0)).count();
    let mut world = World::new(3);
    world.admit();
    world.commit();
    // As many again wait for a slot.
    assert_eq!(at_first(&world), 6);
    world.give(slots(5));
    world.admit();
    world.commit();
    assert_eq!(at_first(&world), 10);
    world.give(slots(1));
    world.commit();
    assert_eq!(at_first(&world), 10, "nothing that is under way is taken back");
    while at_first(&world) > 2 {
        let place = world.calls.iter().position(|call| call.backend == BackendIdx(0)).expect("there are some");
        let call = world.calls.remove(place);
        let before = at_first(&world);
        world.give(Input::Returned(call.ticket, report(answer(&call.place))));
        world.commit();
        assert!(at_first(&world) <= before.max(2), "nothing starts above the limit");
    }
    assert_eq!(first_difference(&world.run(false), &World::new(3).run(false)), None);
}

/// Returns the plan of these tests within other limits.
fn within(limits: impl FnOnce(&mut Limits)) -> Arc<Plan> {
    let mut plan = Arc::into_inner(plan()).expect("nobody else holds it");
    limits(&mut plan.limits);
    Arc::new(plan)
}

#[test]
fn what_starts_after_tuning_keeps_the_new_limits() {
    let mut world = World::new(3);
    world.admit();
    world.commit();
    let cut_off = || report(Outcome::Failed(Failure::new(FailureKind::CutOff, "half")));
    let (first, second) = (world.calls.remove(0), world.calls.remove(0));
    assert_eq!(first.timeouts, world.plan.limits.timeouts);
    world.give(Input::Returned(first.ticket, cut_off()));
    let phase = |world: &World, key| world.engine.state().call(key).map(|call| call.phase.clone());
    assert!(matches!(phase(&world, first.ticket.key), Some(CallPhase::Ready(_))), "it is asked again");

    let longer = Millis::seconds(7_200);
    world.other = Some(within(|limits| {
        limits.attempts = NonZeroU32::MIN;
        limits.timeouts.total = longer;
    }));
    world.tune();
    world.commit();
    assert_eq!(world.log.iter().filter(|recorded| recorded.event.kind() == "run_tuned").count(), 1);
    let ended = |world: &World| {
        let ended = world.log.iter().rev().find_map(|recorded| match &recorded.event {
            Event::AttemptEnded(ended) => Some(ended.retry_at),
            _ => None,
        });
        ended.expect("one has ended")
    };
    assert!(ended(&world).is_some());
    // Given up at once where the backend has answered others.
    let third = world.calls.iter().position(|call| call.backend == second.backend).expect("several are under way");
    let third = world.calls.remove(third);
    world.give(Input::Returned(third.ticket, report(answer(&third.place))));
    world.give(Input::Returned(second.ticket, cut_off()));
    world.commit();
    assert_eq!(ended(&world), None, "one attempt is all that is left");
    let again = (0..1_000).find_map(|_| {
        let again = world.calls.iter().find(|call| call.ticket.key == first.ticket.key).map(|call| call.timeouts);
        if again.is_none() {
            // Others have its slot, or it is too early.
            world.answer_one(false);
            world.commit();
            world.tick();
            world.commit();
        }
        again
    });
    assert_eq!(again.map(|timeouts| timeouts.total), Some(longer), "what was to be asked again is, for longer");
    world.checkpoint();
    world.crash();
    assert_eq!(world.run(false).finished, Some(RunOutcome::Complete));
}

#[test]
fn a_run_that_is_over_is_tuned_no_more() {
    let mut world = World::new(3).run(false);
    world.commit();
    let events = world.log.len();
    world.other = Some(plan());
    world.tune();
    world.commit();
    assert_eq!(world.log.len(), events);
}

#[test]
fn a_pause_ends_with_its_process() {
    let mut world = World::new(3);
    world.admit();
    world.commit();
    world.give(Input::Pause);
    world.commit();
    world.crash();
    assert_eq!(world.engine.state().paused_since, None);
    assert_eq!(world.run(false).finished, Some(RunOutcome::Complete));
}

#[test]
fn a_cancelled_run_waits_for_nothing() {
    let mut world = World::new(3);
    world.admit();
    world.commit();
    world.give(Input::Pause);
    world.give(Input::Stop(StopCause::Interrupt));
    world.give(Input::Stop(StopCause::Cancel));
    world.commit();
    world.commit();
    assert_eq!(world.finished, Some(RunOutcome::Stopped(StopCause::Cancel)));
    assert!(world.finished.as_ref().is_some_and(RunOutcome::is_final));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whenever a run is tuned, it replays and comes to the same table: longer waits lose no answer.
    #[test]
    fn tuning_changes_no_row(seed: u64) {
        let mut world = World::new(seed);
        world.other = Some(within(|limits| {
            limits.timeouts.total = Millis::seconds(7_200);
            limits.within = Millis::seconds(36_000);
            limits.backoff = (Millis(10), Millis::seconds(9));
        }));
        let mut world = world.run(true);
        prop_assert_eq!(first_difference(&world, &World::new(seed).run(false)), None);
        world.crash();
    }

    /// Nothing starts between a pause and the word, or the process, that ends it.
    #[test]
    fn a_pause_holds_every_call_back(seed: u64) {
        let world = World::new(seed).run(true);
        let mut paused = false;
        for recorded in &world.log {
            match &recorded.event {
                Event::RunPaused(_) => paused = true,
                Event::RunUnpaused(_) | Event::RunResumed(_) => paused = false,
                Event::AttemptStarted(event) => prop_assert!(!paused, "{} starts in a pause", event.id),
                _ => {}
            }
        }
    }
}
