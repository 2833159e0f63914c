//! The thread that writes answers to the file, in groups.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::Connection;
use tokio::sync::mpsc;

use super::entry::Entry;
use super::file::{Cache, CacheError, connect, write};

/// Commits of a journal whose answers may wait to be written; whoever has more waits for room.
const WAITING: usize = 64;
/// Most answers in one transaction, so that other processes get their turn.
const GROUP: usize = 1_024;

/// Writes answers beside a run, on a thread of its own.
pub struct Keeper {
    sender: mpsc::Sender<Vec<Entry>>,
    thread: JoinHandle<Option<CacheError>>,
    cache: Arc<Cache>,
}

/// What there is to tell of a cache when a run is over.
#[derive(Debug, Default)]
pub struct Told {
    /// Stored answers that were not what was stored, and so were asked again.
    pub damaged: u64,
    /// Why answers were not read, or not kept, from some moment on.
    pub trouble: Vec<CacheError>,
}

impl Keeper {
    /// Starts the thread; with `over` an answer takes the place of one that is there already.
    ///
    /// # Errors
    /// The file cannot be opened again, or there is no thread.
    pub fn start(cache: Arc<Cache>, over: bool) -> Result<Self, CacheError> {
        let connection = connect(cache.path())?;
        let (sender, mut receiver) = mpsc::channel::<Vec<Entry>>(WAITING);
        let of_thread = Arc::clone(&cache);
        let work = move || {
            let mut trouble = None;
            while let Some(mut entries) = receiver.blocking_recv() {
                while entries.len() < GROUP
                    && let Ok(more) = receiver.try_recv()
                {
                    entries.extend(more);
                }
                // After a failure the rest is taken and dropped, so that nobody waits for room.
                if trouble.is_none() {
                    trouble = keep(&connection, &of_thread, &entries, over).err();
                }
            }
            trouble
        };
        let thread = std::thread::Builder::new().name("cache".to_owned()).spawn(work);
        let thread =
            thread.map_err(|source| CacheError::File { path: cache.path().to_owned(), doing: "write", source })?;
        Ok(Self { sender, thread, cache })
    }

    /// Hands answers over if there is room; returns them if not.
    ///
    /// # Errors
    /// The answers, when as many wait as may.
    pub fn offer(&self, entries: Vec<Entry>) -> Result<(), Vec<Entry>> {
        match self.sender.try_send(entries) {
            Err(mpsc::error::TrySendError::Full(entries)) => Err(entries),
            // The thread ends only by a panic, which closing tells.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
        }
    }

    /// Waits for room, and hands over what `entries` holds then.
    ///
    /// # Cancel safety
    /// Nothing is taken when the future is dropped.
    pub async fn hand_over(&self, entries: &mut Vec<Entry>) {
        let room = self.sender.reserve().await;
        let entries = std::mem::take(entries);
        if let Ok(room) = room {
            room.send(entries);
        }
    }

    /// Waits until everything is written; says what went wrong with reading and writing. Blocks on the disk.
    #[must_use]
    pub fn close(self) -> Told {
        drop(self.sender);
        let written = self.thread.join().unwrap_or(None);
        let (damaged, read) = self.cache.told();
        Told { damaged, trouble: [read, written].into_iter().flatten().collect() }
    }
}

fn keep(connection: &Connection, cache: &Cache, entries: &[Entry], over: bool) -> Result<(), CacheError> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
    let write_all = || {
        let transaction = rusqlite::Transaction::new_unchecked(connection, rusqlite::TransactionBehavior::Immediate)?;
        for entry in entries {
            write(connection, at, entry, over || cache.is_damaged(&entry.key))?;
        }
        transaction.commit()
    };
    write_all().map_err(|source| CacheError::Store { path: cache.path().to_owned(), doing: "write", source })
}
