//! Rows ↔ events, texts, checkpoints, with the checksum of each verified at every read.
//! Every way of reading a journal goes through here, so nothing damaged is ever read as data.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Params, Row};

use super::pack::{self, Packer, Stored as Body, Unpacker};
use super::{EventSeq, EventVisit, JournalError, Place, Text};
use crate::base::{CaseNo, Digest, Hasher, Timestamp};
use crate::event::{DecodeError, Event, Recorded, Snapshot};

/// Rows read at a time: a reader holds the file's snapshot only while it fills a page, never while its caller
/// thinks, so the writer can fold the write-ahead log.
pub(super) const PAGE: usize = 512;

/// The columns that [`Stored`] is read from.
pub(super) const COLUMNS: &str = "seq, at, kind, case_no, body, sum";

/// An open file and its path, for messages.
pub(super) struct Store<'a> {
    pub(super) connection: &'a Connection,
    pub(super) path: &'a Path,
    pub(super) unpacker: &'a RefCell<Unpacker>,
}

/// How far one go of reading has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPage {
    /// The last event read.
    pub last: EventSeq,
    /// There may be more.
    pub has_more: bool,
}

/// A row of `events`, as stored.
pub(super) struct Stored {
    pub(super) seq: EventSeq,
    at: Timestamp,
    kind: String,
    case: Option<u64>,
    body: String,
    sum: i64,
}

fn event_sum(seq: EventSeq, at: Timestamp, kind: &str, body: &str) -> i64 {
    let fields = Hasher::new("event").number(seq.0).number(at.0.cast_unsigned());
    fields.field(kind.as_bytes()).field(body.as_bytes()).finish().low_bits().cast_signed()
}

fn checkpoint_sum(seq: EventSeq, body: &str) -> i64 {
    Hasher::new("checkpoint").number(seq.0).field(body.as_bytes()).finish().low_bits().cast_signed()
}

/// Returns how the owner of a text is written.
fn owner(case: Option<CaseNo>) -> i64 {
    case.map_or(RUN, |case| case.0.cast_signed())
}

/// Owns what the run says, or several cases.
const RUN: i64 = -1;
/// Owns the second copy of what all others need.
const SPARE: i64 = -2;

/// Returns whose texts a case may mean, its own first, as most are; damage may spare one of several copies.
fn owners(case: Option<CaseNo>) -> impl Iterator<Item = i64> {
    case.map(|case| owner(Some(case))).into_iter().chain([RUN, SPARE])
}

/// Events that the results of a case are made of.
pub(super) const RESULTS: i64 = 1;
/// Events about the requests of a case.
pub(super) const REQUESTS: i64 = 2;

/// Returns which part of the record an event belongs to: readers want one part of a case without the others.
const fn part(event: &Event) -> i64 {
    match event {
        Event::AttemptStarted(_) | Event::AttemptEnded(_) | Event::WindowTrimmed(_) => REQUESTS,
        Event::CaseAdmitted(_)
        | Event::CellClosing(_)
        | Event::TaskSettled(_)
        | Event::TaskAdopted(_)
        | Event::CaseSettled(_)
        | Event::CaseReopened(_) => RESULTS,
        Event::RunStarted(_)
        | Event::RunResumed(_)
        | Event::RunTuned(_)
        | Event::RunPaused(_)
        | Event::RunUnpaused(_)
        | Event::SourceEnded(_)
        | Event::Evaluated(_)
        | Event::ElementSettled(_)
        | Event::CapacityChanged(_)
        | Event::StopReached(_)
        | Event::RepeatsReached(_)
        | Event::DrainStage(_)
        | Event::RunEnded(_)
        | Event::RunFailed(_) => 0,
    }
}

impl Stored {
    /// Takes a row of [`COLUMNS`] apart; a column of the wrong type is damage of that event.
    fn read(row: &Row<'_>, path: &Path) -> Result<Self, JournalError> {
        let read = |source| JournalError::store(path, "read", source);
        let seq = EventSeq(row.get::<_, i64>(0).map_err(read)?.cast_unsigned());
        let odd = |source: rusqlite::Error| JournalError::damaged(path, Place::Event(seq), source.to_string());
        Ok(Self {
            seq,
            at: Timestamp(row.get(1).map_err(odd)?),
            kind: row.get(2).map_err(odd)?,
            case: row.get::<_, Option<i64>>(3).map_err(odd)?.map(i64::cast_unsigned),
            body: row.get(4).map_err(odd)?,
            sum: row.get(5).map_err(odd)?,
        })
    }

    /// Verifies the row and reads the event in it.
    pub(super) fn decode(self, path: &Path) -> Result<Recorded, JournalError> {
        let damaged = |what: String| JournalError::damaged(path, Place::Event(self.seq), what);
        if event_sum(self.seq, self.at, &self.kind, &self.body) != self.sum {
            return Err(damaged("its checksum does not fit its content".to_owned()));
        }
        let event = Event::decode(&self.kind, &self.body).map_err(|error| match &error {
            DecodeError::UnknownKind(_) => damaged(error.to_string()),
            DecodeError::Body { source, .. } => damaged(format!("{error}: {source}")),
        })?;
        if event.case().map(|case| case.0) != self.case {
            return Err(damaged("its column case_no does not fit its content".to_owned()));
        }
        Ok(Recorded { at: self.at, event })
    }
}

impl Store<'_> {
    fn failed(&self, doing: &'static str) -> impl Fn(rusqlite::Error) -> JournalError {
        let path = self.path;
        move |source| JournalError::store(path, doing, source)
    }

    /// Writes one event. Inside a transaction of the caller.
    pub(super) fn insert_event(&self, seq: EventSeq, recorded: &Recorded) -> Result<(), JournalError> {
        let (kind, body) = (recorded.event.kind(), recorded.event.encode());
        let sum = event_sum(seq, recorded.at, kind, &body);
        let case = recorded.event.case().map(|case| case.0.cast_signed());
        self.execute(
            "insert into events (seq, at, kind, part, case_no, body, sum) values (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            (seq.0.cast_signed(), recorded.at.0, kind, part(&recorded.event), case, body, sum),
        )
    }

    /// Writes one text unless it is there, a long one packed. Inside a transaction of the caller.
    pub(super) fn insert_text(
        &self,
        case: Option<CaseNo>,
        text: &Text,
        packer: &mut Packer,
    ) -> Result<(), JournalError> {
        debug_assert_eq!(text.digest, Digest::of(text.body.as_bytes()), "bug: a text under another's digest");
        let body = packer.pack(text, case);
        if let Some(sample) = packer.take_sample() {
            for owner in [RUN, SPARE] {
                self.insert_body(owner, &sample.digest, pack::packed_alone(&sample.body), &sample.body)?;
            }
        }
        self.insert_body(owner(case), &text.digest, body, &text.body)
    }

    fn insert_body(
        &self,
        owner: i64,
        digest: &Digest,
        packed: Option<Vec<u8>>,
        plain: &str,
    ) -> Result<(), JournalError> {
        let statement =
            "insert into texts (case_no, digest, body) values (?1, ?2, ?3) on conflict (case_no, digest) do nothing";
        match packed {
            Some(packed) => self.execute(statement, (owner, digest.as_bytes(), packed)),
            None => self.execute(statement, (owner, digest.as_bytes(), plain)),
        }
    }

    /// Writes a checkpoint and forgets all but the one before it. Inside a transaction of the caller.
    pub(super) fn insert_checkpoint(&self, seq: EventSeq, snapshot: &Snapshot) -> Result<(), JournalError> {
        let body = serde_json::to_string(snapshot).expect("a snapshot has text keys and finite numbers only");
        self.execute(
            "delete from checkpoints where seq < (select max(seq) from checkpoints where seq < ?1)",
            [seq.0.cast_signed()],
        )?;
        self.execute(
            "insert into checkpoints (seq, body, sum) values (?1, ?2, ?3)
             on conflict (seq) do update set body = excluded.body, sum = excluded.sum",
            (seq.0.cast_signed(), &body, checkpoint_sum(seq, &body)),
        )
    }

    fn execute(&self, statement: &'static str, values: impl Params) -> Result<(), JournalError> {
        let failed = self.failed("write");
        self.connection.prepare_cached(statement).map_err(&failed)?.execute(values).map_err(&failed)?;
        Ok(())
    }

    /// Reads rows of [`COLUMNS`].
    pub(super) fn page(&self, query: &str, values: impl Params) -> Result<Vec<Stored>, JournalError> {
        let failed = self.failed("read");
        let mut statement = self.connection.prepare_cached(query).map_err(&failed)?;
        let mut rows = statement.query(values).map_err(&failed)?;
        let mut page = Vec::new();
        while let Some(row) = rows.next().map_err(&failed)? {
            page.push(Stored::read(row, self.path)?);
        }
        Ok(page)
    }

    /// See [`super::EventLog::events_after`].
    pub(super) fn events_after(&self, seq: EventSeq, visit: &mut EventVisit<'_>) -> Result<(), JournalError> {
        let mut page = EventPage { last: seq, has_more: true };
        while page.has_more {
            page = self.page_after(page.last, visit)?;
        }
        Ok(())
    }

    /// Calls `visit` for so many events after `seq` as are read in one go.
    pub(super) fn page_after(&self, seq: EventSeq, visit: &mut EventVisit<'_>) -> Result<EventPage, JournalError> {
        let query = format!("select {COLUMNS} from events where seq > ?1 order by seq limit {PAGE}");
        let page = self.page(&query, [seq.0.cast_signed()])?;
        let has_more = page.len() == PAGE;
        let mut last = seq;
        for stored in page {
            let expected = last.next();
            if stored.seq != expected {
                let what = format!("it is not there, event {} is", stored.seq);
                return Err(JournalError::damaged(self.path, Place::Event(expected), what));
            }
            last = expected;
            visit(expected, stored.decode(self.path)?)?;
        }
        Ok(EventPage { last, has_more })
    }

    /// Returns the newest event.
    pub(super) fn last_event(&self) -> Result<Option<(EventSeq, Recorded)>, JournalError> {
        let query = format!("select {COLUMNS} from events order by seq desc limit 1");
        let newest = self.page(&query, [])?.pop();
        newest.map(|stored| Ok((stored.seq, stored.decode(self.path)?))).transpose()
    }

    /// Returns the number of the newest event and of the newest checkpoint, 0 for none.
    pub(super) fn ends(&self) -> Result<(EventSeq, EventSeq), JournalError> {
        let query =
            "select (select coalesce(max(seq), 0) from events), (select coalesce(max(seq), 0) from checkpoints)";
        let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
        let (event, checkpoint) = self.connection.query_row(query, [], read).map_err(self.failed("read"))?;
        Ok((EventSeq(event.cast_unsigned()), EventSeq(checkpoint.cast_unsigned())))
    }

    /// See [`super::EventLog::latest_checkpoint`].
    pub(super) fn latest_checkpoint(&self) -> Result<Option<(EventSeq, Snapshot)>, JournalError> {
        let failed = self.failed("read");
        let query = "select seq, body, sum from checkpoints order by seq desc limit 1";
        let mut statement = self.connection.prepare_cached(query).map_err(&failed)?;
        let mut rows = statement.query([]).map_err(&failed)?;
        let Some(row) = rows.next().map_err(&failed)? else { return Ok(None) };
        let seq = EventSeq(row.get::<_, i64>(0).map_err(&failed)?.cast_unsigned());
        let damaged = |what: String| JournalError::damaged(self.path, Place::Checkpoint(seq), what);
        let odd = |source: rusqlite::Error| damaged(source.to_string());
        let (body, sum): (String, i64) = (row.get(1).map_err(odd)?, row.get(2).map_err(odd)?);
        if checkpoint_sum(seq, &body) != sum {
            return Err(damaged("its checksum does not fit its content".to_owned()));
        }
        let snapshot = serde_json::from_str(&body).map_err(|error| damaged(format!("it cannot be read: {error}")))?;
        Ok(Some((seq, snapshot)))
    }

    /// See [`super::EventLog::text`].
    pub(super) fn text(&self, case: Option<CaseNo>, digest: &Digest) -> Result<Option<Arc<str>>, JournalError> {
        let damaged = |what: &str| JournalError::damaged(self.path, Place::Text(*digest), what);
        let mut found = Ok(None);
        for owner in owners(case) {
            let Some(body) = self.body(owner, digest)? else { continue };
            found = match self.unpacked(case, body)? {
                Ok(body) if Digest::of(body.as_bytes()) == *digest => return Ok(Some(body)),
                Ok(_) => Err(damaged("it is not the text that its digest names")),
                Err(why) => Err(damaged(why)),
            };
        }
        found
    }

    /// Unpacks a body of a case, or says what is wrong with it.
    pub(super) fn unpacked(
        &self,
        case: Option<CaseNo>,
        body: Body,
    ) -> Result<Result<Arc<str>, &'static str>, JournalError> {
        match body {
            Body::Plain(body) => Ok(Ok(body)),
            Body::Packed(body) => {
                let mut stored = |digest: &Digest| self.bodies(case, digest);
                let unpacked = self.unpacker.borrow_mut().unpack(&body, &mut stored)?;
                Ok(unpacked.map(Arc::from))
            }
        }
    }

    /// Returns the body under a digest, as it is stored, of one owner.
    fn body(&self, owner: i64, digest: &Digest) -> Result<Option<Body>, JournalError> {
        let failed = self.failed("read");
        let query = "select body from texts where case_no = ?1 and digest = ?2";
        let mut statement = self.connection.prepare_cached(query).map_err(&failed)?;
        let mut rows = statement.query((owner, digest.as_bytes())).map_err(&failed)?;
        let Some(row) = rows.next().map_err(&failed)? else { return Ok(None) };
        let damaged =
            |error: rusqlite::Error| JournalError::damaged(self.path, Place::Text(*digest), error.to_string());
        Body::read(row, 0).map(Some).map_err(damaged)
    }

    /// Returns the bodies under a digest, as they are stored, that a case may mean.
    fn bodies(&self, case: Option<CaseNo>, digest: &Digest) -> Result<Vec<Body>, JournalError> {
        owners(case).filter_map(|owner| self.body(owner, digest).transpose()).collect()
    }
}

impl Body {
    /// Reads a column of bodies.
    pub(super) fn read(row: &Row<'_>, column: usize) -> rusqlite::Result<Self> {
        match row.get_ref(column)? {
            ValueRef::Blob(packed) => Ok(Self::Packed(packed.to_owned())),
            _ => row.get(column).map(Self::Plain),
        }
    }
}
