//! What aggregates came to: tables and orders over all cases of a cell.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use super::number::percent;
use super::{Choice, Summary, grouped};
use crate::base::{CaseNo, Digest, StepName};
use crate::event::{
    CaseStatus, CellClosing, CountTable, MeanOf, Method, Ranked, Standing, TaskOutput, TaskSettled, TaskStatus,
    Without,
};

/// Values of a table that are told in one line.
const MOST_IN_LINE: usize = 8;

/// Aggregates that are over, and where those belong that are not. Memory: cells × aggregates.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OverAll {
    /// By closing and the place among its steps.
    settled: BTreeMap<(CaseNo, usize), AggregateSummary>,
    closings: BTreeMap<CaseNo, CellClosing>,
    failed: u64,
}

/// What one aggregate came to in one cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AggregateSummary {
    /// The step.
    pub step: StepName,
    /// The values of the cell.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub matrix: Map<String, Value>,
    /// How it ended.
    pub status: TaskStatus,
    /// Counts, or a mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<CountTable>,
    /// An order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranking: Option<Ranked>,
    /// An answer, when whoever has the journal's texts has put it there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The digest of the answer.
    #[serde(skip)]
    pub answer: Option<Digest>,
    /// The number of its closing, which stands among those of cases.
    #[serde(skip)]
    pub closing: CaseNo,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl OverAll {
    pub(super) fn begin(&mut self, closing: &CellClosing) {
        self.closings.insert(closing.case, closing.clone());
    }

    /// Returns true for what is no case but stands for all of a cell.
    pub(super) fn has(&self, case: CaseNo) -> bool {
        self.closings.contains_key(&case)
    }

    pub(super) fn settle(&mut self, task: &TaskSettled) {
        let Some(CellClosing { matrix, steps, .. }) = self.closings.get(&task.case) else { return };
        let place = steps.iter().position(|step| *step == task.step).unwrap_or(steps.len());
        let (table, ranking) = match &task.output {
            Some(TaskOutput::Table(counted)) => (Some((**counted).clone()), None),
            Some(TaskOutput::Ranking(ranked)) => (None, Some((**ranked).clone())),
            _ => (None, None),
        };
        let answer = match &task.output {
            Some(TaskOutput::Chat { text }) => Some(*text),
            _ => None,
        };
        let summary = AggregateSummary {
            step: task.step.clone(),
            matrix: matrix.clone(),
            status: task.status,
            table,
            ranking,
            text: None,
            answer,
            closing: task.case,
            failure: task.failure.as_ref().map(|failure| failure.detail.clone()),
        };
        self.settled.insert((task.case, place), summary);
    }

    pub(super) fn end(&mut self, status: CaseStatus) {
        self.failed += u64::from(status == CaseStatus::Failed);
    }

    pub(super) fn summaries(&self) -> Vec<AggregateSummary> {
        self.settled.values().cloned().collect()
    }

    /// Returns what closes cells, in their order, as far as it has begun.
    pub fn closings(&self) -> impl Iterator<Item = &CellClosing> {
        self.closings.values()
    }

    /// Returns in how many cells something failed.
    #[must_use]
    pub const fn failed(&self) -> u64 {
        self.failed
    }
}

impl Summary {
    /// Puts in the answers to questions about all cases, which events name by their digests.
    pub fn tell_answers(&mut self, texts: &dyn Fn(CaseNo, &Digest) -> Option<Arc<str>>) {
        for one in &mut self.aggregates {
            let text = one.answer.and_then(|digest| texts(one.closing, &digest));
            one.text = text.map(|text| text.to_string());
        }
    }
}

/// Says in one line what an aggregate counted.
#[must_use]
pub fn table_line(step: &StepName, counted: &CountTable) -> String {
    let mut parts: Vec<String> = counted.rows.iter().take(MOST_IN_LINE).map(row_words).collect();
    if counted.rows.len() > MOST_IN_LINE {
        parts.push(format!("{} more values", grouped((counted.rows.len() - MOST_IN_LINE) as u64)));
    }
    if let Some(mean) = &counted.mean {
        parts.push(format!("mean {} of {}", mean_words(mean), grouped(counted.n)));
    }
    if counted.n == 0 {
        parts.push("nothing to count".to_owned());
    }
    parts.extend(without_words(counted.without));
    format!("{step}: {}", parts.join(", "))
}

/// Says in one line in which order an aggregate puts what was compared.
#[must_use]
pub fn ranking_line(step: &StepName, ranked: &Ranked) -> String {
    let all = ranked.rows.iter().map(|row| format!("{}. {} ({})", row.place, row.name, standing_words(row, ranked)));
    let parts: Vec<String> = all.chain(without_words(ranked.without)).collect();
    format!("{step}: {}", parts.join(", "))
}

fn row_words(row: &crate::event::CountedRow) -> String {
    let interval = format!("[{:.1}, {:.1}]", row.low * 100.0, row.high * 100.0);
    format!("{} {} {interval} ({})", row.value, percent(row.share), grouped(row.count))
}

/// Says where one of those compared stands, beside its name.
pub(super) fn standing_words(row: &Standing, ranked: &Ranked) -> String {
    let points = if row.points.fract() == 0.0 { format!("{:.0}", row.points) } else { format!("{:.1}", row.points) };
    let unit = if points == "1" { "point" } else { "points" };
    let mut parts = vec![format!("{points} {unit}")];
    if let Some(mean) = &row.mean {
        let of = match ranked.method {
            Method::Borda => "mean rank",
            Method::Wins => "share of wins",
        };
        parts.push(format!("{of} {}", mean_words(mean)));
    }
    parts.push(format!("first in {} of {}", grouped(row.first), grouped(ranked.n)));
    parts.join(", ")
}

pub(super) fn mean_words(mean: &MeanOf) -> String {
    match (mean.low, mean.high) {
        (Some(low), Some(high)) => format!("{:.2} [{low:.2}, {high:.2}]", mean.mean),
        _ => format!("{:.2}", mean.mean),
    }
}

/// Says what gave nothing to count; none when everything did.
pub(super) fn without_words(without: Without) -> Option<String> {
    let Without { unscored, failed, skipped } = without;
    let parts = [(unscored, "unscored"), (failed, "failed"), (skipped, "skipped")];
    let parts: Vec<_> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{} {word}", grouped(*count)))
        .collect();
    (!parts.is_empty()).then(|| format!("not counted: {}", parts.join(" and ")))
}

impl Choice {
    pub(super) fn of_row(row: &crate::event::CountedRow) -> Self {
        Self { option: row.value.clone(), count: row.count, share: row.share, low: row.low, high: row.high }
    }
}
