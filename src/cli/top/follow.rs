//! One run as it goes on, page by page of its journal.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::{CaseNo, Digest, Timestamp};
use crate::cli::exit::CommandError;
use crate::cli::kept::Kept;
use crate::cli::show;
use crate::journal::{EventSeq, Reader, RunDir};
use crate::report::{RunStatus, Watch};

/// A run that is being watched.
pub(super) struct Followed {
    pub(super) dir: RunDir,
    pub(super) watch: Watch,
    /// Everything that is in the journal has been read.
    pub(super) is_up_to_date: bool,
    reader: Reader,
    seen: EventSeq,
    is_held: bool,
}

impl Followed {
    /// Opens a run; reads nothing of it yet.
    ///
    /// # Errors
    /// The journal is not there yet, or cannot be read.
    pub(super) fn open(dir: RunDir) -> Result<Self, CommandError> {
        let reader = show::open(&dir)?;
        let (_, started) = reader.run_started().map_err(|error| CommandError::journal(&error))?;
        let mut watch = Watch::default();
        watch.expect(Kept::read(&started).ok().and_then(|kept| kept.input).map(|(cases, _)| cases));
        let is_held = dir.is_held();
        Ok(Self { dir, watch, is_up_to_date: false, reader, seen: EventSeq(0), is_held })
    }

    /// Reads what has come since, for so long at most.
    ///
    /// # Errors
    /// The journal is damaged.
    pub(super) fn read(&mut self, at_most: Duration) -> Result<(), CommandError> {
        // Looked at first: what a process says last, it says before it goes.
        self.is_held = self.dir.is_held();
        let began = Instant::now();
        loop {
            let watch = &mut self.watch;
            let mut add = |_: EventSeq, recorded: crate::event::Recorded| {
                watch.add(&recorded);
                Ok(())
            };
            let page = self.reader.page_after(self.seen, &mut add).map_err(|error| CommandError::journal(&error))?;
            self.seen = page.last;
            self.is_up_to_date = !page.has_more;
            if self.is_up_to_date || began.elapsed() > at_most {
                return Ok(());
            }
        }
    }

    /// Tells where the run stands.
    pub(super) fn status(&self) -> RunStatus {
        match self.watch.tally.status() {
            RunStatus::Interrupted if self.is_held && self.watch.tally.paused => RunStatus::Paused,
            RunStatus::Interrupted if self.is_held => RunStatus::Running,
            status => status,
        }
    }

    /// Returns the moment that a view of the run is of: now, or when it was over.
    pub(super) fn moment(&self, now: Timestamp) -> Timestamp {
        if self.is_live() { now } else { self.watch.tally.last.unwrap_or(now) }
    }

    pub(super) fn is_live(&self) -> bool {
        matches!(self.status(), RunStatus::Running | RunStatus::Paused)
    }

    /// Finds a text of the run; one that cannot be read is left out of a view.
    pub(super) fn text(&self, case: CaseNo, digest: &Digest) -> Option<Arc<str>> {
        self.reader.text(Some(case), digest).ok().flatten()
    }
}
