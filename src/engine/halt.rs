//! When a run has spent or failed too much to go on.

use super::call::Step;
use super::state::RunState;
use super::step::Engine;
use crate::base::{Millis, Timestamp, TokenCount};
use crate::event::{Event, StopCause, StopReached};
use crate::plan::Halt;

/// How far a run is.
struct Spent {
    tokens: u64,
    active: Millis,
    settled: u64,
    failed: u64,
}

impl Engine {
    /// Stops the run when its budget is spent or too many cases have failed. A run whose last case is settled is over
    /// anyway.
    pub(super) fn halt(&mut self, step: &mut Step) {
        let complete = self.state.source_ended && self.state.open.is_empty();
        if complete || self.flow.stopping.is_some() || self.flow.finished {
            return;
        }
        let spent = spent(&self.state, self.now);
        let Some(reached) = self.plan.halt.as_ref().and_then(|halt| reached(halt, &spent)) else { return };
        self.record(step, Event::StopReached(reached.clone()));
        self.stop(step, StopCause::Condition(reached));
    }

    /// Returns when the time of the budget is over, as far as it bounds the run.
    pub(super) fn time_is_up(&self) -> Option<Timestamp> {
        let (_, Some(Millis(budget))) = self.plan.halt.as_ref()?.budgets() else { return None };
        let spent = spent(&self.state, self.now);
        if spent.active.0 >= budget {
            // It has been looked at and something else must hold too.
            return None;
        }
        Some(self.now.after(Millis(budget - spent.active.0)))
    }
}

fn spent(state: &RunState, now: Timestamp) -> Spent {
    let tokens = [state.usage.input, state.usage.output].into_iter().flatten().map(|TokenCount(tokens)| tokens).sum();
    let now = state.clock.began.map_or(0, |began| now.micros_since(began));
    Spent {
        tokens,
        active: Millis((state.clock.earlier_us + now) / 1_000),
        settled: state.cases.settled(),
        failed: state.cases.failed,
    }
}

fn reached(halt: &Halt, spent: &Spent) -> Option<StopReached> {
    let condition =
        |condition: &str, evidence: String| Some(StopReached { condition: condition.to_owned(), evidence });
    match halt {
        Halt::Tokens(most) if spent.tokens >= *most => {
            condition("budget", format!("{} of {most} tokens are spent", spent.tokens))
        }
        Halt::Time(most) if spent.active >= *most => {
            condition("budget", format!("{} s of {} s are over", spent.active.0 / 1_000, most.0.div_ceil(1_000)))
        }
        Halt::Failed(most) if spent.failed >= u64::from(most.get()) => {
            condition("errors", format!("{} of {} cases failed", spent.failed, spent.settled))
        }
        Halt::FailedShare { fraction, after } if spent.settled >= u64::from(after.get()) => {
            #[expect(clippy::cast_precision_loss, reason = "cases are fewer than 2^52")]
            let share = spent.failed as f64 / spent.settled as f64;
            if share >= *fraction {
                condition("errors", format!("{} of {} cases failed", spent.failed, spent.settled))
            } else {
                None
            }
        }
        Halt::Tokens(_) | Halt::Time(_) | Halt::Failed(_) | Halt::FailedShare { .. } => None,
        Halt::Any(halts) => halts.iter().find_map(|halt| reached(halt, spent)),
        Halt::All(halts) => {
            let all: Vec<StopReached> = halts.iter().map(|halt| reached(halt, spent)).collect::<Option<_>>()?;
            // Failures weigh more than a spent budget: they ask for a look before the run goes on.
            let gravest = all.iter().find(|reached| reached.condition == "errors").or(all.first())?;
            let evidence: Vec<&str> = all.iter().map(|reached| reached.evidence.as_str()).collect();
            condition(&gravest.condition, evidence.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn check(halt: &Halt, tokens: u64, settled: u64, failed: u64, expected: Option<&str>) {
        let spent = Spent { tokens, active: Millis::seconds(60), settled, failed };
        let found = reached(halt, &spent).map(|reached| format!("{}: {}", reached.condition, reached.evidence));
        assert_eq!(found.as_deref(), expected, "{halt:?}");
    }

    #[test]
    fn conditions_hold_from_their_bound_on() {
        let three = NonZeroU32::new(3).expect("not 0");
        check(&Halt::Tokens(100), 99, 0, 0, None);
        check(&Halt::Tokens(100), 100, 0, 0, Some("budget: 100 of 100 tokens are spent"));
        check(&Halt::Time(Millis::seconds(61)), 0, 0, 0, None);
        check(&Halt::Time(Millis::seconds(60)), 0, 0, 0, Some("budget: 60 s of 60 s are over"));
        check(&Halt::Failed(three), 0, 9, 2, None);
        check(&Halt::Failed(three), 0, 9, 3, Some("errors: 3 of 9 cases failed"));
        let share = Halt::FailedShare { fraction: 0.5, after: three };
        check(&share, 0, 2, 2, None);
        check(&share, 0, 4, 1, None);
        check(&share, 0, 4, 2, Some("errors: 2 of 4 cases failed"));
        let both = Halt::All(vec![Halt::Tokens(100), Halt::Failed(three)]);
        check(&both, 100, 9, 2, None);
        check(&both, 100, 9, 3, Some("errors: 100 of 100 tokens are spent, 3 of 9 cases failed"));
        check(&Halt::Any(vec![Halt::Tokens(100), share]), 7, 4, 2, Some("errors: 2 of 4 cases failed"));
    }
}
