//! One run as it goes on, page by page of its journal.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::{CaseNo, Digest, Timestamp};
use crate::cli::exit::CommandError;
use crate::cli::kept::Kept;
use crate::cli::show;
use crate::event::{Counted, Event};
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
    /// Which cases count, as far as that is known.
    counted: Counted,
    expected: Option<u64>,
}

impl Followed {
    /// Opens a run; reads nothing of it yet.
    ///
    /// # Errors
    /// The journal is not there yet, or cannot be read.
    pub(super) fn open(dir: RunDir) -> Result<Self, CommandError> {
        let reader = show::open(&dir)?;
        let (_, started) = reader.run_started().map_err(|error| CommandError::journal(&error))?;
        let expected = Kept::read(&started).ok().and_then(|kept| kept.input).map(|(cases, _)| cases);
        let counted = reader.that_count().map_err(|error| CommandError::journal(&error))?;
        let watch = Self::watch(&counted, expected);
        let is_held = dir.is_held();
        Ok(Self { dir, watch, is_up_to_date: false, reader, seen: EventSeq(0), is_held, counted, expected })
    }

    fn watch(counted: &Counted, expected: Option<u64>) -> Watch {
        let mut watch = Watch::of(counted.clone());
        watch.expect(expected);
        watch
    }

    /// Begins anew when what was read shows that cases counted before do so no more: a run has seen enough.
    fn recount(&mut self) -> Result<(), CommandError> {
        let counted = self.reader.that_count().map_err(|error| CommandError::journal(&error))?;
        if counted != self.counted {
            self.watch = Self::watch(&counted, self.expected);
            self.counted = counted;
            self.seen = EventSeq(0);
        }
        Ok(())
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
            let mut has_enough = false;
            let mut add = |_: EventSeq, recorded: crate::event::Recorded| {
                watch.add(&recorded);
                has_enough |= match &recorded.event {
                    Event::StopReached(reached) => reached.case.is_some(),
                    // Once, not for each item that was repeated enough.
                    Event::RunEnded(_) => watch.tally.enough_repeats > 0,
                    _ => false,
                };
                Ok(())
            };
            let page = self.reader.page_after(self.seen, &mut add).map_err(|error| CommandError::journal(&error))?;
            self.seen = page.last;
            self.is_up_to_date = !page.has_more;
            if has_enough {
                self.recount()?;
                continue;
            }
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
