//! When a dialogue is over.

use crate::event::Facts;
use crate::plan::Stop;

/// How far a dialogue is, right after a turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Talk<'a> {
    /// Turns taken, at least 1.
    pub(super) turns: usize,
    /// Actors in it.
    pub(super) speakers: usize,
    /// What was read in the latest turn.
    pub(super) latest: &'a Facts,
}

/// Returns the word of the condition that ends the dialogue here, none when it goes on.
pub(super) fn stopped_by(stop: &Stop, talk: Talk<'_>) -> Option<&'static str> {
    let reached = |limit: usize, word| (talk.turns >= limit).then_some(word);
    match stop {
        Stop::Turns(turns) => reached(turns.get() as usize, "turns"),
        Stop::Rounds(rounds) => reached((rounds.get() as usize).saturating_mul(talk.speakers), "rounds"),
        Stop::Says(pattern) => talk.latest.says.get(*pattern).copied().unwrap_or(false).then_some("says"),
        Stop::Any(stops) => stops.iter().find_map(|stop| stopped_by(stop, talk)),
        Stop::All(stops) => stops.iter().all(|stop| stopped_by(stop, talk).is_some()).then_some("all"),
        Stop::Not(stop) => stopped_by(stop, talk).is_none().then_some("not"),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn check(stop: &Stop, turns: usize, says: bool, expected: Option<&str>) {
        let latest = Facts { says: vec![says], ..Facts::default() };
        assert_eq!(stopped_by(stop, Talk { turns, speakers: 2, latest: &latest }), expected, "{stop:?}");
    }

    #[test]
    fn conditions_nest() {
        let two = NonZeroU32::new(2).expect("not 0");
        check(&Stop::Rounds(two), 3, true, None);
        check(&Stop::Rounds(two), 4, false, Some("rounds"));
        check(&Stop::Turns(two), 2, false, Some("turns"));
        let any = Stop::Any(vec![Stop::Says(0), Stop::Turns(two)]);
        check(&any, 1, true, Some("says"));
        check(&any, 1, false, None);
        let all = Stop::All(vec![Stop::Says(0), Stop::Turns(two)]);
        check(&all, 1, true, None);
        check(&all, 2, true, Some("all"));
        check(&Stop::Not(Box::new(Stop::Says(0))), 1, false, Some("not"));
    }
}
