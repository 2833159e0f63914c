//! Puts a journal in another's place. Hold the run's lock: nobody writes meanwhile, and who reads keeps what it has open.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{Durability, JournalError, schema};

/// Writes a journal beside itself as small as it can be and takes its place; returns its bytes before and after.
///
/// Cost: the file is written once more, so as much space is needed as it takes afterwards.
///
/// # Errors
/// Trouble of the store or the disk: the journal is then as it was.
pub fn compact(journal: &Path) -> Result<(u64, u64), JournalError> {
    let before = size(journal);
    let new = beside(journal, "compact");
    remove(&new)?;
    let unmade = |source| JournalError::file(&new, "create", source);
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(unmade)?;
    let connection = schema::open(journal, Durability::Power)?;
    let failed = |source| JournalError::store(journal, "compact", source);
    let work = |connection: &Connection| {
        let transaction = connection.unchecked_transaction()?;
        transaction.execute_batch(
            "delete from checkpoints where seq < (select max(seq) from checkpoints);
             delete from texts where case_no >= 0 and exists (
                 select 1 from texts as of_run where of_run.case_no = -1 and of_run.digest = texts.digest
             );",
        )?;
        transaction.commit()?;
        connection.execute("vacuum into ?1", [new.to_string_lossy()])?;
        connection.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))
    };
    work(&connection).map_err(failed)?;
    drop(connection);
    take_place(&new, journal)?;
    // In the mode that every journal has, with nothing left beside it.
    let connection = schema::open(journal, Durability::Power)?;
    connection.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(())).map_err(failed)?;
    drop(connection);
    Ok((before, size(journal)))
}

/// Puts a new journal in a damaged one's place, which stays beside it; returns where.
///
/// # Errors
/// The disk or the folder cannot take it; the damaged one is then still there.
pub fn replace(journal: &Path, new: &Path) -> Result<PathBuf, JournalError> {
    let kept = (1_u32..).map(|number| beside(journal, &format!("damaged-{number}"))).find(|path| !path.exists());
    let kept = kept.unwrap_or_else(|| beside(journal, "damaged"));
    let failed = |source| JournalError::file(&kept, "write", source);
    std::fs::hard_link(journal, &kept).or_else(|_| std::fs::copy(journal, &kept).map(drop)).map_err(failed)?;
    let log = with(journal, "-wal");
    if log.exists() {
        std::fs::copy(&log, with(&kept, "-wal")).map_err(failed)?;
    }
    take_place(new, journal)?;
    Ok(kept)
}

/// Names a file beside the journal.
fn beside(journal: &Path, what: &str) -> PathBuf {
    with(journal, &format!(".{what}"))
}

fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn remove(path: &Path) -> Result<(), JournalError> {
    for path in [path.to_owned(), with(path, "-wal"), with(path, "-shm")] {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(JournalError::file(&path, "remove", error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Renames a whole journal over another. What the other has in its write-ahead log must not be read into the new one, so
/// it goes first.
fn take_place(new: &Path, journal: &Path) -> Result<(), JournalError> {
    let failed = |source| JournalError::file(journal, "replace", source);
    File::open(new).and_then(|file| file.sync_all()).map_err(failed)?;
    for ending in ["-wal", "-shm"] {
        match std::fs::remove_file(with(journal, ending)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
    }
    std::fs::rename(new, journal).map_err(failed)?;
    let folder = journal.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Returns the bytes of a journal and its write-ahead log.
fn size(journal: &Path) -> u64 {
    let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
    bytes(journal) + bytes(&with(journal, "-wal"))
}
