//! What can be wrong with a journal, and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

use super::EventSeq;
use crate::base::{CaseNo, Digest};

/// `SQLITE_IOERR_SHMSIZE`, which rusqlite has no name for.
const SHARED_FILE_SIZE: i32 = 4874;

/// A journal that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// No file.
    #[error("{path} does not exist: this folder holds no run")]
    Missing {
        /// Of the journal.
        path: PathBuf,
    },
    /// A file without a run in it.
    #[error(
        "{path} holds no run: its process died before the run began, so nothing was asked; start it again with `pipe run`"
    )]
    Unbegun {
        /// Of the journal.
        path: PathBuf,
    },
    /// Some other program's database.
    #[error("{path} is not a journal of pipe")]
    Foreign {
        /// Of the file.
        path: PathBuf,
    },
    /// A journal of a later `pipe`.
    #[error(
        "{path} has format {format}, written by pipe {written_by}; this is pipe {}, which reads formats up to \
         {supported}: use pipe {written_by} or newer",
        env!("CARGO_PKG_VERSION")
    )]
    NewerFormat {
        /// Of the journal.
        path: PathBuf,
        /// Its format.
        format: u32,
        /// The version that knows it.
        written_by: String,
        /// The newest format known here.
        supported: u32,
    },
    /// A version before the first release wrote it.
    #[error(
        "{path} has format {format}, written by pipe {written_by} before its first release: start a new run, and \
         read that one with the pipe that wrote it"
    )]
    OlderFormat {
        /// Of the journal.
        path: PathBuf,
        /// Its format.
        format: u32,
        /// The version that wrote it.
        written_by: String,
    },
    /// What is stored is not what was written.
    #[error("{path} is damaged at {place}: {what}; {}", .place.remedy())]
    Damaged {
        /// Of the journal.
        path: PathBuf,
        /// Where in it.
        place: Place,
        /// What shows it.
        what: String,
    },
    /// The disk is full.
    #[error(
        "{path} cannot be written, the disk is full: what was acknowledged is safe; free some space, then `pipe resume`"
    )]
    DiskFull {
        /// Of the journal.
        path: PathBuf,
    },
    /// The store failed.
    #[error("cannot {doing} {path}")]
    Store {
        /// Of the journal.
        path: PathBuf,
        /// What was tried: `write`, `read`, `open`.
        doing: &'static str,
        /// What `SQLite` said.
        #[source]
        source: rusqlite::Error,
    },
    /// The file system failed.
    #[error("cannot {doing} {path}")]
    File {
        /// Of the journal or its folder.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file system does not carry a write-ahead log.
    #[error(
        "{path} cannot have a write-ahead log (the mode stays {mode:?}): put the run on a local disk, see PIPE_HOME"
    )]
    NoWriteAheadLog {
        /// Of the journal.
        path: PathBuf,
        /// The mode that the store fell back to.
        mode: String,
    },
    /// Linked with a `SQLite` that has a known fault.
    #[error("SQLite {found} can lose committed data in write-ahead mode: build pipe with 3.51.3 or newer")]
    OldStore {
        /// The version linked.
        found: &'static str,
    },
    /// An earlier write failed, so what is on disk after it is unknown.
    #[error("nothing more is written after a failed write: `pipe resume` reads what is safe and goes on")]
    Stopped,
    /// The writer thread is gone through a bug.
    #[error("bug: the journal's writer panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// The one who reads wants no more.
    #[error("reading the journal was given up")]
    Visitor(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Where in a journal damage was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The file as a whole.
    File,
    /// The table `meta`.
    Meta,
    /// One event.
    Event(EventSeq),
    /// One checkpoint, named by the event that it stands after.
    Checkpoint(EventSeq),
    /// One text.
    Text(Digest),
    /// The events of one case, taken together.
    Case(CaseNo),
}

impl Place {
    /// Returns what the owner of the run can do.
    fn remedy(&self) -> String {
        match self {
            // Without its first event nobody knows what the run is made of.
            Self::Meta | Self::Event(EventSeq(1)) => "restore the file from a copy, or start a new run".to_owned(),
            Self::Checkpoint(_) => {
                "nothing is lost: `pipe journal repair`, then `pipe resume`, reads the events instead".to_owned()
            }
            Self::File | Self::Event(_) | Self::Text(_) | Self::Case(_) => {
                "`pipe journal repair` keeps what holds, and `pipe resume` asks the rest again".to_owned()
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("the file itself"),
            Self::Meta => f.write_str("table meta"),
            Self::Event(seq) => write!(f, "event {seq}"),
            Self::Checkpoint(seq) => write!(f, "the checkpoint after event {seq}"),
            Self::Text(digest) => write!(f, "text {digest}"),
            Self::Case(case) => write!(f, "case {case}"),
        }
    }
}

impl JournalError {
    /// Names damage.
    pub(super) fn damaged(path: &Path, place: Place, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), place, what: what.into() }
    }

    /// Sorts what the store said: damage and a full disk have their own words.
    pub(super) fn store(path: &Path, doing: &'static str, source: rusqlite::Error) -> Self {
        use rusqlite::Error::{FromSqlConversionFailure, InvalidColumnType, SqlInputError, Utf8Error};
        use rusqlite::ErrorCode::{DatabaseCorrupt, DiskFull, NotADatabase};
        // Every question here is put by this program: a column that is not there, or holds something else, was there.
        let is_strange = matches!(
            source,
            FromSqlConversionFailure(..) | InvalidColumnType(..) | SqlInputError { .. } | Utf8Error(..)
        );
        if is_strange {
            return Self::damaged(path, Place::File, source.to_string());
        }
        match source.sqlite_error_code() {
            Some(DatabaseCorrupt | NotADatabase) => Self::damaged(path, Place::File, source.to_string()),
            Some(DiskFull) => Self::DiskFull { path: path.to_owned() },
            // The file of the write-ahead log's index could not grow: for want of space, unless the disk is failing.
            _ if source.sqlite_error().is_some_and(|error| error.extended_code == SHARED_FILE_SIZE) => {
                Self::DiskFull { path: path.to_owned() }
            }
            _ => Self::Store { path: path.to_owned(), doing, source },
        }
    }

    /// Names a failed file operation.
    pub(super) fn file(path: &Path, doing: &'static str, source: std::io::Error) -> Self {
        Self::File { path: path.to_owned(), doing, source }
    }
}
