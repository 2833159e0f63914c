//! Keeps what happened in a run: events in order, texts by content, checkpoints; and where runs lie on disk.
//! Reads: `Event`, `Snapshot`. Gives: the [`EventLog`] port (a file, or memory), the [`Writer`] thread, [`Reader`]s,
//! run folders with their lock
//! and the orders that other processes leave there. Never: decisions about tasks.
//! Start at [`EventLog`] and [`Writer`]; the file's layout is `schema.sql`, `gpu.sql` and `views.sql`.

mod control;
mod error;
mod home;
mod layout;
mod lock;
mod memory;
mod pack;
mod query;
mod reader;
mod recent;
mod records;
mod rewrite;
mod run_dir;
mod salvage;
mod samples;
mod schema;
mod small_file;
mod sqlite;
mod writer;

#[cfg(test)]
mod contract;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

pub use control::{Order, Ordered, Spool};
pub use error::{JournalError, Place};
pub use home::{Home, HomeError};
pub use lock::{LockError, RunLock};
pub use memory::Memory;
pub use query::{Cell, Query, QueryError};
pub use reader::{Adoption, AttemptRecord, CaseRecord, Meta, Reader};
pub use records::EventPage;
pub use rewrite::{compact, replace};
pub use run_dir::RunDir;
pub use salvage::{Found, Salvage};
pub use samples::{SampleVisit, Samples};
pub use small_file::replace_file;
pub use sqlite::{Durability, Sqlite};

pub use writer::{Committed, SampleSink, Writer};

use crate::base::{CaseNo, Digest};
use crate::event::{Recorded, Sampled, Snapshot};

/// The place of an event in its run: 1, 2, 3, … without gaps. 0 stands for "before the first".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventSeq(pub u64);

impl EventSeq {
    /// Returns the place after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for EventSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that events name by its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The case whose events name it; none for a text that the run names, or many cases.
    ///
    /// A case's texts lie together in the file, so that a run of any size writes to few places of it.
    pub case: Option<CaseNo>,
    /// [`Digest::of`] the body's bytes.
    pub digest: Digest,
    /// The text.
    pub body: Arc<str>,
}

impl Text {
    /// Names a text of the run by its content.
    pub fn of(body: impl Into<Arc<str>>) -> Self {
        let body = body.into();
        Self { case: None, digest: Digest::of(body.as_bytes()), body }
    }

    /// Says whose it is.
    #[must_use]
    pub fn in_case(self, case: CaseNo) -> Self {
        Self { case: Some(case), ..self }
    }
}

/// What must become durable together: one step of the engine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// In the order in which they became true.
    pub events: Arc<[Recorded]>,
    /// The texts that these events are the first to name; one that is already stored costs nothing more.
    pub texts: Vec<Text>,
    /// The state after `events`.
    pub checkpoint: Option<Snapshot>,
}

/// What is called for every event read. An error ends the reading and is handed through.
pub type EventVisit<'a> = dyn FnMut(EventSeq, Recorded) -> Result<(), JournalError> + 'a;

/// The one ordered record of a run.
///
/// Whatever the implementation (one contract suite runs for all):
/// - events are numbered from 1 without gaps, in the order of appending;
/// - a checkpoint is stored with the events of its batch, at the number of the last event so far;
/// - a text is found by its case and digest, those of the run from every case; appending it again changes nothing;
/// - after an append failed, every later one fails too.
pub trait EventLog: Send {
    /// Makes all the batches durable in one transaction and returns the number of the last event.
    ///
    /// All or nothing: after an error or a crash no part of them is there, unless the crash came after the
    /// transaction was complete and before this returned. Blocks on the disk.
    ///
    /// # Errors
    /// The log cannot be written. The caller stops: nothing can be appended any more.
    fn append(&mut self, batches: &[Batch]) -> Result<EventSeq, JournalError>;

    /// Takes what was sampled of graphics devices: durable with the next append, of nothing too.
    fn add_samples(&mut self, sampled: Vec<Sampled>);

    /// Returns the number of the last event, 0 when there is none.
    fn last_seq(&self) -> EventSeq;

    /// Calls `visit` for every event after `seq`, in order, holding no more than a page of them in memory.
    ///
    /// # Errors
    /// Damage, named by event; trouble of the store; whatever `visit` returns.
    fn events_after(&self, seq: EventSeq, visit: &mut EventVisit<'_>) -> Result<(), JournalError>;

    /// Returns the newest checkpoint and the number of the event that it stands after.
    ///
    /// # Errors
    /// Damage, or trouble of the store.
    fn latest_checkpoint(&self) -> Result<Option<(EventSeq, Snapshot)>, JournalError>;

    /// Returns the text with this digest, if it was appended for this case or for the run.
    ///
    /// # Errors
    /// Damage, or trouble of the store.
    fn text(&self, case: Option<CaseNo>, digest: &Digest) -> Result<Option<Arc<str>>, JournalError>;

    /// Leaves the log so that the next opening has nothing to recover. Nothing is lost without it.
    ///
    /// # Errors
    /// Trouble of the store.
    fn finish(&mut self) -> Result<(), JournalError>;
}
