//! An answer from the cache: its task is told of it as of any, the run spends nothing, the backend has said nothing.

use super::super::*;
use super::world_for_tests::{World, answer, report};
use crate::base::{CaseNo, RunId, TokenCount};
use crate::event::{Capacity, Event, Failure, FailureKind, FromCache, Outcome, Report, Usage};

fn found(call: &StartCall) -> Box<Report> {
    let mut told = report(answer(&call.place));
    let usage = Usage { input: Some(TokenCount(20)), output: Some(TokenCount(10)), ..Usage::default() };
    told.from_cache =
        Some(Box::new(FromCache { run: RunId::from("tea-1"), case: CaseNo(3), usage, total_us: 9_000 }));
    told
}

#[test]
fn it_is_spent_by_nobody_and_counts_for_its_task() {
    let mut world = World::new(3);
    world.admit();
    world.commit();
    let call = world.calls.remove(0);
    world.give(Input::Sent(call.ticket));
    world.give(Input::Returned(call.ticket, found(&call)));
    world.commit();
    assert_eq!(world.engine.state().usage, Usage::default());
    let Some(ended) = world.log.iter().rev().find_map(|recorded| match &recorded.event {
        Event::AttemptEnded(ended) => Some(ended),
        _ => None,
    }) else {
        panic!("it is recorded")
    };
    assert!(!ended.charged && ended.usage.is_empty());
    assert_eq!((ended.usage_of_answer().output, ended.busy_us()), (Some(TokenCount(10)), 9_000));
    if let Some(state) = world.engine.state().call(call.ticket.key) {
        assert_eq!((state.usage.output, state.busy_us), (Some(TokenCount(10)), 9_000));
    }
}

#[test]
fn it_closes_no_breaker() {
    let mut world = World::new(3);
    let changes = |world: &World, wanted: Capacity| {
        let is_wanted = |event: &Event| matches!(event, Event::CapacityChanged(changed) if changed.change == wanted);
        world.log.iter().filter(|recorded| is_wanted(&recorded.event)).count()
    };
    for _ in 0..400 {
        world.admit();
        world.commit();
        let is_open = changes(&world, Capacity::BreakerOpened) > 0;
        match world.calls.pop() {
            Some(call) => {
                let failed = || report(Outcome::Failed(Failure::new(FailureKind::Unreachable, "gone")));
                let was_answered = world.engine.state().backends[call.backend.0].answered;
                let told = match (is_open, was_answered) {
                    (true, _) => found(&call),
                    (false, true) => failed(),
                    (false, false) => report(answer(&call.place)),
                };
                world.give(Input::Sent(call.ticket));
                world.give(Input::Returned(call.ticket, told));
            }
            None if !world.evaluations.is_empty() => world.evaluate_one(false),
            None => world.tick(),
        }
    }
    let opened = changes(&world, Capacity::BreakerOpened);
    assert!(opened > 0, "the fixture must open it");
    // A refusal closes it; the fixture has some.
    let closings = world.log.iter().filter(|recorded| match &recorded.event {
        Event::CapacityChanged(event) => event.change == Capacity::BreakerClosed && event.reason.contains("trial"),
        _ => false,
    });
    assert_eq!(closings.count(), 0);
    let cached = world
        .log
        .iter()
        .filter(|recorded| matches!(&recorded.event, Event::AttemptEnded(ended) if ended.from_cache.is_some()));
    assert!(cached.count() > opened + 2, "while it is open, one trial after the other goes on");
}
