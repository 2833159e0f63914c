//! Readers: results by case, attempts, counts.

use std::path::Path;

use super::{admitted, batch, given, snapshot, started};
use crate::base::CaseNo;
use crate::event::{CaseCounts, CaseStatus, Event, Failure, FailureKind};
use crate::journal::{Batch, CaseRecord, Durability, EventLog, EventSeq, JournalError, Place, Reader, Sqlite};

fn written(path: &Path, batches: &[Batch]) -> (Sqlite, Reader) {
    let mut log = Sqlite::create(path, Durability::Process).unwrap();
    log.append(batches).unwrap();
    (log, Reader::open(path).unwrap())
}

fn cases_from(reader: &Reader, from: u64) -> Result<Vec<CaseRecord>, JournalError> {
    let mut cases = Vec::new();
    reader.cases(CaseNo(from), &mut |case| {
        cases.push(case);
        Ok(())
    })?;
    Ok(cases)
}

#[test]
fn a_run_says_how_it_began() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let (mut log, reader) = written(&path, &[]);
    assert!(matches!(reader.run_started(), Err(JournalError::Unbegun { .. })));
    assert_eq!(reader.last_event().unwrap(), None);
    log.append(&[batch([started()])]).unwrap();
    let (at, began) = reader.run_started().unwrap();
    assert_eq!((at, Event::RunStarted(began)), (started().at, started().event));
    assert_eq!(reader.meta().format, crate::event::FORMAT);
    assert_eq!(reader.meta().version, env!("CARGO_PKG_VERSION"));
}

#[test]
fn cases_come_in_admission_order_over_many_pages() {
    const CASES: u64 = 700;
    let folder = tempfile::tempdir().unwrap();
    // Settled in the opposite order, every fifth left open.
    let tasks = |case: u64| [given::task_settled(case, "talk"), given::task_settled(case, "judge")];
    let settle = |case: u64| (!case.is_multiple_of(5)).then(|| given::case_settled(case, CaseStatus::Ok));
    let admissions = batch(std::iter::once(started()).chain((0..CASES).map(admitted)));
    let endings = batch((0..CASES).rev().flat_map(|case| tasks(case).into_iter().chain(settle(case))));
    let (_log, reader) = written(&folder.path().join("journal.db"), &[admissions, endings]);
    for from in [0, 1, 170, CASES - 1, CASES] {
        let cases = cases_from(&reader, from).unwrap();
        assert_eq!(cases.len() as u64, CASES - from);
        for (case, number) in cases.iter().zip(from..) {
            assert_eq!(case.admitted.case, CaseNo(number));
            let steps: Vec<_> = case.tasks.iter().map(|task| task.step.as_str()).collect();
            assert_eq!(steps, ["talk", "judge"]);
            assert_eq!(case.settled.is_some(), number % 5 != 0);
        }
    }
}

#[test]
fn a_result_without_its_case_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let (_log, reader) =
        written(&folder.path().join("journal.db"), &[batch([admitted(0), given::task_settled(1, "talk")])]);
    let said = cases_from(&reader, 0);
    assert!(matches!(said, Err(JournalError::Damaged { place: Place::Case(CaseNo(1)), .. })), "{said:?}");
}

#[test]
fn attempts_come_with_their_ends() {
    let folder = tempfile::tempdir().unwrap();
    let id = |call, attempt| given::attempt(1, call, attempt);
    let overloaded = Failure::new(FailureKind::Overloaded, "503");
    let batches = [
        batch([admitted(0), admitted(1), given::attempt_started(id("turn/1", 1))]),
        batch([
            given::attempt_started(given::attempt(0, "turn/1", 1)),
            given::failed(id("turn/1", 1), overloaded.clone()),
        ]),
        batch([given::attempt_started(id("turn/1", 2)), given::attempt_started(id("turn/2", 1))]),
        given::answered(id("turn/1", 2), "prompt", "answer"),
    ];
    let (_log, reader) = written(&folder.path().join("journal.db"), &batches);
    let attempts = reader.attempts_of(CaseNo(1)).unwrap();
    let ids: Vec<_> = attempts.iter().map(|attempt| attempt.started.id.clone()).collect();
    assert_eq!(ids, [id("turn/1", 1), id("turn/1", 2), id("turn/2", 1)]);
    let ended = |place: usize| attempts[place].ended.as_ref().map(|(_at, ended)| ended.outcome.clone());
    assert_eq!(ended(0), Some(crate::event::Outcome::Failed(overloaded)));
    assert!(matches!(ended(1), Some(crate::event::Outcome::Answered(_))));
    assert_eq!(ended(2), None);
    assert_eq!(reader.attempts_of(CaseNo(9)).unwrap(), []);
}

#[test]
fn counts_go_on_from_the_newest_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let settle = |case, status| given::case_settled(case, status);
    let (mut log, reader) = written(
        &folder.path().join("journal.db"),
        &[batch([started(), admitted(0), admitted(1), settle(1, CaseStatus::Failed)])],
    );
    let expected = CaseCounts { admitted: 2, ok: 0, unscored: 0, failed: 1 };
    assert_eq!(reader.case_counts().unwrap(), expected);
    // A state that no event tells of: what stands before the checkpoint is not read again.
    let known = snapshot(1_000);
    log.append(&[
        Batch { checkpoint: Some(known), ..Batch::default() },
        batch([admitted(2), settle(0, CaseStatus::Ok), settle(2, CaseStatus::Unscored)]),
        batch((3..800).map(admitted)),
    ])
    .unwrap();
    let expected = CaseCounts { admitted: 1_798, ok: 1, unscored: 1, failed: 0 };
    assert_eq!(reader.case_counts().unwrap(), expected);
    assert_eq!(reader.latest_checkpoint().unwrap(), Some((EventSeq(4), snapshot(1_000))));
}

/// What a reader asks costs what it gives: no question about one case walks over all events.
#[test]
fn one_case_is_found_without_a_scan() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    drop(Sqlite::create(&path, Durability::Process).unwrap());
    let raw = rusqlite::Connection::open(&path).unwrap();
    let plan = |query: &str| -> String {
        let mut statement = raw.prepare(&format!("explain query plan {query}")).unwrap();
        let lines = statement.query_map([], |row| row.get::<_, String>(3)).unwrap();
        lines.map(Result::unwrap).collect::<Vec<_>>().join("\n")
    };
    let results =
        plan("select seq from events where part = 1 and (case_no, seq) > (1, 2) order by case_no, seq limit 9");
    assert!(
        results.contains("COVERING INDEX events_by_case (part=? AND case_no>?)") && !results.contains("TEMP B-TREE"),
        "{results}"
    );
    let attempts = plan("select seq from events where part = 2 and case_no = 1 order by seq");
    assert!(attempts.contains("INDEX events_by_case (part=? AND case_no=?)"), "{attempts}");
    let of_the_run = plan(
        "select seq from events where part = 0 and case_no is null and seq > 7 and kind in ('stop_reached') order by seq",
    );
    assert!(of_the_run.contains("INDEX events_by_case (part=? AND case_no=? AND rowid>?)"), "{of_the_run}");
    assert!(!of_the_run.contains("TEMP B-TREE"), "{of_the_run}");
    let text = plan("select body from texts where case_no in (1, -1) and digest = x'00' limit 1");
    assert!(text.contains("INDEX texts_by_case (case_no=? AND digest=?)"), "{text}");
    for view in ["cases", "calls", "verdicts"] {
        let of_one_case = plan(&format!("select * from {view} where case_no = 3"));
        assert!(!of_one_case.contains("SCAN events"), "{view}:\n{of_one_case}");
        assert!(!of_one_case.contains("SCAN settled"), "{view}:\n{of_one_case}");
        assert!(!of_one_case.contains("SCAN admitted"), "{view}:\n{of_one_case}");
        assert!(!of_one_case.contains("AUTOMATIC"), "{view}:\n{of_one_case}");
        let of_all = plan(&format!("select * from {view}"));
        assert!(!of_all.contains("AUTOMATIC"), "{view}:\n{of_all}");
    }
}
