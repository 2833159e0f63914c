//! The run's stop: what ends it at once, how many items it takes at most, and when it has seen enough.

use std::num::NonZeroU32;

use super::Compiler;
use super::evidence::Sights;
use crate::diag::{Diagnostic, Span, code};
use crate::plan::{Condition, Halt, Plan};
use crate::spec::{self, RunStop};

/// Settled cases before a share of failures means anything: the first of a few may well fail by chance.
const AFTER: NonZeroU32 = NonZeroU32::new(20).expect("20 is not 0");

/// What became of a condition.
enum Read {
    /// It acts at once.
    Halt(Halt),
    /// It bounds the items.
    Items(u64),
    /// It is tested case by case.
    Evidence(Condition),
}

/// What the run's stop comes to.
#[derive(Default)]
pub(super) struct Stops {
    /// What ends the run at once.
    pub(super) halt: Option<Halt>,
    /// How many items it takes at most.
    pub(super) items: Option<u64>,
    /// When it has seen enough, and what it looks at.
    pub(super) evidence: Option<(Condition, Sights)>,
}

impl Compiler<'_> {
    /// Returns what ends the run before its last case.
    pub(super) fn stops(&mut self) -> Stops {
        let Some(stop) = &self.spec.stop else { return Stops::default() };
        let branches: Vec<&RunStop> = stop.any.as_ref().map_or_else(|| vec![stop], |stops| stops.iter().collect());
        let mut sights = Sights::default();
        let (mut halts, mut conditions) = (Vec::new(), Vec::new());
        let mut items: Option<u64> = None;
        for branch in branches {
            match self.condition(branch, &mut sights) {
                Some(Read::Halt(halt)) => halts.push(halt),
                Some(Read::Items(n)) => items = Some(items.map_or(n, |least| least.min(n))),
                Some(Read::Evidence(condition)) => conditions.push(condition),
                None => {}
            }
        }
        let halt = if halts.len() > 1 { Some(Halt::Any(halts)) } else { halts.pop() };
        if let Some(halt) = &halt {
            self.check_sense(halt, stop);
        }
        let condition = if conditions.len() > 1 { Some(Condition::Any(conditions)) } else { conditions.pop() };
        if let Some(condition) = &condition {
            self.check_evidence(condition, &first_not(stop).unwrap_or(stop).span);
        }
        Stops { halt, items, evidence: condition.map(|condition| (condition, sights)) }
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

    fn condition(&mut self, stop: &RunStop, sights: &mut Sights) -> Option<Read> {
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
        if let Some(expr) = &stop.expr {
            return self.holds(expr, sights).map(Read::Evidence);
        }
        if let Some(decided) = &stop.decided {
            return self.decided(decided, sights).map(Read::Evidence);
        }
        if let Some(inner) = &stop.not {
            return match self.condition(inner, sights)? {
                Read::Evidence(condition) => Some(Read::Evidence(Condition::Not(Box::new(condition)))),
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
        let read: Vec<Option<Read>> = list.iter().map(|inner| self.condition(inner, sights)).collect();
        let read: Vec<Read> = read.into_iter().collect::<Option<_>>()?;
        let (mut counts, mut halts, mut conditions) = (Vec::new(), Vec::new(), Vec::new());
        for read in read {
            match read {
                Read::Items(n) => counts.push(n),
                Read::Halt(halt) => halts.push(halt),
                Read::Evidence(condition) => conditions.push(condition),
            }
        }
        let is_any = stop.any.is_some();
        match (counts.is_empty(), halts.is_empty(), conditions.is_empty()) {
            (_, true, true) => {
                (if is_any { counts.into_iter().min() } else { counts.into_iter().max() }).map(Read::Items)
            }
            (true, false, true) => Some(Read::Halt(if is_any { Halt::Any(halts) } else { Halt::All(halts) })),
            (true, true, false) => {
                Some(Read::Evidence(if is_any { Condition::Any(conditions) } else { Condition::All(conditions) }))
            }
            (no_items, no_halts, _) => {
                let one = match (no_items, no_halts) {
                    (false, _) => "`items` stands",
                    (true, _) => "`expr` or `decided` stands",
                };
                let natures = match (no_halts, conditions.is_empty()) {
                    (false, true) => "`budget` and `errors` act at once, `items` along the order of the input",
                    (true, _) => "`items` bounds the input, `expr` and `decided` are tested case by case",
                    (false, false) => {
                        "`budget` and `errors` act at once, `expr` and `decided` are tested case by case"
                    }
                };
                self.report.push(
                    Diagnostic::error(code::MIXED_STOP, format!("{one} beside a condition of another nature"))
                        .at(&stop.span, natures)
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
