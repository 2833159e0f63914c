//! Edit without fear: what was answered is not asked again, and what was edited is. A server that shares no code with
//! `pipe` counts the requests.

use std::collections::BTreeSet;
use std::fs;
use std::process::Output;

use serde_json::Value;

use crate::backend_faults::FaultServer;
use crate::project::{Project, python, text};

const FILE: &str = "pipelines/monte_carlo.yaml";
const QUESTION: (&str, &str) = ("Who argued better?", "Who was the better speaker?");

struct Bench {
    project: Project,
    server: FaultServer,
    seen: BTreeSet<String>,
    count: usize,
}

/// What came of one command.
struct Done {
    talk: String,
    /// Requests that it made.
    asked: usize,
    /// Of these, those that were made before, by their digests.
    again: usize,
}

impl Bench {
    fn new() -> Self {
        let (project, server) = (Project::with_pipelines(), FaultServer::start());
        Self { project, server, seen: BTreeSet::new(), count: 0 }
    }

    fn run(&mut self, arguments: &[&str]) -> Done {
        let url = self.server.url.clone();
        let out = self.project.run(&[&["run", FILE, "--backend", &url, "--force"], arguments].concat());
        self.done(&out)
    }

    fn done(&mut self, out: &Output) -> Done {
        let talk = text(&out.stderr);
        assert!(out.status.success(), "{talk}");
        let asked = self.server.asked().split_off(self.count);
        self.count += asked.len();
        let again = asked.iter().filter(|digest| self.seen.contains(*digest)).count();
        self.seen.extend(asked.iter().cloned());
        Done { talk, asked: asked.len(), again }
    }

    fn rows(&self, name: &str) -> String {
        fs::read_to_string(self.project.path(name)).expect("rows were written")
    }

    /// The newest run's journal holds, as an auditor who knows nothing of `pipe` sees it.
    fn audit(&self) -> Value {
        let runs = fs::read_dir(self.project.path(".pipe/runs")).expect("there are runs");
        let newest = runs.map(|run| run.expect("readable").path()).max().expect("there is one");
        let audit = python("python3", "tests/audit/audit.py").arg(newest).output().expect("the audit runs");
        assert!(audit.status.success(), "{}{}", text(&audit.stdout), text(&audit.stderr));
        serde_json::from_slice(&audit.stdout).expect("JSON")
    }
}

#[test]
fn another_question_asks_the_judge_alone() {
    let mut bench = Bench::new();
    let first = bench.run(&["--repeat", "20", "--out", "first.jsonl"]);
    assert_eq!((first.asked, first.again), (80, 0), "{}", first.talk);
    bench.project.edit(FILE, QUESTION.0, QUESTION.1);
    let second = bench.run(&["--repeat", "20", "--out", "second.jsonl"]);
    assert_eq!((second.asked, second.again), (40, 0), "no call of the debate is made again: {}", second.talk);
    assert!(second.talk.contains("reusing 20 of 40 tasks from monte_carlo-"), "{}", second.talk);
    assert!(second.talk.contains("reused     20 tasks of monte_carlo-"), "{}", second.talk);
    assert_eq!(bench.audit()["tasks_adopted"], 20);
    let fresh = bench.run(&["--repeat", "20", "--out", "fresh.jsonl", "--new"]);
    assert_eq!((fresh.asked, fresh.again), (80, 80));
    assert_eq!(bench.rows("second.jsonl"), bench.rows("fresh.jsonl"), "reuse changes nothing of the results");
}

#[test]
fn limits_and_comments_ask_nothing_and_more_repeats_only_those() {
    let mut bench = Bench::new();
    bench.run(&["--repeat", "20", "--out", "first.jsonl"]);
    bench.project.edit(FILE, "repeat: 200", "repeat: 200   # many\nlimits: { retries: { attempts: 3 } }");
    let tuned = bench.run(&["--repeat", "20", "--out", "tuned.jsonl"]);
    assert_eq!(tuned.asked, 0, "{}", tuned.talk);
    assert_eq!(bench.rows("first.jsonl"), bench.rows("tuned.jsonl"));
    let more = bench.run(&["--repeat", "30", "--out", "more.jsonl"]);
    assert_eq!((more.asked, more.again), (40, 0), "{}", more.talk);
    bench.run(&["--repeat", "30", "--out", "fresh.jsonl", "--new"]);
    assert_eq!(bench.rows("more.jsonl"), bench.rows("fresh.jsonl"));
}

#[test]
fn a_part_of_the_items_is_reused_by_the_whole() {
    let mut bench = Bench::new();
    let rows: String = (0..6).map(|n| format!("{{\"id\": {n}, \"who\": \"w{n}\", \"note\": \"a\"}}\n")).collect();
    bench.project.write("rows.jsonl", &rows);
    bench.project.write(
        FILE,
        "version: 1\nname: greet\nactors:\n  anna: { system: You are Anna. }\nitems: { path: ../rows.jsonl, id: id }\n\
         steps:\n  greet: { chat: { actor: anna, prompt: \"Greet {{ item.who }}.\" } }\n",
    );
    assert_eq!(bench.run(&["--limit", "4", "--out", "a.jsonl"]).asked, 4);
    assert_eq!(bench.run(&["--out", "b.jsonl"]).asked, 2, "the hundred are reused by all");
    bench.project.write("rows.jsonl", &rows.replace("\"note\": \"a\"", "\"note\": \"b\"").replace("w3", "w9"));
    let edited = bench.run(&["--out", "c.jsonl"]);
    assert_eq!(edited.asked, 1, "a field that no template reads asks nothing: {}", edited.talk);
    assert!(bench.rows("c.jsonl").contains("\"note\":\"b\""), "the row itself is the new one");
}

#[test]
fn what_failed_is_asked_again() {
    let mut bench = Bench::new();
    let url = bench.server.url.clone();
    let fault = format!("{url}/fault/status-400");
    let failed = bench.project.run(&["run", FILE, "--backend", &fault, "--repeat", "2", "--out", "a.jsonl"]);
    assert_eq!(failed.status.code(), Some(1), "{}", text(&failed.stderr));
    bench.count = bench.server.asked().len();
    let again = bench.run(&["--repeat", "2", "--out", "b.jsonl"]);
    assert_eq!(again.asked, 8, "{}", again.talk);
}
