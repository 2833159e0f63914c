//! What a run came to, without reading all of it.

use serde::Serialize;

use crate::base::{RunId, Timestamp};
use crate::event::{CaseCounts, Event, RunOutcome, StopCause};
use crate::journal::{JournalError, Reader, RunDir};
use crate::report::RunStatus;

/// A line of `pipe runs`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Glance {
    /// The run.
    pub(super) run: RunId,
    /// The pipeline's name.
    pub(super) pipeline: String,
    /// The pipeline's file.
    pub(super) file: String,
    /// When it began, in microseconds since the Unix epoch.
    #[serde(rename = "began_us")]
    pub(super) began: Timestamp,
    /// Where it stands.
    pub(super) status: RunStatus,
    /// Cases by how they ended.
    pub(super) cases: CaseCounts,
    /// How many cases there are, when known.
    pub(super) total: Option<u64>,
}

/// Looks at a run. Cost: the newest checkpoint and the events since.
///
/// # Errors
/// The journal is not there yet, or damaged.
pub(super) fn glance(dir: &RunDir) -> Result<Glance, JournalError> {
    let reader = Reader::open(&dir.journal_path())?;
    let (began, started) = reader.run_started()?;
    let cases = reader.case_counts()?;
    let status = match status(dir, reader.last_event()?.map(|(_, last)| last.event).as_ref()) {
        RunStatus::Running if reader.is_paused()? => RunStatus::Paused,
        status => status,
    };
    let source_ended = reader.latest_checkpoint()?.is_some_and(|(_, snapshot)| snapshot.source_ended);
    let total = (source_ended || status == RunStatus::Complete).then_some(cases.admitted);
    Ok(Glance { run: dir.id.clone(), pipeline: started.name, file: started.file, began, status, cases, total })
}

/// Returns where a run stands by its last event, and where that says nothing, by whether somebody holds its lock.
pub(super) fn status(dir: &RunDir, last: Option<&Event>) -> RunStatus {
    match last {
        Some(Event::RunEnded(ended)) => match ended.outcome {
            RunOutcome::Complete | RunOutcome::Enough(_) => RunStatus::Complete,
            RunOutcome::Stopped(StopCause::Cancel) => RunStatus::Cancelled,
            RunOutcome::Stopped(_) => RunStatus::Stopped,
        },
        _ if dir.is_held() => RunStatus::Running,
        Some(Event::RunFailed(_)) => RunStatus::Failed,
        Some(_) | None => RunStatus::Interrupted,
    }
}

/// Returns the word for where a run stands.
pub(super) const fn word(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Complete => "complete",
        RunStatus::Stopped => "stopped",
        RunStatus::Cancelled => "cancelled",
        RunStatus::Paused => "paused",
        RunStatus::Failed => "failed",
        RunStatus::Interrupted => "interrupted",
        RunStatus::Running => "running",
    }
}
