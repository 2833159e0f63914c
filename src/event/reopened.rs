//! The words for a case that is over and goes on: what of it holds, and what is asked again.

use serde::{Deserialize, Serialize};

use super::{CaseAdmitted, CaseStatus, SnapCase, TaskSettled};
use crate::base::{CallPath, EachKey, StepName};

/// See [`super::Event::CaseReopened`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseReopened {
    /// How it had ended.
    pub was: CaseStatus,
    /// The records that hold no longer, in the order of the plan: whoever counted them counts them no more.
    pub former: Vec<TaskSettled>,
    /// Where it stands from here on: everything that needs not be asked again is kept.
    pub now: SnapCase,
}

impl CaseReopened {
    /// Returns what was admitted.
    #[must_use]
    pub fn admitted(&self) -> CaseAdmitted {
        let SnapCase { case, item, repeat, matrix, row, .. } = &self.now;
        CaseAdmitted { case: *case, item: item.clone(), repeat: *repeat, matrix: matrix.clone(), row: *row }
    }
}

/// How often a call had been asked before its case was reopened, so that no two requests bear one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapAsked {
    /// The step.
    pub step: StepName,
    /// The element, in a `for_each` step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<EachKey>,
    /// Which question.
    pub call: CallPath,
    /// The number of its latest request.
    pub attempts: u32,
}
