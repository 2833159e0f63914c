//! Runs that end before their last case.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::plan_for_tests::plan;
use super::*;
use crate::base::{MicroUsd, Price};
use crate::event::Usage;
use crate::plan::{Actor, Halt, Plan};

fn with(halt: Option<Halt>) -> Arc<Plan> {
    let plan = Arc::into_inner(plan()).expect("nobody else holds it");
    Arc::new(Plan { halt, ..plan })
}

/// Runs until the engine says that it is over, and returns what it says.
fn ended(mut world: World) -> (World, RunOutcome) {
    for _ in 0..10_000 {
        if let Some(outcome) = world.finished.clone() {
            return (world, outcome);
        }
        world.admit();
        world.commit();
        world.answer_one(false);
        world.commit();
    }
    panic!("bug: the run does not end");
}

fn condition(outcome: &RunOutcome) -> &str {
    match outcome {
        RunOutcome::Stopped(StopCause::Condition(reached)) => &reached.condition,
        other => panic!("{other:?}"),
    }
}

#[test]
fn too_many_failures_stop_a_run_until_more_are_allowed() {
    let calm = World::new(1).run(false);
    let failed = calm.engine.state().cases.failed;
    assert!(failed >= 2, "the fixture must show some");
    let one = Halt::Failed(NonZeroU32::MIN);
    let (mut world, outcome) = ended(World::of(with(Some(one)), 1));
    assert_eq!(condition(&outcome), "errors");
    let reached = world.log.iter().filter(|recorded| recorded.event.kind() == "stop_reached").count();
    assert_eq!(reached, 1);
    let settled = world.engine.state().cases.settled();
    assert!(settled < ITEMS, "{settled} are settled");

    // Taken up as it is, it stops before it asks anything.
    let sends = world.sends;
    world.crash();
    let (mut world, outcome) = ended(world);
    assert_eq!((condition(&outcome), world.sends), ("errors", sends));

    // Taken up with a wider bound, it comes to the same table as a run without a stop.
    world.plan = with(Some(Halt::Failed(NonZeroU32::new(99).expect("not 0"))));
    world.crash();
    let (world, outcome) = ended(world);
    assert_eq!(outcome, RunOutcome::Complete);
    assert_eq!(first_difference(&world, &calm), None);
}

#[test]
fn money_is_counted_over_processes_by_the_prices_of_the_plan() {
    let priced = |halt: Option<Halt>| {
        let plan = Arc::into_inner(with(halt)).expect("nobody else holds it");
        let price = Price { input: MicroUsd(1_000_000), output: MicroUsd(2_000_000), cached: None };
        let actors = plan.actors.iter().map(|actor| Actor { price: Some(price), ..actor.clone() }).collect();
        Arc::new(Plan { actors, ..plan })
    };
    let calm = World::of(priced(None), 1).run(false);
    // An answer is 20 tokens of the prompt and 10 of its own: 40 millionths.
    let (mut world, outcome) = ended(World::of(priced(Some(Halt::Cost(MicroUsd(200)))), 1));
    assert_eq!(condition(&outcome), "budget");
    let sends = world.sends;
    assert!(sends < calm.sends, "five answers reach it, {sends} of {} were asked for", calm.sends);
    world.crash();
    let (mut world, outcome) = ended(world);
    assert_eq!((condition(&outcome), world.sends), ("budget", sends), "what was spent survives");

    world.plan = priced(Some(Halt::Cost(MicroUsd(1_000_000))));
    world.crash();
    let (world, outcome) = ended(world);
    assert_eq!(outcome, RunOutcome::Complete);
    assert_eq!(first_difference(&world, &calm), None);
}

#[test]
fn a_bound_that_is_tuned_holds_at_once() {
    let calm = World::new(1).run(false);
    let mut world = World::of(with(Some(Halt::Failed(NonZeroU32::MIN))), 1);
    world.other = Some(with(Some(Halt::Failed(NonZeroU32::new(99).expect("not 0")))));
    world.tune();
    let (world, outcome) = ended(world);
    assert_eq!(outcome, RunOutcome::Complete);
    assert_eq!(first_difference(&world, &calm), None);

    let mut world = World::new(1);
    for _ in 0..20 {
        world.admit();
        world.commit();
        world.answer_one(false);
    }
    world.other = Some(with(Some(Halt::Tokens(1))));
    world.tune();
    let (_, outcome) = ended(world);
    assert_eq!(condition(&outcome), "budget", "what was spent before counts");
}

#[test]
fn what_must_not_hold_keeps_a_run_going() {
    let failed = World::new(1).run(false).engine.state().cases.failed;
    let count = |count: u64| NonZeroU32::new(u32::try_from(count).expect("small")).expect("not 0");
    let unless = |most: u64| {
        let failures = Halt::Not(Box::new(Halt::Failed(count(most))));
        World::of(with(Some(Halt::All(vec![Halt::Tokens(60), failures]))), 1)
    };
    let (_, outcome) = ended(unless(failed + 1));
    assert_eq!(condition(&outcome), "budget");
}

#[test]
fn time_is_counted_over_processes_and_not_between_them() {
    let mut world = World::of(with(Some(Halt::Time(Millis::seconds(10)))), 1);
    world.admit();
    world.commit();
    world.now = world.now.after(Millis::seconds(6));
    world.give(Input::Tick);
    world.answer_one(false);
    world.commit();
    world.now = world.now.after(Millis::seconds(3_600));
    world.crash();
    world.commit();
    assert_eq!(world.finished, None, "6 s of 10 s are over, whatever the clock on the wall says");
    assert_eq!(world.engine.next_wakeup(), Some(world.now.after(Millis::seconds(4))));
    world.tick();
    let (world, outcome) = ended(world);
    assert_eq!(condition(&outcome), "budget");
    assert!(world.engine.state().cases.settled() < ITEMS);
}

#[test]
fn a_budget_counts_what_servers_count() {
    let mut world = World::of(with(Some(Halt::Tokens(100))), 1);
    let tokens = |count| Usage { output: Some(crate::base::TokenCount(count)), ..Usage::default() };
    let mut spent = 0;
    while world.finished.is_none() {
        world.admit();
        world.commit();
        let Some(call) = world.calls.pop() else {
            // Nothing is asked while something is found out without a model.
            world.answer_one(false);
            continue;
        };
        let mut report = report(answer(&call.place));
        if let Outcome::Answered(_) = report.outcome {
            report.usage = tokens(30);
            spent += 30;
        }
        world.give(Input::Returned(call.ticket, report));
        world.commit();
    }
    assert_eq!(condition(&world.finished.expect("it is over")), "budget");
    // Four answers reach it; what was in flight is waited for and comes on top.
    assert!((120..120 + 30 * 2 * 5).contains(&spent), "{spent}");
}
