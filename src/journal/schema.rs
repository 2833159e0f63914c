//! Opens the file: settings, layout, versions.
//! Why these settings: `design/dependencies.md`, section 3.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::sqlite::Durability;
use super::{JournalError, Meta, Place};
use crate::base::Digest;
use crate::event::{FORMAT, OLDEST_FORMAT};

/// What people read in it.
pub(super) const VIEWS: &str = include_str!("views.sql");
/// How they show a body to any tool: a packed one is none of its business.
const PLAIN_TEXT: &str = "iif(typeof(texts.body) = 'text', texts.body, \
                          '(a long text, packed: pipe journal sql, or pipe show)')";
/// Marks the file as ours in its header (`file journal.db` shows it): the letters `pipe`.
const APPLICATION_ID: i32 = 0x7069_7065;
/// Before 3.51.3 two connections that checkpoint and write together can lose a commit.
const OLDEST_STORE: i32 = 3_051_003;
/// Pages in the write-ahead log before they are folded into the file: 32 MB, measured with groups of 4,096.
const FOLD_AFTER_PAGES: i32 = 4_000;
/// Recovery by a reader after a crash holds the file for as long as it reads the write-ahead log.
const PATIENCE: Duration = Duration::from_secs(10);
/// Prepared statements kept per connection: more than this module has.
const STATEMENTS: usize = 32;

/// Opens a new, empty file for writing and lays it out.
///
/// Durable once the first append is: until then the layout stands in the write-ahead log, unsynced, and what a power
/// cut leaves is a run that never began. The file itself is synced here, because a log beside an empty file is thrown
/// away. So a new journal costs one sync, where switching a new file to write-ahead mode and laying it out costs seven.
pub(super) fn create(path: &Path, durability: Durability) -> Result<Connection, JournalError> {
    let connection = connect_to_write(path, "off")?;
    let failed = |source| JournalError::store(path, "lay out", source);
    let transaction = connection.unchecked_transaction().map_err(failed)?;
    transaction.execute_batch(include_str!("schema.sql")).map_err(failed)?;
    transaction.execute_batch(VIEWS).map_err(failed)?;
    let format = FORMAT.to_string();
    let views = views();
    for (key, value) in [("format", format.as_str()), ("version", env!("CARGO_PKG_VERSION")), ("views", &views)] {
        transaction.execute("insert into meta (key, value) values (?1, ?2)", [key, value]).map_err(failed)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
    transaction.commit().map_err(failed)?;
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|source| JournalError::file(path, "sync", source))?;
    connection.pragma_update(None, "synchronous", durability.synchronous()).map_err(failed)?;
    Ok(connection)
}

/// Opens an existing file for writing.
pub(super) fn open(path: &Path, durability: Durability) -> Result<Connection, JournalError> {
    // Looked at before the first setting is written: a file that is not ours is left as it is.
    let (_, meta) = open_to_read(path)?;
    let connection = connect_to_write(path, durability.synchronous())?;
    renew_views(&connection, path)?;
    if meta.format < FORMAT {
        raise_format(&connection, path)?;
    }
    Ok(connection)
}

/// Records that this version writes from here on, so that an older one refuses the file instead of misreading it.
fn raise_format(connection: &Connection, path: &Path) -> Result<(), JournalError> {
    let failed = |source| JournalError::store(path, "raise the format of", source);
    let transaction = connection.unchecked_transaction().map_err(failed)?;
    for (key, value) in [("format", FORMAT.to_string()), ("version", env!("CARGO_PKG_VERSION").to_owned())] {
        transaction.execute("update meta set value = ?2 where key = ?1", [key, value.as_str()]).map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}

/// Names the views of this version.
pub(super) fn views() -> String {
    Digest::of(VIEWS.as_bytes()).to_string()
}

/// Returns the views for a connection that has the function `pipe_text`: they hide those of the file.
pub(super) fn views_with_texts() -> String {
    VIEWS.replace("create view ", "create temp view ").replace(PLAIN_TEXT, "pipe_text(texts.case_no, texts.body)")
}

/// Makes the views again where another version made them: what they show follows from events alone.
fn renew_views(connection: &Connection, path: &Path) -> Result<(), JournalError> {
    let failed = |source| JournalError::store(path, "renew the views of", source);
    let made: Option<String> = connection
        .query_row("select value from meta where key = 'views'", [], |row| row.get(0))
        .optional()
        .map_err(failed)?;
    if made.as_deref() == Some(views().as_str()) {
        return Ok(());
    }
    let transaction = connection.unchecked_transaction().map_err(failed)?;
    for view in VIEWS.lines().filter_map(|line| line.strip_prefix("create view ")?.strip_suffix(" as")) {
        transaction.execute_batch(&format!("drop view if exists {view}")).map_err(failed)?;
    }
    transaction.execute_batch(VIEWS).map_err(failed)?;
    let remember = "insert into meta (key, value) values ('views', ?1)
                    on conflict (key) do update set value = excluded.value";
    transaction.execute(remember, [views()]).map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// Opens an existing file for reading only, beside a writer or not.
pub(super) fn open_to_read(path: &Path) -> Result<(Connection, Meta), JournalError> {
    if !path.exists() {
        return Err(JournalError::Missing { path: path.to_owned() });
    }
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let meta = read_meta(&connection, path)?;
    Ok((connection, meta))
}

/// Opens a file for reading what can be read of it: no version is asked for, and pages that the header speaks of may be
/// missing.
pub(super) fn open_damaged(path: &Path) -> Result<Connection, JournalError> {
    if !path.exists() {
        return Err(JournalError::Missing { path: path.to_owned() });
    }
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let failed = |source| JournalError::store(path, "read", source);
    // Without it the store refuses a file that was cut.
    connection.pragma_update(None, "writable_schema", true).map_err(failed)?;
    connection.query_row("select count(*) from sqlite_schema", [], |_| Ok(())).map_err(failed)?;
    Ok(connection)
}

fn connect_to_write(path: &Path, synchronous: &str) -> Result<Connection, JournalError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let failed = |source| JournalError::store(path, "open", source);
    connection.pragma_update(None, "page_size", 8192).map_err(failed)?;
    connection.pragma_update(None, "synchronous", synchronous).map_err(failed)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0)).map_err(failed)?;
    if mode != "wal" {
        return Err(JournalError::NoWriteAheadLog { path: path.to_owned(), mode });
    }
    connection.pragma_update(None, "wal_autocheckpoint", FOLD_AFTER_PAGES).map_err(failed)?;
    connection.pragma_update(None, "cache_size", -64_000).map_err(failed)?;
    Ok(connection)
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, JournalError> {
    if rusqlite::version_number() < OLDEST_STORE {
        return Err(JournalError::OldStore { found: rusqlite::version() });
    }
    let failed = |source| JournalError::store(path, "open", source);
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(failed)?;
    connection.busy_timeout(PATIENCE).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // A failed read of a mapped page is a signal, not an error.
    connection.pragma_update(None, "mmap_size", 0).map_err(failed)?;
    Ok(connection)
}

/// Reads the table `meta` and refuses what cannot be read further.
fn read_meta(connection: &Connection, path: &Path) -> Result<Meta, JournalError> {
    let failed = |source| JournalError::store(path, "read", source);
    let tables: i64 =
        connection.query_row("select count(*) from sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    if tables == 0 {
        return Err(JournalError::Unbegun { path: path.to_owned() });
    }
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(failed)?;
    if application != APPLICATION_ID {
        return Err(JournalError::Foreign { path: path.to_owned() });
    }
    let value_of = |key: &str| -> Result<String, JournalError> {
        connection
            .query_row("select value from meta where key = ?1", [key], |row| row.get(0))
            .optional()
            .map_err(failed)?
            .ok_or_else(|| JournalError::damaged(path, Place::Meta, format!("there is no {key:?}")))
    };
    let version = value_of("version")?;
    let written = value_of("format")?;
    let format = written
        .parse()
        .map_err(|_| JournalError::damaged(path, Place::Meta, format!("the format {written:?} is no number")))?;
    if format > FORMAT {
        let path = path.to_owned();
        return Err(JournalError::NewerFormat { path, format, written_by: version, supported: FORMAT });
    }
    if format < OLDEST_FORMAT {
        return Err(JournalError::OlderFormat { path: path.to_owned(), format, written_by: version });
    }
    Ok(Meta { format, version })
}
