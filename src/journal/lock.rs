//! One writer per run: a lock on a file of its own, which dies with its owner and never shuts readers out.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::utc::Utc;
use crate::base::Timestamp;

/// How long a holder may take to write its name into the file that it has just locked.
const NAMED_WITHIN: Duration = Duration::from_millis(500);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A run that cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process writes to this run.
    #[error(
        "{path} is held by {}: this run is live; wait for it, or stop it with ctrl-c",
        holder(*.pid, *.since)
    )]
    Held {
        /// The lock file.
        path: PathBuf,
        /// Which process; none when it has not told.
        pid: Option<u32>,
        /// Since when.
        since: Option<Timestamp>,
    },
    /// The file system failed.
    #[error("cannot lock {path}")]
    File {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

fn holder(pid: Option<u32>, since: Option<Timestamp>) -> String {
    let who = pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
    since.map_or_else(|| who.clone(), |since| format!("{who} since {}", Utc::of(since).plain()))
}

/// The right to write to a run, given up when dropped or when the process dies, however it dies.
///
/// The file is never removed: a second process might hold it open, and two would each hold a lock.
#[derive(Debug)]
pub struct RunLock {
    file: File,
}

impl RunLock {
    /// Takes the lock, or says who has it.
    pub(super) fn take(path: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::File { path: path.to_owned(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(path, &mut file)),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("{} {}\n", std::process::id(), now.as_micros());
        file.set_len(0).and_then(|()| file.write_all(name.as_bytes())).map_err(failed)?;
        Ok(Self { file })
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // Emptied while still held, so that nobody takes the old name for the next holder's. Best effort: the
        // lock itself goes with the file handle.
        if let Err(error) = self.file.set_len(0) {
            tracing::debug!(%error, "the lock file keeps an old name");
        }
    }
}

fn held(path: &Path, file: &mut File) -> LockError {
    let deadline = Instant::now() + NAMED_WITHIN;
    loop {
        let named = read_name(file);
        if named.is_some() || Instant::now() > deadline {
            let (pid, since) = named.unzip();
            return LockError::Held { path: path.to_owned(), pid, since };
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Reads `pid micros\n`; nothing unless the line is whole.
fn read_name(file: &mut File) -> Option<(u32, Timestamp)> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(64).read_to_string(&mut text).ok()?;
    let (pid, since) = text.strip_suffix('\n')?.split_once(' ')?;
    Some((pid.parse().ok()?, Timestamp(since.parse().ok()?)))
}
