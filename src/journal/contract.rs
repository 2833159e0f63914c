//! What every implementation of [`EventLog`] does alike, run for each.

use std::path::PathBuf;
use std::sync::Arc;

use super::tests::{admitted, batch, events_of, snapshot, started};
use super::*;
use crate::event::Event;

/// An implementation, with what a crash leaves of it.
trait Subject: EventLog {
    /// Returns the log as the next process would find it if this one died now.
    fn after_a_crash(&self) -> Box<dyn Subject>;
}

impl Subject for Memory {
    fn after_a_crash(&self) -> Box<dyn Subject> {
        Box::new(self.clone())
    }
}

/// A file with the folder that it lies in.
struct OnDisk {
    folder: Arc<tempfile::TempDir>,
    name: String,
    log: Sqlite,
}

impl OnDisk {
    fn new(durability: Durability) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let name = "journal".to_owned();
        let log = Sqlite::create(&folder.path().join(&name), durability).unwrap();
        Self { folder, name, log }
    }

    fn file(&self, suffix: &str) -> PathBuf {
        self.folder.path().join(format!("{}{suffix}", self.name))
    }
}

impl Subject for OnDisk {
    /// Copies the files under the open connection: nothing is flushed or folded for it.
    fn after_a_crash(&self) -> Box<dyn Subject> {
        let name = format!("{}+", self.name);
        for suffix in ["", "-wal"] {
            std::fs::copy(self.file(suffix), self.folder.path().join(format!("{name}{suffix}"))).unwrap();
        }
        let log = Sqlite::open(&self.folder.path().join(&name), Durability::Power).unwrap();
        Box::new(Self { folder: Arc::clone(&self.folder), name, log })
    }
}

impl EventLog for OnDisk {
    fn append(&mut self, batches: &[Batch]) -> Result<EventSeq, JournalError> {
        self.log.append(batches)
    }
    fn add_samples(&mut self, sampled: Vec<crate::event::Sampled>) {
        self.log.add_samples(sampled);
    }
    fn last_seq(&self) -> EventSeq {
        self.log.last_seq()
    }
    fn events_after(&self, seq: EventSeq, visit: &mut EventVisit<'_>) -> Result<(), JournalError> {
        self.log.events_after(seq, visit)
    }
    fn latest_checkpoint(&self) -> Result<Option<(EventSeq, Snapshot)>, JournalError> {
        self.log.latest_checkpoint()
    }
    fn text(&self, case: Option<CaseNo>, digest: &Digest) -> Result<Option<Arc<str>>, JournalError> {
        self.log.text(case, digest)
    }
    fn finish(&mut self) -> Result<(), JournalError> {
        self.log.finish()
    }
}

fn check(test: impl Fn(Box<dyn Subject>)) {
    test(Box::new(Memory::new()));
    test(Box::new(OnDisk::new(Durability::Power)));
    test(Box::new(OnDisk::new(Durability::Process)));
}

#[test]
fn an_empty_log_has_nothing() {
    check(|mut log| {
        assert_eq!(log.last_seq(), EventSeq(0));
        assert_eq!(log.append(&[]).unwrap(), EventSeq(0));
        assert_eq!(events_of(&*log, EventSeq(0)), []);
        assert_eq!(log.latest_checkpoint().unwrap(), None);
        assert_eq!(log.text(None, &Digest::of(b"")).unwrap(), None);
        log.finish().unwrap();
    });
}

#[test]
fn events_are_numbered_without_gaps() {
    check(|mut log| {
        assert_eq!(log.append(&[batch([started()]), batch([admitted(0), admitted(1)])]).unwrap(), EventSeq(3));
        assert_eq!(log.append(&[Batch::default()]).unwrap(), EventSeq(3));
        assert_eq!(log.append(&[batch([admitted(2)])]).unwrap(), EventSeq(4));
        let all = [started(), admitted(0), admitted(1), admitted(2)];
        for (seq, after) in [(0, &all[..]), (1, &all[1..]), (3, &all[3..]), (4, &[]), (5, &[])] {
            assert_eq!(events_of(&*log, EventSeq(seq)), after);
        }
    });
}

#[test]
fn long_logs_are_read_whole() {
    check(|mut log| {
        let all: Vec<_> = (0..1_500).map(admitted).collect();
        log.append(&[batch(all.clone())]).unwrap();
        assert_eq!(events_of(&*log, EventSeq(0)), all);
        assert_eq!(events_of(&*log, EventSeq(511)), all[511..]);
    });
}

#[test]
fn a_checkpoint_stands_after_its_batch() {
    check(|mut log| {
        let first = Batch { checkpoint: Some(snapshot(1)), ..batch([started(), admitted(0)]) };
        log.append(&[first, batch([admitted(1)])]).unwrap();
        assert_eq!(log.latest_checkpoint().unwrap(), Some((EventSeq(2), snapshot(1))));
        for admitted in 2..5 {
            log.append(&[Batch { checkpoint: Some(snapshot(admitted)), ..Batch::default() }]).unwrap();
            assert_eq!(log.latest_checkpoint().unwrap(), Some((EventSeq(3), snapshot(admitted))));
        }
        for case in 2..5 {
            log.append(&[Batch { checkpoint: Some(snapshot(case)), ..batch([admitted(case)]) }]).unwrap();
            assert_eq!(log.latest_checkpoint().unwrap(), Some((EventSeq(case + 2), snapshot(case))));
        }
    });
}

#[test]
fn a_text_is_stored_once() {
    check(|mut log| {
        let texts = ["", "a", "\u{0}nul and \u{1F98A}", "a"].map(Text::of);
        log.append(&[Batch { texts: texts.to_vec(), ..Batch::default() }]).unwrap();
        log.append(&[Batch { texts: texts.to_vec(), ..batch([started()]) }]).unwrap();
        for text in &texts {
            assert_eq!(log.text(None, &text.digest).unwrap().as_ref(), Some(&text.body));
        }
        assert_eq!(log.text(None, &Digest::of(b"b")).unwrap(), None);
    });
}

#[test]
fn a_text_is_its_cases_or_the_runs() {
    check(|mut log| {
        let (one, two) = (Some(CaseNo(1)), Some(CaseNo(2)));
        let own = Text::of("own").in_case(CaseNo(1));
        let both = [Text::of("both").in_case(CaseNo(1)), Text::of("both").in_case(CaseNo(2))];
        let all = Text::of("all");
        let texts = vec![own.clone(), both[0].clone(), all.clone(), both[1].clone(), own.clone()];
        log.append(&[Batch { texts, ..Batch::default() }]).unwrap();
        let found = |case, text: &Text| log.text(case, &text.digest).unwrap().is_some();
        assert_eq!([found(one, &own), found(two, &own), found(None, &own)], [true, false, false]);
        assert_eq!([found(one, &both[0]), found(two, &both[0])], [true, true]);
        assert_eq!([found(one, &all), found(two, &all), found(None, &all)], [true, true, true]);
    });
}

#[test]
fn reading_ends_where_its_caller_says() {
    check(|mut log| {
        log.append(&[batch([started(), admitted(0), admitted(1)])]).unwrap();
        let mut seen = 0;
        let given_up = log.events_after(EventSeq(0), &mut |seq, _event| {
            seen = seq.0;
            if seq == EventSeq(2) { Err(JournalError::Visitor("enough".into())) } else { Ok(()) }
        });
        assert!(matches!(given_up, Err(JournalError::Visitor(_))));
        assert_eq!(seen, 2);
    });
}

#[test]
fn every_prefix_is_a_log() {
    check(|mut log| {
        let mut all = Vec::new();
        for case in 0..12 {
            let row = Text::of(super::tests::row(case));
            let checkpoint = (case % 3 == 0).then(|| snapshot(case));
            log.append(&[Batch { events: [admitted(case)].into(), texts: vec![row.clone()], checkpoint }]).unwrap();
            all.push(admitted(case));

            let mut prefix = log.after_a_crash();
            assert_eq!(events_of(&*prefix, EventSeq(0)), all);
            assert_eq!(
                prefix.latest_checkpoint().unwrap(),
                Some((EventSeq(case / 3 * 3 + 1), snapshot(case / 3 * 3)))
            );
            assert_eq!(prefix.text(None, &row.digest).unwrap(), Some(row.body));
            assert_eq!(prefix.append(&[batch([started()])]).unwrap(), EventSeq(case + 2));
            assert!(matches!(events_of(&*prefix, EventSeq(case + 1))[0].event, Event::RunStarted(_)));
        }
    });
}

#[test]
fn a_cut_memory_is_what_it_was() {
    let (mut log, mut steps) = (Memory::new(), vec![(EventSeq(0), Memory::new())]);
    for case in 0..5 {
        let checkpoint = (case % 2 == 0).then(|| snapshot(case));
        let last = log.append(&[Batch { checkpoint, ..batch([admitted(case)]) }]).unwrap();
        steps.push((last, log.clone()));
    }
    for (seq, then) in steps {
        let cut = log.cut_after(seq);
        assert_eq!(cut.events(), then.events());
        assert!(cut.checkpoints().eq(then.checkpoints()));
    }
}
