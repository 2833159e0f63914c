//! The words for what is done once over all cases of a cell: its closing, tables, rankings.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::CaseAdmitted;
use crate::base::{CaseNo, Digest, ItemId, StepName};

/// See [`super::Event::CellClosing`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellClosing {
    /// The number that its aggregates go by, as if they were the steps of one more case: after those of all cases.
    pub case: CaseNo,
    /// The values of the cell.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub matrix: Map<String, Value>,
    /// Its aggregates, in the plan's order: they settle in any.
    pub steps: Vec<StepName>,
}

/// What stands for the item where something is done over all cases: part of the seeds of its calls.
pub const ALL_CASES: &str = "all cases";

impl CellClosing {
    /// Returns it as if it were a case that has been admitted, for who shows it beside cases.
    #[must_use]
    pub fn as_case(&self) -> CaseAdmitted {
        CaseAdmitted {
            case: self.case,
            item: ItemId::from(ALL_CASES),
            repeat: 1,
            matrix: self.matrix.clone(),
            row: Digest::of(b"{}"),
        }
    }
}

/// What one step came to over all cases of a cell: how often each value came, or the mean of numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CountTable {
    /// Values that were counted.
    pub n: u64,
    /// Most frequent first; empty for numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<CountedRow>,
    /// Of numbers; none for anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<MeanOf>,
    /// What is not among them.
    #[serde(flatten)]
    pub without: Without,
}

/// How often one value came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CountedRow {
    /// The value; a claim's is `true` or `false`.
    pub value: String,
    /// How often.
    pub count: u64,
    /// Of all, 0 to 1.
    pub share: f64,
    /// Lower end of its 95 % Wilson interval.
    pub low: f64,
    /// Upper end of it.
    pub high: f64,
}

/// A mean with its 95 % Student interval, which a single number does not have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeanOf {
    /// The mean.
    pub mean: f64,
    /// Lower end of the interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// Upper end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// Standard deviation of the numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deviation: Option<f64>,
}

/// Tasks that gave nothing to count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Without {
    /// Judgements that cannot be counted, and values that are null.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unscored: u64,
    /// Tasks that failed, those with a default included.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed: u64,
    /// Tasks that were not asked.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skipped: u64,
}

/// One order of what a judge compares, over all cases of a cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ranked {
    /// How points are given.
    pub method: Method,
    /// Rankings, or comparisons of two, that were counted.
    pub n: u64,
    /// The best first; equal points share a place.
    pub rows: Vec<Standing>,
    /// What is not among them.
    #[serde(flatten)]
    pub without: Without,
}

/// How those compared get points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Borda's count: in each ranking one for everyone placed below.
    #[default]
    Borda,
    /// 1 for each comparison won, ½ for a tie.
    Wins,
}

/// Where one of those compared stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// From 1; those with equal points share one.
    pub place: u32,
    /// Who.
    pub name: String,
    /// As the method gives them.
    pub points: f64,
    /// How often it stood first.
    pub first: u64,
    /// The mean of its ranks, 1 being the best; of a comparison of two its share of wins, a tie being half of one.
    /// None when nothing was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<MeanOf>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}
