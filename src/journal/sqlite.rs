//! The log as a file: `SQLite` in write-ahead mode, one transaction per append, synced.

use std::cell::RefCell;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

use super::pack::{Packer, Unpacker};
use super::recent::{Need, Recent};
use super::records::Store;
use super::{Batch, EventLog, EventSeq, EventVisit, JournalError, Place, samples, schema};
use crate::base::{CaseNo, Digest};
use crate::event::{Sampled, Snapshot};

/// What an acknowledged event survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// A power cut: every append is synced to the disk.
    #[default]
    Power,
    /// The death of the process, by `kill -9` too. A power cut may take the newest events, never the order.
    Process,
}

impl Durability {
    pub(super) const fn synchronous(self) -> &'static str {
        match self {
            Self::Power => "full",
            Self::Process => "normal",
        }
    }
}

/// A journal file open for appending. One per run at a time: hold the run's lock ([`super::RunDir::lock`]).
pub struct Sqlite {
    connection: Connection,
    path: PathBuf,
    last: EventSeq,
    recent: Recent,
    packer: Packer,
    unpacker: RefCell<Unpacker>,
    /// For the next append.
    sampled: Vec<Sampled>,
    has_failed: bool,
}

impl Sqlite {
    /// Makes a new journal, readable by its owner only.
    ///
    /// # Errors
    /// There is a file of that name already; the folder or the disk cannot take one.
    pub fn create(path: &Path, durability: Durability) -> Result<Self, JournalError> {
        let failed = |source| JournalError::file(path, "create", source);
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        // The names of the file and of its log become durable with the first append: the store syncs their folder then.
        let connection = schema::create(path, durability)?;
        Ok(Self {
            connection,
            path: path.to_owned(),
            last: EventSeq(0),
            recent: Recent::default(),
            packer: Packer::default(),
            unpacker: RefCell::default(),
            sampled: Vec::new(),
            has_failed: false,
        })
    }

    /// Opens an existing journal, recovering what a dead process left in its write-ahead log.
    ///
    /// # Errors
    /// No journal there, a newer format, damage: each by name; nothing is changed then.
    pub fn open(path: &Path, durability: Durability) -> Result<Self, JournalError> {
        let connection = schema::open(path, durability)?;
        let (last, checkpoint) = Store { connection: &connection, path, unpacker: &RefCell::default() }.ends()?;
        if checkpoint > last {
            let what = format!("it is not there, and a checkpoint stands after event {checkpoint}");
            return Err(JournalError::damaged(path, Place::Event(last.next()), what));
        }
        Ok(Self {
            connection,
            path: path.to_owned(),
            last,
            recent: Recent::default(),
            packer: Packer::default(),
            unpacker: RefCell::default(),
            sampled: Vec::new(),
            has_failed: false,
        })
    }

    fn store(&self) -> Store<'_> {
        Store { connection: &self.connection, path: &self.path, unpacker: &self.unpacker }
    }

    fn append_all(&mut self, batches: &[Batch]) -> Result<EventSeq, JournalError> {
        let failed = |source| JournalError::store(&self.path, "write", source);
        let store = Store { connection: &self.connection, path: &self.path, unpacker: &self.unpacker };
        let (recent, packer) = (&mut self.recent, &mut self.packer);
        // Dropped without a commit, on any error below, it rolls back.
        let transaction = self.connection.unchecked_transaction().map_err(failed)?;
        let mut last = self.last;
        if !self.sampled.is_empty() {
            samples::insert(&self.connection, &self.path, last, &self.sampled)?;
        }
        for batch in batches {
            for text in &batch.texts {
                if let Need::Written(case) = recent.needs(text) {
                    store.insert_text(case, text, packer)?;
                }
                packer.hears(text);
            }
            for recorded in batch.events.iter() {
                last = last.next();
                store.insert_event(last, recorded)?;
            }
            if let Some(snapshot) = &batch.checkpoint {
                store.insert_checkpoint(last, snapshot)?;
            }
        }
        transaction.commit().map_err(failed)?;
        Ok(last)
    }
}

impl EventLog for Sqlite {
    fn append(&mut self, batches: &[Batch]) -> Result<EventSeq, JournalError> {
        if self.has_failed {
            return Err(JournalError::Stopped);
        }
        let appended = self.append_all(batches);
        match &appended {
            Ok(last) => {
                self.last = *last;
                self.sampled.clear();
            }
            // After a failed sync nobody knows what the disk holds; trying again would only seem to work.
            Err(_) => self.has_failed = true,
        }
        appended
    }

    fn add_samples(&mut self, sampled: Vec<Sampled>) {
        self.sampled.extend(sampled);
    }

    fn last_seq(&self) -> EventSeq {
        self.last
    }

    fn events_after(&self, seq: EventSeq, visit: &mut EventVisit<'_>) -> Result<(), JournalError> {
        self.store().events_after(seq, visit)
    }

    fn latest_checkpoint(&self) -> Result<Option<(EventSeq, Snapshot)>, JournalError> {
        self.store().latest_checkpoint()
    }

    fn text(&self, case: Option<CaseNo>, digest: &Digest) -> Result<Option<Arc<str>>, JournalError> {
        self.store().text(case, digest)
    }

    /// Folds the write-ahead log into the file and empties it. A reader in the way leaves it for the next time.
    fn finish(&mut self) -> Result<(), JournalError> {
        let failed = |source| JournalError::store(&self.path, "fold the write-ahead log of", source);
        self.connection.query_row("pragma wal_checkpoint(truncate)", [], |_row| Ok(())).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::tests::{admitted, batch, events_of};

    #[test]
    fn a_full_disk_is_named_and_what_was_written_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let mut log = Sqlite::create(&path, Durability::Power).unwrap();
        log.append(&[batch([admitted(0)])]).unwrap();
        let pages: i64 = log.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        log.connection.pragma_update(None, "max_page_count", pages + 2).unwrap();

        let too_much = batch((1..5_000).map(admitted));
        assert!(matches!(log.append(&[batch([admitted(1)]), too_much]), Err(JournalError::DiskFull { .. })));
        assert_eq!(events_of(&log, EventSeq(0)), [admitted(0)]);
        log.connection.pragma_update(None, "max_page_count", 1_000_000).unwrap();
        assert!(matches!(log.append(&[batch([admitted(1)])]), Err(JournalError::Stopped)));
        drop(log);

        let mut log = Sqlite::open(&path, Durability::Power).unwrap();
        assert_eq!(log.append(&[batch([admitted(1)])]).unwrap(), EventSeq(2));
        assert_eq!(events_of(&log, EventSeq(0)), [admitted(0), admitted(1)]);
    }
}
