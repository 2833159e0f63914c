//! `cache: true`: what a run of the project was answered is asked by none of them again.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use pipe::base::{CaseNo, Digest};
use pipe::journal::Reader;
use rusqlite::Connection;
use serde_json::Value;

use crate::backend_faults::FaultServer;
use crate::project::{Project, python, text};

const ITEMS: usize = 6;

/// A chat about each item, and what another step makes of it.
fn pipeline(url: &str, steps: &str) -> String {
    let rows: Vec<String> = (0..ITEMS).map(|number| format!("{{ id: i{number} }}")).collect();
    format!(
        "version: 1\nseed: 5\ncache: true\nlimits: {{ concurrency: 3 }}\n\
         items: {{ id: id, values: [{}] }}\nbackends: {{ b: {{ base_url: '{url}/v1' }} }}\n\
         models: {{ m: {{ backend: b, model: fault-model, price: {{ input: 1 USD/M, output: 1 USD/M }} }} }}\n\
         actors: {{ a: {{ model: m, temperature: 0 }} }}\nsteps:\n{ASK}{steps}",
        rows.join(", ")
    )
}

const ASK: &str = "  ask: { chat: { actor: a, prompt: 'About {{ item.id }}?' } }\n";
const THEN: &str = "  then: { chat: { actor: a, prompt: 'And then? {{ steps.ask.text }}' } }\n";
const CHOOSE: &str = "  verdict: { judge: { actor: a, question: '{{ steps.ask.text }}', choose: [pro, con] } }\n";

/// Runs a file anew and returns its summary and its rows.
fn run(project: &Project, file: &str, more: &[&str]) -> (Value, String) {
    let out = project.path(&format!("{file}.jsonl"));
    let out = out.to_str().expect("UTF-8").to_owned();
    let told = project.run(&[&["run", file, "--new", "--json", "--force", "--out", &out], more].concat());
    assert!(told.status.success(), "{}", text(&told.stderr));
    let summary = serde_json::from_str(&text(&told.stdout)).expect("JSON");
    (summary, fs::read_to_string(out).expect("rows were written"))
}

fn counts(summary: &Value) -> (u64, u64) {
    (summary["requests"].as_u64().expect("a number"), summary["from_cache"].as_u64().unwrap_or(0))
}

fn runs(project: &Project) -> Vec<PathBuf> {
    let entries = fs::read_dir(project.path(".pipe/runs")).expect("there are runs");
    entries.map(|entry| entry.expect("readable").path()).collect()
}

/// Every journal holds by itself, and every answer of the cache stands in the journal that it is said to be from.
fn audited(project: &Project) {
    for run in runs(project) {
        let audit = python("python3", "tests/audit/audit.py").arg(&run).output().expect("the audit runs");
        assert!(audit.status.success(), "{}{}", text(&audit.stdout), text(&audit.stderr));
    }
    let cache = Connection::open(project.path(".pipe/cache.db")).expect("it opens");
    let sql = "select run, case_no, json_extract(body, '$.text') from answers where typeof(body) = 'text'";
    let mut rows = cache.prepare(sql).expect("it is laid out so");
    let entries = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("it is read");
    let mut seen = 0;
    for entry in entries {
        let (run, case, said): (String, u32, String) = entry.expect("a row");
        let journal = project.path(".pipe/runs").join(&run).join("journal.db");
        let reader = Reader::open(&journal).expect("the run is there");
        let found = reader.text(Some(CaseNo(u64::from(case))), &Digest::of(said.as_bytes())).expect("it is read");
        assert_eq!(found.as_deref(), Some(said.as_str()), "case {case} of {run}");
        seen += 1;
    }
    assert!(seen > 0);
}

#[test]
fn two_pipelines_share_what_they_ask_and_nothing_is_asked_twice() {
    let server = FaultServer::start();
    let project = Project::new();
    project.write("one.yaml", &pipeline(&server.url, THEN));
    project.write("two.yaml", &pipeline(&server.url, &format!("{THEN}{CHOOSE}")));
    let calls = ITEMS as u64;

    let (first, rows) = run(&project, "one.yaml", &[]);
    assert_eq!((counts(&first), server.asked().len() as u64), ((2 * calls, 0), 2 * calls));
    let cost = first["cost"]["micro_usd"].as_u64().expect("a cost");
    assert!(cost > 0);

    let (again, same) = run(&project, "one.yaml", &[]);
    assert_eq!(same, rows);
    assert_eq!((counts(&again), server.asked().len() as u64), ((0, 2 * calls), 2 * calls));
    assert_eq!((&again["tokens"]["output"], &again["cost"]["micro_usd"]), (&Value::Null, &0.into()));
    assert_eq!(again["answered"], 0);

    // Another pipeline asks only what is its own.
    let (other, _) = run(&project, "two.yaml", &[]);
    assert_eq!((counts(&other), server.asked().len() as u64), ((calls, 2 * calls), 3 * calls));

    // An edit of a step asks that one again.
    project.edit("two.yaml", "And then?", "And so?");
    let (edited, _) = run(&project, "two.yaml", &[]);
    assert_eq!(counts(&edited), (calls, 2 * calls), "the question of `then` is another, the rest is as it was");

    let shown = project.stdout(&["show", "last", "i3"]);
    assert!(shown.contains("from the cache: asked in case 3 of one-"), "{shown}");
    let told = project.stdout(&["show", "last"]);
    assert!(told.contains("12 answers of earlier requests, at no cost"), "{told}");
    let plan = project.stdout(&["plan", "two.yaml"]);
    assert!(plan.contains("cache: 24 answers of earlier runs"), "{plan}");
    audited(&project);
}

#[test]
fn it_is_asked_for_and_can_be_left_out_refreshed_and_deleted() {
    let server = FaultServer::start();
    let project = Project::new();
    let calls = ITEMS as u64;
    project.write("one.yaml", &pipeline(&server.url, "").replace("cache: true\n", ""));
    run(&project, "one.yaml", &[]);
    assert!(!project.path(".pipe/cache.db").exists(), "nobody asked for it");
    assert_eq!(counts(&run(&project, "one.yaml", &["--set", "cache=true"]).0), (calls, 0));
    assert_eq!(counts(&run(&project, "one.yaml", &["--set", "cache=true"]).0), (0, calls));
    assert_eq!(counts(&run(&project, "one.yaml", &["--set", "cache=true", "--no-cache"]).0), (calls, 0));
    assert_eq!(counts(&run(&project, "one.yaml", &["--refresh-cache"]).0), (calls, 0));
    let cache = Connection::open(project.path(".pipe/cache.db")).expect("it opens");
    let from: i64 =
        cache.query_row("select count(distinct run) from answers", [], |row| row.get(0)).expect("it is read");
    let latest: String = cache.query_row("select max(run) from answers", [], |row| row.get(0)).expect("it is read");
    let newest = runs(&project).into_iter().max().expect("there are runs");
    assert_eq!((from, newest.ends_with(&latest)), (1, true), "every answer is that of the run that refreshed them");
    drop(cache);

    assert!(text(&project.run(&["prune", "--keep", "9"]).stderr).contains("the cache stays: 6 answers, "));
    let young: Value =
        serde_json::from_str(&project.stdout(&["prune", "--cache", "--older-than", "1d", "--yes", "--json"]))
            .expect("JSON");
    assert_eq!(young["deleted"]["answers"], 0);
    assert_eq!(project.run(&["prune", "--cache"]).status.code(), Some(2), "nobody said yes");
    assert!(project.stdout(&["prune", "--cache", "--yes"]).contains("deleted the cache: 6 answers, "));
    assert!(!project.path(".pipe/cache.db").exists());
    assert_eq!(counts(&run(&project, "one.yaml", &["--set", "cache=true"]).0), (calls, 0));
}

#[test]
fn every_repeat_is_another_question() {
    let server = FaultServer::start();
    let project = Project::new();
    project.write("one.yaml", &pipeline(&server.url, ""));
    let calls = ITEMS as u64;
    assert_eq!(counts(&run(&project, "one.yaml", &["--repeat", "2"]).0), (2 * calls, 0));
    assert_eq!(counts(&run(&project, "one.yaml", &["--repeat", "3"]).0), (calls, 2 * calls));
    // Another seed is another question, too.
    assert_eq!(counts(&run(&project, "one.yaml", &["--seed", "6"]).0), (calls, 0));
}

#[test]
fn an_answer_of_no_use_is_kept_only_with_the_one_that_mended_it() {
    let server = FaultServer::start();
    let project = Project::new();
    let calls = ITEMS as u64;
    let judge = "  verdict: { judge: { actor: a, question: '{{ item.id }}?', choose: [pro, con] }, repair: 1 }\n";
    let file = |url: &str| pipeline(url, judge).replace(ASK, "").replace("concurrency: 3", "concurrency: 1");
    // The first question is first answered by words.
    project.write("mended.yaml", &file(&format!("{}/fault/judge-prose/first/1", server.url)));
    let (first, rows) = run(&project, "mended.yaml", &[]);
    assert_eq!((counts(&first), &first["cases"]["ok"]), ((calls + 1, 0), &calls.into()));
    // By now the server would answer well at once; the way is the one of before all the same.
    let (again, same) = run(&project, "mended.yaml", &[]);
    assert_eq!((counts(&again), same), ((0, calls + 1), rows));

    project.write("flawed.yaml", &file(&format!("{}/fault/judge-prose", server.url)));
    let flawed = |expected| {
        project.run(&["run", "flawed.yaml", "--new", "--json"]);
        let shown: Value = serde_json::from_str(&project.stdout(&["show", "last", "--json"])).expect("JSON");
        assert_eq!(counts(&shown), expected);
        assert_eq!(shown["cases"]["unscored"], calls);
    };
    flawed((2 * calls, 0));
    // Nothing came of them, so another run may have more luck.
    flawed((2 * calls, 0));
}

#[test]
fn what_is_not_spent_counts_for_no_budget() {
    let server = FaultServer::start();
    let project = Project::new();
    project.write("one.yaml", &pipeline(&server.url, THEN));
    run(&project, "one.yaml", &[]);
    let (again, _) = run(&project, "one.yaml", &["--set", "stop.budget.tokens=1"]);
    assert_eq!((&again["status"], counts(&again)), (&"complete".into(), (0, 2 * ITEMS as u64)));
}

#[test]
fn runs_side_by_side_share_one_file() {
    let server = FaultServer::start();
    let project = Project::new();
    let slow = format!("{}/delay/20", server.url);
    let begin = |file: &str| {
        project.write(file, &pipeline(&slow, THEN));
        let mut command = project.pipe(&["run", file, "--new", "--quiet", "--out", &format!("{file}.jsonl")]);
        command.stderr(Stdio::piped()).spawn().expect("pipe starts")
    };
    let both = [begin("one.yaml"), begin("two.yaml")];
    for child in both {
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    }
    let rows = |file: &str| fs::read_to_string(project.path(&format!("{file}.jsonl"))).expect("rows were written");
    assert_eq!(rows("one.yaml"), rows("two.yaml"));
    let asked = server.asked().len();
    let (third, same) = run(&project, "one.yaml", &[]);
    assert_eq!((counts(&third), server.asked().len()), ((0, 2 * ITEMS as u64), asked));
    assert_eq!(same, rows("two.yaml"));
    audited(&project);
}

#[test]
fn a_file_that_cannot_be_used_is_named_and_everything_is_asked() {
    let server = FaultServer::start();
    let project = Project::new();
    project.write("one.yaml", &pipeline(&server.url, ""));
    let (_, rows) = run(&project, "one.yaml", &[]);
    let path = project.path(".pipe/cache.db");
    let whole = fs::read(&path).expect("it is there");
    let sql = |sql: &str| Connection::open(&path).expect("it opens").execute_batch(sql).expect("it takes it");
    let talk = |expected: u64| {
        let told = project.run(&["run", "one.yaml", "--new", "--force", "--out", "rows.jsonl"]);
        assert!(told.status.success(), "{}", text(&told.stderr));
        assert_eq!(fs::read_to_string(project.path("rows.jsonl")).expect("rows"), rows);
        let shown: Value = serde_json::from_str(&project.stdout(&["show", "last", "--json"])).expect("JSON");
        assert_eq!(shown["requests"], expected);
        text(&told.stderr)
    };

    // One answer was changed by another hand: it is asked again, the others are not, and it is whole after that.
    sql("update answers set body = replace(body, '\"text\":\"', '\"text\":\"no ') where id = 2");
    let said = talk(1);
    assert!(said.contains("cache: 1 answer did not match"), "{said}");
    talk(0);

    fs::write(&path, "this was a database once, and it is none any more").expect("written");
    let said = talk(ITEMS as u64);
    assert!(said.contains("the cache is not used: ") && said.contains("cache.db"), "{said}");
    assert!(said.contains("pipe prune --cache"), "{said}");

    fs::write(&path, whole).expect("written");
    sql("pragma user_version = 9");
    let said = talk(ITEMS as u64);
    assert!(said.contains("written by a newer pipe (format 9"), "{said}");
}

#[test]
fn a_killed_run_leaves_nothing_in_it_that_its_journal_does_not_say() {
    let server = FaultServer::start();
    let calm = Project::new();
    let slow = format!("{}/delay/15", server.url);
    calm.write("one.yaml", &pipeline(&slow, THEN));
    let (_, rows) = run(&calm, "one.yaml", &["--repeat", "4"]);

    let project = Project::new();
    project.write("one.yaml", &pipeline(&slow, THEN));
    let begin = ["run", "one.yaml", "--quiet", "--repeat", "4", "--out", "rows.jsonl"];
    for kill in 0..6 {
        let arguments: &[&str] = if kill == 0 { &begin } else { &["resume", "--quiet"] };
        let before = project.settled();
        let mut child = project.pipe(arguments).stderr(Stdio::null()).spawn().expect("pipe starts");
        while project.settled() < before + 3 && child.try_wait().expect("its state is known").is_none() {
            std::thread::yield_now();
        }
        child.kill().expect("killed");
        child.wait().expect("waited for");
    }
    project.run(&["resume", "--quiet"]);
    assert_eq!(fs::read_to_string(project.path("rows.jsonl")).expect("rows were written"), rows);
    audited(&project);
    let (again, same) = run(&project, "one.yaml", &["--repeat", "4"]);
    assert_eq!(same, rows);
    let (asked, cached) = counts(&again);
    assert_eq!(asked + cached, 8 * ITEMS as u64);
    // What a kill took from the cache is in there now.
    assert_eq!(counts(&run(&project, "one.yaml", &["--repeat", "4"]).0), (0, 8 * ITEMS as u64));
    audited(&project);
}
