//! When the whole run is over, and how many failed cases it bears.

use std::num::NonZeroU32;

use crate::base::{MicroUsd, Millis};
use crate::event::StopReached;

/// What ends a run before its last case, at once: an evidence stop is a bound on its items instead.
#[derive(Clone, Debug, PartialEq)]
pub enum Halt {
    /// One of them.
    Any(Vec<Halt>),
    /// All of them.
    All(Vec<Halt>),
    /// It does not hold.
    Not(Box<Halt>),
    /// So many tokens of prompts and answers have been spent.
    Tokens(u64),
    /// They have cost so much.
    Cost(MicroUsd),
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

/// How far a run is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// Of prompts and answers.
    pub tokens: u64,
    /// What they cost.
    pub cost: MicroUsd,
    /// How long processes worked on it.
    pub active: Millis,
    /// Cases that are over.
    pub settled: u64,
    /// Those of them that failed.
    pub failed: u64,
}

/// What a run may spend, of each the least that any condition names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budgets {
    /// Of prompts and answers.
    pub tokens: Option<u64>,
    /// What they cost.
    pub cost: Option<MicroUsd>,
    /// Of work on the run.
    pub time: Option<Millis>,
}

impl Halt {
    /// Returns the least of each kind among its budgets; what stands under `not` bounds nothing.
    #[must_use]
    pub fn budgets(&self) -> Budgets {
        match self {
            Self::Any(halts) | Self::All(halts) => {
                halts.iter().map(Self::budgets).fold(Budgets::default(), Budgets::least)
            }
            Self::Tokens(tokens) => Budgets { tokens: Some(*tokens), ..Budgets::default() },
            Self::Cost(cost) => Budgets { cost: Some(*cost), ..Budgets::default() },
            Self::Time(time) => Budgets { time: Some(*time), ..Budgets::default() },
            Self::Not(_) | Self::Failed(_) | Self::FailedShare { .. } => Budgets::default(),
        }
    }

    /// Returns true when it, or a condition in it, asks what answers cost.
    #[must_use]
    pub fn counts_cost(&self) -> bool {
        match self {
            Self::Any(halts) | Self::All(halts) => halts.iter().any(Self::counts_cost),
            Self::Not(halt) => halt.counts_cost(),
            Self::Cost(_) => true,
            Self::Tokens(_) | Self::Time(_) | Self::Failed(_) | Self::FailedShare { .. } => false,
        }
    }

    /// Says why it holds; none when it does not.
    #[must_use]
    pub fn reached(&self, spent: &Spent) -> Option<StopReached> {
        let condition = |condition: &str, evidence: String| {
            Some(StopReached { condition: condition.to_owned(), evidence, case: None })
        };
        let failures = || condition("errors", format!("{} of {} cases failed", spent.failed, spent.settled));
        match self {
            Self::Tokens(most) if spent.tokens >= *most => {
                condition("budget", format!("{} of {most} tokens are spent", spent.tokens))
            }
            Self::Cost(most) if spent.cost >= *most => {
                condition("budget", format!("{} of {most} are spent", spent.cost))
            }
            Self::Time(most) if spent.active >= *most => {
                condition("budget", format!("{} s of {} s are over", spent.active.0 / 1_000, most.0.div_ceil(1_000)))
            }
            Self::Failed(most) if spent.failed >= u64::from(most.get()) => failures(),
            Self::FailedShare { fraction, after } if spent.settled >= u64::from(after.get()) => {
                #[expect(clippy::cast_precision_loss, reason = "cases are fewer than 2^52")]
                let share = spent.failed as f64 / spent.settled as f64;
                if share >= *fraction { failures() } else { None }
            }
            Self::Tokens(_) | Self::Cost(_) | Self::Time(_) | Self::Failed(_) | Self::FailedShare { .. } => None,
            Self::Any(halts) => halts.iter().find_map(|halt| halt.reached(spent)),
            Self::All(halts) => {
                let all: Vec<StopReached> = halts.iter().map(|halt| halt.reached(spent)).collect::<Option<_>>()?;
                // Failures weigh more than a spent budget: they ask for a look before the run goes on. What does not
                // hold weighs least: it alone never ends a run.
                let gravity = |reached: &&StopReached| match reached.condition.as_str() {
                    "errors" => 0,
                    "not" => 2,
                    _ => 1,
                };
                let gravest = all.iter().min_by_key(gravity)?;
                let evidence: Vec<&str> = all.iter().map(|reached| reached.evidence.as_str()).collect();
                condition(&gravest.condition, evidence.join(", "))
            }
            Self::Not(halt) => match halt.reached(spent) {
                Some(_) => None,
                None => condition("not", format!("not {}", halt.words())),
            },
        }
    }

    /// Says what it asks, for people.
    #[must_use]
    pub fn words(&self) -> String {
        let joined = |halts: &[Self], word: &str| halts.iter().map(Self::words).collect::<Vec<_>>().join(word);
        match self {
            Self::Any(halts) => joined(halts, " or "),
            Self::All(halts) => joined(halts, " and "),
            Self::Not(halt) => format!("not {}", halt.words()),
            Self::Tokens(most) => format!("{most} tokens spent"),
            Self::Cost(most) => format!("{most} spent"),
            Self::Time(most) => format!("{} s over", most.0.div_ceil(1_000)),
            Self::Failed(most) => format!("{most} cases failed"),
            Self::FailedShare { fraction, .. } => format!("{} % of the cases failed", fraction * 100.0),
        }
    }

    /// Returns true when it holds before anything has happened: a run would be over before its first call.
    #[must_use]
    pub fn holds_from_the_start(&self) -> bool {
        self.reached(&Spent::default()).is_some()
    }

    /// Returns true when nothing that may happen makes it hold.
    #[must_use]
    pub fn never_holds(&self) -> bool {
        let mut edges = Edges::default();
        self.edges(&mut edges);
        let before_and_at = |bounds: &[u64]| -> Vec<u64> {
            let around = bounds.iter().flat_map(|&bound| [bound.saturating_sub(1), bound]);
            std::iter::once(0).chain(around).collect()
        };
        let (tokens, cost, time) =
            (before_and_at(&edges.tokens), before_and_at(&edges.cost), before_and_at(&edges.time));
        let failed = before_and_at(&edges.failed);
        // A share is least among very many cases, and greatest where no case but failed ones are settled.
        let many = edges.settled.iter().chain(&edges.failed).max().map_or(0, |most| most.saturating_mul(1_000_000));
        if tokens.len() * cost.len() * time.len() * failed.len() > MOST_TRIED {
            return false;
        }
        !tokens.iter().any(|&tokens| {
            cost.iter().any(|&cost| {
                time.iter().any(|&time| {
                    failed.iter().any(|&failed| {
                        let settled = edges.settled.iter().copied().chain([failed, many]);
                        settled.filter(|&settled| settled >= failed).any(|settled| {
                            let (cost, active) = (MicroUsd(cost), Millis(time));
                            self.reached(&Spent { tokens, cost, active, settled, failed }).is_some()
                        })
                    })
                })
            })
        })
    }

    fn edges(&self, edges: &mut Edges) {
        match self {
            Self::Any(halts) | Self::All(halts) => halts.iter().for_each(|halt| halt.edges(edges)),
            Self::Not(halt) => halt.edges(edges),
            Self::Tokens(most) => edges.tokens.push(*most),
            Self::Cost(MicroUsd(most)) => edges.cost.push(*most),
            Self::Time(Millis(most)) => edges.time.push(*most),
            Self::Failed(most) => edges.failed.push(u64::from(most.get())),
            Self::FailedShare { fraction, after } => {
                let after = u64::from(after.get());
                #[expect(
                    clippy::cast_precision_loss,
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a share of a small number"
                )]
                let failed = (after as f64 * fraction).ceil() as u64;
                edges.failed.extend([failed, after]);
                edges.settled.push(after);
            }
        }
    }
}

/// Combinations that are tried before a condition is believed to be able to hold.
const MOST_TRIED: usize = 20_000;

/// Where parts of a condition begin to hold.
#[derive(Default)]
struct Edges {
    tokens: Vec<u64>,
    cost: Vec<u64>,
    time: Vec<u64>,
    failed: Vec<u64>,
    settled: Vec<u64>,
}

impl Budgets {
    fn least(self, other: Self) -> Self {
        fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
            [one, other].into_iter().flatten().min()
        }
        Self {
            tokens: least(self.tokens, other.tokens),
            cost: least(self.cost, other.cost),
            time: least(self.time, other.time),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: NonZeroU32 = NonZeroU32::new(3).expect("not 0");

    fn check(halt: &Halt, tokens: u64, settled: u64, failed: u64, expected: Option<&str>) {
        let spent = Spent { tokens, cost: MicroUsd(2_500_000), active: Millis::seconds(60), settled, failed };
        let found = halt.reached(&spent).map(|reached| format!("{}: {}", reached.condition, reached.evidence));
        assert_eq!(found.as_deref(), expected, "{halt:?}");
    }

    #[test]
    fn conditions_hold_from_their_bound_on() {
        check(&Halt::Tokens(100), 99, 0, 0, None);
        check(&Halt::Tokens(100), 100, 0, 0, Some("budget: 100 of 100 tokens are spent"));
        check(&Halt::Cost(MicroUsd(2_500_001)), 0, 0, 0, None);
        check(&Halt::Cost(MicroUsd(2_000_000)), 0, 0, 0, Some("budget: 2.50 USD of 2.00 USD are spent"));
        check(&Halt::Time(Millis::seconds(61)), 0, 0, 0, None);
        check(&Halt::Time(Millis::seconds(60)), 0, 0, 0, Some("budget: 60 s of 60 s are over"));
        check(&Halt::Failed(THREE), 0, 9, 2, None);
        check(&Halt::Failed(THREE), 0, 9, 3, Some("errors: 3 of 9 cases failed"));
        let share = Halt::FailedShare { fraction: 0.5, after: THREE };
        check(&share, 0, 2, 2, None);
        check(&share, 0, 4, 1, None);
        check(&share, 0, 4, 2, Some("errors: 2 of 4 cases failed"));
        let both = Halt::All(vec![Halt::Tokens(100), Halt::Failed(THREE)]);
        check(&both, 100, 9, 2, None);
        check(&both, 100, 9, 3, Some("errors: 100 of 100 tokens are spent, 3 of 9 cases failed"));
        check(&Halt::Any(vec![Halt::Tokens(100), share]), 7, 4, 2, Some("errors: 2 of 4 cases failed"));
        let calm = Halt::All(vec![not(Halt::Failed(THREE)), Halt::Tokens(100)]);
        check(&calm, 100, 9, 3, None);
        check(&calm, 100, 9, 2, Some("budget: not 3 cases failed, 100 of 100 tokens are spent"));
    }

    fn not(halt: Halt) -> Halt {
        Halt::Not(Box::new(halt))
    }

    #[test]
    fn what_makes_no_sense_is_known_before() {
        let check = |halt: Halt, from_the_start: bool, never: bool| {
            assert_eq!((halt.holds_from_the_start(), halt.never_holds()), (from_the_start, never), "{halt:?}");
        };
        let share = || Halt::FailedShare { fraction: 0.05, after: NonZeroU32::new(50).expect("not 0") };
        check(Halt::Tokens(5), false, false);
        check(not(Halt::Tokens(5)), true, false);
        check(not(not(Halt::Tokens(5))), false, false);
        check(Halt::Any(vec![Halt::Tokens(5), not(share())]), true, false);
        check(Halt::All(vec![Halt::Tokens(5), not(Halt::Tokens(5))]), false, true);
        check(Halt::All(vec![Halt::Tokens(5), not(Halt::Tokens(6))]), false, false);
        check(Halt::All(vec![Halt::Tokens(5), not(Halt::Tokens(4))]), false, true);
        check(Halt::All(vec![Halt::Time(Millis(5)), not(Halt::Cost(MicroUsd(4)))]), false, false);
        check(Halt::All(vec![share(), not(Halt::Failed(THREE))]), false, true);
        check(Halt::All(vec![Halt::Failed(THREE), not(share())]), false, false);
        check(Halt::All(vec![share(), not(Halt::Failed(NonZeroU32::new(4).expect("not 0")))]), false, false);
    }
}
