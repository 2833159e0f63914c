//! The file: opening, looking up, counting. Every process has connections of its own; `SQLite` keeps them apart.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row as SqlRow, params};

use super::entry::{Body, Entry, Kept, Key, Row};

/// The version of the layout and of the bodies. A greater one is left alone.
const FORMAT: i32 = 1;
/// Marks the file as ours in its header: the letters `pipC`.
const APPLICATION_ID: i32 = 0x7069_7043;
/// Another process writes its answers of some milliseconds in one go.
const PATIENCE: Duration = Duration::from_secs(10);

const LAYOUT: &str = "
-- Answers of pipe's calls, by what was asked. The journals of the runs are the truth: deleting this file costs
-- requests, and nothing else. Nothing but pipe may write here.
create table answers (
    id      integer primary key,
    key     blob not null unique,  -- first 128 bits of BLAKE3 over what was asked, and the repeat
    at      integer not null,      -- microseconds since the Unix epoch
    run     text not null,         -- who asked
    case_no integer not null,
    body    not null,              -- JSON: text, finish, model, usage, total_us; a blob is the same through zstd
    sum     integer not null       -- first 64 bits of BLAKE3 over key, run, case_no, body
);
create index answers_by_time on answers (at);
";

/// A cache that cannot be used. Nothing is lost by going on without it.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// A newer version wrote it.
    #[error("{path} was written by a newer pipe (format {format}, this one reads {FORMAT})")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: i32,
    },
    /// Something else.
    #[error("{path} is no cache of pipe")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file system failed.
    #[error("cannot {doing} {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The store failed: damage, a full disk, a missing right.
    #[error("cannot {doing} {path}")]
    Store {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What `SQLite` said.
        #[source]
        source: rusqlite::Error,
    },
}

/// What a cache holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Answers.
    pub answers: u64,
    /// Bytes on disk, what is not folded into the file yet included.
    pub bytes: u64,
}

/// The cache of a project, open for looking up.
pub struct Cache {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    connection: Connection,
    /// Stored answers that are not what was stored: to be written over.
    damaged: BTreeSet<Key>,
    /// Why nothing is read any more.
    trouble: Option<CacheError>,
}

impl Cache {
    /// Opens the cache of a project's home, which exists; makes it where there is none.
    ///
    /// # Errors
    /// It is another's, a newer one's, or cannot be opened: nothing is changed then.
    pub fn open(home: &Path) -> Result<Self, CacheError> {
        let path = Self::path_in(home);
        let connection = connect(&path)?;
        let state = Mutex::new(State { connection, damaged: BTreeSet::new(), trouble: None });
        Ok(Self { path, state })
    }

    /// Returns where the cache of a home is.
    #[must_use]
    pub fn path_in(home: &Path) -> PathBuf {
        home.join("cache.db")
    }

    /// Returns the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the answer of before; none where there is none, or none that can be trusted. Blocks on the disk.
    pub fn find(&self, key: &Key) -> Option<Kept> {
        let mut state = self.state();
        if state.trouble.is_some() {
            return None;
        }
        let found = match read(&state.connection, key) {
            Ok(found) => found?,
            Err(source) => {
                state.trouble = Some(CacheError::Store { path: self.path.clone(), doing: "read", source });
                return None;
            }
        };
        let kept = found.kept(key);
        if kept.is_err() {
            state.damaged.insert(*key);
        }
        kept.ok()
    }

    /// Tells whether the stored answer is to be written over.
    pub(super) fn is_damaged(&self, key: &Key) -> bool {
        self.state().damaged.contains(key)
    }

    /// Returns how many stored answers were not what was stored, and why nothing was read from some moment on.
    pub(super) fn told(&self) -> (u64, Option<CacheError>) {
        let mut state = self.state();
        (state.damaged.len() as u64, state.trouble.take())
    }

    /// Deletes answers that were kept before a moment, in microseconds since the Unix epoch; returns how many.
    ///
    /// # Errors
    /// The cache cannot be opened or written.
    pub fn forget_before(home: &Path, moment: i64) -> Result<u64, CacheError> {
        let path = Self::path_in(home);
        let connection = connect(&path)?;
        let failed = |source| CacheError::Store { path: path.clone(), doing: "delete from", source };
        let gone = connection.execute("delete from answers where at < ?1", [moment]).map_err(failed)?;
        connection.execute_batch("vacuum; pragma wal_checkpoint(truncate);").map_err(failed)?;
        Ok(gone as u64)
    }

    /// Counts answers that were kept before a moment, as [`Self::forget_before`] would delete them.
    ///
    /// # Errors
    /// The cache cannot be opened or read.
    pub fn before(home: &Path, moment: i64) -> Result<u64, CacheError> {
        let path = Self::path_in(home);
        let connection = connect(&path)?;
        let failed = |source| CacheError::Store { path: path.clone(), doing: "read", source };
        let count = connection.query_row("select count(*) from answers where at < ?1", [moment], |row| row.get(0));
        count.map(i64::cast_unsigned).map_err(failed)
    }

    /// Deletes the cache of a home as a whole. A process that has it open goes on with what is deleted.
    ///
    /// # Errors
    /// A file cannot be deleted.
    pub fn delete(home: &Path) -> Result<(), CacheError> {
        let path = Self::path_in(home);
        // Its log and its index of that go first: alone they mean nothing, the file without them is whole but for them.
        for file in files(&path).into_iter().rev() {
            match std::fs::remove_file(&file) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => return Err(CacheError::File { path: file, doing: "delete", source }),
            }
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in here leaves nothing half done that is read again.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    /// Counts what the cache of a home holds; none where there is no file. One that cannot be read has its size alone.
    #[must_use]
    pub fn of(home: &Path) -> Option<Self> {
        let path = Cache::path_in(home);
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
        let bytes = path.exists().then(|| files(&path).iter().map(|file| size(file)).sum())?;
        let count = |connection: &Connection| {
            connection.query_row("select count(*) from answers", [], |row| row.get::<_, i64>(0))
        };
        let access = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let counted = Connection::open_with_flags(&path, access).and_then(|connection| count(&connection));
        let answers = counted.map_or(0, |count| u64::try_from(count).unwrap_or(0));
        Some(Self { answers, bytes })
    }
}

/// Returns the file with those that `SQLite` puts beside it.
fn files(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|ending| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    })
}

/// Opens the file to read and write, laid out.
pub(super) fn connect(path: &Path) -> Result<Connection, CacheError> {
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    opened.map_err(|source| CacheError::File { path: path.to_owned(), doing: "open", source })?;
    let failed = |source| CacheError::Store { path: path.to_owned(), doing: "open", source };
    let access = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, access).map_err(failed)?;
    connection.busy_timeout(PATIENCE).map_err(failed)?;
    // A failed read of a mapped page is a signal, not an error.
    connection.pragma_update(None, "mmap_size", 0).map_err(failed)?;
    // Looked at before the first setting is written: a file that is not ours is left as it is.
    let is_new = !is_ours(&connection, path)?;
    connection.pragma_update(None, "journal_mode", "wal").map_err(failed)?;
    // In write-ahead mode a power cut takes the newest answers, and never leaves half of one.
    connection.pragma_update(None, "synchronous", "normal").map_err(failed)?;
    if is_new {
        lay_out(&connection, path)?;
    }
    Ok(connection)
}

/// Tells whether the file is laid out; an empty one is not.
fn is_ours(connection: &Connection, path: &Path) -> Result<bool, CacheError> {
    let failed = |source| CacheError::Store { path: path.to_owned(), doing: "open", source };
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0)).map_err(failed);
    let tables: i64 =
        connection.query_row("select count(*) from sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    match (number("application_id")?, number("user_version")?) {
        (0, 0) if tables == 0 => Ok(false),
        (APPLICATION_ID, FORMAT) => Ok(true),
        (APPLICATION_ID, format) => Err(CacheError::Newer { path: path.to_owned(), format }),
        _ => Err(CacheError::Foreign { path: path.to_owned() }),
    }
}

/// Lays the file out, unless another process has done it meanwhile.
fn lay_out(connection: &Connection, path: &Path) -> Result<(), CacheError> {
    let failed = |source| CacheError::Store { path: path.to_owned(), doing: "lay out", source };
    connection.execute_batch("begin immediate").map_err(failed)?;
    let laid = match is_ours(connection, path) {
        Ok(true) => Ok(()),
        Ok(false) => connection
            .execute_batch(LAYOUT)
            .and_then(|()| connection.pragma_update(None, "application_id", APPLICATION_ID))
            .and_then(|()| connection.pragma_update(None, "user_version", FORMAT))
            .map_err(failed),
        Err(error) => Err(error),
    };
    let end = if laid.is_ok() { "commit" } else { "rollback" };
    laid.and(connection.execute_batch(end).map_err(failed))
}

fn read(connection: &Connection, key: &Key) -> rusqlite::Result<Option<Row>> {
    let sql = "select run, case_no, body, sum from answers where key = ?1";
    let row = |row: &SqlRow<'_>| {
        let body = match row.get_ref(2)? {
            ValueRef::Text(text) => Body::Plain(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Blob(packed) => Body::Packed(packed.to_vec()),
            // Its checksum is of another form, so it counts as damaged.
            ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => Body::Packed(Vec::new()),
        };
        Ok(Row { run: row.get(0)?, case: row.get(1)?, body, sum: row.get(3)? })
    };
    connection.prepare_cached(sql)?.query_row([key.as_bytes().as_slice()], row).optional()
}

/// Writes an answer; one that is there already stays, unless it is to be written over.
pub(super) fn write(connection: &Connection, at: i64, entry: &Entry, over: bool) -> rusqlite::Result<()> {
    let sql = match over {
        false => {
            "insert into answers (key, at, run, case_no, body, sum) values (?1, ?2, ?3, ?4, ?5, ?6)
             on conflict (key) do nothing"
        }
        true => {
            "insert into answers (key, at, run, case_no, body, sum) values (?1, ?2, ?3, ?4, ?5, ?6)
             on conflict (key) do update set at = excluded.at, run = excluded.run, case_no = excluded.case_no,
                 body = excluded.body, sum = excluded.sum"
        }
    };
    let Row { run, case, body, sum } = Row::of(entry);
    let body = match body {
        Body::Plain(plain) => Value::Text(plain),
        Body::Packed(packed) => Value::Blob(packed),
    };
    let key = entry.key.as_bytes().as_slice();
    connection.prepare_cached(sql)?.execute(params![key, at, run, case, body, sum]).map(drop)
}
