//! Backends that are gone for a while, and all faults at once: every case ends, and what succeeds is what an
//! undisturbed run says.

use std::collections::BTreeMap;
use std::fs;

use pipe::event::{Event, Outcome};
use pipe::journal::{EventSeq, Reader};
use serde_json::Value;

use crate::backend_faults::FaultServer;
use crate::project::{Project, text};

/// Requests per call that may be charged.
const ATTEMPTS: u32 = 5;

/// A pipeline of four independent questions about each item, each at a backend of its own.
fn pipeline(bases: &[String], items: usize, times: &str) -> String {
    let rows: Vec<String> = (0..items).map(|number| format!("{{ id: i{number} }}")).collect();
    let each = |entry: &dyn Fn(usize, &String) -> String| {
        bases.iter().enumerate().map(|(number, base)| entry(number, base)).collect::<Vec<_>>().join(", ")
    };
    format!(
        "version: 1\nname: storm\nseed: 5\n\
         limits: {{ concurrency: 8, retries: {{ attempts: {ATTEMPTS}, within: 1h, backoff: 1ms..9ms }}{times} }}\n\
         items: {{ values: [{}] }}\nbackends: {{ {} }}\nmodels: {{ {} }}\nactors: {{ {} }}\nsteps: {{ {} }}\n",
        rows.join(", "),
        each(&|number, base| format!("b{number}: {{ base_url: '{base}/v1' }}")),
        each(&|number, _| format!("m{number}: {{ backend: b{number}, model: fault-model }}")),
        each(&|number, _| format!("a{number}: {{ model: m{number} }}")),
        each(&|number, _| format!(
            "s{number}: {{ chat: {{ actor: a{number}, prompt: '{number}, {{{{ item.id }}}}?' }} }}"
        )),
    )
}

/// Runs it and returns the rows by item, the exit code and what was said.
fn run(project: &Project, bases: &[String], items: usize, times: &str) -> (BTreeMap<String, Value>, i32, String) {
    project.write("storm.yaml", &pipeline(bases, items, times));
    let output = project.run(&["run", "storm.yaml", "--new", "--out", "rows.jsonl", "--force"]);
    let talk = text(&output.stderr);
    let rows = fs::read_to_string(project.path("rows.jsonl")).unwrap_or_else(|_| panic!("no rows: {talk}"));
    let rows = rows.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let rows = rows.map(|row| (row["item.id"].as_str().expect("an id").to_owned(), row)).collect();
    (rows, output.status.code().expect("not killed"), talk)
}

/// Compares with an undisturbed run; returns how many answers are the same and how many are missing.
fn compare(calm: &BTreeMap<String, Value>, stormy: &BTreeMap<String, Value>) -> (usize, usize) {
    assert_eq!(calm.keys().collect::<Vec<_>>(), stormy.keys().collect::<Vec<_>>(), "every case ends");
    let (mut same, mut missing) = (0, 0);
    for (item, row) in stormy {
        for step in ["s0.text", "s1.text", "s2.text", "s3.text"] {
            match &row[step] {
                Value::Null => missing += 1,
                answer => {
                    assert_eq!(*answer, calm[item][step], "{item}, {step}");
                    same += 1;
                }
            }
        }
    }
    (same, missing)
}

/// Every request of the journal's calls: how often each was charged; and how many there were in all.
fn charged(project: &Project) -> (BTreeMap<String, u32>, usize) {
    let reader = Reader::open(&project.run_folder().join("journal.db")).expect("the journal opens");
    let (mut calls, mut requests) = (BTreeMap::new(), 0);
    reader
        .events_after(EventSeq::default(), &mut |_, recorded| {
            if let Event::AttemptEnded(ended) = recorded.event {
                requests += 1;
                let call = format!("{} {} {}", ended.id.case, ended.id.step, ended.id.call);
                *calls.entry(call).or_insert(0) += u32::from(ended.charged);
                if let Outcome::Failed(failure) = &ended.outcome {
                    assert!(failure.detail.starts_with("http://"), "{failure:?}");
                }
            }
            Ok(())
        })
        .expect("the journal reads");
    (calls, requests)
}

fn storm(seed: u32, times: &str) {
    const ITEMS: usize = 50;
    let server = FaultServer::start();
    let same = vec![server.url.clone(); 4];
    let (calm, code, talk) = run(&Project::new(), &same, ITEMS, "");
    assert_eq!(code, 0, "{talk}");
    let before = server.asked().len();
    assert_eq!(before, 4 * ITEMS);

    let project = Project::new();
    let bases: Vec<String> = (0..4).map(|lane| format!("{}/storm/{}-60", server.url, seed * 4 + lane)).collect();
    let (stormy, code, talk) = run(&project, &bases, ITEMS, times);
    assert_eq!(code, 1, "some of it is refused for good: {talk}");
    let (same, missing) = compare(&calm, &stormy);
    assert_eq!(same + missing, 4 * ITEMS);
    assert!(same >= 2 * ITEMS && missing > 0, "seed {seed}: {same} answers, {missing} missing: {talk}");

    let (calls, requests) = charged(&project);
    assert_eq!(server.asked().len() - before, requests, "seed {seed}: the journal knows of every request");
    assert_eq!(calls.len(), 4 * ITEMS);
    let most = calls.values().max().expect("there are calls");
    assert!(*most <= ATTEMPTS, "seed {seed}: {most} requests were charged to one call");
    assert!(requests >= 6 * ITEMS, "seed {seed}: {requests} requests are no storm");
}

#[test]
fn sixty_percent_faults_change_no_answer() {
    storm(1, "");
}

#[test]
fn sixty_percent_faults_change_no_answer_of_a_stream() {
    storm(2, ", timeouts: { first_token: 5m }");
}

#[test]
fn backends_that_are_gone_for_a_while_are_waited_for() {
    const ITEMS: usize = 10;
    let server = FaultServer::start();
    let (calm, ..) = run(&Project::new(), &vec![server.url.clone(); 4], ITEMS, "");
    // More failures than a breaker lets pass: a dead server, a full one, one that unloads, one that loads.
    let away = ["close-before-headers/first/24", "status-503/first/24", "unloaded/first/3", "loading/first/3"];
    let bases: Vec<String> = away.iter().map(|fault| format!("{}/fault/{fault}", server.url)).collect();
    let project = Project::new();
    let (stormy, code, talk) = run(&project, &bases, ITEMS, "");
    assert_eq!(code, 0, "the run goes on by itself: {talk}");
    assert_eq!(compare(&calm, &stormy), (4 * ITEMS, 0));
    assert!(
        talk.contains("b0: ") && talk.contains("answers again"),
        "it says that it waits, and that it is over: {talk}"
    );
}

#[test]
fn an_answer_that_nobody_asked_for_is_given_to_nobody() {
    let server = FaultServer::start();
    let (calm, ..) = run(&Project::new(), &vec![server.url.clone(); 4], 10, "");
    let bases = vec![format!("{}/fault/answers-twice", server.url); 4];
    let (doubled, code, talk) = run(&Project::new(), &bases, 10, "");
    assert_eq!(code, 0, "{talk}");
    assert_eq!(compare(&calm, &doubled), (40, 0));
}
