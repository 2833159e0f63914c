//! What became of each step between two plans: the same, new, edited, or below an edit.

use std::collections::BTreeSet;

use super::{Fingerprints, Plan, StepIdx};
use crate::base::StepName;

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepChange {
    /// It asks what it asked before.
    Same,
    /// The earlier plan had none of that name.
    New,
    /// These fields of it differ.
    Changed(Vec<String>),
    /// It is the same itself, and reads steps that are not.
    Depends(Vec<StepName>),
}

/// Compares the steps of a plan with those of an earlier one; by the plan's order of steps.
#[must_use]
pub fn compare(now: (&Plan, &Fingerprints), before: (&Plan, &Fingerprints)) -> Vec<StepChange> {
    let ((plan, prints), (old, old_prints)) = (now, before);
    let mut touched: BTreeSet<StepIdx> = BTreeSet::new();
    let mut changes = Vec::with_capacity(plan.steps.len());
    for (place, step) in plan.steps.iter().enumerate() {
        let index = StepIdx(place);
        let change = match old.find_step(&step.name) {
            None => StepChange::New,
            Some(found) => {
                let fields = prints.step(index).differences(old_prints.step(found));
                let reads: Vec<StepName> = step
                    .reads
                    .iter()
                    .filter(|read| touched.contains(read))
                    .map(|&read| plan.step(read).name.clone())
                    .collect();
                match (fields.is_empty(), reads.is_empty()) {
                    (false, _) => StepChange::Changed(fields),
                    (true, false) => StepChange::Depends(reads),
                    (true, true) => StepChange::Same,
                }
            }
        };
        if change != StepChange::Same {
            touched.insert(index);
        }
        changes.push(change);
    }
    changes
}
