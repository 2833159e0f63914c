//! Tests against a real llama.cpp server with a real model: `./test` installs both and runs these.
//!
//! `PIPE_TEST_PYTHON` is a Python that has xllamacpp; the weights lie where `pipe` itself looks for them.

#[expect(dead_code, reason = "shared with the tests that need no model")]
#[path = "../it/project.rs"]
mod project;
mod server;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use project::{Project, python, text};
use serde_json::Value;
use server::Server;

fn interpreter() -> String {
    std::env::var("PIPE_TEST_PYTHON").expect("PIPE_TEST_PYTHON names a Python that has xllamacpp; ./test sets it")
}

fn weights() -> PathBuf {
    let env = |name: &str| std::env::var(name).ok();
    pipe::backend::weights::locate(&env).expect("the weights are in the cache; ./try puts them there").path
}

fn llama() -> Server {
    Server::start(python(&interpreter(), "tests/real_server/serve.py").arg(weights()).args(["2", "4096"]))
}

fn rows(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).expect("a row is JSON")).collect()
}

#[test]
fn the_shipped_debate_runs_on_a_real_server() {
    let server = llama();
    let project = Project::with_pipelines();
    for streamed in [false, true] {
        let out = format!("rows-{streamed}.jsonl");
        let backend = server.url.clone();
        let run = ["run", "pipelines/debate.yaml", "--new", "--backend", &backend, "--out", &out];
        match streamed {
            false => drop(project.stdout(&run)),
            true => assert!(on_a_terminal(&project, &run).contains("verdict")),
        }
        let rows = rows(&fs::read_to_string(project.path(&out)).expect("rows were written"));
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0]["status"], "ok", "{}", rows[0]);
        assert_eq!(rows[0]["debate.turns"], 4);
        assert!(["pro", "con", "tie"].contains(&rows[0]["verdict.choice"].as_str().expect("a choice")));
        let transcript = rows[0]["debate.transcript"].as_str().expect("a text");
        assert!(transcript.starts_with("pro: ") && transcript.contains("\n\ncon: "), "{transcript}");
    }
}

/// Runs the command with a terminal for stdout and stderr, and returns what that shows.
fn on_a_terminal(project: &Project, arguments: &[&str]) -> String {
    let quoted: Vec<String> = arguments.iter().map(|argument| format!("'{argument}'")).collect();
    let line = format!("{} {}", env!("CARGO_BIN_EXE_pipe"), quoted.join(" "));
    let mut command = std::process::Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).current_dir(project.path(".")).env("HOME", project.path("home"));
    let output = command.output().expect("script (util-linux) runs");
    assert!(output.status.success(), "{}", text(&output.stdout));
    text(&output.stdout)
}

#[test]
fn auto_finds_the_server_it_is_pointed_at_and_names_what_it_found() {
    let server = llama();
    let project = Project::with_pipelines();
    let mut command = project.pipe(&["run", "pipelines/debate.yaml", "--new", "--set", "actors.pro.max_tokens=8"]);
    let output = command.env("PIPE_BASE_URL", &server.url).output().expect("pipe starts");
    let talk = text(&output.stderr);
    assert!(output.status.success(), "{talk}");
    assert!(talk.contains("llama.cpp") && talk.contains("2 slots"), "{talk}");
}

#[test]
fn a_model_that_nobody_has_is_exit_4_with_what_exists() {
    let server = llama();
    let project = Project::with_pipelines();
    let output = project.run(&["run", "pipelines/debate.yaml", "--backend", &server.url, "--model", "gpt-9"]);
    let talk = text(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{talk}");
    assert!(talk.contains("gpt-9") && talk.to_lowercase().contains("smollm2"), "{talk}");
}

#[test]
fn kill_9_in_mid_dialogue_resumes_at_the_next_turn() {
    let server = llama();
    let project = Project::with_pipelines();
    let ledger = project.path("ledger.jsonl");
    let proxy = Server::start(python("python3", "tests/real_server/ledger.py").arg(&server.url).arg(&ledger));
    let run =
        ["run", "pipelines/debate.yaml", "--new", "-p", "rounds=4", "--backend", &proxy.url, "--out", "rows.jsonl"];
    let mut child = project.pipe(&run).spawn().expect("pipe starts");
    wait_until("three turns are settled", || answered(&project).is_some_and(|digests| digests.len() >= 3));
    child.kill().expect("killed");
    child.wait().expect("waited for");
    let settled = answered(&project).expect("the journal reads");
    assert!((3..8).contains(&settled.len()), "killed in mid-dialogue, after {} turns", settled.len());

    project.stdout(&["resume"]);
    let rows = rows(&fs::read_to_string(project.path("rows.jsonl")).expect("rows were written"));
    assert_eq!(rows[0]["debate.turns"], 8);
    let asked = asked(&ledger);
    let again: Vec<&String> = asked.iter().filter(|(_, times)| **times > 1).map(|(body, _)| body).collect();
    assert!(again.len() <= 2, "more requests were repeated than were in flight: {again:?}");
    for messages in &settled {
        assert_eq!(asked.get(messages), Some(&1), "a settled turn was asked again: {messages}");
    }
    assert_eq!(answered(&project).expect("the journal reads").len(), asked.len(), "every question has its answer");
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(300), "waited five minutes until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The messages of every answered attempt in the journal, as the public views show them.
fn answered(project: &Project) -> Option<Vec<String>> {
    let runs = fs::read_dir(project.path(".pipe/runs")).ok()?;
    let journal =
        runs.filter_map(Result::ok).map(|entry| entry.path().join("journal.db")).find(|path| path.exists())?;
    let reader = pipe::journal::Reader::open(&journal).ok()?;
    let mut found = Vec::new();
    reader
        .events_after(pipe::journal::EventSeq::default(), &mut |_, recorded| {
            if let pipe::event::Event::AttemptEnded(ended) = recorded.event
                && matches!(ended.outcome, pipe::event::Outcome::Answered(_))
            {
                let message = |message: &pipe::event::Message| {
                    let text =
                        reader.text(Some(ended.id.case), &message.1).ok().flatten().expect("the text is there");
                    serde_json::json!([message.0, text])
                };
                found.push(ended.request.iter().map(message).collect::<Value>().to_string());
            }
            Ok(())
        })
        .ok()?;
    Some(found)
}

/// How often each list of messages was asked, by the ledger.
fn asked(ledger: &Path) -> BTreeMap<String, u32> {
    let mut asked = BTreeMap::new();
    for line in fs::read_to_string(ledger).expect("a ledger").lines() {
        let entry: Value = serde_json::from_str(line).expect("a ledger line is JSON");
        if entry["at"] == "asked" {
            let messages = entry["messages"].as_array().expect("messages");
            let key: Vec<Value> =
                messages.iter().map(|message| serde_json::json!([message["role"], message["content"]])).collect();
            *asked.entry(Value::from(key).to_string()).or_insert(0) += 1;
        }
    }
    asked
}
