//! What stopped a run, for people and for programs.

use serde::Serialize;

use super::Tally;
use crate::base::plain_utc;
use crate::event::{RunOutcome, StopCause};

/// What stopped a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StopSummary {
    /// The condition of its `stop` (`budget`, `errors`, …), or what came from outside: `interrupt`, `terminate`,
    /// `command`, `cancel`, `backend_unusable`, `backend_waits`, `source_unusable`, `bug`.
    pub condition: String,
    /// What it was judged by, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// When it can go on, where a backend said so: `YYYY-MM-DD HH:MM:SS UTC`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

impl Tally {
    pub(super) fn stop(&self) -> Option<StopSummary> {
        let summary = |condition: &str, evidence: Option<String>| StopSummary {
            condition: condition.to_owned(),
            evidence,
            until: None,
        };
        match (&self.bug, &self.outcome) {
            (Some(message), _) => Some(summary("bug", Some(message.clone()))),
            (None, Some(RunOutcome::Stopped(cause))) => Some(match cause {
                StopCause::Interrupt => summary("interrupt", None),
                StopCause::Terminate => summary("terminate", None),
                StopCause::Command => summary("command", None),
                StopCause::Cancel => summary("cancel", None),
                StopCause::BackendUnusable { backend, failure } => {
                    summary("backend_unusable", Some(format!("{backend}: {}", failure.detail)))
                }
                StopCause::BackendWaits { backend, failure, until } => StopSummary {
                    until: Some(plain_utc(*until)),
                    ..summary("backend_waits", Some(format!("{backend}: {}", failure.detail)))
                },
                StopCause::Condition(reached) => summary(&reached.condition, Some(reached.evidence.clone())),
                StopCause::SourceUnusable { reason } => summary("source_unusable", Some(reason.clone())),
            }),
            (None, Some(RunOutcome::Enough(reached))) => {
                Some(summary(&reached.condition, Some(reached.evidence.clone())))
            }
            (None, Some(RunOutcome::Complete) | None) => None,
        }
    }

    pub(super) fn stopped_by(&self) -> Option<String> {
        match (&self.bug, &self.outcome) {
            (Some(message), _) => Some(format!("a bug: {message}")),
            (None, Some(RunOutcome::Stopped(cause))) => Some(stop_phrase(cause)),
            (None, Some(RunOutcome::Enough(reached))) => {
                Some(format!("by its {}: {}", reached.condition, reached.evidence))
            }
            (None, Some(RunOutcome::Complete) | None) => None,
        }
    }
}

/// Says what stopped a run, for people.
#[must_use]
pub fn stop_phrase(cause: &StopCause) -> String {
    match cause {
        StopCause::Interrupt => "by Ctrl-C".to_owned(),
        StopCause::Terminate => "by SIGTERM".to_owned(),
        StopCause::Command => "by `pipe stop`".to_owned(),
        StopCause::Cancel => "by `pipe cancel`".to_owned(),
        StopCause::BackendUnusable { backend, failure } => {
            format!("because backend {backend:?} is unusable ({}): {}", failure.kind.word(), failure.detail)
        }
        StopCause::BackendWaits { backend, failure, until } => {
            format!("because backend {backend:?} takes no call before {}: {}", plain_utc(*until), failure.detail)
        }
        StopCause::Condition(reached) => format!("by its {}: {}", reached.condition, reached.evidence),
        StopCause::SourceUnusable { reason } => format!("because {reason}"),
    }
}
