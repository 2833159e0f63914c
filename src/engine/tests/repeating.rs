//! Items that are repeated until it is enough: the same repeats count, whatever the timing.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::plan_for_tests::plan_with;
use super::*;
use crate::event::{Counted, RepeatsReached};
use crate::plan::{Condition, Evidence, Observed, Plan};

const MOST: u32 = 6;

fn conditions() -> Vec<Condition> {
    let (claim, decided) = (|| Condition::Holds(0), || Condition::Decided(1));
    let not = |condition: Condition| Condition::Not(Box::new(condition));
    vec![
        claim(),
        decided(),
        Condition::Any(vec![claim(), decided()]),
        Condition::All(vec![not(decided()), claim()]),
        Condition::All(vec![decided(), not(claim())]),
    ]
}

fn repeating(condition: &Condition) -> Arc<Plan> {
    let plan = plan_with(&|expr| {
        let observed = vec![Observed { expr, is_claim: true }, Observed { expr, is_claim: false }];
        Some(Evidence { condition: condition.clone(), observed, reads: vec![StepIdx(3), StepIdx(6)] })
    });
    let repeat = NonZeroU32::new(MOST).expect("not 0");
    let all = |plan: Plan| Plan { repeats: plan.evidence, evidence: None, repeat, ..plan };
    let plan = Arc::into_inner(plan).expect("nobody else holds it");
    Arc::new(super::plan_for_tests::each_cell(plan, all))
}

fn reached(world: &World) -> Vec<&RepeatsReached> {
    let events = world.log.iter().filter_map(|recorded| match &recorded.event {
        Event::RepeatsReached(reached) => Some(reached),
        _ => None,
    });
    events.collect()
}

/// What counts: the rows of the cases that do, by what they are about instead of their numbers.
fn rows(world: &World) -> Vec<String> {
    assert_eq!(world.finished, Some(RunOutcome::Complete));
    let mut counted = Counted::default();
    world.log.iter().for_each(|recorded| counted.add(&recorded.event));
    let mut rows: BTreeMap<CaseNo, Vec<String>> = BTreeMap::new();
    for recorded in &world.log {
        let line = match &recorded.event {
            Event::CaseAdmitted(event) => format!("{} {} {:?}", event.item, event.repeat, event.matrix),
            Event::TaskSettled(event) => format!("{} {:?} {:?}", event.step, event.status, event.output),
            Event::CaseSettled(event) => format!("{:?} {:?}", event.status, event.observed),
            _ => continue,
        };
        let case = recorded.event.case().expect("each has one");
        if counted.counts(case) {
            rows.entry(case).or_default().push(line);
        }
    }
    let sorted = rows.into_values().map(|mut row| {
        row.sort();
        row.join(" | ")
    });
    sorted.collect()
}

#[test]
fn some_items_are_repeated_less_often_than_others() {
    for condition in conditions() {
        let world = World::repeating(repeating(&condition), 0).run(false);
        let ends: Vec<u32> = reached(&world).iter().map(|reached| reached.repeat).collect();
        let counted: usize = rows(&world).len();
        let groups = usize::try_from(ITEMS).expect("few") / MOST as usize;
        let left_out: u32 = ends.iter().map(|end| MOST - end).sum();
        assert_eq!(counted + left_out as usize, groups * MOST as usize, "{condition:?} {ends:?}");
        assert!(world.engine.state().passed(&world.plan) <= ITEMS);
    }
    let ends: Vec<u32> = conditions()
        .iter()
        .flat_map(|condition| {
            let world = World::repeating(repeating(condition), 0).run(false);
            reached(&world).iter().map(|reached| reached.repeat).collect::<Vec<_>>()
        })
        .collect();
    assert!(ends.len() > 2 && ends.iter().any(|&end| end > 1), "the fixture must show some: {ends:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any order of answers, failures that pass, stops and crashes: the same repeats count, with the same rows.
    #[test]
    fn any_history_counts_the_same_repeats(seed: u64, which in 0_usize..5) {
        let condition = conditions().swap_remove(which);
        let calm = World::repeating(repeating(&condition), 0).run(false);
        let disturbed = World::repeating(repeating(&condition), seed).run(true);
        prop_assert_eq!(rows(&disturbed), rows(&calm));
    }

    /// A finished journal cut anywhere resumes to the same repeats and rows.
    #[test]
    fn every_prefix_counts_the_same_repeats(seed: u64, which in 0_usize..5) {
        let condition = conditions().swap_remove(which);
        let full = World::repeating(repeating(&condition), seed).run(true);
        let cut = Draws(seed).below(full.log.len());
        let mut world = World::repeating(repeating(&condition), seed);
        world.log = full.log[..cut].to_vec();
        world.crash();
        prop_assert_eq!(rows(&world.run(false)), rows(&full));
    }
}
