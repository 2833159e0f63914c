//! What failed is asked again, and what was answered is not.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::*;
use super::plan_for_tests::{each_cell, plan};
use super::world_for_tests::World;
use super::{Draws, first_difference};
use crate::event::{Event, Recorded, RunOutcome};
use crate::plan::Plan;

const FAILED: Again = Again { failed: true, unscored: false, eased: false, step: None };
const ALL: Again = Again { failed: true, unscored: true, eased: true, step: None };

/// The world without what is made of all cases at once: such a run is not retried but run again.
fn world(seed: u64) -> World {
    let plan = Arc::into_inner(plan()).expect("nobody else holds it");
    World::of(Arc::new(each_cell(plan, |cell| Plan { closing: None, ..cell })), seed)
}

/// A run of which a fifth of the calls was refused.
fn refused(seed: u64, disturbed: bool) -> World {
    let mut world = self::world(seed);
    world.refuses = Some(seed);
    let mut world = world.run(disturbed);
    world.refuses = None;
    world
}

/// The answered calls of a log, by name without the number of the request.
fn answered(log: &[Recorded]) -> Vec<String> {
    let ids = log.iter().filter_map(|recorded| match &recorded.event {
        Event::AttemptEnded(ended) if matches!(ended.outcome, crate::event::Outcome::Answered(_)) => Some(&ended.id),
        _ => None,
    });
    ids.map(|id| format!("{} {} {:?} {}", id.case, id.step, id.each, id.call)).collect()
}

#[test]
fn what_failed_is_asked_again_and_nothing_else() {
    let calm = world(7).run(false);
    let mut world = refused(7, false);
    let failed = world.engine.state().cases.failed;
    assert!(failed > calm.engine.state().cases.failed + 2, "the fixture must show some: {failed}");
    let before = world.log.len();
    let known: BTreeSet<String> = answered(&world.log).into_iter().collect();
    assert!(world.retry(&FAILED) > 5);
    assert_eq!(world.engine.state().cases.failed, 0, "they are counted no more");
    let world = world.run(false);
    assert_eq!(world.finished, Some(RunOutcome::Complete));
    assert_eq!(world.engine.state().cases.settled(), super::ITEMS);
    // What is settled by `on_error` was not wanted, so only failed cases are as in an undisturbed run.
    for call in answered(&world.log[before..]) {
        assert!(!known.contains(&call), "{call} had its answer");
    }
    assert_eq!(world.engine.state().cases.failed, calm.engine.state().cases.failed);
}

#[test]
fn a_run_without_failures_is_left_as_it_is() {
    let mut world = self::world(7).run(false);
    let wanted = Again { failed: false, ..ALL };
    let step = crate::plan::StepIdx(0);
    assert_eq!(world.retry(&Again { step: Some(step), ..wanted }), 0, "a chat step is never unscored");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever was refused, with crashes and stops before, between and after: retried, the table is that of an
    /// undisturbed run, every request has a name of its own, and replay equals every checkpoint.
    #[test]
    fn retried_runs_end_as_undisturbed_ones(seed: u64, cut: u64, twice: bool) {
        let calm = world(0).run(false);
        let mut world = refused(seed, true);
        if twice {
            world.refuses = Some(cut);
            world.retry(&ALL);
            world = world.run(true);
            world.refuses = None;
        }
        world.retry(&ALL);
        world.commit();
        let begun = world.log.len();
        let mut world = world.run(true);
        // Killed somewhere in the retry, and resumed.
        let kept = begun + Draws(cut).below(world.log.len() - begun + 1);
        world.log.truncate(kept);
        world.checkpoints.retain(|(upto, _)| *upto <= kept);
        world.crash();
        let mut world = world.run(true);
        prop_assert_eq!(first_difference(&world, &calm), None);
        let mut seen = BTreeSet::new();
        for recorded in &world.log {
            if let Event::AttemptStarted(event) = &recorded.event {
                prop_assert!(seen.insert(event.id.to_string()), "{} twice", event.id);
            }
        }
        world.crash();
    }
}
