//! The second account of a journal, in another language, agrees with this one (`tests/audit/`).

use std::path::Path;
use std::process::{Command, Output};

use super::{admitted, batch, given, row, started};
use crate::event::{CaseStatus, Recorded};
use crate::journal::{Batch, Durability, EventLog, Sqlite, Text};

fn python(script: &str, arguments: &[&Path]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audit").join(script);
    Command::new("python3").arg(script).args(arguments).output().expect("the audit needs python3")
}

#[test]
fn the_audit_catches_every_planted_violation() {
    let done = python("test_audit.py", &[]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// A live run: the writer has it open and nothing is folded into the file yet.
#[test]
fn the_audit_reads_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = Sqlite::create(&folder.path().join("journal.db"), Durability::Power).unwrap();
    let id = |attempt| given::attempt(0, "say", attempt);
    let failure = crate::event::Failure::new(crate::event::FailureKind::CutOff, "the stream ended");
    let texts = vec![Text::of("source"), Text::of(row(0))];
    let begun: Vec<Recorded> =
        vec![started(), admitted(0), given::attempt_started(id(1)), given::failed(id(1), failure)];
    log.append(&[
        Batch { texts, ..batch(begun) },
        batch([given::attempt_started(id(2))]),
        given::answered(id(2), &"a long prompt, which is packed ".repeat(100), "answer"),
        batch([given::task_settled(0, "talk"), given::case_settled(0, CaseStatus::Ok)]),
    ])
    .unwrap();

    let done = python("audit.py", &[folder.path()]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let counts: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(counts["events"], log.last_seq().0);
    assert_eq!(counts["cases"], serde_json::json!({"admitted": 1, "ok": 1, "unscored": 0, "failed": 0}));
    assert_eq!(counts["attempts"], serde_json::json!({"started": 2, "answered": 1, "failed": 1, "open": 0}));

    // An answer nobody stored.
    let orphan =
        Batch { texts: Vec::new(), ..given::answered(given::attempt(0, "say", 3), "prompt", "never stored") };
    log.append(&[orphan]).unwrap();
    let done = python("audit.py", &[folder.path()]);
    assert_eq!(done.status.code(), Some(1));
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(said.contains("attempt ended that never started: (0, 'talk', 'say', 3)"), "{said}");
    assert!(said.contains("(answer) is missing"), "{said}");
}
