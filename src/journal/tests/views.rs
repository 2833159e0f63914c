//! What a person sees in any `SQLite` shell.

use std::fmt::Write;
use std::path::Path;

use expect_test::{Expect, expect};
use rusqlite::Connection;
use rusqlite::types::Value;

use super::{admitted, batch, given, row, started};
use crate::base::Digest;
use crate::event::{
    CaseStatus, Event, Failure, FailureKind, Judgement, Outcome, TimeoutPhase, Unscored, Verdict, Vote,
};
use crate::journal::{Batch, Durability, EventLog, Sqlite, Text};

/// The case 0 of `written` goes on: its judge is asked again and says something else.
fn written_again(path: &Path) {
    written(path);
    let mut log = Sqlite::open(path, Durability::Process).unwrap();
    let con = Judgement {
        verdict: Verdict::Choice("con".to_owned()),
        votes: vec![Vote { verdict: Verdict::Choice("con".to_owned()), reason: Digest::of(b"nowhere"), by: None }],
        flipped: 0,
        pairs: 0,
    };
    let former = given::judged(0, "verdict", con.clone());
    log.append(&[batch([given::reopened(0, CaseStatus::Ok, former)])]).unwrap();
    let Some(status) = rows_of(path, "select status from cases where case_no = 0").pop() else { panic!("no case") };
    assert_eq!(status, "-", "it goes on");
    assert_eq!(rows_of(path, "select vote from verdicts"), [""; 0], "nothing is judged yet");
    log.append(&[batch([given::judged(0, "verdict", con), given::case_settled(0, CaseStatus::Unscored)])]).unwrap();
}

#[test]
fn what_was_taken_back_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    written_again(&path);
    assert_eq!(rows_of(&path, "select status from cases order by case_no"), ["unscored", "-"]);
    assert_eq!(rows_of(&path, "select verdict from verdicts"), ["con"]);
    let reader = crate::journal::Reader::open(&path).unwrap();
    let counts = reader.case_counts().unwrap();
    assert_eq!((counts.admitted, counts.ok, counts.unscored), (2, 0, 1));
    let case = reader.case(crate::base::CaseNo(0)).unwrap().unwrap();
    assert_eq!((case.tasks.len(), case.settled.map(|settled| settled.status)), (1, Some(CaseStatus::Unscored)));
}

#[test]
fn views_of_an_older_version_are_renewed_by_who_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    written(&path);
    let raw = Connection::open(&path).unwrap();
    raw.execute_batch("drop view verdicts; delete from meta where key = 'views'").unwrap();
    drop(Sqlite::open(&path, Durability::Process).unwrap());
    assert_eq!(rows_of(&path, "select count(*) from verdicts"), ["2"]);
}

/// The first column of a query's rows.
fn rows_of(path: &Path, query: &str) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection.prepare(query).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(|value| match value.unwrap() {
        Value::Null => "-".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Text(text) => text,
        other => format!("{other:?}"),
    })
    .collect()
}

fn written(path: &Path) {
    let id = |call, attempt| given::attempt(0, call, attempt);
    let pro = || Verdict::Choice("pro".to_owned());
    let judgement = Judgement {
        verdict: pro(),
        votes: vec![
            Vote { verdict: pro(), reason: Text::of("Better put.").digest, by: None },
            Vote { verdict: Verdict::Unscored(Unscored::SwapDisagreed), reason: Digest::of(b"nowhere"), by: None },
        ],
        flipped: 1,
        pairs: 2,
    };
    let timed_out = Failure::new(FailureKind::TimedOut(TimeoutPhase::FirstToken), "no token within 30 s");
    let batches = [
        Batch {
            texts: vec![Text::of(row(0)), Text::of("Better put.")],
            ..batch([started(), admitted(0), admitted(1)])
        },
        batch([given::attempt_started(id("turn/1", 1)), given::failed(id("turn/1", 1), timed_out)]),
        batch([given::attempt_started(id("turn/1", 2))]),
        given::answered(id("turn/1", 2), "You argue for it.", "Cats rule."),
        batch([given::attempt_started(given::attempt(1, "turn/1", 1))]),
        batch([given::judged(0, "verdict", judgement), given::case_settled(0, CaseStatus::Ok)]),
    ];
    Sqlite::create(path, Durability::Process).unwrap().append(&batches).unwrap();
}

/// Compares a query's rows, one `column: value` a line.
fn check(query: &str, expected: &Expect) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    written(&path);
    let connection = Connection::open(&path).unwrap();
    let mut statement = connection.prepare(query).unwrap();
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let (mut rows, mut shown) = (statement.query([]).unwrap(), String::new());
    while let Some(row) = rows.next().unwrap() {
        for (place, column) in columns.iter().enumerate() {
            let value = match row.get(place).unwrap() {
                Value::Null => "-".to_owned(),
                Value::Integer(number) => number.to_string(),
                Value::Real(number) => number.to_string(),
                Value::Text(text) => text,
                Value::Blob(bytes) => format!("{bytes:?}"),
            };
            writeln!(shown, "{column}: {value}").unwrap();
        }
        shown.push('\n');
    }
    expected.assert_eq(&shown);
}

#[test]
fn cases_are_shown() {
    check(
        "select * from cases order by case_no",
        &expect![[r#"
        case_no: 0
        item: item-0
        repeat: 1
        status: ok
        admitted_at: 2023-11-14T22:13:20.000Z
        settled_at: 2023-11-14T22:13:20.000Z
        row: {"motion":"number 0"}

        case_no: 1
        item: item-1
        repeat: 1
        status: -
        admitted_at: 2023-11-14T22:13:20.000Z
        settled_at: -
        row: -

    "#]],
    );
}

#[test]
fn a_thought_and_a_refused_field_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let id = |attempt| given::attempt(0, "say", attempt);
    let refused = Failure::new(FailureKind::Unsupported(crate::event::Feature::Seed), "no seed");
    let mut answered = given::answered(id(2), "Cats?", "Yes.");
    let thought = Text::of("Hm.");
    let mut events = answered.events.to_vec();
    for recorded in &mut events {
        if let Event::AttemptEnded(ended) = &mut recorded.event
            && let Outcome::Answered(answer) = &mut ended.outcome
        {
            answer.thought = Some(thought.digest);
        }
    }
    answered.events = events.into();
    answered.texts.push(thought);
    let batches = [
        batch([started(), admitted(0)]),
        batch([given::attempt_started(id(1)), given::failed(id(1), refused)]),
        batch([given::attempt_started(id(2))]),
        answered,
    ];
    Sqlite::create(&path, Durability::Process).unwrap().append(&batches).unwrap();
    let found = rows_of(&path, "select coalesce(thought, failure) from calls order by attempt");
    assert_eq!(found, ["unsupported (seed)", "Hm."]);
}

#[test]
fn calls_are_shown_with_what_was_said() {
    check(
        "select * from calls order by case_no, call, attempt",
        &expect![[r#"
            case_no: 0
            item: item-0
            repeat: 1
            step: talk
            each: -
            call: turn/1
            attempt: 1
            actor: ada
            backend: local
            model: -
            outcome: failed
            failure: timed out (first token)
            detail: no token within 30 s
            finish: -
            input_tokens: 11
            output_tokens: -
            ms: 2.5
            started_at: 2023-11-14T22:13:20.000Z
            prompt: -
            answer: -
            thought: -

            case_no: 0
            item: item-0
            repeat: 1
            step: talk
            each: -
            call: turn/1
            attempt: 2
            actor: ada
            backend: local
            model: tiny
            outcome: answered
            failure: -
            detail: -
            finish: stop
            input_tokens: 11
            output_tokens: -
            ms: 2.5
            started_at: 2023-11-14T22:13:20.000Z
            prompt: system: You argue for it.

            user: Cats rule.
            answer: Cats rule.
            thought: -

            case_no: 1
            item: item-1
            repeat: 1
            step: talk
            each: -
            call: turn/1
            attempt: 1
            actor: ada
            backend: local
            model: -
            outcome: -
            failure: -
            detail: -
            finish: -
            input_tokens: -
            output_tokens: -
            ms: -
            started_at: 2023-11-14T22:13:20.000Z
            prompt: -
            answer: -
            thought: -

        "#]],
    );
}

#[test]
fn verdicts_are_shown_per_vote() {
    check(
        "select * from verdicts order by case_no, step, vote",
        &expect![[r"
        case_no: 0
        item: item-0
        repeat: 1
        step: verdict
        vote: 1
        verdict: pro
        unscored: -
        reason: Better put.
        judgement: pro
        judgement_unscored: -
        flipped: 1
        pairs: 2

        case_no: 0
        item: item-0
        repeat: 1
        step: verdict
        vote: 2
        verdict: -
        unscored: swap_disagreed
        reason: -
        judgement: pro
        judgement_unscored: -
        flipped: 1
        pairs: 2

    "]],
    );
}

#[test]
fn failures_have_the_same_words_as_in_reports() {
    use FailureKind as Kind;
    let kinds = [
        Kind::Throttled,
        Kind::QuotaExhausted,
        Kind::ModelMissing,
        Kind::FormatUnsupported,
        Kind::CutOff,
        Kind::TooLarge,
        Kind::TimedOut(TimeoutPhase::Connect),
        Kind::TimedOut(TimeoutPhase::FirstToken),
        Kind::TimedOut(TimeoutPhase::Idle),
        Kind::TimedOut(TimeoutPhase::Total),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let mut log = Sqlite::create(&path, Durability::Process).unwrap();
    for (kind, case) in kinds.iter().zip(0..) {
        let id = given::attempt(case, "say", 1);
        let ended = given::failed(id.clone(), Failure::new(*kind, ""));
        log.append(&[batch([given::attempt_started(id), ended])]).unwrap();
    }
    let connection = Connection::open(&path).unwrap();
    let mut statement = connection.prepare("select failure from calls order by case_no").unwrap();
    let words: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(words, kinds.map(FailureKind::word));
}

#[test]
fn a_long_text_is_left_to_who_can_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let mut log = Sqlite::create(&path, Durability::Power).unwrap();
    let prompt = "Is this worth reading to the end? ".repeat(40);
    let id = given::attempt(0, "say", 1);
    log.append(&[
        Batch {
            texts: vec![Text::of(row(0))],
            ..batch([started(), admitted(0), given::attempt_started(id.clone())])
        },
        given::answered(id, &prompt, "No."),
    ])
    .unwrap();
    let question = "select prompt from calls";
    assert_eq!(
        rows_of(&path, question),
        ["system: (a long text, packed: pipe journal sql, or pipe show)\n\nuser: No."]
    );
    let mut shown = Vec::new();
    let query = crate::journal::Query::open(&path).unwrap();
    query
        .ask(question, &mut |_, cells| {
            shown.extend(cells);
            Ok(())
        })
        .unwrap();
    assert_eq!(shown, [crate::journal::Cell::Text(format!("system: {prompt}\n\nuser: No."))]);
    assert_eq!(
        crate::journal::Reader::open(&path).unwrap().text(None, &Digest::of(prompt.as_bytes())).unwrap().as_deref(),
        Some(&*prompt)
    );
}
