//! What enters a run's state: cases, and what closes cells after the last of them.

use std::collections::BTreeMap;

use super::chain::chained;
use super::state::{CaseState, RunState, TaskState};
use crate::base::{Digest, ItemId};
use crate::event::{ALL_CASES, CaseAdmitted, CellClosing};
use crate::plan::Plan;

impl RunState {
    /// Takes in a case.
    pub(super) fn admit(&mut self, plan: &Plan, event: &CaseAdmitted) -> Result<(), String> {
        if event.case.0 != self.cases.admitted {
            return Err(format!("case {} comes after {} cases", event.case, self.cases.admitted));
        }
        let cell = plan.find_cell(&event.matrix);
        let cell = cell.ok_or_else(|| format!("the plan has no cell for case {}", event.case))?;
        self.cases.admitted += 1;
        if let Some(skipped) = self.repeats.admit(plan, event, cell) {
            let matrix = &plan.cell(skipped.cell).matrix;
            for repeat in skipped.repeats {
                self.admitted_chain = chained(self.admitted_chain, &skipped.item, repeat, matrix);
            }
        }
        self.admitted_chain = chained(self.admitted_chain, &event.item, event.repeat, &event.matrix);
        let case = CaseState {
            item: event.item.clone(),
            repeat: event.repeat,
            cell,
            row: event.row,
            tasks: vec![TaskState::Open(BTreeMap::new()); plan.steps.len()],
            opened: BTreeMap::new(),
            asked: BTreeMap::new(),
        };
        self.open.insert(event.case, case);
        Ok(())
    }

    /// Takes in that what is done over all cases of a cell begins.
    pub(super) fn close(&mut self, plan: &Plan, event: &CellClosing) -> Result<(), String> {
        let next = self.cases.admitted + self.closings;
        if event.case.0 != next || !self.source_ended || self.closings >= plan.closings() {
            return Err(format!("a cell closes as case {} after {} cases", event.case, self.cases.admitted));
        }
        let cell = plan.find_cell(&event.matrix).map(|cell| plan.closing_of(cell));
        let cell = cell.ok_or_else(|| format!("the plan has no cell for case {}", event.case))?;
        self.closings += 1;
        let case = CaseState {
            item: ItemId::from(ALL_CASES),
            repeat: 1,
            cell,
            row: Digest::of(b"{}"),
            tasks: vec![TaskState::Open(BTreeMap::new()); plan.cell(cell).steps.len()],
            opened: BTreeMap::new(),
            asked: BTreeMap::new(),
        };
        self.open.insert(event.case, case);
        Ok(())
    }
}
