//! The writer thread: groups, acknowledgements, failure; and readers beside it.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use super::{admitted, batch, events_of, started};
use crate::base::{CaseNo, Digest};
use crate::event::Snapshot;
use crate::journal::{
    Batch, Committed, Durability, EventLog, EventSeq, EventVisit, JournalError, Memory, Reader, Sqlite, Writer,
};

/// A log that waits for leave before each append, and fails or panics when told to.
struct Gated {
    log: Arc<Mutex<Memory>>,
    began: SyncSender<usize>,
    leave: Receiver<Leave>,
}

#[derive(Clone, Copy)]
enum Leave {
    Append,
    Fail,
    Panic,
}

impl EventLog for Gated {
    fn append(&mut self, batches: &[Batch]) -> Result<EventSeq, JournalError> {
        self.began.send(batches.len()).unwrap();
        match self.leave.recv().unwrap() {
            Leave::Append => self.log.lock().unwrap().append(batches),
            Leave::Fail => Err(JournalError::DiskFull { path: "journal.db".into() }),
            Leave::Panic => panic!("bug: on purpose"),
        }
    }
    fn add_samples(&mut self, sampled: Vec<crate::event::Sampled>) {
        self.log.lock().unwrap().add_samples(sampled);
    }
    fn last_seq(&self) -> EventSeq {
        self.log.lock().unwrap().last_seq()
    }
    fn events_after(&self, seq: EventSeq, visit: &mut EventVisit<'_>) -> Result<(), JournalError> {
        self.log.lock().unwrap().events_after(seq, visit)
    }
    fn latest_checkpoint(&self) -> Result<Option<(EventSeq, Snapshot)>, JournalError> {
        self.log.lock().unwrap().latest_checkpoint()
    }
    fn text(&self, case: Option<CaseNo>, digest: &Digest) -> Result<Option<Arc<str>>, JournalError> {
        self.log.lock().unwrap().text(case, digest)
    }
    fn finish(&mut self) -> Result<(), JournalError> {
        Ok(())
    }
}

struct Scene {
    writer: Writer,
    log: Arc<Mutex<Memory>>,
    began: Receiver<usize>,
    leave: SyncSender<Leave>,
    committed: Receiver<Committed>,
}

fn scene() -> Scene {
    let log = Arc::new(Mutex::new(Memory::new()));
    let (say_began, began) = sync_channel(100);
    let (leave, wait_for_leave) = sync_channel(100);
    let (tell, committed) = sync_channel(100);
    let gated = Gated { log: Arc::clone(&log), began: say_began, leave: wait_for_leave };
    let on_commit = move |news| tell.send(news).unwrap();
    let writer = Writer::start(Box::new(gated), Box::new(on_commit)).unwrap();
    Scene { writer, log, began, leave, committed }
}

fn told(committed: &Receiver<Committed>) -> (u64, u64, Result<(), String>) {
    let Committed { through, last, result } = committed.recv().unwrap();
    (through, last.0, result.map_err(|error| error.to_string()))
}

#[test]
fn what_queues_during_a_commit_is_the_next_one() {
    let scene = scene();
    assert_eq!(scene.writer.submit(batch([started()])), 1);
    assert_eq!(scene.began.recv().unwrap(), 1);
    // The first commit is under way; submitting does not wait for it.
    for case in 0..50 {
        assert_eq!(scene.writer.submit(batch([admitted(case)])), case + 2);
    }
    scene.leave.send(Leave::Append).unwrap();
    assert_eq!(told(&scene.committed), (1, 1, Ok(())));
    assert_eq!(scene.began.recv().unwrap(), 50);
    scene.leave.send(Leave::Append).unwrap();
    assert_eq!(told(&scene.committed), (51, 51, Ok(())));
    assert_eq!(scene.writer.commits(), 2);
    scene.writer.close().unwrap();
    let written: Vec<_> = std::iter::once(started()).chain((0..50).map(admitted)).collect();
    assert_eq!(events_of(&*scene.log.lock().unwrap(), EventSeq(0)), written);
}

#[test]
fn closing_commits_what_is_queued() {
    let scene = scene();
    for case in 0..10 {
        scene.writer.submit(batch([admitted(case)]));
    }
    for _group in 0..10 {
        scene.leave.send(Leave::Append).unwrap();
    }
    scene.writer.close().unwrap();
    assert_eq!(scene.log.lock().unwrap().last_seq(), EventSeq(10));
    assert_eq!(scene.committed.iter().last().unwrap().through, 10);
}

#[test]
fn after_a_failed_write_nothing_is_written() {
    let scene = scene();
    scene.writer.submit(batch([started()]));
    scene.leave.send(Leave::Append).unwrap();
    assert_eq!(told(&scene.committed), (1, 1, Ok(())));
    scene.writer.submit(batch([admitted(0)]));
    scene.leave.send(Leave::Fail).unwrap();
    let (through, last, result) = told(&scene.committed);
    assert_eq!((through, last), (2, 1));
    assert!(result.unwrap_err().contains("the disk is full: what was acknowledged is safe"));
    // The log would take these, and is not asked.
    scene.leave.send(Leave::Append).unwrap();
    scene.writer.submit(batch([admitted(1)]));
    let (through, last, result) = told(&scene.committed);
    assert_eq!((through, last, result.is_err()), (3, 1, true));
    assert_eq!(scene.writer.commits(), 1);
    assert!(matches!(scene.writer.close(), Err(JournalError::DiskFull { .. } | JournalError::Stopped)));
    assert_eq!(scene.log.lock().unwrap().last_seq(), EventSeq(1));
}

#[test]
fn a_panic_in_the_log_is_told_and_not_waited_for() {
    let scene = scene();
    scene.leave.send(Leave::Panic).unwrap();
    scene.writer.submit(batch([started()]));
    let (through, last, result) = told(&scene.committed);
    assert_eq!((through, last), (1, 0));
    assert!(result.unwrap_err().contains("on purpose"));
    assert!(scene.writer.close().is_err());
}

#[test]
fn a_file_groups_under_load_while_it_is_read() {
    const BATCHES: u32 = 3_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let log = Sqlite::create(&path, Durability::Power).unwrap();
    let (tell, committed) = sync_channel(BATCHES as usize);
    let writer = Writer::start(Box::new(log), Box::new(move |news| tell.send(news).unwrap())).unwrap();
    for case in 0..u64::from(BATCHES) {
        writer.submit(batch([admitted(case)]));
    }
    // What is acknowledged is there for a reader, at once and on its own connection.
    let reader = Reader::open(&path).unwrap();
    let mut news = 0;
    loop {
        let Committed { through, last, result } = committed.recv().unwrap();
        result.unwrap();
        news += 1;
        assert_eq!(through, last.0);
        assert!(reader.last_event().unwrap().unwrap().0 >= last);
        if through == u64::from(BATCHES) {
            break;
        }
    }
    assert_eq!(writer.commits(), news);
    assert!(news < u64::from(BATCHES / 4), "{news} transactions for {BATCHES} batches");
    drop(writer);
    let wal = folder.path().join("journal.db-wal");
    assert_eq!(wal.metadata().map_or(0, |wal| wal.len()), 0, "closing leaves nothing to recover");
    assert_eq!(reader.case_counts().unwrap().admitted, u64::from(BATCHES));
}
