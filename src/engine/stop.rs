//! When a dialogue is over.

use crate::event::Facts;
use crate::plan::{ActorIdx, Stop};

/// How far a dialogue is, right after a turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Talk<'a> {
    /// Speakers and what was read in their turns, in order; at least one.
    pub(super) said: &'a [(ActorIdx, &'a Facts)],
    /// Actors in it.
    pub(super) speakers: usize,
    /// Tokens spent on it.
    pub(super) tokens: u64,
}

/// Returns the word of the condition that ends the dialogue here, none when it goes on.
pub(super) fn stopped_by(stop: &Stop, talk: Talk<'_>) -> Option<&'static str> {
    let reached = |limit: usize, word| (talk.said.len() >= limit).then_some(word);
    let latest = |facts: fn(&Facts) -> &[bool], which: usize, word| {
        let (_, latest) = talk.said.last()?;
        facts(latest).get(which).copied().unwrap_or(false).then_some(word)
    };
    match stop {
        Stop::Turns(turns) => reached(turns.get() as usize, "turns"),
        Stop::Rounds(rounds) => reached((rounds.get() as usize).saturating_mul(talk.speakers), "rounds"),
        Stop::Says(pattern) => latest(|facts| &facts.says, *pattern, "says"),
        Stop::Looping(likeness) => latest(|facts| &facts.loops, *likeness, "looping"),
        Stop::Agree(capture) => agree(talk, *capture).then_some("agree"),
        Stop::Unchanged { capture, window } => {
            unchanged(talk, *capture, window.get() as usize).then_some("unchanged")
        }
        Stop::Budget(tokens) => (talk.tokens >= u64::from(*tokens)).then_some("budget"),
        Stop::Any(stops) => stops.iter().find_map(|stop| stopped_by(stop, talk)),
        Stop::All(stops) => stops.iter().all(|stop| stopped_by(stop, talk).is_some()).then_some("all"),
        Stop::Not(stop) => stopped_by(stop, talk).is_none().then_some("not"),
    }
}

/// Returns true when the latest turn of every speaker has the same capture.
fn agree(talk: Talk<'_>, capture: usize) -> bool {
    let mut latest: Vec<(ActorIdx, &Facts)> = Vec::with_capacity(talk.speakers);
    for &(actor, facts) in talk.said.iter().rev() {
        if latest.iter().all(|(known, _)| *known != actor) {
            latest.push((actor, facts));
        }
        if latest.len() == talk.speakers {
            break;
        }
    }
    let found: Option<Vec<_>> = latest.iter().map(|(_, facts)| facts.captures.get(capture).copied()?).collect();
    found.is_some_and(|found| found.len() == talk.speakers && found.windows(2).all(|pair| pair[0] == pair[1]))
}

/// Returns true when the latest turn has the capture of so many turns of its speaker before it.
fn unchanged(talk: Talk<'_>, capture: usize, window: usize) -> bool {
    let Some(&(speaker, _)) = talk.said.last() else { return false };
    let own = talk.said.iter().rev().filter(|(actor, _)| *actor == speaker).take(window + 1);
    let found: Option<Vec<_>> = own.map(|(_, facts)| facts.captures.get(capture).copied()?).collect();
    found.is_some_and(|found| found.len() == window + 1 && found.windows(2).all(|pair| pair[0] == pair[1]))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::base::Digest;

    fn two() -> NonZeroU32 {
        NonZeroU32::new(2).expect("not 0")
    }

    fn check(stop: &Stop, turns: usize, says: bool, expected: Option<&str>) {
        let facts = Facts { says: vec![says], loops: vec![says], ..Facts::default() };
        let said: Vec<_> = (0..turns).map(|turn| (ActorIdx(turn % 2), &facts)).collect();
        let talk = Talk { said: &said, speakers: 2, tokens: 10 * turns as u64 };
        assert_eq!(stopped_by(stop, talk), expected, "{stop:?}");
    }

    #[test]
    fn conditions_nest() {
        let two = two();
        check(&Stop::Rounds(two), 3, true, None);
        check(&Stop::Rounds(two), 4, false, Some("rounds"));
        check(&Stop::Turns(two), 2, false, Some("turns"));
        check(&Stop::Looping(0), 2, true, Some("looping"));
        check(&Stop::Budget(30), 2, false, None);
        check(&Stop::Budget(30), 3, false, Some("budget"));
        let any = Stop::Any(vec![Stop::Says(0), Stop::Turns(two)]);
        check(&any, 1, true, Some("says"));
        check(&any, 1, false, None);
        let all = Stop::All(vec![Stop::Says(0), Stop::Turns(two)]);
        check(&all, 1, true, None);
        check(&all, 2, true, Some("all"));
        check(&Stop::Not(Box::new(Stop::Says(0))), 1, false, Some("not"));
    }

    /// `said` is what is captured turn by turn, by two speakers in turn; a dash is nothing.
    fn compares(stop: &Stop, said: &str, expected: bool) {
        let facts: Vec<Facts> = said
            .chars()
            .map(|found| {
                let capture = (found != '-').then(|| Digest::of(found.to_string().as_bytes()));
                Facts { captures: vec![capture], ..Facts::default() }
            })
            .collect();
        let said_by: Vec<_> = facts.iter().enumerate().map(|(turn, facts)| (ActorIdx(turn % 2), facts)).collect();
        let talk = Talk { said: &said_by, speakers: 2, tokens: 0 };
        assert_eq!(stopped_by(stop, talk).is_some(), expected, "{stop:?} after {said}");
    }

    #[test]
    fn captures_are_compared() {
        let agree = Stop::Agree(0);
        compares(&agree, "a", false);
        compares(&agree, "ab", false);
        compares(&agree, "aa", true);
        compares(&agree, "abb", true);
        compares(&agree, "--", false);
        let unchanged = Stop::Unchanged { capture: 0, window: NonZeroU32::MIN };
        compares(&unchanged, "aa", false);
        compares(&unchanged, "aba", true);
        compares(&unchanged, "abbb", true);
        compares(&unchanged, "a-ab-", false);
        let twice = Stop::Unchanged { capture: 0, window: two() };
        compares(&twice, "aba", false);
        compares(&twice, "ababa", true);
        compares(&twice, "abcba", false);
    }
}
