//! What a case contributes to the question whether a run has seen enough.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Event, StopReached};
use crate::base::{CaseNo, ItemId};

/// What a condition on evidence finds in one case. None is no observation: nothing was said that counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observation {
    /// Whether something holds.
    Truth(bool),
    /// A number.
    Number(f64),
    /// A name for anything else: a short text itself, else the start of a hash.
    Label(String),
    /// Nothing could be found out, and why: no observation either.
    Unclear(String),
}

/// How far a run has come in the order of admission, and what it has seen on the way: part of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SnapPrefix {
    /// How many cases have been looked at.
    pub judged: u64,
    /// What was found in cases that are over while one before them is not.
    pub waiting: Vec<(CaseNo, Vec<Option<Observation>>)>,
    /// How often each value was found, by what is looked at.
    pub counts: Vec<SnapCounts>,
    /// The condition that holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub met: Option<StopReached>,
    /// True when that has been recorded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub told: bool,
}

/// See [`super::Event::RepeatsReached`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepeatsReached {
    /// The last case that counts.
    pub case: CaseNo,
    /// Its repeat.
    pub repeat: u32,
    /// How many cases right after it do not count: repeats that had been admitted by then.
    pub beyond: u32,
    /// The condition's word.
    pub condition: String,
    /// What it was judged by, for people.
    pub evidence: String,
}

/// The items and cells that are being repeated: part of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SnapRepeats {
    /// Cases that were admitted or passed over.
    pub passed: u64,
    /// Where admission stands.
    pub latest: Option<SnapLatest>,
    /// Those that have an open case, and the latest.
    pub groups: Vec<SnapGroup>,
}

/// The latest item and cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapLatest {
    /// Its first case.
    pub first: CaseNo,
    /// The item.
    pub item: ItemId,
    /// The values of the cell.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub matrix: serde_json::Map<String, serde_json::Value>,
    /// The latest repeat.
    pub repeat: u32,
}

/// One item in one cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapGroup {
    /// Its first case.
    pub first: CaseNo,
    /// Repeats that were admitted.
    pub admitted: u32,
    /// Those of them that are open.
    pub open: u32,
    /// What was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<SnapPrefix>,
}

/// How often each value was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SnapCounts {
    /// By value.
    pub values: Vec<(String, u64)>,
    /// Values beyond those that are told apart.
    pub others: u64,
}

/// Which cases of a run count: those up to the one where it, or the item, has seen enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    last: Option<CaseNo>,
    /// The first case of each row of them that does not count, and how many those are.
    beyond: BTreeMap<CaseNo, u32>,
}

impl Counted {
    /// Takes notice of an event.
    pub fn add(&mut self, event: &Event) {
        match event {
            Event::StopReached(reached) => self.last = reached.case.or(self.last),
            Event::RepeatsReached(reached) if reached.beyond > 0 => {
                self.beyond.insert(CaseNo(reached.case.0 + 1), reached.beyond);
            }
            _ => {}
        }
    }

    /// Tells whether a case counts.
    #[must_use]
    pub fn counts(&self, case: CaseNo) -> bool {
        let row = self.beyond.range(..=case).next_back();
        let is_beyond = row.is_some_and(|(&CaseNo(first), &count)| case.0 < first + u64::from(count));
        !is_beyond && self.last.is_none_or(|last| case <= last)
    }
}
