//! A run as its journal tells it: what was promised, and how far it came.

use std::path::Path;
use std::sync::Arc;

use crate::base::Timestamp;
use crate::engine::{IllegalEvent, Replay};
use crate::event::{Event, RunOutcome, RunStarted, Snapshot};
use crate::journal::{EventSeq, JournalError, Reader};
use crate::plan::Plan;

/// A run that may go on.
pub struct Resumable {
    /// What was promised.
    pub started: RunStarted,
    /// The pipeline file's text at the start.
    pub source: Arc<str>,
    /// The time of the latest event.
    pub latest: Timestamp,
    /// True when every case is settled.
    pub complete: bool,
    reader: Reader,
    checkpoint: Option<(EventSeq, Snapshot)>,
}

/// A run that cannot be taken up.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The text of the pipeline is missing.
    #[error("the journal does not hold the pipeline's text")]
    NoSource,
    /// The events do not fit the plan that this version makes of the same text.
    #[error("the journal does not fit the plan")]
    Illegal(#[from] IllegalEvent),
    /// This version of `pipe` makes another plan of the same text.
    #[error("this version of pipe makes another plan of the same pipeline than version {version} did")]
    OtherPlan {
        /// Who wrote the journal.
        version: String,
    },
}

/// Opens a run's journal and finds where it stands.
///
/// # Errors
/// See [`ResumeError`]; nothing is changed.
pub fn load(journal: &Path) -> Result<Resumable, ResumeError> {
    let reader = Reader::open(journal)?;
    let (_, started) = reader.run_started()?;
    let source = reader.text(&started.source)?.ok_or(ResumeError::NoSource)?;
    let last = reader.last_event()?.map(|(_, last)| last);
    let complete = matches!(
        last.as_ref().map(|last| &last.event),
        Some(Event::RunEnded(ended)) if ended.outcome == RunOutcome::Complete
    );
    let latest = last.map_or(Timestamp(0), |last| last.at);
    let checkpoint = reader.latest_checkpoint()?;
    Ok(Resumable { started, source, latest, complete, reader, checkpoint })
}

impl Resumable {
    /// Replays the run: its newest checkpoint and the events after it.
    ///
    /// # Errors
    /// The plan is another one than the run's, or the journal is damaged.
    pub fn replay(self, plan: &Arc<Plan>) -> Result<Replay, ResumeError> {
        if plan.hash != self.started.plan {
            return Err(ResumeError::OtherPlan { version: self.started.version });
        }
        let (mut replay, after) = match self.checkpoint {
            Some((seq, snapshot)) => (Replay::from_checkpoint(Arc::clone(plan), snapshot)?, seq),
            None => (Replay::from_zero(Arc::clone(plan)), EventSeq::default()),
        };
        let mut illegal = None;
        self.reader.events_after(after, &mut |_, recorded| {
            if illegal.is_none() {
                illegal = replay.apply(&recorded).err();
            }
            Ok(())
        })?;
        match illegal {
            Some(illegal) => Err(illegal.into()),
            None => Ok(replay),
        }
    }
}
