//! Reads what can be read of a damaged journal, and looks a whole one through.
//! Never: decisions about what follows from a loss; those are made where the fold is known.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use super::pack::{Stored as Body, Unpacker};
use super::records::{COLUMNS, PAGE, Store};
use super::samples::{self, Samples};
use super::{EventSeq, JournalError, Place, Text, layout, schema};
use crate::base::{CaseNo, Digest};
use crate::event::{Recorded, Sampled};

/// Reads in a row that find nothing, after which nothing more is looked for where the end is unknown.
const BARREN: u32 = 40;

/// What stands at a place of a damaged journal.
#[derive(Debug)]
pub enum Found {
    /// An event, as it was written.
    Event(EventSeq, Box<Recorded>),
    /// So many events that cannot be read.
    Lost(u64),
}

/// A journal that may be damaged, open for reading.
pub struct Salvage {
    connection: Connection,
    unpacker: RefCell<Unpacker>,
    path: std::path::PathBuf,
}

impl Salvage {
    /// Opens a journal whatever its state.
    ///
    /// # Errors
    /// There is none, or it is no database any more.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let connection = schema::open_damaged(path)?;
        Ok(Self { connection, unpacker: RefCell::default(), path: path.to_owned() })
    }

    fn store(&self) -> Store<'_> {
        Store { connection: &self.connection, path: &self.path, unpacker: &self.unpacker }
    }

    /// Returns what the store itself finds wrong with the file, or what is laid out otherwise; nothing when it is sound. Cost: a look at every page.
    #[must_use]
    pub fn unsound(&self) -> Vec<String> {
        let read = || -> rusqlite::Result<Vec<String>> {
            let mut statement = self.connection.prepare("pragma integrity_check(20)")?;
            statement.query_map([], |row| row.get(0))?.collect()
        };
        let mut found: Vec<String> = match read() {
            Ok(lines) => lines.into_iter().filter(|line| line != "ok").collect(),
            Err(error) => vec![error.to_string()],
        };
        found.extend(layout::wrong(&self.path));
        found
    }

    /// Returns the number of the newest event; none when the pages that tell are lost.
    fn last(&self) -> Option<u64> {
        let number =
            |query: &str| self.connection.query_row(query, [], |row| row.get::<_, Option<i64>>(0)).ok().flatten();
        let by_table = number("select max(seq) from events not indexed");
        let by_index = || number("select max(seq) from events indexed by events_by_case where part >= 0");
        let by_checkpoint = || number("select max(seq) from checkpoints");
        by_table.or_else(by_index).or_else(by_checkpoint).map(i64::cast_unsigned)
    }

    /// Calls `visit` for everything that stands in the log, in order.
    ///
    /// # Errors
    /// Whatever `visit` returns.
    pub fn events(&self, visit: &mut dyn FnMut(Found) -> Result<(), JournalError>) -> Result<(), JournalError> {
        let known = self.last();
        let last = known.unwrap_or(u64::MAX >> 1);
        let mut barren = 0;
        let page = format!("select {COLUMNS} from events not indexed where seq > ?1 order by seq limit {PAGE}");
        let one = format!("select {COLUMNS} from events not indexed where seq = ?1");
        let mut seen = 0;
        let mut tried = 0;
        while tried < last && barren < BARREN {
            let (rows, through) = if let Ok(rows) = self.store().page(&page, [tried.cast_signed()]) {
                let through = rows.last().map_or(last, |row| row.seq.0);
                (rows, through)
            } else {
                let through = last.min(tried + PAGE as u64);
                let each = (tried + 1..=through).filter_map(|seq| self.store().page(&one, [seq.cast_signed()]).ok());
                (each.flatten().collect(), through)
            };
            barren = if rows.is_empty() { barren + 1 } else { 0 };
            for row in rows {
                let seq = row.seq;
                let Ok(recorded) = row.decode(&self.path) else { continue };
                if seq.0 <= seen {
                    continue;
                }
                if seq.0 > seen + 1 {
                    visit(Found::Lost(seq.0 - seen - 1))?;
                }
                seen = seq.0;
                visit(Found::Event(seq, Box::new(recorded)))?;
            }
            tried = through.max(tried + 1);
        }
        match known {
            Some(last) if seen < last => visit(Found::Lost(last - seen)),
            Some(_) => Ok(()),
            // Nobody knows how many.
            None => visit(Found::Lost(1)),
        }
    }

    /// Calls `visit` for every text that is what its digest names; returns those that are not, and one for each stretch that
    /// cannot be read.
    ///
    /// # Errors
    /// Whatever `visit` returns.
    pub fn texts(&self, visit: &mut dyn FnMut(Text) -> Result<(), JournalError>) -> Result<Vec<Place>, JournalError> {
        let last = self.connection.query_row("select max(id) from texts not indexed", [], |row| row.get(0));
        let last = last.or_else(|_| {
            self.connection.query_row(
                "select max(rowid) from texts indexed by texts_by_case where case_no >= -1",
                [],
                |row| row.get(0),
            )
        });
        let known: Option<Option<i64>> = last.ok();
        let last = known.map_or(i64::MAX >> 1, Option::unwrap_or_default);
        let mut barren = 0;
        let page = "select id, case_no, digest, body from texts not indexed where id > ?1 order by id limit 256";
        let one = "select id, case_no, digest, body from texts not indexed where id = ?1";
        let mut damaged = Vec::new();
        let mut tried = 0;
        while tried < last && barren < BARREN {
            let (rows, through) = if let Ok(rows) = self.text_rows(page, tried) {
                let through = rows.last().map_or(last, |row| row.0);
                (rows, through)
            } else {
                let through = last.min(tried + 256);
                let each = (tried + 1..=through).filter_map(|id| self.text_rows(one, id).ok());
                let rows: Vec<TextRow> = each.flatten().collect();
                if barren == 0 {
                    damaged.push(Place::File);
                }
                (rows, through)
            };
            barren = if rows.is_empty() { barren + 1 } else { 0 };
            for (_, owner, digest, body) in rows {
                let case = u64::try_from(owner).ok().map(CaseNo);
                match (digest, body) {
                    (Some(digest), Some(body)) => match self.store().unpacked(case, body) {
                        Ok(Ok(body)) if Digest::of(body.as_bytes()) == digest => visit(Text { case, digest, body })?,
                        _ => damaged.push(Place::Text(digest)),
                    },
                    (Some(digest), None) => damaged.push(Place::Text(digest)),
                    (None, _) => damaged.push(Place::File),
                }
            }
            tried = through.max(tried + 1);
        }
        Ok(damaged)
    }

    /// Returns what was sampled of graphics devices, as far as it can be read: nothing depends on the rest.
    #[must_use]
    pub fn sampled(&self) -> Vec<Sampled> {
        let devices = samples::devices(&self.connection, &self.path).unwrap_or_default();
        let mut found: Vec<Sampled> = devices.into_iter().map(Sampled::Device).collect();
        let read = samples::visit(&self.connection, &self.path, &Samples::ALL, &mut |sample| {
            found.push(Sampled::Sample(sample));
            Ok(())
        });
        if let Err(error) = read {
            tracing::warn!(%error, "samples of graphics devices are lost");
        }
        found
    }

    /// Finds a text of a case or of the run.
    ///
    /// # Errors
    /// Damage, or trouble of the store.
    pub fn text(&self, case: Option<CaseNo>, digest: &Digest) -> Result<Option<Arc<str>>, JournalError> {
        self.store().text(case, digest)
    }

    /// Returns the checkpoints that are not as they were written, or stand after an event that is not there.
    #[must_use]
    pub fn checkpoints(&self, last: EventSeq) -> Vec<(EventSeq, String)> {
        match self.store().latest_checkpoint() {
            Ok(Some((seq, _))) if seq > last => vec![(seq, format!("the last event is {last}"))],
            Ok(_) => Vec::new(),
            Err(error) => vec![(last, error.to_string())],
        }
    }

    fn text_rows(&self, query: &str, from: i64) -> rusqlite::Result<Vec<TextRow>> {
        let mut statement = self.connection.prepare_cached(query)?;
        let rows = statement.query_map([from], |row| {
            let digest =
                row.get::<_, Vec<u8>>(2).ok().and_then(|bytes| Some(Digest::from_bytes(bytes.try_into().ok()?)));
            let body = Body::read(row, 3).ok();
            Ok((row.get(0)?, row.get(1).unwrap_or(-1), digest, body))
        })?;
        rows.collect()
    }
}

/// Id, owner, digest and body.
type TextRow = (i64, i64, Option<Digest>, Option<Body>);
