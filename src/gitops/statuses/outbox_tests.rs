use proptest::prelude::*;

use super::super::super::executor::Entry;
use super::*;

fn commit(letter: char) -> Commit {
    Commit::of(&letter.to_string().repeat(40))
}

fn outbox(host: HostKind) -> Outbox {
    Outbox::new(host, "team/a".to_owned(), "pipe/gitops".to_owned(), None)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1_000_000)
}

fn away(why: &str, after: Option<u64>) -> Verdict {
    Verdict::Away { why: why.to_owned(), after: after.map(Millis::seconds) }
}

fn fetched(letter: char) -> Heard {
    Heard::Fetched { commit: commit(letter) }
}

fn planned(letter: char) -> Heard {
    Heard::Planned { commit: commit(letter), entries: Vec::new() }
}

fn applying(letter: char) -> Heard {
    Heard::Applying { commit: commit(letter) }
}

fn applied(letter: char, exit: i32) -> Heard {
    let entry = Entry {
        name: "a".to_owned(),
        state: "new".to_owned(),
        run: None,
        next_us: None,
        exit: Some(i64::from(exit)),
        message: None,
    };
    Heard::Applied { commit: commit(letter), exit: Some(exit), entries: vec![entry], why: None, again: None }
}

fn refused(letter: char, is_refused: bool) -> Heard {
    let (doing, why) = ("plan".to_owned(), "x".to_owned());
    Heard::NotPlanned { commit: commit(letter), doing, why, is_refused, stays: None }
}

/// Hears all, tells all that is to be told after each, and returns what was told.
fn told(outbox: &mut Outbox, heard: &[Heard]) -> Vec<String> {
    let mut told = Vec::new();
    for (second, heard) in heard.iter().enumerate() {
        let now = at(second.try_into().unwrap());
        outbox.hear(heard, now);
        while let Some(status) = outbox.next(now) {
            told.push(format!("{} {}", &status.commit.id()[..1], outbox.telling.host.word(status.state)));
            assert!(outbox.answered(Verdict::Taken, now).is_some());
        }
    }
    told
}

#[test]
fn a_commit_is_told_as_it_goes_and_the_same_not_twice() {
    let story = [fetched('a'), planned('a'), applying('a'), applied('a', 0)];
    assert_eq!(told(&mut outbox(HostKind::Github), &story), ["a pending", "a success"]);
    assert_eq!(told(&mut outbox(HostKind::Gitlab), &story), ["a pending", "a running", "a success"]);
    let mut outbox = outbox(HostKind::Gitea);
    told(&mut outbox, &story);
    let at_rest = Heard::InSync { commit: commit('a'), entries: Vec::new() };
    assert!(told(&mut outbox, &[fetched('a'), planned('a'), at_rest, refused('a', false)]).is_empty());
    assert_eq!(told(&mut outbox, &[fetched('b'), refused('b', true)]), ["b pending", "b failure"]);
    assert_eq!(told(&mut outbox, &[applying('a'), applied('a', 1)]), ["a pending", "a failure"], "its schedule");
}

#[test]
fn whoever_a_newer_one_took_the_place_of_is_not_left_pending() {
    let left = |exit| Heard::Applied { commit: commit('a'), exit, entries: Vec::new(), why: None, again: None };
    let story = [fetched('a'), planned('a'), applying('a'), fetched('b'), planned('b'), left(Some(143))];
    assert_eq!(told(&mut outbox(HostKind::Gitlab), &story), ["a pending", "a running", "b pending", "a canceled"]);
    let story = [fetched('a'), fetched('b'), refused('b', true)];
    assert_eq!(told(&mut outbox(HostKind::Github), &story), ["a pending", "b pending", "b failure", "a error"]);
    // Asked to leave for good, it goes on after a restart: nothing is told.
    let story = [fetched('a'), planned('a'), applying('a'), left(Some(143))];
    assert_eq!(told(&mut outbox(HostKind::Github), &story), ["a pending"]);
}

#[test]
fn a_host_that_is_away_gets_the_newest_state_later_and_waits_double() {
    let mut outbox = outbox(HostKind::Github);
    outbox.hear(&fetched('a'), at(0));
    assert_eq!(outbox.next(at(0)).map(|status| status.state), Some(CommitState::Pending));
    assert_eq!(outbox.next(at(0)), None, "one at a time");
    assert!(
        matches!(outbox.answered(away("gone", None), at(0)), Some(Heard::Untold { again: Some(again), .. }) if again == at(5))
    );
    outbox.hear(&applying('a'), at(1));
    outbox.hear(&applied('a', 0), at(2));
    assert_eq!((outbox.next(at(4)), outbox.wakes_at()), (None, Some(at(5))));
    assert_eq!(outbox.next(at(5)).map(|status| status.state), Some(CommitState::Success), "and pending never");
    assert_eq!(outbox.answered(away("gone", None), at(5)), None, "it is said once");
    assert_eq!(outbox.wakes_at(), Some(at(15)));
    assert!(outbox.next(at(15)).is_some());
    assert!(outbox.answered(away("too many", Some(600)), at(15)).is_some());
    assert_eq!(outbox.wakes_at(), Some(at(615)), "as the host asks");
    assert!(outbox.next(at(615)).is_some());
    assert!(matches!(outbox.answered(Verdict::Taken, at(615)), Some(Heard::Told { state: "success", .. })));
    assert_eq!((outbox.wakes_at(), outbox.telling.error.clone()), (None, None));
}

#[test]
fn who_leaves_tries_once_more_unless_the_host_asked_to_wait() {
    for (after, is_tried) in [(None, true), (Some(60), false)] {
        let mut outbox = outbox(HostKind::Gitlab);
        outbox.hear(&fetched('a'), at(0));
        outbox.next(at(0));
        outbox.answered(away("gone", after), at(0));
        assert_eq!(outbox.next(at(1)), None);
        outbox.hurry();
        assert_eq!(outbox.next(at(1)).is_some(), is_tried);
        outbox.answered(away("gone", None), at(1));
        assert_eq!(outbox.next(at(1)), None, "once");
    }
}

#[test]
fn a_restart_tells_what_was_not_told_and_that_alone() {
    let mut one = outbox(HostKind::Github);
    told(&mut one, &[fetched('a'), planned('a'), applying('a'), applied('a', 0)]);
    let restart = |outbox: &Outbox, repository: &str| {
        Outbox::new(HostKind::Github, repository.to_owned(), "pipe/gitops".to_owned(), Some(outbox.telling.clone()))
    };
    let again = [fetched('a'), Heard::InSync { commit: commit('a'), entries: Vec::new() }];
    assert!(told(&mut restart(&one, "team/a"), &again).is_empty());
    assert_eq!(told(&mut restart(&one, "team/b"), &again), ["a pending", "a success"], "another host knows nothing");
    one.hear(&fetched('b'), at(9));
    one.hear(&refused('b', true), at(9));
    assert_eq!(told(&mut restart(&one, "team/a"), &[fetched('b')]), ["b failure"]);
}

#[test]
fn what_a_host_never_takes_keeps_nothing_from_it() {
    let mut outbox = outbox(HostKind::Github);
    outbox.hear(&fetched('a'), at(0));
    outbox.hear(&fetched('b'), at(0));
    assert_eq!(outbox.next(at(0)).unwrap().commit, commit('b'), "the newest first");
    assert!(matches!(
        outbox.answered(Verdict::Absent("no".to_owned()), at(0)),
        Some(Heard::Untold { again: Some(_), .. })
    ));
    assert_eq!(outbox.next(at(5)).unwrap().commit, commit('b'));
    outbox.answered(Verdict::Taken, at(5));
    assert_eq!(outbox.next(at(5)).unwrap().commit, commit('a'));
    assert!(matches!(
        outbox.answered(Verdict::Absent("no".to_owned()), at(5)),
        Some(Heard::Untold { again: None, .. })
    ));
    assert_eq!((outbox.next(at(5)), outbox.wakes_at()), (None, None));
    outbox.hear(&refused('a', true), at(6));
    assert_eq!(outbox.next(at(6)).map(|status| status.state), Some(CommitState::Failure), "what is new is tried");
}

proptest! {
    /// Whatever happens and however a host answers: the end is told once it answers, and it is the newest state.
    #[test]
    fn in_the_end_the_host_has_what_is(
        host in prop_oneof![Just(HostKind::Github), Just(HostKind::Gitea), Just(HostKind::Gitlab)],
        steps in proptest::collection::vec((0_u8..7, 0_usize..20, 0_u8..5), 1..60),
    ) {
        let letters: Vec<char> = ('a'..='t').collect();
        let mut outbox = outbox(host);
        let mut has = std::collections::BTreeMap::new();
        let mut now = 0;
        for (what, which, answer) in steps {
            now += 1;
            let letter = letters[which];
            let heard = match what {
                0 => fetched(letter),
                1 => planned(letter),
                2 => applying(letter),
                3 => applied(letter, 0),
                4 => applied(letter, 1),
                5 => applied(letter, 143),
                _ => refused(letter, answer > 2),
            };
            outbox.hear(&heard, at(now));
            prop_assert!(outbox.telling.commits.len() <= MOST);
            // What was forgotten may be told again.
            has.retain(|commit, _| outbox.telling.commits.iter().any(|one| one.commit == *commit));
            if let Some(status) = outbox.next(at(now)) {
                prop_assert!(outbox.next(at(now)).is_none());
                let word = host.word(status.state);
                match answer {
                    0 => drop(outbox.answered(away("x", None), at(now))),
                    1 => drop(outbox.answered(away("y", Some(3)), at(now))),
                    _ => {
                        let told = has.insert(status.commit.clone(), word);
                        prop_assert!(told != Some(word), "told twice");
                        outbox.answered(Verdict::Taken, at(now));
                    }
                }
            }
        }
        // The host is there from now on.
        now += 2 * 3_600;
        while let Some(status) = outbox.next(at(now)) {
            has.insert(status.commit.clone(), host.word(status.state));
            outbox.answered(Verdict::Taken, at(now));
        }
        for one in &outbox.telling.commits {
            prop_assert_eq!(has.get(&one.commit).copied(), Some(host.word(one.state)));
        }
        prop_assert_eq!(outbox.wakes_at(), None);
    }
}
