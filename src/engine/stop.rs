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
    /// Tokens spent on it up to this turn.
    pub(super) tokens: u64,
    /// One per judge of the dialogue.
    pub(super) judged: &'a [Judged],
}

/// What a judge says of a dialogue after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// Nothing: the round goes on, or the answer cannot be counted.
    Nothing,
    /// It has not answered.
    Unasked,
    /// It names the option that ends the dialogue.
    Over,
    /// It names another one.
    GoesOn,
}

/// Whether a dialogue is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// By the condition of this word.
    Over(&'static str),
    /// It goes on.
    GoesOn,
    /// Nobody can tell, so it goes on; nor does it hold that it goes on.
    Unknown,
    /// It depends on what this judge says.
    Asks(usize),
}

/// Returns whether a dialogue is over here. Conditions are looked at as listed: what stands
/// after the one that decides is not asked.
pub(super) fn ending(stop: &Stop, talk: Talk<'_>) -> Ending {
    let when = |holds: bool, word| if holds { Ending::Over(word) } else { Ending::GoesOn };
    let reached = |limit: usize, word| when(talk.said.len() >= limit, word);
    let latest = |facts: fn(&Facts) -> &[bool], which: usize, word| {
        let found = talk.said.last().and_then(|(_, latest)| facts(latest).get(which).copied());
        when(found.unwrap_or(false), word)
    };
    match stop {
        Stop::Turns(turns) => reached(turns.get() as usize, "turns"),
        Stop::Rounds(rounds) => reached((rounds.get() as usize).saturating_mul(talk.speakers), "rounds"),
        Stop::Says(pattern) => latest(|facts| &facts.says, *pattern, "says"),
        Stop::Looping(likeness) => latest(|facts| &facts.loops, *likeness, "looping"),
        Stop::Agree(capture) => when(agree(talk, *capture), "agree"),
        Stop::Unchanged { capture, window } => when(unchanged(talk, *capture, window.get() as usize), "unchanged"),
        Stop::Budget(tokens) => when(talk.tokens >= u64::from(*tokens), "budget"),
        Stop::JudgeSays(judge) => match talk.judged.get(*judge).copied().unwrap_or(Judged::Nothing) {
            Judged::Nothing => Ending::Unknown,
            Judged::Unasked => Ending::Asks(*judge),
            Judged::Over => Ending::Over("judge_says"),
            Judged::GoesOn => Ending::GoesOn,
        },
        Stop::Any(stops) => {
            let mut known = Ending::GoesOn;
            for stop in stops {
                match ending(stop, talk) {
                    Ending::GoesOn => {}
                    Ending::Unknown => known = Ending::Unknown,
                    decided @ (Ending::Over(_) | Ending::Asks(_)) => return decided,
                }
            }
            known
        }
        Stop::All(stops) => {
            let mut known = Ending::Over("all");
            for stop in stops {
                match ending(stop, talk) {
                    Ending::Over(_) => {}
                    Ending::Unknown => known = Ending::Unknown,
                    decided @ (Ending::GoesOn | Ending::Asks(_)) => return decided,
                }
            }
            known
        }
        Stop::Not(stop) => match ending(stop, talk) {
            Ending::Over(_) => Ending::GoesOn,
            Ending::GoesOn => Ending::Over("not"),
            undecided @ (Ending::Unknown | Ending::Asks(_)) => undecided,
        },
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

    fn check(stop: &Stop, turns: usize, says: bool, expected: Option<&'static str>) {
        let facts = Facts { says: vec![says], loops: vec![says], ..Facts::default() };
        let said: Vec<_> = (0..turns).map(|turn| (ActorIdx(turn % 2), &facts)).collect();
        let talk = Talk { said: &said, speakers: 2, tokens: 10 * turns as u64, judged: &[] };
        assert_eq!(ending(stop, talk), expected.map_or(Ending::GoesOn, Ending::Over), "{stop:?}");
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
        let talk = Talk { said: &said_by, speakers: 2, tokens: 0, judged: &[] };
        assert_eq!(matches!(ending(stop, talk), Ending::Over(_)), expected, "{stop:?} after {said}");
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

    #[test]
    fn a_judge_is_asked_only_when_it_decides_and_unknown_stays_unknown() {
        use Judged::{GoesOn, Nothing, Over, Unasked};
        let facts = Facts { says: vec![true, false], ..Facts::default() };
        let said = [(ActorIdx(0), &facts), (ActorIdx(1), &facts)];
        let check = |stop: &Stop, judged: [Judged; 2], expected: Ending| {
            let talk = Talk { said: &said, speakers: 2, tokens: 0, judged: &judged };
            assert_eq!(ending(stop, talk), expected, "{stop:?} with {judged:?}");
        };
        let (yes, no) = (|| Stop::Says(0), || Stop::Says(1));
        let judge = |which| Stop::JudgeSays(which);
        check(&judge(0), [Unasked; 2], Ending::Asks(0));
        check(&judge(0), [Over, Unasked], Ending::Over("judge_says"));
        check(&judge(0), [GoesOn, Unasked], Ending::GoesOn);
        check(&judge(0), [Nothing; 2], Ending::Unknown);
        check(&Stop::Any(vec![yes(), judge(0)]), [Unasked; 2], Ending::Over("says"));
        check(&Stop::Any(vec![judge(0), yes()]), [Unasked; 2], Ending::Asks(0));
        check(&Stop::Any(vec![judge(0), yes()]), [Nothing; 2], Ending::Over("says"));
        check(&Stop::Any(vec![no(), judge(0), judge(1)]), [GoesOn, Unasked], Ending::Asks(1));
        check(&Stop::Any(vec![judge(0), judge(1)]), [Over, Unasked], Ending::Over("judge_says"));
        check(&Stop::All(vec![no(), judge(0)]), [Unasked; 2], Ending::GoesOn);
        check(&Stop::All(vec![yes(), judge(0)]), [Unasked; 2], Ending::Asks(0));
        check(&Stop::All(vec![yes(), judge(0)]), [Over; 2], Ending::Over("all"));
        check(&Stop::All(vec![judge(0), yes()]), [Nothing; 2], Ending::Unknown);
        check(&Stop::All(vec![judge(0), no()]), [Nothing; 2], Ending::GoesOn);
        let not = |stop| Stop::Not(Box::new(stop));
        check(&not(judge(0)), [Nothing; 2], Ending::Unknown);
        check(&not(judge(0)), [GoesOn; 2], Ending::Over("not"));
        check(&not(judge(0)), [Over; 2], Ending::GoesOn);
        check(&not(Stop::All(vec![judge(0), no()])), [Nothing; 2], Ending::Over("not"));
    }
}
