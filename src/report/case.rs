//! One settled case, and the words for how things end.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::base::{Digest, StepName};
use crate::event::{Because, CaseAdmitted, CaseStatus, TaskSettled, TaskStatus, Unscored, Verdict};

/// Finds a text of the journal.
pub type Texts<'a> = &'a dyn Fn(&Digest) -> Option<Arc<str>>;

/// A text that the journal should have and has not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal has no text {digest}, which step {step:?} refers to")]
pub struct MissingText {
    /// Where it is missing.
    pub step: StepName,
    /// The text.
    pub digest: Digest,
}

/// A settled case with all that its events say of it.
#[derive(Clone, Copy, Debug)]
pub struct CaseRecord<'a> {
    /// How it entered.
    pub admitted: &'a CaseAdmitted,
    /// The item's fields.
    pub item: &'a Map<String, Value>,
    /// Its settled tasks, in any order.
    pub tasks: &'a [TaskSettled],
    /// How it ended.
    pub status: CaseStatus,
}

impl CaseRecord<'_> {
    /// Returns the settled task of a step.
    #[must_use]
    pub fn task(&self, step: &StepName) -> Option<&TaskSettled> {
        self.tasks.iter().find(|task| task.step == *step)
    }
}

/// Says why a task was not asked, or what became of its failure; none when there is nothing to say.
#[must_use]
pub fn course_line(task: &TaskSettled) -> Option<String> {
    let step = &task.step;
    let why = || {
        let failure = task.failure.as_ref();
        failure.map_or(String::new(), |failure| format!(" ({}: {})", failure.kind.word(), failure.detail))
    };
    match (task.status, task.because) {
        (TaskStatus::Skipped, Some(Because::When)) => Some(format!("{step} was not asked: its `when` does not hold")),
        (TaskStatus::Skipped, Some(Because::OnError)) => Some(format!("{step} failed and is skipped{}", why())),
        (TaskStatus::Skipped, None) => Some(format!("{step} was not asked: a step that it reads failed")),
        (_, Some(Because::OnError)) => Some(format!("{step} failed and has its default{}", why())),
        (TaskStatus::Ok | TaskStatus::Unscored | TaskStatus::Failed, _) => None,
    }
}

pub(super) fn text_of(texts: Texts<'_>, step: &StepName, digest: &Digest) -> Result<Arc<str>, MissingText> {
    texts(digest).ok_or_else(|| MissingText { step: step.clone(), digest: *digest })
}

/// Returns the word for how a case ended.
#[must_use]
pub const fn status_word(status: CaseStatus) -> &'static str {
    match status {
        CaseStatus::Ok => "ok",
        CaseStatus::Unscored => "unscored",
        CaseStatus::Failed => "failed",
    }
}

/// Returns the word for how a task ended.
#[must_use]
pub const fn task_status_word(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Ok => "ok",
        TaskStatus::Unscored => "unscored",
        TaskStatus::Failed => "failed",
        TaskStatus::Skipped => "skipped",
    }
}

/// Says why there is no verdict.
#[must_use]
pub const fn unscored_phrase(reason: Unscored) -> &'static str {
    match reason {
        Unscored::Unreadable => "the answer has not the form that was asked for",
        Unscored::CutOff => "the answer was cut before its verdict",
        Unscored::SwapDisagreed => "asked the other way round, the judge said something else",
        Unscored::OutOfRange => "the answer is a number that the scale does not have",
        Unscored::Mismatched => "the answer does not match the schema",
        Unscored::NotUnanimous => "not all votes are the same",
        Unscored::VotesTied => "no option has most votes",
    }
}

/// Says a verdict in a few words; none when there is none.
#[must_use]
pub fn verdict_words(verdict: &Verdict) -> Option<String> {
    match verdict {
        Verdict::Choice(option) => Some(option.clone()),
        Verdict::Score(score) => Some(score_words(*score)),
        Verdict::Ranking(names) => Some(names.join(" > ")),
        Verdict::Json => Some("a value".to_owned()),
        Verdict::Unscored(_) => None,
    }
}

/// Writes a score with at most two digits after the point, and none that say nothing.
#[must_use]
pub(super) fn score_words(score: f64) -> String {
    let text = format!("{score:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
