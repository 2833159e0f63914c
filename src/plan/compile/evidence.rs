//! Conditions of the run's stop that are tested case by case: what they look at, and whether they make sense.

use super::Compiler;
use crate::diag::{Diagnostic, Span, code};
use crate::plan::{Condition, Evidence, Observed, Step, StepIdx};
use crate::prompt::ExpressionId;
use crate::spec::{Decided, RepeatStop, RunStop, Text};

/// What conditions look at, before steps have their places.
#[derive(Default)]
pub(super) struct Sights {
    observed: Vec<Observed>,
    /// Their expressions as written.
    sources: Vec<String>,
    /// Steps that are read, by name.
    reads: Vec<String>,
}

impl Sights {
    /// Returns the position of something to look at; the same is looked at once.
    fn add(&mut self, source: &Text, expr: ExpressionId, is_claim: bool) -> usize {
        let source = source.value.trim();
        let known = self.sources.iter().zip(&self.observed);
        let mut known = known.map(|(known, observed)| known == source && observed.is_claim == is_claim);
        known.position(|same| same).unwrap_or_else(|| {
            self.observed.push(Observed { expr, is_claim });
            self.sources.push(source.to_owned());
            self.observed.len() - 1
        })
    }

    /// Gives steps their places.
    pub(super) fn evidence(self, condition: Condition, steps: &[Step]) -> Evidence {
        let place = |name: &String| steps.iter().position(|step| step.name.as_str() == *name);
        let mut reads: Vec<StepIdx> = self.reads.iter().filter_map(place).map(StepIdx).collect();
        reads.sort_unstable();
        reads.dedup();
        Evidence { condition, observed: self.observed, reads }
    }
}

impl Compiler<'_> {
    /// Returns when an item has been repeated enough, and what is looked at for that.
    pub(super) fn enough_repeats(&mut self) -> Option<(Condition, Sights)> {
        let stop = self.spec.repeat.as_ref()?.stop()?;
        let mut sights = Sights::default();
        let condition = self.of_repeat(stop, &mut sights)?;
        self.check_evidence(&condition, &stop.span);
        if let Some(run) = self.spec.stop.as_ref().and_then(first_evidence) {
            self.report.push(
                Diagnostic::error(code::MIXED_STOP, "the run and its repeats cannot both end by what is seen")
                    .at(&run.span, "for this every item is run once before any is repeated")
                    .at(&stop.span, "for this each item is repeated before the next one is run")
                    .help("keep one of them; `budget`, `errors` and `items` may stand beside either"),
            );
        }
        Some((condition, sights))
    }

    fn of_repeat(&mut self, stop: &RepeatStop, sights: &mut Sights) -> Option<Condition> {
        if let Some(expr) = &stop.expr {
            let id = self.sight("`expr` of `stop` of `repeat`", expr, sights)?;
            return Some(Condition::Holds(sights.add(expr, id, true)));
        }
        if let Some(decided) = &stop.decided {
            let of = decided.of.as_ref()?;
            let id = self.sight("`of` of `decided`", of, sights)?;
            return Some(Condition::Decided(sights.add(of, id, false)));
        }
        if let Some(inner) = &stop.not {
            return self.of_repeat(inner, sights).map(|inner| Condition::Not(Box::new(inner)));
        }
        let list = stop.any.as_ref().or(stop.all.as_ref())?;
        // All of them, before the first that is missing ends it: every mistake is to be told.
        let read: Vec<Option<Condition>> = list.iter().map(|inner| self.of_repeat(inner, sights)).collect();
        let list = read.into_iter().collect::<Option<Vec<_>>>()?;
        Some(if stop.any.is_some() { Condition::Any(list) } else { Condition::All(list) })
    }

    pub(super) fn holds(&mut self, expr: &Text, sights: &mut Sights) -> Option<Condition> {
        let id = self.sight("`expr` of the run's `stop`", expr, sights)?;
        Some(Condition::Holds(sights.add(expr, id, true)))
    }

    pub(super) fn decided(&mut self, decided: &Decided, sights: &mut Sights) -> Option<Condition> {
        let of = decided.of.as_ref()?;
        let id = self.sight("`of` of `decided`", of, sights)?;
        let references = self.templates.expression_references(id);
        let tells_cells = references.iter().any(|read| read.0.first().is_some_and(|root| root == "matrix"));
        if self.cell.is_some() && !tells_cells {
            let name = self.names.first().copied().unwrap_or("NAME");
            self.report.push(
                Diagnostic::error(code::MIXED_CELLS, "`decided` would count all cells of the matrix together")
                    .at(&of.span, "the same in every cell")
                    .help(format!("name the cell that counts: {} if matrix.{name} == \"…\"", of.value.trim())),
            );
            return None;
        }
        Some(Condition::Decided(sights.add(of, id, false)))
    }

    fn sight(&mut self, what: &str, text: &Text, sights: &mut Sights) -> Option<ExpressionId> {
        let checked = self.expression(what, text)?;
        sights.reads.extend(checked.steps.into_iter().map(|(step, _)| step));
        Some(checked.id)
    }

    /// Refuses what holds at the first case whatever it is, and what never does.
    pub(super) fn check_evidence(&mut self, condition: &Condition, at: &Span) {
        let what = if condition.never_holds() {
            "can never hold: its parts exclude each other"
        } else if condition.holds_from_the_start() {
            "holds at the first case, whatever that is"
        } else {
            return;
        };
        self.report.push(
            Diagnostic::error(code::SENSELESS_STOP, format!("this `stop` {what}"))
                .at(at, "by this condition")
                .help("after one case of many nothing is decided: `not` of `decided` makes sense under `all`, beside `expr`"),
        );
    }
}

/// Returns the first condition of a run's stop that is tested case by case.
fn first_evidence(stop: &RunStop) -> Option<&RunStop> {
    if stop.expr.is_some() || stop.decided.is_some() {
        return Some(stop);
    }
    stop.any.iter().chain(&stop.all).flatten().chain(stop.not.as_deref()).find_map(first_evidence)
}
