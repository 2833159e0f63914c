//! What stands around a step's work: whether it is done, for what, and what a failure does. And work without a model.

use std::sync::Arc;

use regex::Regex;
use serde_json::Value;

use crate::event::TaskOutput;
use crate::judge::AnswerSchema;
use crate::prompt::{ExpressionId, TemplateId};

/// Whether a step is done in a case, for what, and what a failure does.
#[derive(Clone, Debug, Default)]
pub struct Course {
    /// It is done only where this holds.
    pub when: Option<ExpressionId>,
    /// It is done once for each of these.
    pub for_each: Option<ForEach>,
    /// What a failure does.
    pub on_error: OnError,
}

/// Where the elements of a `for_each` step come from.
#[derive(Clone, Debug)]
pub enum ForEach {
    /// Written out.
    Given(Vec<Value>),
    /// An expression gives them.
    Found(ExpressionId),
}

/// What a failure of a task does.
#[derive(Clone, Debug, Default)]
pub enum OnError {
    /// The case fails.
    #[default]
    Fail,
    /// The task counts as skipped: its fields are none, and the case goes on.
    Skip,
    /// The task counts as done, with this.
    Default {
        /// As written.
        value: Value,
        /// What later steps read.
        output: TaskOutput,
        /// Every text that the output names: the driver brings them into the journal when the run begins.
        texts: Vec<Arc<str>>,
    },
}

/// See [`super::StepKind::Transform`].
#[derive(Clone, Debug)]
pub struct Transform {
    /// Gives the value.
    pub expr: ExpressionId,
}

/// See [`super::StepKind::Assert`].
#[derive(Clone, Debug)]
pub struct Assert {
    /// What is looked at.
    pub value: Operand,
    /// What must hold of it.
    pub check: Check,
}

/// A value that is known when the task is done.
#[derive(Clone, Debug)]
pub enum Operand {
    /// As written.
    Literal(Value),
    /// A text with `{{ … }}` in it.
    Text(TemplateId),
    /// One whole `{{ … }}`: whatever type it gives.
    Expression(ExpressionId),
}

/// What must hold of a value.
#[derive(Clone, Debug)]
pub enum Check {
    /// It is this. Blanks around texts do not count; a text that is written like a number is that number.
    Equals(Operand),
    /// It has this in it: a text a piece, a list an element, a map a key.
    Contains(Operand),
    /// Its text matches.
    Matches(Regex),
    /// It is a number at most so far from another.
    Within {
        /// The other.
        of: Operand,
        /// How far.
        by: Operand,
    },
    /// It matches a JSON Schema.
    Schema(AnswerSchema),
    /// The expression, which sees it as `value`, holds.
    Expr(ExpressionId),
}

impl OnError {
    /// Returns every text that its output names.
    #[must_use]
    pub fn texts(&self) -> &[Arc<str>] {
        match self {
            Self::Fail | Self::Skip => &[],
            Self::Default { texts, .. } => texts,
        }
    }
}

impl Course {
    /// Returns true when something must be evaluated before the step's work begins.
    #[must_use]
    pub const fn opens(&self) -> bool {
        self.when.is_some() || self.for_each.is_some()
    }
}
