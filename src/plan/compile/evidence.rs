//! Conditions of the run's stop that are tested case by case: what they look at, and whether they make sense.

use super::Compiler;
use crate::diag::{Diagnostic, Span, code};
use crate::plan::{Condition, Evidence, Observed, Step, StepIdx};
use crate::prompt::ExpressionId;
use crate::spec::{Decided, Text};

/// What conditions look at, before steps have their places.
#[derive(Default)]
pub(super) struct Sights {
    observed: Vec<Observed>,
    /// Steps that are read, by name.
    reads: Vec<String>,
}

impl Sights {
    /// Returns the position of something to look at; the same is looked at once.
    fn add(&mut self, expr: ExpressionId, is_claim: bool) -> usize {
        let observed = Observed { expr, is_claim };
        self.observed.iter().position(|known| *known == observed).unwrap_or_else(|| {
            self.observed.push(observed);
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
    pub(super) fn holds(&mut self, expr: &Text, sights: &mut Sights) -> Option<Condition> {
        let id = self.sight("`expr` of the run's `stop`", expr, sights)?;
        Some(Condition::Holds(sights.add(id, true)))
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
        Some(Condition::Decided(sights.add(id, false)))
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
            Diagnostic::error(code::SENSELESS_STOP, format!("the run's `stop` {what}"))
                .at(at, "by this condition")
                .help("after one case of many nothing is decided: `not` of `decided` makes sense under `all`, beside `expr`"),
        );
    }
}
