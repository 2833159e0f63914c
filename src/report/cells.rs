//! What a run comes to in each cell of its matrix.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::{Map, Value};

use super::number::percent;
use super::wrap::{columns, cut};
use super::{StepSummary, StepTally, grouped};
use crate::base::{CaseNo, StepName, TokenCount};
use crate::event::{
    Because, CaseAdmitted, CaseCounts, CaseReopened, CaseSettled, CellClosing, TaskOutput, TaskSettled, TaskStatus,
};

/// Most cells that are written for people.
const MOST_SHOWN: usize = 30;

/// What is settled of each cell, and which cases are open.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cells {
    /// By the name of their values, in the order of admission.
    cells: IndexMap<String, CellTally>,
    /// Where open cases belong.
    open: BTreeMap<CaseNo, usize>,
}

/// What is settled of one cell.
#[derive(Clone, Debug, Default, PartialEq)]
struct CellTally {
    matrix: Map<String, Value>,
    cases: CaseCounts,
    output: Option<u64>,
    steps: IndexMap<StepName, StepTally>,
}

/// What a run came to in one cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CellSummary {
    /// Its values.
    pub matrix: Map<String, Value>,
    /// Its cases by how they ended.
    pub cases: CaseCounts,
    /// Tokens of its answers, as far as servers told them; those that were reused not counted.
    pub output_tokens: Option<u64>,
    /// What was settled of each step.
    pub steps: Vec<StepSummary>,
}

/// Names a combination of values for people: `model=small lang=de`.
#[must_use]
pub fn cell_name(matrix: &Map<String, Value>) -> String {
    let value = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    matrix.iter().map(|(name, found)| format!("{name}={}", value(found))).collect::<Vec<_>>().join(" ")
}

impl Cells {
    /// Takes a case in; what does not count belongs to its cell all the same.
    pub(super) fn admit(&mut self, admitted: &CaseAdmitted, counts: bool) {
        if admitted.matrix.is_empty() {
            return;
        }
        let entry = self.cells.entry(Value::Object(admitted.matrix.clone()).to_string());
        let place = entry.index();
        let cell = entry.or_insert_with(|| CellTally { matrix: admitted.matrix.clone(), ..CellTally::default() });
        cell.cases.admitted += u64::from(counts);
        self.open.insert(admitted.case, place);
    }

    /// Takes what closes a cell for one of its cases as far as tasks and their cost go; it is not counted among them.
    pub(super) fn close(&mut self, closing: &CellClosing) {
        let name = Value::Object(closing.matrix.clone()).to_string();
        if let Some(place) = self.cells.get_index_of(&name) {
            self.open.insert(closing.case, place);
        }
    }

    /// Forgets what closed a cell, when it is over.
    pub(super) fn forget(&mut self, case: CaseNo) {
        self.open.remove(&case);
    }

    /// Returns where an open case belongs; none without a matrix.
    pub(super) fn place(&self, case: CaseNo) -> Option<usize> {
        self.open.get(&case).copied()
    }

    /// Returns the values of a cell.
    pub(super) fn matrix(&self, place: usize) -> Option<&Map<String, Value>> {
        self.cells.get_index(place).map(|(_, cell)| &cell.matrix)
    }

    pub(super) fn settle_task(&mut self, settled: &TaskSettled) {
        let Some((_, cell)) = self.open.get(&settled.case).and_then(|&place| self.cells.get_index_mut(place)) else {
            return;
        };
        if let Some(TokenCount(count)) = settled.usage.output {
            cell.output = Some(cell.output.unwrap_or(0) + count);
        }
        cell.steps.entry(settled.step.clone()).or_default().settle(settled);
    }

    pub(super) fn settle_case(&mut self, settled: &CaseSettled, counts: bool) {
        let Some(place) = self.open.remove(&settled.case).filter(|_| counts) else { return };
        if let Some((_, cell)) = self.cells.get_index_mut(place) {
            cell.cases.settle(settled.status);
        }
    }

    /// Takes in that a case of a cell goes on that was over.
    pub(super) fn reopen(&mut self, reopened: &CaseReopened) {
        let Some((place, _, cell)) = self.cells.get_full_mut(&Value::Object(reopened.now.matrix.clone()).to_string())
        else {
            return;
        };
        self.open.insert(reopened.now.case, place);
        cell.cases.reopen(reopened.was);
        for task in &reopened.former {
            if let Some((count, TokenCount(less))) = cell.output.as_mut().zip(task.usage.output) {
                *count = count.saturating_sub(less);
            }
            cell.steps.entry(task.step.clone()).or_default().take_back(task);
        }
    }

    pub(super) fn summaries(&self) -> Vec<CellSummary> {
        let summary = |cell: &CellTally| CellSummary {
            matrix: cell.matrix.clone(),
            cases: cell.cases,
            output_tokens: cell.output,
            steps: cell.steps.iter().map(|(name, step)| StepSummary::of(name, step)).collect(),
        };
        self.cells.values().map(summary).collect()
    }
}

/// Writes a table of cells: cases, tokens out for a case, and what judges said most often.
pub(super) fn table(cells: &[CellSummary], width: usize) -> Vec<String> {
    let names: Vec<String> = cells.iter().take(MOST_SHOWN).map(|cell| cell_name(&cell.matrix)).collect();
    let longest = names.iter().map(|name| columns(name)).max().unwrap_or(0).min(width * 2 / 5);
    let mut lines = vec!["  cells".to_owned()];
    for (cell, name) in cells.iter().zip(&names) {
        let name = cut(name, longest);
        let gap = " ".repeat(longest - columns(&name));
        lines.push(cut(&format!("    {name}{gap}  {}", outline(cell)), width));
    }
    if cells.len() > MOST_SHOWN {
        lines.push(format!("    … and {} more: `pipe show RUN --json`", grouped((cells.len() - MOST_SHOWN) as u64)));
    }
    lines.push(String::new());
    lines
}

fn outline(cell: &CellSummary) -> String {
    let CaseCounts { admitted, ok, unscored, failed } = cell.cases;
    let mut parts = vec![format!("{} of {} ok", grouped(ok), grouped(admitted))];
    for (count, word) in [(unscored, "unscored"), (failed, "failed")] {
        if count > 0 {
            parts.push(format!("{} {word}", grouped(count)));
        }
    }
    for (name, judge) in cell.steps.iter().filter_map(|step| Some((&step.step, step.judge.as_ref()?))) {
        let Some(first) = judge.choices.first() else { continue };
        let interval = format!("[{:.1}, {:.1}]", first.low * 100.0, first.high * 100.0);
        parts.push(format!("{name}: {} {} {interval}", first.option, percent(first.share)));
    }
    if let Some(mean) = cell.output_tokens.and_then(|tokens| tokens.checked_div(cell.cases.settled())) {
        parts.push(format!("{} tokens out a case", grouped(mean)));
    }
    parts.join(" · ")
}

impl StepTally {
    /// Counts one more task; what it cost is counted elsewhere.
    pub(super) fn settle(&mut self, settled: &TaskSettled) {
        match settled.status {
            TaskStatus::Ok => self.ok += 1,
            TaskStatus::Unscored => self.unscored += 1,
            TaskStatus::Failed => self.failed += 1,
            TaskStatus::Skipped => self.skipped += 1,
        }
        self.unmet += u64::from(settled.because == Some(Because::When));
        self.eased += u64::from(settled.because == Some(Because::OnError));
        // A default is no verdict and no claim.
        if let Some(output) = settled.output.as_ref().filter(|_| settled.because.is_none()) {
            self.add(output);
        }
        if let Some(TaskOutput::Dialogue { stopped_by, .. }) = &settled.output {
            self.endings.add(stopped_by.clone());
        }
    }
}
