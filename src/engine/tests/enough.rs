//! Runs that have seen enough before their last case: the same position and the same table, whatever the timing.

use std::sync::Arc;

use super::plan_for_tests::plan_with;
use super::*;
use crate::event::StopReached;
use crate::plan::{Condition, Evidence, Observed, Plan};

fn not(condition: Condition) -> Condition {
    Condition::Not(Box::new(condition))
}

/// What may be asked of the world: position 0 is a claim, position 1 a value.
fn conditions() -> Vec<Condition> {
    let (claim, decided) = (|| Condition::Holds(0), || Condition::Decided(1));
    vec![
        claim(),
        decided(),
        not(claim()),
        Condition::Any(vec![claim(), decided()]),
        Condition::All(vec![not(decided()), claim()]),
        Condition::All(vec![decided(), not(claim())]),
    ]
}

fn looking_for(condition: &Condition) -> Arc<Plan> {
    plan_with(&|expr| {
        let observed = vec![Observed { expr, is_claim: true }, Observed { expr, is_claim: false }];
        Some(Evidence { condition: condition.clone(), observed, reads: vec![StepIdx(3), StepIdx(6)] })
    })
}

/// What counts: the condition with its case, and the rows up to it.
fn result(world: &World) -> (Option<StopReached>, Vec<String>) {
    let met = match &world.finished {
        Some(RunOutcome::Enough(met)) => Some(met.clone()),
        Some(RunOutcome::Complete) => None,
        other => panic!("bug: it is not over: {other:?}"),
    };
    let told: Vec<&StopReached> = world
        .log
        .iter()
        .filter_map(|recorded| match &recorded.event {
            Event::StopReached(reached) => Some(reached),
            _ => None,
        })
        .collect();
    assert_eq!(told, met.iter().collect::<Vec<_>>(), "it is told once");
    let last = met.as_ref().map_or(ITEMS - 1, |met| met.case.expect("it has one").0);
    (met, world.table_up_to(last))
}

#[test]
fn each_condition_is_met_somewhere_and_not_at_once() {
    let positions: Vec<Option<u64>> = conditions()
        .into_iter()
        .map(|condition| result(&World::of(looking_for(&condition), 0).run(false)).0)
        .map(|met| Some(met?.case?.0))
        .collect();
    assert!(positions.iter().flatten().any(|&case| case > 0), "{positions:?}");
    assert!(positions.iter().flatten().count() > 3, "the fixture must show some: {positions:?}");
    assert!(positions.iter().flatten().all(|&case| case < ITEMS), "{positions:?}");
}

#[test]
fn a_run_that_has_seen_enough_asks_nothing_more() {
    let world = World::of(looking_for(&not(Condition::Holds(0))), 0).run(false);
    let whole = World::new(0).run(false);
    assert!(world.sends < whole.sends, "{} of {}", world.sends, whole.sends);
    let sends = world.sends;
    let mut world = world;
    world.crash();
    world.commit();
    assert!(matches!(world.finished, Some(RunOutcome::Enough(_))), "{:?}", world.finished);
    assert_eq!(world.sends, sends);
}

#[test]
fn without_a_number_of_cases_nothing_is_decided_early() {
    let mut world = World::of(looking_for(&Condition::Decided(1)), 0);
    world.pending.clear();
    world.engine = Engine::new(Arc::clone(&world.plan), options());
    let Input::Begin(mut begun) = given::begun() else { panic!("it begins") };
    begun.cases = None;
    world.give(Input::Begin(begun));
    assert_eq!(world.run(false).finished, Some(RunOutcome::Complete));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any order of answers, failures that pass, stops and crashes: the same position, and the same table up to it.
    #[test]
    fn any_history_sees_enough_at_the_same_case(seed: u64, which in 0_usize..6) {
        let condition = conditions().swap_remove(which);
        let calm = World::of(looking_for(&condition), 0).run(false);
        let disturbed = World::of(looking_for(&condition), seed).run(true);
        prop_assert_eq!(result(&disturbed), result(&calm));
    }

    /// A finished journal cut anywhere resumes to the same position and table.
    #[test]
    fn every_prefix_sees_enough_at_the_same_case(seed: u64, which in 0_usize..6) {
        let condition = conditions().swap_remove(which);
        let full = World::of(looking_for(&condition), seed).run(true);
        let cut = Draws(seed).below(full.log.len());
        let mut world = World::of(looking_for(&condition), seed);
        world.log = full.log[..cut].to_vec();
        world.crash();
        prop_assert_eq!(result(&world.run(false)), result(&full));
    }
}
