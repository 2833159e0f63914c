//! Damage is named, never read as data.

use std::fs;
use std::path::Path;

use expect_test::{Expect, expect};
use rusqlite::Connection;

use super::{admitted, batch, given, snapshot, started};
use crate::event::CaseStatus;
use crate::journal::{Batch, Durability, EventLog, EventSeq, JournalError, Reader, Sqlite, Text};

/// A run of six events, two checkpoints and a text, closed.
fn written(path: &Path) {
    let mut log = Sqlite::create(path, Durability::Process).unwrap();
    let first = Batch { texts: vec![Text::of("hello")], ..batch([started(), admitted(0)]) };
    let second = Batch { checkpoint: Some(snapshot(1)), ..batch([given::task_settled(0, "talk"), admitted(1)]) };
    let third =
        Batch { checkpoint: Some(snapshot(2)), ..batch([given::case_settled(0, CaseStatus::Ok), admitted(2)]) };
    log.append(&[first, second, third]).unwrap();
    log.finish().unwrap();
}

fn read_all(path: &Path) -> Result<(), JournalError> {
    let reader = Reader::open(path)?;
    reader.run_started()?;
    reader.events_after(EventSeq(0), &mut |_seq, _event| Ok(()))?;
    reader.latest_checkpoint()?;
    reader.text(None, &Text::of("hello").digest)?;
    Ok(())
}

/// Changes the file behind our back and compares what reading it says.
fn check(statement: &str, expected: &Expect) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    written(&path);
    read_all(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch(statement).unwrap();
    let said = read_all(&path).unwrap_err().to_string();
    expected.assert_eq(&said.replace(&format!("{}/", folder.path().display()), ""));
}

#[test]
fn a_changed_event_is_named() {
    let sum = expect![
        "journal.db is damaged at event 3: its checksum does not fit its content; `pipe journal repair` keeps what holds, and `pipe resume` asks the rest again"
    ];
    check("update events set body = replace(body, 'ok', 'oj') where seq = 3", &sum);
    check("update events set at = at + 1 where seq = 3", &sum);
    check("update events set kind = 'case_settled' where seq = 3", &sum);
    check("update events set sum = sum + 1 where seq = 3", &sum);
    check(
        "update events set body = 'x' where seq = 1",
        &expect![
            "journal.db is damaged at event 1: its checksum does not fit its content; restore the file from a copy, or start a new run"
        ],
    );
    check(
        "update events set case_no = 5 where seq = 3",
        &expect![
            "journal.db is damaged at event 3: its column case_no does not fit its content; `pipe journal repair` keeps what holds, and `pipe resume` asks the rest again"
        ],
    );
    check(
        "update events set body = x'00' where seq = 3",
        &expect![
            "journal.db is damaged at event 3: Invalid column type Blob at index: 4, name: body; `pipe journal repair` keeps what holds, and `pipe resume` asks the rest again"
        ],
    );
}

#[test]
fn a_missing_event_is_named() {
    check(
        "delete from events where seq = 4",
        &expect![
            "journal.db is damaged at event 4: it is not there, event 5 is; `pipe journal repair` keeps what holds, and `pipe resume` asks the rest again"
        ],
    );
    check(
        "delete from events where seq = 1",
        &expect![
            "journal.db is damaged at event 1: it is not there; restore the file from a copy, or start a new run"
        ],
    );
}

#[test]
fn two_exchanged_events_are_named() {
    check(
        "update events set seq = 100 where seq = 2; update events set seq = 2 where seq = 4;
         update events set seq = 4 where seq = 100;",
        &expect![
            "journal.db is damaged at event 2: its checksum does not fit its content; `pipe journal repair` keeps what holds, and `pipe resume` asks the rest again"
        ],
    );
}

#[test]
fn a_lost_tail_is_named_before_anything_is_appended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    written(&path);
    Connection::open(&path).unwrap().execute_batch("delete from events where seq > 4").unwrap();
    let said = Sqlite::open(&path, Durability::Power).map(|log| log.last_seq()).unwrap_err().to_string();
    assert!(said.contains("damaged at event 5: it is not there, and a checkpoint stands after event 6"), "{said}");
}

#[test]
fn a_changed_checkpoint_is_named_and_can_go() {
    check(
        "update checkpoints set body = replace(body, '2', '3')",
        &expect![
            "journal.db is damaged at the checkpoint after event 6: its checksum does not fit its content; nothing is lost: `pipe journal repair`, then `pipe resume`, reads the events instead"
        ],
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    written(&path);
    let raw = Connection::open(&path).unwrap();
    raw.execute_batch("update checkpoints set sum = 0 where seq = 6; delete from checkpoints where seq = 6").unwrap();
    let log = Sqlite::open(&path, Durability::Power).unwrap();
    assert_eq!(log.latest_checkpoint().unwrap(), Some((EventSeq(4), snapshot(1))));
}

#[test]
fn a_changed_text_is_named() {
    check(
        "update texts set body = 'hallo'",
        &expect![
            "journal.db is damaged at text ea8f163db38682925e4491c5e58d4bb3: it is not the text that its digest names; `pipe journal repair` keeps what holds, and `pipe resume` asks the rest again"
        ],
    );
}

#[test]
fn an_older_journal_that_is_written_to_is_of_this_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    written(&path);
    let older = "update meta set value = '3' where key = 'format'";
    Connection::open(&path).unwrap().execute_batch(older).unwrap();
    assert_eq!(Reader::open(&path).unwrap().meta().format, 3, "reading changes nothing");
    drop(Sqlite::open(&path, Durability::Process).unwrap());
    assert_eq!(Reader::open(&path).unwrap().meta().format, crate::event::FORMAT);
}

#[test]
fn a_newer_journal_is_refused_by_name() {
    check(
        "update meta set value = '5' where key = 'format'; update meta set value = '1.4.0' where key = 'version'",
        &expect![
            "journal.db has format 5, written by pipe 1.4.0; this is pipe 0.1.0, which reads formats up to 4: use pipe 1.4.0 or newer"
        ],
    );
    check(
        "update meta set value = 'two' where key = 'format'",
        &expect![[
            r#"journal.db is damaged at table meta: the format "two" is no number; restore the file from a copy, or start a new run"#
        ]],
    );
}

/// Flips bits all over the file: whatever is read is what was written, or there is an error.
#[test]
fn no_flipped_bit_is_read_as_data() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    written(&path);
    let whole = fs::read(&path).unwrap();
    let truth = read_events(&path).unwrap();
    let (mut found, mut harmless) = (0, 0);
    for place in (0..whole.len()).step_by(37) {
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (place % 8);
        fs::write(&path, &bytes).unwrap();
        match read_events(&path) {
            Ok(read) => {
                assert_eq!(read, truth[..read.len()], "a flip at byte {place} was read as data");
                harmless += 1;
            }
            Err(_) => found += 1,
        }
    }
    assert!(found > 10, "{found} flips found, {harmless} without effect: were there any in the events?");
}

fn read_events(path: &Path) -> Result<Vec<crate::event::Recorded>, JournalError> {
    let mut events = Vec::new();
    Reader::open(path)?.events_after(EventSeq(0), &mut |_seq, recorded| {
        events.push(recorded);
        Ok(())
    })?;
    Ok(events)
}

#[test]
fn what_is_no_journal_is_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let opened = || (Reader::open(&path).map(|_| ()), Sqlite::open(&path, Durability::Power).map(|_| ()));

    assert!(matches!(opened(), (Err(JournalError::Missing { .. }), Err(JournalError::Missing { .. }))));
    fs::write(&path, "").unwrap();
    assert!(matches!(opened(), (Err(JournalError::Unbegun { .. }), Err(JournalError::Unbegun { .. }))));
    fs::write(&path, "not a database, but long enough to have a header of a hundred bytes. ".repeat(9)).unwrap();
    assert!(matches!(opened(), (Err(JournalError::Damaged { .. }), Err(JournalError::Damaged { .. }))));
    fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("create table meta (a)").unwrap();
    assert!(matches!(opened(), (Err(JournalError::Foreign { .. }), Err(JournalError::Foreign { .. }))));
    assert!(matches!(Sqlite::create(&path, Durability::Power), Err(JournalError::File { doing: "create", .. })));
}
