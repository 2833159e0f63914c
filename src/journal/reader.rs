//! Reads a journal beside its writer, on a connection of its own that cannot write.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

use super::pack::{Stored as Body, Unpacker};
use super::records::{COLUMNS, EventPage, PAGE, REQUESTS, RESULTS, Store};
use super::samples::{self, SampleVisit, Samples};
use super::{EventSeq, EventVisit, JournalError, Place, schema};
use crate::base::{CaseNo, Digest, ItemId, RunId, StepName, Timestamp};
use crate::event::{
    AttemptEnded, AttemptStarted, BackendResolved, CaseAdmitted, CaseCounts, CaseSettled, Counted, Event, GpuDevice,
    Recorded, RunResumed, RunStarted, RunTuned, Snapshot, TaskAdopted, TaskSettled,
};

/// What the file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The version of layout and bodies, at most [`crate::event::FORMAT`].
    pub format: u32,
    /// The version of `pipe` that began the run.
    pub version: String,
}

/// One case, as far as it has come: what a row of the results is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseRecord {
    /// Which.
    pub admitted: CaseAdmitted,
    /// It is none of the cases: it stands for what is done over all of them.
    pub closing: bool,
    /// Its settled tasks, in the order of settling, adopted ones included.
    pub tasks: Vec<TaskSettled>,
    /// Where those come from that another run has settled.
    pub adopted: Vec<Adoption>,
    /// How it ended; none while it is open.
    pub settled: Option<CaseSettled>,
}

/// Where an adopted task comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adoption {
    /// Its step.
    pub step: StepName,
    /// The run that settled it.
    pub run: RunId,
    /// The case there.
    pub case: CaseNo,
}

/// One request, as far as it has come.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptRecord {
    /// When it was recorded, before it was sent.
    pub started_at: Timestamp,
    /// Which, and to whom.
    pub started: AttemptStarted,
    /// What came of it, and when; none while it is in flight, or when the process died meanwhile.
    pub ended: Option<(Timestamp, AttemptEnded)>,
}

impl CaseRecord {
    const fn new(admitted: CaseAdmitted, closing: bool) -> Self {
        Self { admitted, closing, tasks: Vec::new(), adopted: Vec::new(), settled: None }
    }
}

/// A journal open for reading, while the run is live or after.
///
/// Each call sees what is committed when it is made; calls that stream look again page by page, so a live run
/// may add to what they have not reached yet. Never holds up the writer.
pub struct Reader {
    connection: Connection,
    unpacker: RefCell<Unpacker>,
    path: PathBuf,
    meta: Meta,
}

impl Reader {
    /// Opens a journal.
    ///
    /// # Errors
    /// No journal there, a newer format, damage: each by name.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let (connection, meta) = schema::open_to_read(path)?;
        Ok(Self { connection, unpacker: RefCell::default(), path: path.to_owned(), meta })
    }

    fn store(&self) -> Store<'_> {
        Store { connection: &self.connection, path: &self.path, unpacker: &self.unpacker }
    }

    /// Sees only what is committed now, until [`Self::release`].
    ///
    /// # Errors
    /// Trouble of the store.
    pub fn hold(&self) -> Result<(), JournalError> {
        self.execute("begin", "begin to read")
    }

    /// Sees what is committed later too.
    ///
    /// # Errors
    /// Trouble of the store.
    pub fn release(&self) -> Result<(), JournalError> {
        self.execute("commit", "end reading")
    }

    fn execute(&self, statement: &str, doing: &'static str) -> Result<(), JournalError> {
        self.connection.execute_batch(statement).map_err(|error| JournalError::store(&self.path, doing, error))
    }

    /// Returns what the file says of itself.
    #[must_use]
    pub const fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Returns how the run began, and when.
    ///
    /// # Errors
    /// [`JournalError::Unbegun`] when it has not; damage; trouble of the store.
    pub fn run_started(&self) -> Result<(Timestamp, RunStarted), JournalError> {
        let query = format!("select {COLUMNS} from events where seq = 1");
        let Some(first) = self.store().page(&query, [])?.pop() else {
            return match self.store().ends()? {
                (EventSeq(0), _) => Err(JournalError::Unbegun { path: self.path.clone() }),
                _ => Err(JournalError::damaged(&self.path, Place::Event(EventSeq(1)), "it is not there")),
            };
        };
        match first.decode(&self.path)? {
            Recorded { at, event: Event::RunStarted(started) } => Ok((at, started)),
            Recorded { event, .. } => {
                let what = format!("a run begins with run_started, this is {}", event.kind());
                Err(JournalError::damaged(&self.path, Place::Event(EventSeq(1)), what))
            }
        }
    }

    /// Returns the newest edit of what is outside of the run's identity. Cost: a look at the events about the run.
    ///
    /// # Errors
    /// Damage, or trouble of the store.
    pub fn last_tuned(&self) -> Result<Option<RunTuned>, JournalError> {
        let newest = self.newest("run_tuned")?;
        Ok(newest.and_then(|event| if let Event::RunTuned(tuned) = event { Some(tuned) } else { None }))
    }

    /// Returns the newest event of a kind that is about the run.
    fn newest(&self, kind: &str) -> Result<Option<Event>, JournalError> {
        let query = format!(
            "select {COLUMNS} from events where part = 0 and case_no is null and kind = ?1 order by seq desc limit 1"
        );
        let newest = self.store().page(&query, [kind])?.pop();
        newest.map(|stored| Ok(stored.decode(&self.path)?.event)).transpose()
    }

    /// Returns each process that went on with the run, and when it did. Cost: a look at the events about the run.
    ///
    /// # Errors
    /// Damage, or trouble of the store.
    pub fn resumes(&self) -> Result<Vec<(Timestamp, RunResumed)>, JournalError> {
        let query = format!(
            "select {COLUMNS} from events where part = 0 and case_no is null and kind = 'run_resumed' order by seq"
        );
        let mut resumes = Vec::new();
        for stored in self.store().page(&query, [])? {
            let recorded = stored.decode(&self.path)?;
            if let Event::RunResumed(resumed) = recorded.event {
                resumes.push((recorded.at, resumed));
            }
        }
        Ok(resumes)
    }

    /// Returns the backends as the newest process of the run found them. Cost: a look at the events about the run.
    ///
    /// # Errors
    /// [`JournalError::Unbegun`] when it has not begun; damage; trouble of the store.
    pub fn backends(&self) -> Result<Vec<BackendResolved>, JournalError> {
        match self.newest("run_resumed")? {
            Some(Event::RunResumed(resumed)) => Ok(resumed.backends),
            _ => Ok(self.run_started()?.1.backends),
        }
    }

    /// Returns which cases count: not those after the case where the run, or an item, has seen enough. Cost: a look
    /// at the events about the run.
    ///
    /// # Errors
    /// Damage, or trouble of the store.
    pub fn that_count(&self) -> Result<Counted, JournalError> {
        let query = format!(
            "select {COLUMNS} from events where part = 0 and case_no is null and seq > ?1
             and kind in ('stop_reached', 'repeats_reached') order by seq limit {PAGE}"
        );
        let mut counted = Counted::default();
        let mut after = 0;
        loop {
            let page = self.store().page(&query, [after])?;
            let is_last = page.len() < PAGE;
            for stored in page {
                after = stored.seq.0.cast_signed();
                counted.add(&stored.decode(&self.path)?.event);
            }
            if is_last {
                return Ok(counted);
            }
        }
    }

    /// Calls `visit` for every event after `seq`, in order.
    ///
    /// # Errors
    /// As [`super::EventLog::events_after`].
    pub fn events_after(&self, seq: EventSeq, visit: &mut EventVisit<'_>) -> Result<(), JournalError> {
        self.store().events_after(seq, visit)
    }

    /// Calls `visit` for the next events after `seq`, in order: at most so many as are read in one go, for who has other
    /// things to do in between.
    ///
    /// # Errors
    /// As [`super::EventLog::events_after`].
    pub fn page_after(&self, seq: EventSeq, visit: &mut EventVisit<'_>) -> Result<EventPage, JournalError> {
        self.store().page_after(seq, visit)
    }

    /// Returns the newest event. Cost: one row.
    ///
    /// # Errors
    /// Damage, or trouble of the store.
    pub fn last_event(&self) -> Result<Option<(EventSeq, Recorded)>, JournalError> {
        self.store().last_event()
    }

    /// Returns the newest checkpoint and the number of the event that it stands after.
    ///
    /// # Errors
    /// Damage, or trouble of the store.
    pub fn latest_checkpoint(&self) -> Result<Option<(EventSeq, Snapshot)>, JournalError> {
        self.store().latest_checkpoint()
    }

    /// Returns the graphics devices that were sampled beside the run.
    ///
    /// # Errors
    /// Damage, or trouble of the store.
    pub fn gpu_devices(&self) -> Result<Vec<GpuDevice>, JournalError> {
        samples::devices(&self.connection, &self.path)
    }

    /// Calls `visit` for samples of graphics devices in the order of time, holding no more than a page of them.
    ///
    /// # Errors
    /// Damage, trouble of the store, whatever `visit` returns.
    pub fn gpu_samples(&self, wanted: &Samples, visit: &mut SampleVisit<'_>) -> Result<(), JournalError> {
        samples::visit(&self.connection, &self.path, wanted, visit)
    }

    /// Returns the text with this digest, if it is there, among those of a case and those of the run.
    ///
    /// # Errors
    /// Damage, or trouble of the store.
    pub fn text(&self, case: Option<CaseNo>, digest: &Digest) -> Result<Option<Arc<str>>, JournalError> {
        self.store().text(case, digest)
    }

    /// Returns the text of a packed body, of a case or of the run.
    pub(super) fn unpacked(&self, case: Option<CaseNo>, body: &[u8]) -> Result<Arc<str>, JournalError> {
        let text = self.store().unpacked(case, Body::Packed(body.to_owned()))?;
        text.map_err(|why| JournalError::damaged(&self.path, case.map_or(Place::File, Place::Case), why))
    }

    /// Returns a text of a case without which nothing can be said of it.
    ///
    /// # Errors
    /// It is missing, which is damage: an event names it. Or trouble of the store.
    pub fn needed_text(&self, case: CaseNo, digest: &Digest) -> Result<Arc<str>, JournalError> {
        let missing =
            || JournalError::damaged(&self.path, Place::Text(*digest), "it is missing, and an event names it");
        self.text(Some(case), digest)?.ok_or_else(missing)
    }

    /// Returns how many cases were admitted and how they ended. Cost: the events since the newest checkpoint.
    ///
    /// # Errors
    /// Damage, or trouble of the store.
    pub fn case_counts(&self) -> Result<CaseCounts, JournalError> {
        let (seq, mut counts) = match self.latest_checkpoint()? {
            Some((seq, snapshot)) => (seq, snapshot.cases),
            None => (EventSeq(0), CaseCounts::default()),
        };
        let query = format!(
            "select {COLUMNS} from events where seq > ?1 and kind in ('case_admitted', 'case_settled', 'case_reopened')
             order by seq limit {PAGE}"
        );
        let mut last = seq;
        loop {
            let page = self.store().page(&query, [last.0.cast_signed()])?;
            let is_last_page = page.len() < PAGE;
            for stored in page {
                last = stored.seq;
                let recorded = stored.decode(&self.path)?;
                if matches!(recorded.event, Event::CaseAdmitted(_)) {
                    counts.admitted += 1;
                } else if let Event::CaseReopened(reopened) = &recorded.event {
                    counts.reopen(reopened.was);
                } else if let Event::CaseSettled(settled) = recorded.event
                    // What closes a cell is numbered after all cases, and is none.
                    && settled.case.0 < counts.admitted
                {
                    counts.settle(settled.status);
                }
            }
            if is_last_page {
                return Ok(counts);
            }
        }
    }

    /// Tells whether the process that works on the run, or the last that did, holds calls back. Cost: a look at the
    /// events since the newest checkpoint.
    ///
    /// # Errors
    /// Damage, or trouble of the store.
    pub fn is_paused(&self) -> Result<bool, JournalError> {
        let (seq, mut paused) = match self.latest_checkpoint()? {
            Some((seq, snapshot)) => (seq, snapshot.paused_since.is_some()),
            None => (EventSeq(0), false),
        };
        let query = format!(
            "select {COLUMNS} from events where seq > ?1 and kind in ('run_paused', 'run_unpaused', 'run_resumed')
             order by seq desc limit 1"
        );
        if let Some(stored) = self.store().page(&query, [seq.0.cast_signed()])?.pop() {
            paused = matches!(stored.decode(&self.path)?.event, Event::RunPaused(_));
        }
        Ok(paused)
    }

    /// Calls `visit` for every case from number `from` on, open ones too, in admission order; what is done over all
    /// cases is not among them.
    ///
    /// Holds one page of rows and one case in memory.
    ///
    /// # Errors
    /// Damage, trouble of the store, whatever `visit` returns.
    pub fn cases(
        &self,
        from: CaseNo,
        visit: &mut dyn FnMut(CaseRecord) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let query = format!(
            "select {COLUMNS} from events where part = {RESULTS} and (case_no, seq) > (?1, ?2)
             order by case_no, seq limit {PAGE}"
        );
        let mut open: Option<CaseRecord> = None;
        let mut visit = |record: CaseRecord| if record.closing { Ok(()) } else { visit(record) };
        let mut cursor = (from.0.cast_signed(), 0);
        loop {
            let page = self.store().page(&query, cursor)?;
            let is_last_page = page.len() < PAGE;
            for stored in page {
                let seq = stored.seq;
                let recorded = stored.decode(&self.path)?;
                let case = recorded.event.case().unwrap_or(from);
                cursor = (case.0.cast_signed(), seq.0.cast_signed());
                if open.as_ref().is_some_and(|record| record.admitted.case != case)
                    && let Some(record) = open.take()
                {
                    visit(record)?;
                }
                self.add(&mut open, case, recorded.event)?;
            }
            if is_last_page {
                return open.map_or(Ok(()), visit);
            }
        }
    }

    /// Returns one case, or what closes a cell, as far as it has come; none when no case has that number. Cost: its own rows.
    ///
    /// # Errors
    /// Damage, or trouble of the store.
    pub fn case(&self, case: CaseNo) -> Result<Option<CaseRecord>, JournalError> {
        let query = format!("select {COLUMNS} from events where part = {RESULTS} and case_no = ?1 order by seq");
        let mut record = None;
        for stored in self.store().page(&query, [case.0.cast_signed()])? {
            let recorded = stored.decode(&self.path)?;
            self.add(&mut record, case, recorded.event)?;
        }
        Ok(record)
    }

    /// Returns the numbers of the cases of an item in one of its repeats: one for each cell of a matrix. Cost: a look at
    /// every case.
    ///
    /// # Errors
    /// Damage, or trouble of the store.
    pub fn find_cases(&self, item: &ItemId, repeat: u32) -> Result<Vec<CaseNo>, JournalError> {
        let query = format!(
            "select {COLUMNS} from events where part = {RESULTS} and kind = 'case_admitted'
             and json_extract(body, '$.item') = ?1 and json_extract(body, '$.repeat') = ?2 order by seq"
        );
        let mut cases = Vec::new();
        for stored in self.store().page(&query, (item.as_str(), repeat))? {
            cases.extend(stored.decode(&self.path)?.event.case());
        }
        Ok(cases)
    }

    fn add(&self, open: &mut Option<CaseRecord>, case: CaseNo, event: Event) -> Result<(), JournalError> {
        let damaged = |what: &str| JournalError::damaged(&self.path, Place::Case(case), what);
        match (event, open) {
            (Event::CaseAdmitted(admitted), open @ None) => {
                *open = Some(CaseRecord::new(admitted, false));
            }
            (Event::CellClosing(closing), open @ None) => *open = Some(CaseRecord::new(closing.as_case(), true)),
            (Event::CaseAdmitted(_) | Event::CellClosing(_), Some(_)) => {
                return Err(damaged("it was admitted twice"));
            }
            (_, None) => return Err(damaged("it was never admitted")),
            (Event::TaskSettled(task), Some(record)) => record.tasks.push(task),
            (Event::TaskAdopted(adopted), Some(record)) => {
                let TaskAdopted { from_run: run, from_case: case, task } = adopted;
                record.adopted.push(Adoption { step: task.step.clone(), run, case });
                record.tasks.push(task);
            }
            (Event::CaseSettled(settled), Some(record)) => record.settled = Some(settled),
            (Event::CaseReopened(reopened), Some(record)) => {
                let holds = |step: &StepName| reopened.former.iter().all(|task| task.step != *step);
                record.tasks.retain(|task| holds(&task.step));
                record.adopted.retain(|adoption| holds(&adoption.step));
                record.settled = None;
            }
            (other, Some(_)) => return Err(damaged(&format!("{} is no part of a result", other.kind()))),
        }
        Ok(())
    }

    /// Returns the numbers of the cases in which a task failed at some time, is unscored, or was let off by `on_error`.
    /// Cost: a look at every settled task.
    ///
    /// # Errors
    /// Trouble of the store.
    pub fn cases_amiss(&self) -> Result<Vec<CaseNo>, JournalError> {
        let query = format!(
            "select distinct case_no from events
             where part = {RESULTS} and kind in ('task_settled', 'task_adopted')
             and (json_extract(body, '$.status') in ('failed', 'unscored') or json_extract(body, '$.because') = 'on_error'
                  or json_type(body, '$.output.each') is not null)
             order by case_no"
        );
        let failed = |source| JournalError::store(&self.path, "read", source);
        let mut statement = self.connection.prepare_cached(&query).map_err(failed)?;
        let numbers = statement.query_map([], |row| row.get::<_, i64>(0)).map_err(failed)?;
        numbers.map(|number| number.map(|number| CaseNo(number.cast_unsigned())).map_err(failed)).collect()
    }

    /// Calls `visit` for every event of one case, in order. Cost: its own rows.
    ///
    /// # Errors
    /// Damage, trouble of the store, whatever `visit` returns.
    pub fn events_of(&self, case: CaseNo, visit: &mut EventVisit<'_>) -> Result<(), JournalError> {
        let query = format!("select {COLUMNS} from events where part in (0, 1, 2) and case_no = ?1 order by seq");
        for stored in self.store().page(&query, [case.0.cast_signed()])? {
            let seq = stored.seq;
            visit(seq, stored.decode(&self.path)?)?;
        }
        Ok(())
    }

    /// Returns the requests made for one case, in the order of their start.
    ///
    /// # Errors
    /// Damage, or trouble of the store.
    pub fn attempts_of(&self, case: CaseNo) -> Result<Vec<AttemptRecord>, JournalError> {
        let query = format!("select {COLUMNS} from events where part = {REQUESTS} and case_no = ?1 order by seq");
        let mut attempts: Vec<AttemptRecord> = Vec::new();
        for stored in self.store().page(&query, [case.0.cast_signed()])? {
            let recorded = stored.decode(&self.path)?;
            if let Event::AttemptStarted(started) = recorded.event {
                attempts.push(AttemptRecord { started_at: recorded.at, started, ended: None });
            } else if let Event::AttemptEnded(ended) = recorded.event {
                let begun = attempts.iter_mut().rev().find(|attempt| attempt.started.id == ended.id);
                let Some(attempt) = begun else {
                    let what = format!("attempt {} of {} ended and never began", ended.id.attempt, ended.id.call);
                    return Err(JournalError::damaged(&self.path, Place::Case(case), what));
                };
                attempt.ended = Some((recorded.at, ended));
            }
        }
        Ok(attempts)
    }
}
