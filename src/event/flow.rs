//! The words for what decides whether and how often a step works: conditions, elements, softened failures.

use serde::{Deserialize, Serialize};

use super::{Failure, TaskOutput, TaskSettled, TaskStatus};
use crate::base::{CaseNo, Digest, EachKey, StepName};

/// See [`super::Event::Evaluated`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// The case.
    pub case: CaseNo,
    /// The step.
    pub step: StepName,
    /// Its elements, in a `for_each` step, in order; keys are distinct.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<Vec<Element>>,
}

/// One element of a `for_each` step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Element {
    /// What it is known by.
    pub key: EachKey,
    /// It, as JSON, in the journal's texts.
    pub value: Digest,
}

/// See [`super::Event::ElementSettled`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ElementSettled {
    /// Which element.
    pub each: EachKey,
    /// What it came to.
    #[serde(flatten)]
    pub task: TaskSettled,
}

/// Why a task ended as it did, when it is not for its own work or for what it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// Its `when` does not hold.
    When,
    /// It failed, and `on_error` takes that: skipped, or ok with the default as its output.
    OnError,
}

/// What one element of a `for_each` step came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ElementOutput {
    /// Its key.
    pub key: EachKey,
    /// How it ended.
    pub status: TaskStatus,
    /// What later steps read of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<TaskOutput>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// What a worker found out without a model; the engine makes an event of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Evaluation {
    /// Whether the step is to be done in this case, and for which elements.
    Opened {
        /// What `when` says; true without one.
        holds: bool,
        /// The list of `for_each`.
        each: Option<Vec<Element>>,
    },
    /// The output of a step that needs no model.
    Done(TaskOutput),
    /// It cannot be evaluated, or a claim does not hold.
    Failed(Failure),
}

impl TaskSettled {
    /// Returns true when tasks that read it cannot be done.
    #[must_use]
    pub const fn blocks(&self) -> bool {
        match self.status {
            TaskStatus::Failed => true,
            TaskStatus::Skipped => self.because.is_none(),
            TaskStatus::Ok | TaskStatus::Unscored => false,
        }
    }
}
