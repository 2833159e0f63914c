//! When the whole run is over, and how many failed cases it bears.

use std::num::NonZeroU32;

use crate::base::Millis;

/// What ends a run before its last case, at once: an evidence stop is a bound on its items instead.
#[derive(Clone, Debug, PartialEq)]
pub enum Halt {
    /// One of them.
    Any(Vec<Halt>),
    /// All of them.
    All(Vec<Halt>),
    /// So many tokens of prompts and answers have been spent.
    Tokens(u64),
    /// Processes have worked on it for so long.
    Time(Millis),
    /// So many cases have failed.
    Failed(NonZeroU32),
    /// So large a share of the settled cases has failed.
    FailedShare {
        /// Over 0, at most 1.
        fraction: f64,
        /// Not looked at before so many are settled.
        after: NonZeroU32,
    },
}

impl Halt {
    /// Returns the least tokens and the shortest time among its budgets.
    #[must_use]
    pub fn budgets(&self) -> (Option<u64>, Option<Millis>) {
        let least = |one: Option<u64>, other: Option<u64>| [one, other].into_iter().flatten().min();
        match self {
            Self::Any(halts) | Self::All(halts) => halts.iter().map(Self::budgets).fold((None, None), |all, one| {
                let time = least(all.1.map(|Millis(time)| time), one.1.map(|Millis(time)| time));
                (least(all.0, one.0), time.map(Millis))
            }),
            Self::Tokens(tokens) => (Some(*tokens), None),
            Self::Time(time) => (None, Some(*time)),
            Self::Failed(_) | Self::FailedShare { .. } => (None, None),
        }
    }
}
