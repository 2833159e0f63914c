//! What is done over all cases of a cell, when every case of the run is over.
//!
//! It goes by as one more case of each cell, on the plan of the cell's closing: so its calls are retried, recorded and
//! resumed as those of cases are. It is none of the cases that are counted.

use std::sync::Arc;

use super::call::Step;
use super::step::Engine;
use crate::base::CaseNo;
use crate::event::{CellClosing, Event};

impl Engine {
    /// Begins to close cells when every case is settled. A run that stops leaves that to the process that resumes it.
    pub(super) fn close(&mut self, step: &mut Step) {
        let is_over = self.state.source_ended && self.state.cases.settled() == self.state.cases.admitted;
        let all_begun = self.state.closings == self.plan.closings();
        if !is_over || all_begun || self.flow.stopping.is_some() || self.flow.finished {
            return;
        }
        let begun = usize::try_from(self.state.closings).unwrap_or(usize::MAX);
        let plan = Arc::clone(&self.plan);
        for (_, cell) in plan.all_cells().skip(begun) {
            let case = CaseNo(self.state.cases.admitted + self.state.closings);
            let steps =
                cell.closing.iter().flat_map(|closing| &closing.steps).map(|step| step.name.clone()).collect();
            self.record(step, Event::CellClosing(CellClosing { case, matrix: cell.matrix.clone(), steps }));
            self.advance(step, case);
        }
    }
}
