//! The run's stop: what ends it at once, and how many items it takes at most.

use std::num::NonZeroU32;

use super::Compiler;
use crate::diag::{Diagnostic, Span, code};
use crate::plan::{Halt, Plan};
use crate::spec::{self, RunStop};

/// Settled cases before a share of failures means anything: the first of a few may well fail by chance.
const AFTER: NonZeroU32 = NonZeroU32::new(20).expect("20 is not 0");

/// What became of a condition.
enum Read {
    /// It acts at once.
    Halt(Halt),
    /// It bounds the items.
    Items(u64),
}

impl Compiler<'_> {
    /// Returns what ends the run at once, and how many items it takes at most.
    pub(super) fn halt(&mut self) -> (Option<Halt>, Option<u64>) {
        let Some(stop) = &self.spec.stop else { return (None, None) };
        let branches: Vec<&RunStop> = stop.any.as_ref().map_or_else(|| vec![stop], |stops| stops.iter().collect());
        let mut halts = Vec::new();
        let mut items: Option<u64> = None;
        for branch in branches {
            match self.condition(branch) {
                Some(Read::Halt(halt)) => halts.push(halt),
                Some(Read::Items(n)) => items = Some(items.map_or(n, |least| least.min(n))),
                None => {}
            }
        }
        let halt = if halts.len() > 1 { Some(Halt::Any(halts)) } else { halts.pop() };
        if let Some(halt) = &halt {
            self.check_sense(halt, stop);
        }
        (halt, items)
    }

    /// Refuses what ends every run before its first call, or none ever.
    fn check_sense(&mut self, halt: &Halt, stop: &RunStop) {
        let what = if halt.holds_from_the_start() {
            "holds before the first call: nothing is spent and nothing has failed then"
        } else if halt.never_holds() {
            "can never hold: what is under `all` excludes each other"
        } else {
            return;
        };
        let at = first_not(stop).unwrap_or(stop);
        self.report.push(
            Diagnostic::error(code::SENSELESS_STOP, format!("the run's `stop` {what}"))
                .at(&at.span, "by this condition")
                .help("`not` makes sense under `all`, beside what must hold: { all: [{ budget: { tokens: 1M } }, { not: { errors: { count: 3 } } }] }"),
        );
    }

    /// Refuses a budget in money where something that is asked has no known price.
    pub(super) fn check_prices(&mut self, plan: &Plan) {
        let Some(at) = self.spec.stop.as_ref().and_then(cost_of) else { return };
        for actor in plan.actors.iter().filter(|actor| plan.price_of(actor).is_none()) {
            let entries = self.spec.actors.iter().flat_map(|table| &table.entries);
            let entry = entries.into_iter().find(|entry| entry.name.value == actor.name.as_str());
            let message = format!("`cost` of `budget` cannot be counted: nobody says what `{}` costs", actor.name);
            let mut found = Diagnostic::error(code::NO_PRICE, message).at(&at, "counts what every answer costs");
            if let Some(entry) = entry {
                found = found.at(&entry.name.span, "its model has no price");
            }
            self.report.push(found.help(
                "write price: { input: 0.15 USD/M, output: 0.60 USD/M } in an entry of `models`, and name that entry as the actor's `model`; what runs on your own machine may cost 0 USD/M",
            ));
        }
    }

    /// Returns the share of cases that may fail.
    pub(super) fn tolerated(&mut self) -> f64 {
        self.optional("`tolerate`", self.spec.tolerate.as_ref()).map_or(0.0, |share| share.0)
    }

    fn condition(&mut self, stop: &RunStop) -> Option<Read> {
        if let Some(budget) = &stop.budget {
            let tokens = self.optional("`tokens` of `budget`", budget.tokens.as_ref());
            let tokens = tokens.map(|tokens| Halt::Tokens(u64::from(tokens.0)));
            let cost = self.optional("`cost` of `budget`", budget.cost.as_ref()).map(|cost| Halt::Cost(cost.0));
            let time = self.optional("`time` of `budget`", budget.time.as_ref()).map(|time| Halt::Time(time.0));
            let mut bounds: Vec<Halt> = [tokens, cost, time].into_iter().flatten().collect();
            let halt = if bounds.len() > 1 { Some(Halt::Any(bounds)) } else { bounds.pop() };
            return halt.map(Read::Halt);
        }
        if let Some(errors) = &stop.errors {
            return self.errors(errors).map(Read::Halt);
        }
        if let Some(items) = &stop.items {
            let n = self.setting("`n` of `items`", items.n.as_ref()?)?;
            return Some(Read::Items(u64::from(n.value.0.get())));
        }
        if let Some(inner) = &stop.not {
            return match self.condition(inner)? {
                Read::Halt(halt) => Some(Read::Halt(Halt::Not(Box::new(halt)))),
                Read::Items(_) => {
                    self.report.push(
                        Diagnostic::error(code::MIXED_STOP, "`items` cannot stand under `not`")
                            .at(&inner.span, "it says how many items are run, and does not come to hold")
                            .help("remove it; more items are run without it"),
                    );
                    None
                }
            };
        }
        let list = stop.any.as_ref().or(stop.all.as_ref())?;
        let read: Vec<Option<Read>> = list.iter().map(|inner| self.condition(inner)).collect();
        let read: Vec<Read> = read.into_iter().collect::<Option<_>>()?;
        let counts: Vec<u64> =
            read.iter().filter_map(|read| if let Read::Items(n) = read { Some(*n) } else { None }).collect();
        let halts: Vec<Halt> =
            read.into_iter().filter_map(|read| if let Read::Halt(halt) = read { Some(halt) } else { None }).collect();
        let is_any = stop.any.is_some();
        match (halts.is_empty(), counts.is_empty()) {
            (true, _) => (if is_any { counts.into_iter().min() } else { counts.into_iter().max() }).map(Read::Items),
            (false, true) => Some(Read::Halt(if is_any { Halt::Any(halts) } else { Halt::All(halts) })),
            (false, false) => {
                self.report.push(
                    Diagnostic::error(code::MIXED_STOP, "`items` stands beside a condition of another nature")
                        .at(&stop.span, "`budget` and `errors` act at once, `items` along the order of the input")
                        .help("put them beside each other under one `any` at the top of `stop`"),
                );
                None
            }
        }
    }

    fn errors(&mut self, errors: &spec::Errors) -> Option<Halt> {
        if let Some(count) = &errors.count {
            return self.setting("`count` of `errors`", count).map(|count| Halt::Failed(count.value.0));
        }
        let after = match &errors.after {
            None => AFTER,
            Some(after) => self.setting("`after` of `errors`", after)?.value.0,
        };
        let fraction = self.setting("`fraction` of `errors`", errors.fraction.as_ref()?)?.value.0;
        Some(Halt::FailedShare { fraction, after })
    }
}

/// Returns where the first budget in money is written.
fn cost_of(stop: &RunStop) -> Option<Span> {
    let own = stop.budget.as_ref().and_then(|budget| budget.cost.as_ref()).map(|cost| cost.span().clone());
    let lists = stop.any.iter().chain(&stop.all).flatten();
    own.or_else(|| lists.chain(stop.not.as_deref()).find_map(cost_of))
}

/// Returns the first `not` of a condition.
fn first_not(stop: &RunStop) -> Option<&RunStop> {
    if stop.not.is_some() {
        return Some(stop);
    }
    stop.any.iter().chain(&stop.all).flatten().find_map(first_not)
}
