//! One writer per run: a lock on a file of its own, which dies with its owner and never shuts readers out.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::base::Timestamp;
use crate::base::Utc;

/// How long a holder may take to write its name into the file that it has just locked.
const NAMED_WITHIN: Duration = Duration::from_millis(500);
/// How long the lock is tried when it bears a name: many times what a look takes.
const LOOKED_AT: Duration = Duration::from_millis(200);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A run that cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process writes to this run.
    #[error(
        "{path} is held by {}: this run is live; wait for it, or stop it with `pipe stop`",
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
    /// Takes the lock of a file, which is made where it is missing, or says who has it.
    ///
    /// # Errors
    /// [`LockError::Held`] by another process, or by this one.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::File { path: path.to_owned(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        lock_or_name(path, &mut file)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("{} {}\n", std::process::id(), now.as_micros());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(name.as_bytes()))
            .map_err(failed)?;
        Ok(Self { file })
    }

    /// Tells whether somebody has the lock, without taking it: a look never shuts a writer out.
    #[must_use]
    pub fn is_held(path: &Path) -> bool {
        let Ok(file) = File::open(path) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
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

/// Takes the lock, or returns who has it.
///
/// Whoever is only looking ([`RunLock::is_held`]) is gone again at once, and a name may be that of a holder that was
/// killed: so the lock is tried for a while before a name is believed, and longer while there is none.
fn lock_or_name(path: &Path, file: &mut File) -> Result<(), LockError> {
    let asked = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(source)) => return Err(LockError::File { path: path.to_owned(), source }),
        }
        let named = read_name(file);
        let patience = if named.is_some() { LOOKED_AT } else { NAMED_WITHIN };
        if asked.elapsed() > patience {
            let (pid, since) = named.unzip();
            return Err(LockError::Held { path: path.to_owned(), pid, since });
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_holder_is_seen_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert!(!RunLock::is_held(&path), "no file");
        let lock = RunLock::take(&path).unwrap();
        assert!(RunLock::is_held(&path));
        let Err(LockError::Held { pid, .. }) = RunLock::take(&path) else { panic!("two holders") };
        assert_eq!(pid, Some(std::process::id()));
        drop(lock);
        assert!(!RunLock::is_held(&path));
    }

    #[test]
    fn who_only_looks_is_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        // The name of a holder that was killed.
        std::fs::write(&path, "1 1\n").unwrap();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let _is_held = RunLock::is_held(&path);
                }
            });
            let taken = (0..50).all(|_| match RunLock::take(&path) {
                Ok(lock) => {
                    let name = std::fs::read_to_string(&path).unwrap();
                    drop(lock);
                    name.starts_with(&format!("{} ", std::process::id()))
                }
                Err(_) => false,
            });
            is_over.store(true, Ordering::Relaxed);
            assert!(taken);
        });
    }
}
