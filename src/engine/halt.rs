//! When a run has spent or failed too much to go on.

use super::call::Step;
use super::state::RunState;
use super::step::Engine;
use super::suspects::Suspect;
use crate::base::{MicroUsd, Millis, Timestamp, TokenCount};
use crate::event::{Event, StopCause, Usage};
use crate::plan::{Halt, Plan, Spent};

impl Engine {
    /// Stops the run when it has seen enough, when its budget is spent or too many cases have failed. A run whose last
    /// case is settled is over anyway.
    pub(super) fn halt(&mut self, step: &mut Step) {
        self.enough(step);
        let complete = self.state.source_ended && self.state.open.is_empty();
        if complete || self.flow.stopping.is_some() || self.flow.finished {
            return;
        }
        let Some(halt) = &self.plan.halt else { return };
        let mut spent = spent(&self.plan, halt, &self.state, self.now);
        let kept_back = self.flow.lanes.iter().flat_map(|lane| &lane.suspects).flat_map(Suspect::usage);
        spent.tokens = kept_back.fold(spent.tokens, |sum, usage| sum.saturating_add(tokens_of(usage)));
        let Some(reached) = halt.reached(&spent) else { return };
        self.record(step, Event::StopReached(reached.clone()));
        self.stop(step, StopCause::Condition(reached));
    }

    /// Returns when the time of the budget is over, as far as it bounds the run.
    pub(super) fn time_is_up(&self) -> Option<Timestamp> {
        let halt = self.plan.halt.as_ref()?;
        let Millis(budget) = halt.budgets().time?;
        let spent = spent(&self.plan, halt, &self.state, self.now);
        if spent.active.0 >= budget {
            // It has been looked at and something else must hold too.
            return None;
        }
        Some(self.now.after(Millis(budget - spent.active.0)))
    }
}

fn tokens_of(usage: &Usage) -> u64 {
    let count = |tokens: Option<TokenCount>| tokens.map_or(0, |TokenCount(tokens)| tokens);
    count(usage.input).saturating_add(count(usage.output))
}

fn spent(plan: &Plan, halt: &Halt, state: &RunState, now: Timestamp) -> Spent {
    let tokens = tokens_of(&state.usage).saturating_add(tokens_of(&state.estimated));
    let now = state.clock.began.map_or(0, |began| now.micros_since(began));
    Spent {
        tokens,
        // Only who asks pays for the sum over cells and actors.
        cost: if halt.counts_cost() { state.spent.cost(plan) } else { MicroUsd(0) },
        active: Millis((state.clock.earlier_us + now) / 1_000),
        settled: state.cases.settled(),
        failed: state.cases.failed,
    }
}
