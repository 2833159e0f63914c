//! A write-ahead log cut anywhere opens as a prefix.

use std::fs::OpenOptions;
use std::path::Path;

use super::{admitted, batch, row};
use crate::event::Recorded;
use crate::journal::{Batch, Durability, EventLog, EventSeq, Reader, Sqlite, Text};

const WAL_HEADER: u64 = 32;
/// Header of 24 bytes and a page.
const FRAME: u64 = 24 + 8_192;

fn read_events(path: &Path) -> Vec<Recorded> {
    let mut events = Vec::new();
    let reader = Reader::open(path).unwrap();
    reader
        .events_after(EventSeq(0), &mut |_seq, recorded| {
            events.push(recorded);
            Ok(())
        })
        .unwrap();
    events
}

#[test]
fn a_torn_tail_leaves_a_prefix() {
    let folder = tempfile::tempdir().unwrap();
    let (path, torn) = (folder.path().join("journal.db"), folder.path().join("torn.db"));
    let mut log = Sqlite::create(&path, Durability::Process).unwrap();
    log.append(&[batch([admitted(0)])]).unwrap();
    log.finish().unwrap();
    // Where the write-ahead log ends after each event.
    let wal = folder.path().join("journal.db-wal");
    let mut ends = vec![(0, 1)];
    for case in 1..4 {
        log.append(&[Batch { texts: vec![Text::of(row(case))], ..batch([admitted(case)]) }]).unwrap();
        ends.push((wal.metadata().unwrap().len(), log.last_seq().0));
    }
    let torn_wal = folder.path().join("torn.db-wal");
    std::fs::copy(&path, &torn).unwrap();
    std::fs::copy(&wal, &torn_wal).unwrap();
    let whole = ends.last().unwrap().0;
    assert_eq!((whole - WAL_HEADER) % FRAME, 0, "the layout of the write-ahead log is not what this test knows");

    // Every byte of the last frame and around every border; elsewhere every 61st, as SQLite reads whole frames.
    let is_border = |length: u64| (length + 32 + FRAME - WAL_HEADER) % FRAME < 64;
    let cuts = (0..=whole).rev().filter(|cut| *cut > whole - FRAME || is_border(*cut) || cut % 61 == 0);
    let mut seen = std::collections::BTreeSet::new();
    for cut in cuts {
        OpenOptions::new().write(true).open(&torn_wal).unwrap().set_len(cut).unwrap();
        let events = read_events(&torn);
        let kept = ends.iter().filter(|(end, _seq)| *end <= cut).map(|(_end, seq)| *seq).max().unwrap();
        let expected: Vec<_> = (0..kept).map(admitted).collect();
        assert_eq!(events, expected, "cut after {cut} of {whole} bytes");
        seen.insert(kept);
    }
    assert_eq!(seen, (1..=4).collect());
}

#[test]
fn garbage_after_the_tail_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let mut log = Sqlite::create(&path, Durability::Process).unwrap();
    log.append(&[batch((0..3).map(admitted))]).unwrap();
    let (torn, torn_wal) = (folder.path().join("torn.db"), folder.path().join("torn.db-wal"));
    std::fs::copy(&path, &torn).unwrap();
    let whole = std::fs::read(folder.path().join("journal.db-wal")).unwrap();
    let last_frame = &whole[whole.len() - usize::try_from(FRAME).unwrap()..];
    let tails: [Vec<u8>; 4] =
        [vec![0; 9_000], b"garbage".repeat(3_000), last_frame[..5_000].to_vec(), last_frame.to_vec()];
    for tail in tails {
        std::fs::write(&torn_wal, [whole.as_slice(), &tail].concat()).unwrap();
        assert_eq!(read_events(&torn), (0..3).map(admitted).collect::<Vec<_>>());
        // The writer goes on from there.
        let mut log = Sqlite::open(&torn, Durability::Process).unwrap();
        assert_eq!(log.last_seq(), EventSeq(3));
        log.append(&[batch([admitted(3)])]).unwrap();
        drop(log);
        assert_eq!(read_events(&torn).len(), 4);
        std::fs::copy(&path, &torn).unwrap();
    }
}
