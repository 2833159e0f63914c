//! What a case contributes to the question whether a run has seen enough.

use serde::{Deserialize, Serialize};

use super::StopReached;
use crate::base::CaseNo;

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

/// How often each value was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SnapCounts {
    /// By value.
    pub values: Vec<(String, u64)>,
    /// Values beyond those that are told apart.
    pub others: u64,
}
