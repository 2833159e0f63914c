//! When a run has seen enough: conditions that are tested one case at a time along the order of admission.

use std::collections::BTreeMap;

use super::StepIdx;
use crate::prompt::ExpressionId;

/// When a run has seen enough, and what is to be looked at in each case.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The condition.
    pub condition: Condition,
    /// What its parts look at.
    pub observed: Vec<Observed>,
    /// Steps that any of them reads.
    pub reads: Vec<StepIdx>,
}

/// What is looked at in a case that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// Gives it.
    pub expr: ExpressionId,
    /// Only whether it is true counts.
    pub is_claim: bool,
}

/// A condition on the cases up to one.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// One of them.
    Any(Vec<Condition>),
    /// All of them.
    All(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
    /// The case at hand is such: a position in [`Evidence::observed`].
    Holds(usize),
    /// The cases that are left cannot change which value is the most frequent one.
    Decided(usize),
}

/// Most parts of a condition of which every combination is tried.
const MOST_TRIED: usize = 12;

impl Condition {
    /// Returns whether it holds, and none where that cannot be said; `part` tells it of conditions without others in
    /// them.
    #[must_use]
    pub fn holds(&self, part: &dyn Fn(&Self) -> Option<bool>) -> Option<bool> {
        let each = |conditions: &[Self], decisive: bool| {
            let found: Vec<Option<bool>> = conditions.iter().map(|condition| condition.holds(part)).collect();
            if found.contains(&Some(decisive)) {
                return Some(decisive);
            }
            (!found.contains(&None)).then_some(!decisive)
        };
        match self {
            Self::Any(conditions) => each(conditions, true),
            Self::All(conditions) => each(conditions, false),
            Self::Not(condition) => condition.holds(part).map(|holds| !holds),
            Self::Holds(_) | Self::Decided(_) => part(self),
        }
    }

    /// Returns its parts that have no others in them, in the order of writing.
    #[must_use]
    pub fn parts(&self) -> Vec<&Self> {
        match self {
            Self::Any(conditions) | Self::All(conditions) => conditions.iter().flat_map(Self::parts).collect(),
            Self::Not(condition) => condition.parts(),
            Self::Holds(_) | Self::Decided(_) => vec![self],
        }
    }

    /// Returns true when it holds at the first case whatever that is, because nothing is decided by one of many.
    #[must_use]
    pub fn holds_from_the_start(&self) -> bool {
        let undecided = |truths: &[(&Self, bool)]| {
            truths.iter().all(|(part, holds)| !(matches!(part, Self::Decided(_)) && *holds))
        };
        self.all_of(undecided, |found| found == Some(true))
    }

    /// Returns true when no case whatsoever makes it hold.
    #[must_use]
    pub fn never_holds(&self) -> bool {
        self.all_of(|_| true, |found| found != Some(true))
    }

    /// Tries every combination of true and false that is possible.
    fn all_of(&self, possible: impl Fn(&[(&Self, bool)]) -> bool, wanted: impl Fn(Option<bool>) -> bool) -> bool {
        let mut different: Vec<&Self> = Vec::new();
        for part in self.parts() {
            if !different.contains(&part) {
                different.push(part);
            }
        }
        if different.len() > MOST_TRIED {
            return false;
        }
        (0_u32..1 << different.len()).all(|bits| {
            let truths = different.iter().enumerate().map(|(place, &part)| (part, bits >> place & 1 == 1));
            let truths: Vec<(&Self, bool)> = truths.collect();
            let part = |part: &Self| truths.iter().find(|(one, _)| *one == part).map(|(_, holds)| *holds);
            !possible(&truths) || wanted(self.holds(&part))
        })
    }
}

/// The value that leads, the one behind it, and how often each was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lead<'a> {
    /// The most frequent one.
    pub first: (&'a str, u64),
    /// The next, where there is one.
    pub next: Option<(&'a str, u64)>,
}

/// Returns what leads, when so many more cases cannot change it.
#[must_use]
pub fn decided(counts: &BTreeMap<String, u64>, others: u64, left: u64) -> Option<Lead<'_>> {
    let mut ranked: Vec<(&str, u64)> = counts.iter().map(|(value, &count)| (value.as_str(), count)).collect();
    ranked.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let &first = ranked.first()?;
    let next = ranked.get(1).copied();
    let behind = next.map_or(0, |(_, count)| count).max(others);
    (first.1 > behind.saturating_add(left)).then_some(Lead { first, next })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_cannot_change_what_leads_by_more() {
        let check = |counts: &[(&str, u64)], others: u64, left: u64, expected: Option<&str>| {
            let counts: BTreeMap<String, u64> =
                counts.iter().map(|&(value, count)| (value.to_owned(), count)).collect();
            assert_eq!(decided(&counts, others, left).map(|lead| lead.first.0), expected, "{counts:?}");
        };
        check(&[], 0, 3, None);
        check(&[("a", 3)], 0, 3, None);
        check(&[("a", 4)], 0, 3, Some("a"));
        check(&[("a", 4), ("b", 6)], 0, 2, None);
        check(&[("a", 4), ("b", 6)], 0, 1, Some("b"));
        check(&[("a", 9), ("b", 1)], 8, 1, None);
    }

    #[test]
    fn what_makes_no_sense_is_known_before() {
        let not = |condition: Condition| Condition::Not(Box::new(condition));
        let check = |condition: Condition, from_the_start: bool, never: bool| {
            let found = (condition.holds_from_the_start(), condition.never_holds());
            assert_eq!(found, (from_the_start, never), "{condition:?}");
        };
        check(Condition::Holds(0), false, false);
        check(not(Condition::Holds(0)), false, false);
        check(Condition::Decided(0), false, false);
        check(not(Condition::Decided(0)), true, false);
        check(Condition::All(vec![Condition::Holds(0), not(Condition::Decided(1))]), false, false);
        check(Condition::Any(vec![Condition::Holds(0), not(Condition::Decided(1))]), true, false);
        check(Condition::All(vec![Condition::Holds(0), not(Condition::Holds(0))]), false, true);
        check(Condition::Any(vec![Condition::Holds(0), not(Condition::Holds(0))]), true, false);
    }

    #[test]
    fn what_is_not_known_makes_nothing_true() {
        let not = |condition: Condition| Condition::Not(Box::new(condition));
        let part = |part: &Condition| (*part == Condition::Holds(1)).then_some(true);
        let check = |condition: Condition, expected: Option<bool>| assert_eq!(condition.holds(&part), expected);
        check(not(Condition::Holds(0)), None);
        check(Condition::Any(vec![Condition::Holds(0), Condition::Holds(1)]), Some(true));
        check(Condition::All(vec![Condition::Holds(0), Condition::Holds(1)]), None);
        check(Condition::All(vec![Condition::Holds(0), not(Condition::Holds(1))]), Some(false));
    }
}
