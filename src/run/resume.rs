//! A run as its journal tells it: what was promised, and how far it came.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::base::{Digest, Timestamp};
use crate::engine::{IllegalEvent, Replay};
use crate::event::{Event, RunOutcome, RunStarted, Snapshot, StopCause};
use crate::journal::{EventSeq, JournalError, Reader};
use crate::plan::Plan;

/// A run that may go on.
pub struct Resumable {
    /// What was promised.
    pub started: RunStarted,
    /// What it is made of.
    pub source: Source,
    /// The time of the latest event.
    pub latest: Timestamp,
    /// True when every case is settled, or the run has seen enough.
    pub complete: bool,
    /// True when it was ended for good before that.
    pub cancelled: bool,
    reader: Reader,
    checkpoint: Option<(EventSeq, Snapshot)>,
}

/// The texts that a run is made of, as last recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The pipeline file.
    pub text: Arc<str>,
    /// The files that it names by `file://`, by their path as written.
    pub files: BTreeMap<String, Arc<str>>,
    /// What replaces values of it since, by path, on top of what the run began with.
    pub sets: Vec<(String, String)>,
}

/// A run that cannot be taken up.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A text of the pipeline is missing.
    #[error("the journal does not hold text {0}, of which the pipeline is made")]
    NoSource(Digest),
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

/// Returns the texts that a run is made of: those of its start, or of its newest edit outside identity.
///
/// # Errors
/// The journal cannot be read, or lacks a text.
pub fn source_of(reader: &Reader, started: &RunStarted) -> Result<Source, ResumeError> {
    let (text, files, sets) = match reader.last_tuned()? {
        Some(tuned) => (tuned.source, tuned.files, tuned.sets),
        None => (started.source, started.files.clone(), Vec::new()),
    };
    let find = |digest: Digest| reader.text(None, &digest)?.ok_or(ResumeError::NoSource(digest));
    let files = files.into_iter().map(|(path, digest)| Ok((path, find(digest)?)));
    Ok(Source { files: files.collect::<Result<_, ResumeError>>()?, text: find(text)?, sets })
}

impl Source {
    /// Adds what replaces values from here on; of the same path, the newest alone counts.
    pub fn replace(&mut self, sets: &[(String, String)]) {
        for (path, value) in sets {
            self.sets.retain(|(other, _)| other != path);
            self.sets.push((path.clone(), value.clone()));
        }
    }
}

/// Opens a run's journal and finds where it stands.
///
/// # Errors
/// See [`ResumeError`]; nothing is changed.
pub fn load(journal: &Path) -> Result<Resumable, ResumeError> {
    let reader = Reader::open(journal)?;
    let (_, started) = reader.run_started()?;
    let source = source_of(&reader, &started)?;
    let last = reader.last_event()?.map(|(_, last)| last);
    let outcome = match last.as_ref().map(|last| &last.event) {
        Some(Event::RunEnded(ended)) => Some(&ended.outcome),
        Some(_) | None => None,
    };
    let complete = outcome.is_some_and(RunOutcome::is_complete);
    let cancelled = outcome == Some(&RunOutcome::Stopped(StopCause::Cancel));
    let latest = last.map_or(Timestamp(0), |last| last.at);
    let checkpoint = reader.latest_checkpoint()?;
    Ok(Resumable { started, source, latest, complete, cancelled, reader, checkpoint })
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
