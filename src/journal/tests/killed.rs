//! A process killed in mid-write loses nothing that it had acknowledged.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::second_process::{PART, SecondProcess};
use super::{admitted, batch, events_of, row};
use crate::event::Event;
use crate::journal::{Batch, Committed, Durability, EventLog, EventSeq, Reader, Sqlite, Text, Writer};

const KILLS: u64 = 12;

/// Writes for ever, one case per event, and says on standard error what is acknowledged.
fn write_until_killed(path: &Path) -> ! {
    let open = if path.exists() { Sqlite::open } else { Sqlite::create };
    let log = open(path, Durability::Power).unwrap();
    let mut case = log.last_seq().0;
    let (room, wait_for_room) = std::sync::mpsc::sync_channel::<()>(64);
    let acknowledge = move |committed: Committed| {
        committed.result.unwrap();
        writeln!(std::io::stderr(), "{}", committed.last).unwrap();
        while wait_for_room.try_recv().is_ok() {}
    };
    let writer = Writer::start(Box::new(log), Box::new(acknowledge)).unwrap();
    loop {
        writer.submit(Batch { texts: vec![Text::of(row(case))], ..batch([admitted(case)]) });
        case += 1;
        room.send(()).unwrap();
    }
}

#[test]
fn nothing_acknowledged_is_lost() {
    if let Some(path) = std::env::var_os(PART) {
        write_until_killed(&PathBuf::from(path));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let mut acknowledged = 0;
    for kill in 1..=KILLS {
        let mut writer = SecondProcess::start(module_path!(), "nothing_acknowledged_is_lost", &path);
        let number = |line: std::io::Result<String>| line.unwrap().parse::<u64>().unwrap();
        // Another moment each time: after a few commits, and after many.
        let enough = acknowledged + kill * kill * 3;
        while acknowledged < enough {
            acknowledged = number(writer.says.next().expect("the writer writes until it is killed"));
        }
        writer.kill();
        acknowledged = writer.says.by_ref().map(number).last().unwrap_or(acknowledged);

        // A reader first: it must not need the writer to recover.
        let newest = Reader::open(&path).unwrap().last_event().unwrap().map(|(seq, _event)| seq);
        let log = Sqlite::open(&path, Durability::Power).unwrap();
        assert_eq!(newest, Some(log.last_seq()));
        assert!(log.last_seq() >= EventSeq(acknowledged), "{} of {acknowledged} after kill {kill}", log.last_seq());
        for (case, recorded) in events_of(&log, EventSeq(0)).into_iter().enumerate() {
            assert_eq!(recorded, admitted(case as u64));
            let Event::CaseAdmitted(event) = recorded.event else { unreachable!("compared just above") };
            assert_eq!(log.text(None, &event.row).unwrap().as_deref(), Some(row(case as u64).as_str()));
        }
    }
}
