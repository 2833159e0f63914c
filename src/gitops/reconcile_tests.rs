//! What is decided, step by step; and by a world that answers in any way, at any time.

use proptest::prelude::*;

use super::*;

const INTERVAL: Millis = Millis::seconds(60);
const PENDING: Planned = Planned { is_pending: true, is_due: false, next: None };
const NOTHING: Planned = Planned { is_pending: false, is_due: false, next: None };

fn commit(number: u32) -> Commit {
    Commit::of(&format!("{number:040x}"))
}

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1_000_000)
}

/// A state that has applied commit 1 at time 0.
fn in_sync() -> State {
    let mut state = State::new(INTERVAL, None, at(0));
    assert_eq!(state.next(at(0)), Action::Fetch);
    state.take(at(0), Happened::Fetched(commit(1)));
    assert_eq!(state.next(at(0)), Action::Plan(commit(1)));
    state.take(at(0), Happened::Planned(commit(1), PENDING));
    assert_eq!(state.next(at(0)), Action::Apply(commit(1)));
    state.take(at(0), Happened::Applied(commit(1), Applied::Done));
    assert_eq!(state.next(at(0)), Action::Plan(commit(1)));
    state.take(at(0), Happened::Planned(commit(1), NOTHING));
    let Action::Wait(until) = state.next(at(0)) else { panic!("nothing to do") };
    assert!((54..=66).contains(&(until.0 / 1_000_000)), "{until:?}");
    state
}

fn see(state: &mut State, now: Timestamp, number: u32) {
    state.take(now, Happened::Woken);
    assert_eq!(state.next(now), Action::Fetch);
    state.take(now, Happened::Fetched(commit(number)));
}

#[test]
fn the_same_commit_again_is_nothing_to_do() {
    let mut state = in_sync();
    see(&mut state, at(10), 1);
    assert!(matches!(state.next(at(10)), Action::Wait(_)));
}

#[test]
fn a_bad_commit_leaves_the_good_one_running_and_is_not_tried_again() {
    let mut state = in_sync();
    see(&mut state, at(10), 2);
    assert_eq!(state.next(at(10)), Action::Plan(commit(2)));
    state.take(at(10), Happened::Refused(commit(2)));
    assert!(state.is_refused());
    assert_eq!(state.good(), Some(&commit(1)));
    see(&mut state, at(20), 2);
    assert!(matches!(state.next(at(20)), Action::Wait(_)));
    see(&mut state, at(30), 1);
    assert!(!state.is_refused(), "reverted");
    // Its runs may be gone since.
    assert_eq!(state.next(at(30)), Action::Plan(commit(1)));
    state.take(at(30), Happened::Planned(commit(1), NOTHING));
    assert!(matches!(state.next(at(30)), Action::Wait(_)));
}

#[test]
fn a_newer_commit_stops_the_apply_of_the_older_one_first() {
    let mut state = in_sync();
    see(&mut state, at(10), 2);
    assert_eq!(state.next(at(10)), Action::Plan(commit(2)));
    state.take(at(10), Happened::Planned(commit(2), PENDING));
    assert_eq!(state.next(at(10)), Action::Apply(commit(2)));
    see(&mut state, at(20), 3);
    assert_eq!(state.next(at(20)), Action::Plan(commit(3)));
    assert!(matches!(state.next(at(20)), Action::Wait(_)), "until it is known to be good");
    state.take(at(21), Happened::Planned(commit(3), PENDING));
    assert_eq!(state.next(at(21)), Action::StopApply);
    assert!(matches!(state.next(at(21)), Action::Wait(_)), "once");
    state.take(at(22), Happened::Applied(commit(2), Applied::Unfinished));
    assert_eq!(state.next(at(22)), Action::Apply(commit(3)));
}

#[test]
fn schedules_are_kept_while_the_server_is_away() {
    let mut state = in_sync();
    let mut now = at(70);
    let mut waits = Vec::new();
    for _ in 0..8 {
        assert_eq!(state.next(now), Action::Fetch);
        state.take(now, Happened::NotFetched);
        waits.push(state.fetch_at().since(now).0 / 1_000);
        now = state.fetch_at();
        state.plan_at = None;
    }
    assert!(waits.windows(2).take(3).all(|pair| pair[0] < pair[1]), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= 990), "{waits:?}");
    state.apply_at = Some(now);
    assert_eq!(state.next(now), Action::Fetch);
    assert_eq!(state.next(now), Action::Apply(commit(1)), "beside the fetch");
}

#[test]
fn what_cannot_be_done_now_is_tried_again_later_each_time() {
    let mut state = in_sync();
    see(&mut state, at(10), 2);
    assert_eq!(state.next(at(10)), Action::Plan(commit(2)));
    state.take(at(10), Happened::Planned(commit(2), PENDING));
    let mut waits = Vec::new();
    let mut now = at(10);
    for _ in 0..4 {
        assert_eq!(state.next(now), Action::Apply(commit(2)));
        state.take(now, Happened::Applied(commit(2), Applied::Unfinished));
        let again = state.apply_at().unwrap();
        waits.push(again.since(now).0 / 1_000);
        // Nothing else is looked at in between.
        (state.plan_at, state.fetch_at) = (None, at(100_000));
        now = again;
    }
    assert_eq!(waits, [30, 60, 120, 240]);
    // What failed for good is left alone.
    assert_eq!(state.next(now), Action::Apply(commit(2)));
    state.take(now, Happened::Applied(commit(2), Applied::Failed));
    assert_eq!(state.next(now), Action::Plan(commit(2)));
    state.take(now, Happened::Planned(commit(2), PENDING));
    assert_eq!(state.apply_at(), None);
}

#[test]
fn an_entry_that_stays_due_is_no_endless_loop() {
    let mut state = in_sync();
    state.apply_at = Some(at(20));
    assert_eq!(state.next(at(20)), Action::Apply(commit(1)));
    state.take(at(21), Happened::Applied(commit(1), Applied::Failed));
    assert_eq!(state.next(at(21)), Action::Plan(commit(1)));
    state.take(at(21), Happened::Planned(commit(1), Planned { is_due: true, ..PENDING }));
    assert_eq!(state.apply_at(), Some(at(51)));
}

#[test]
fn webhooks_wake_at_once_but_not_without_end() {
    let mut state = in_sync();
    state.take(at(10), Happened::Woken);
    assert_eq!(state.next(at(10)), Action::Fetch);
    state.take(at(10), Happened::Woken);
    state.take(at(10), Happened::Fetched(commit(1)));
    assert_eq!(state.fetch_at(), at(11), "it may have come too late for the fetch that was on its way");
    state.take(at(10), Happened::Woken);
    assert_eq!(state.fetch_at(), at(11));
}

#[test]
fn a_branch_that_is_back_at_what_was_refused_is_waited_for_without_a_loop() {
    let mut state = State::new(INTERVAL, None, at(0));
    for (time, head) in [(1, 3), (70, 2), (95, 3)] {
        state.fetch_at = at(time);
        assert_eq!(state.next(at(time)), Action::Fetch);
        state.take(at(time), Happened::Fetched(commit(head)));
        if state.next(at(time)) == Action::Plan(commit(head)) {
            let happened = if head == 3 { Happened::Refused(commit(3)) } else { Happened::NotPlanned(commit(2)) };
            state.take(at(time), happened);
        }
    }
    assert_eq!((state.is_refused(), state.good()), (true, None));
    assert!(matches!(state.next(at(95)), Action::Wait(until) if until > at(95)), "{state:?}");
}

#[test]
fn leaving_waits_for_the_apply() {
    let mut state = in_sync();
    state.apply_at = Some(at(20));
    assert_eq!(state.next(at(20)), Action::Apply(commit(1)));
    state.take(at(20), Happened::Leave);
    assert_eq!(state.next(at(20)), Action::StopApply);
    assert!(matches!(state.next(at(20)), Action::Wait(_)));
    state.take(at(21), Happened::Applied(commit(1), Applied::Unfinished));
    assert_eq!(state.next(at(21)), Action::Leave);
}

/// A world that answers in any way, at any time.
fn walk(steps: &[(u8, u8)]) -> Result<(), TestCaseError> {
    let mut now = at(0);
    let mut state = State::new(INTERVAL, None, now);
    let (mut work, mut applying): (Option<Action>, Option<Commit>) = (None, None);
    let mut good = std::collections::BTreeSet::new();
    let mut refused = std::collections::BTreeSet::new();
    let mut head = 1;
    let act = |state: &mut State,
               now,
               work: &mut Option<Action>,
               applying: &mut Option<Commit>,
               good: &std::collections::BTreeSet<Commit>,
               refused: &std::collections::BTreeSet<Commit>| {
        for _ in 0..10 {
            match state.next(now) {
                Action::Wait(until) => {
                    // It never waits for what is past: that would be a loop without rest.
                    prop_assert!(until > now || work.is_some(), "{until:?} {state:?}");
                    return Ok(());
                }
                Action::Apply(commit) => {
                    prop_assert!(applying.is_none(), "two at once");
                    prop_assert!(good.contains(&commit) && !refused.contains(&commit), "{commit}");
                    *applying = Some(commit);
                }
                Action::StopApply => prop_assert!(applying.is_some()),
                action @ (Action::Fetch | Action::Plan(_)) => {
                    prop_assert!(work.is_none(), "{work:?} {action:?}");
                    if let Action::Plan(commit) = &action {
                        prop_assert!(!refused.contains(commit));
                    }
                    *work = Some(action);
                }
                Action::Leave => return Ok(()),
            }
        }
        prop_assert!(false, "it never rests: {state:?}");
        Ok(())
    };
    for (what, how) in steps {
        act(&mut state, now, &mut work, &mut applying, &good, &refused)?;
        now = now.after(Millis::seconds(u64::from(*how)));
        match what % 6 {
            0 => head = u32::from(how % 5),
            1 => state.take(now, Happened::Woken),
            2 | 3 => match work.take() {
                Some(Action::Fetch) if how % 4 == 0 => state.take(now, Happened::NotFetched),
                Some(Action::Fetch) => state.take(now, Happened::Fetched(commit(head))),
                // Commit 3 is wrong, always; any may be out of reach now and then.
                Some(Action::Plan(of)) if how % 4 == 0 => state.take(now, Happened::NotPlanned(of)),
                Some(Action::Plan(of)) if of == commit(3) => {
                    refused.insert(of.clone());
                    state.take(now, Happened::Refused(of));
                }
                Some(Action::Plan(of)) => {
                    good.insert(of.clone());
                    let planned = Planned { is_pending: how % 3 > 0, is_due: how % 7 == 0, next: None };
                    state.take(now, Happened::Planned(of, planned));
                }
                _ => {}
            },
            _ => {
                if let Some(of) = applying.take() {
                    let ends = [Applied::Done, Applied::Failed, Applied::Unfinished];
                    state.take(now, Happened::Applied(of, ends[usize::from(how % 3)]));
                }
            }
        }
    }
    // From now on nothing fails: the runs become those of the branch.
    for _ in 0..100 {
        act(&mut state, now, &mut work, &mut applying, &good, &refused)?;
        match work.take() {
            Some(Action::Fetch) => state.take(now, Happened::Fetched(commit(2))),
            Some(Action::Plan(of)) if of == commit(3) => state.take(now, Happened::Refused(of)),
            Some(Action::Plan(of)) => {
                good.insert(of.clone());
                let is_pending = state.applied() != Some(&of);
                state.take(now, Happened::Planned(of, Planned { is_pending, ..NOTHING }));
            }
            _ => {}
        }
        if let Some(of) = applying.take() {
            state.take(now, Happened::Applied(of, Applied::Done));
        }
        now = now.after(Millis::seconds(60));
    }
    prop_assert_eq!(state.applied(), Some(&commit(2)));
    prop_assert_eq!(state.good(), Some(&commit(2)));
    Ok(())
}

proptest! {
    #[test]
    fn one_apply_at_a_time_of_a_good_commit_and_in_the_end_the_right_one(
        steps in prop::collection::vec((any::<u8>(), any::<u8>()), 0..60),
    ) {
        walk(&steps)?;
    }
}
