//! `pipe journal` and `pipe prune`: damage is found by name, repaired, and a resume ends as an undisturbed run.

use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;
use serde_json::Value;

use crate::project::{Project, python, text};

const PIPELINE: &str = "\
version: 1
name: kept
seed: 3
limits: { concurrency: 4 }
actors: { a: { system: You talk., max_tokens: 30 } }
items: { path: rows.jsonl, id: id }
steps:
  first: { chat: { actor: a, prompt: 'About {{ item.word }}?' } }
  second: { judge: { actor: a, question: 'Which? {{ steps.first.text }}', choose: [pro, con], votes: 2 } }
results: { path: out.jsonl }
";

/// A run that is complete: its project, the journal and the rows.
fn complete() -> (Project, PathBuf, String) {
    let project = Project::new();
    project.write("kept.yaml", PIPELINE);
    let rows: Vec<String> =
        (0..60).map(|number| format!("{{\"id\": \"i{number}\", \"word\": \"w{number}\"}}")).collect();
    project.write("rows.jsonl", &rows.join("\n"));
    project.stdout(&["run", "kept.yaml", "--backend", "sim", "--quiet"]);
    let journal = project.run_folder().join("journal.db");
    let rows = fs::read_to_string(project.path("out.jsonl")).expect("rows");
    (project, journal, rows)
}

fn json(project: &Project, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = project.run(arguments);
    let stdout = text(&output.stdout);
    let line = stdout.lines().next().unwrap_or_else(|| panic!("{arguments:?}: {}", text(&output.stderr)));
    (output.status.code(), serde_json::from_str(line).expect("JSON"))
}

/// Changes the journal behind its back; it must be found, by name, repaired, and gone on with to the same rows.
fn check(damage: impl Fn(&PathBuf), named: &str, asked_at_most: u64) {
    let (project, journal, rows) = complete();
    let (code, sound) = json(&project, &["journal", "check", "--json"]);
    assert_eq!((code, &sound["sound"], &sound["fold"]), (Some(0), &true.into(), &true.into()), "{sound}");
    damage(&journal);
    let found = project.run(&["journal", "check"]);
    assert_eq!(found.status.code(), Some(5), "{named}: {}", text(&found.stdout));
    assert!(text(&found.stdout).contains(named), "{named}: {}", text(&found.stdout));
    let asked = project.run(&["journal", "repair"]);
    assert_eq!(asked.status.code(), Some(2), "nobody said yes");
    let (code, repaired) = json(&project, &["journal", "repair", "--yes", "--json"]);
    assert_eq!((code, &repaired["repaired"]), (Some(0), &true.into()), "{named}: {repaired}");
    let kept = PathBuf::from(repaired["damaged_file"].as_str().expect("a path"));
    assert!(kept.is_file() && kept != journal);
    let (code, sound) = json(&project, &["journal", "check", "--json"]);
    assert_eq!(code, Some(0), "{named}: {sound}");

    let resumed = project.run(&["resume", "--json"]);
    let said = text(&resumed.stderr);
    assert!(resumed.status.success(), "{named}: {said}");
    assert_eq!(fs::read_to_string(project.path("out.jsonl")).expect("rows"), rows, "{named}");
    let summary: Value =
        serde_json::from_str(text(&resumed.stdout).lines().next().expect("a summary")).expect("JSON");
    let settled: u64 = ["ok", "unscored"].iter().filter_map(|word| summary["cases"][word].as_u64()).sum();
    assert_eq!(settled, 60, "{named}");
    let since = "select count(*) as asked from events where kind = 'attempt_started'
                 and seq > (select max(seq) from events where kind = 'run_resumed')";
    let (_, again) = json(&project, &["journal", "sql", "last", since, "--json"]);
    assert!(again["asked"].as_u64() <= Some(asked_at_most), "{named}: {again}; {repaired}");
    let audit = python("python3", "tests/audit/audit.py").arg(project.run_folder()).output().expect("the audit runs");
    assert!(audit.status.success(), "{named}: {}", text(&audit.stderr));
}

fn execute(statement: &'static str) -> impl Fn(&PathBuf) {
    move |journal| Connection::open(journal).expect("opens").execute_batch(statement).expect("executes")
}

#[test]
fn changed_and_missing_records_are_repaired() {
    check(execute("update events set body = body || ' ' where seq = 200"), "event 200", 60);
    check(execute("delete from events where seq between 300 and 320"), "event 300: it and the 20 after it", 60);
    check(execute("delete from events where seq > 400"), "the checkpoint after event", 180);
}

#[test]
fn missing_and_changed_texts_are_repaired() {
    let answers = "(select unhex(json_extract(body, '$.outcome.answered.text')) from events where kind = 'attempt_ended' limit 3)";
    let statement: &'static str = format!("delete from texts where digest in {answers}").leak();
    check(execute(statement), "which it names, is missing", 60);
    check(execute("update texts set body = body || '!' where id % 50 = 0"), "it is not what its digest names", 120);
}

#[test]
fn damaged_pages_are_repaired() {
    // The last third of the file is gone.
    let cut = |journal: &PathBuf| {
        let length = fs::metadata(journal).expect("there").len();
        fs::OpenOptions::new()
            .write(true)
            .open(journal)
            .expect("opens")
            .set_len(length / 3 * 2 / 8_192 * 8_192)
            .expect("cut");
    };
    check(cut, "the file itself", 180);
    // A page in the middle is noise.
    let noise = |journal: &PathBuf| {
        let mut bytes = fs::read(journal).expect("there");
        let page = bytes.len() / 8_192 / 2 * 8_192;
        bytes[page..page + 8_192].fill(0xa5);
        fs::write(journal, bytes).expect("written");
    };
    check(noise, "the file itself", 180);
}

#[test]
fn damaged_layouts_are_repaired() {
    // Behind the store's back, as a flipped bit: one view no longer parses, one reads well and says something else.
    let change = |from: &'static str, to: &'static str| {
        move |journal: &PathBuf| {
            let mut bytes = fs::read(journal).expect("there");
            // Wherever it stands: pages that are free hold older copies.
            let is_here = |place: &usize| bytes[*place..].starts_with(from.as_bytes());
            let places: Vec<usize> = (0..bytes.len()).filter(is_here).collect();
            assert!(!places.is_empty());
            for place in places {
                bytes[place..place + from.len()].copy_from_slice(to.as_bytes());
            }
            fs::write(journal, bytes).expect("written");
        }
    };
    for damage in [change("attempt.case_no", "attempt,case_no"), change("'$.status'", "'$.statut'")] {
        let (project, journal, rows) = complete();
        damage(&journal);
        let found = project.run(&["journal", "check"]);
        assert_eq!(found.status.code(), Some(5), "{}", text(&found.stdout));
        assert!(text(&found.stdout).contains("the file itself"), "{}", text(&found.stdout));
        let (code, repaired) = json(&project, &["journal", "repair", "--yes", "--json"]);
        assert_eq!((code, &repaired["repaired"], &repaired["reopened"]), (Some(0), &true.into(), &0.into()));
        assert_eq!(project.run(&["journal", "check"]).status.code(), Some(0));
        assert_eq!(project.stdout(&["results", "last"]), rows);
        let settled = "select count(*) as count from cases where status is not null";
        let (_, counted) = json(&project, &["journal", "sql", "last", settled, "--json"]);
        assert_eq!(counted["count"], 60);
    }
}

#[test]
fn a_row_that_is_missing_is_damage_and_not_an_empty_row() {
    let (project, journal, _) = complete();
    let row = "(select unhex(json_extract(body, '$.row')) from events where kind = 'case_admitted' and case_no = 3)";
    let statement: &'static str = format!("delete from texts where digest = {row}").leak();
    execute(statement)(&journal);
    let refused = project.run(&["results", "last"]);
    assert_eq!(refused.status.code(), Some(5), "{}", text(&refused.stdout));
    assert!(text(&refused.stderr).contains("is missing, and an event names it"), "{}", text(&refused.stderr));
}

#[test]
fn a_table_that_reads_as_something_else_is_damaged() {
    let (project, journal, rows) = complete();
    execute("update meta set value = cast(x'b2' as text) where key = 'format'")(&journal);
    let refused = project.run(&["show", "last"]);
    assert_eq!(refused.status.code(), Some(5), "{}", text(&refused.stdout));
    assert!(text(&refused.stderr).contains("is damaged at"), "{}", text(&refused.stderr));
    assert_eq!(project.run(&["journal", "check"]).status.code(), Some(5));
    assert_eq!(project.run(&["journal", "repair", "--yes"]).status.code(), Some(0));
    assert_eq!(project.stdout(&["results", "last"]), rows);
}

#[test]
fn what_cannot_be_repaired_is_left_as_it_is() {
    let (project, journal, _) = complete();
    execute("update events set body = 'x' where seq = 1")(&journal);
    let before = fs::read(&journal).expect("there");
    let refused = project.run(&["journal", "repair", "--yes"]);
    assert_eq!(refused.status.code(), Some(5));
    assert!(text(&refused.stderr).contains("what the run is made of is lost"), "{}", text(&refused.stderr));
    assert_eq!(fs::read(&journal).expect("there"), before);
    fs::write(&journal, "no database at all, ".repeat(500)).expect("written");
    let found = project.run(&["journal", "check"]);
    assert_eq!(found.status.code(), Some(5));
    assert!(text(&found.stdout).contains("the file itself"), "{}", text(&found.stdout));
}

#[test]
fn a_journal_is_compacted_and_asked() {
    let (project, journal, _) = complete();
    let rows = project.stdout(&["results"]);
    let (code, told) = json(&project, &["journal", "compact", "--json"]);
    assert_eq!(code, Some(0));
    assert!(told["bytes_after"].as_u64() <= told["bytes_before"].as_u64(), "{told}");
    assert_eq!(told["bytes_after"].as_u64(), Some(fs::metadata(&journal).expect("there").len()));
    assert_eq!(json(&project, &["journal", "check", "--json"]).0, Some(0));
    assert_eq!(project.stdout(&["results"]), rows);

    let listed = project.stdout(&["journal", "sql"]);
    assert!(["cases", "calls", "verdicts", "item, repeat"].iter().all(|word| listed.contains(word)), "{listed}");
    let query = "select status, count(*) as count from cases group by status";
    assert_eq!(project.stdout(&["journal", "sql", "last", query, "--csv"]), "status,count\nok,39\nunscored,21\n");
    let (_, row) = json(&project, &["journal", "sql", "last", query, "--json"]);
    assert_eq!(row, serde_json::json!({ "status": "ok", "count": 39 }));
    assert!(project.stdout(&["journal", "sql", "last", query]).contains("status    count\nok        39"));
    for wrong in ["delete from events", "select nothing from nowhere", "select 1; delete from events"] {
        let refused = project.run(&["journal", "sql", "last", wrong]);
        assert_eq!(refused.status.code(), Some(2), "{wrong}: {}", text(&refused.stderr));
    }
    assert_eq!(json(&project, &["journal", "check", "--json"]).0, Some(0));
}

#[test]
fn old_runs_are_pruned_and_live_and_unfinished_ones_stay() {
    let project = Project::new();
    project.write("kept.yaml", PIPELINE);
    project.write("rows.jsonl", "{\"id\": 1, \"word\": \"w\"}\n");
    let runs = || project.stdout(&["runs", "--json"]).lines().count();
    for _ in 0..3 {
        project.stdout(&["run", "kept.yaml", "--backend", "sim", "--quiet", "--new", "--force"]);
    }
    let unfinished =
        ["run", "kept.yaml", "--backend", "sim", "--quiet", "--new", "--force", "--set", "stop.budget.tokens=1"];
    assert_eq!(project.run(&unfinished).status.code(), Some(6));
    assert_eq!(runs(), 4);
    let asked = project.run(&["prune", "--keep", "2"]);
    assert_eq!(asked.status.code(), Some(2), "nobody said yes");
    assert!(
        text(&asked.stdout).contains("kept-") && text(&asked.stderr).contains("--yes"),
        "{}",
        text(&asked.stderr)
    );
    assert_eq!(runs(), 4);
    let (_, none) = json(&project, &["prune", "--older-than", "1d", "--yes", "--json"]);
    assert_eq!(none["deleted"], serde_json::json!([]));
    let (_, some) = json(&project, &["prune", "--keep", "2", "--yes", "--json"]);
    assert_eq!(some["deleted"].as_array().map(Vec::len), Some(2), "{some}");
    assert_eq!(runs(), 2);
    let (_, some) = json(&project, &["prune", "--keep", "0", "--yes", "--json"]);
    assert_eq!(some["deleted"].as_array().map(Vec::len), Some(1), "the unfinished one stays: {some}");
    project.stdout(&["prune", "--keep", "0", "--unfinished", "--yes"]);
    assert_eq!(runs(), 0);
    assert_eq!(project.run(&["prune", "--yes"]).status.code(), Some(2), "prune of everything has to be said");
}
