//! What a user sees: exit codes, messages, results.

use std::fs;
use std::net::TcpListener;

use serde_json::Value;

use crate::project::{Project, text};

const CHAT: &str = "\
version: 1
name: hello
actors:
  anna: { system: You are Anna., max_tokens: 20 }
items:
  values: [ { who: Bob }, { who: Cid } ]
steps:
  greet: { chat: { actor: anna, prompt: \"Greet {{ item.who }}.\" } }
  again: { chat: { actor: anna, prompt: \"Say it again: {{ steps.greet.text }}\" } }
";

#[test]
fn a_pipe_gets_rows_on_stdout_and_talk_on_stderr() {
    let project = Project::new();
    project.write("hello.yaml", CHAT);
    let output = project.run(&["run", "hello.yaml", "--backend", "sim"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let rows: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("a row is JSON")).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["who"], "Bob");
    assert!(rows[0]["greet.text"].as_str().is_some_and(|text| !text.is_empty()));
    assert_eq!(rows[1]["status"], "ok");
    let talk = text(&output.stderr);
    assert!(talk.contains("pipe show last") && talk.contains(".pipe/runs/hello-"), "{talk}");
    assert!(!talk.contains('\u{1b}'), "no colour without a terminal: {talk:?}");
}

#[test]
fn the_same_seed_gives_the_same_rows_and_another_one_others() {
    let project = Project::new();
    project.write("hello.yaml", CHAT);
    let rows = |seed| project.stdout(&["run", "hello.yaml", "--backend", "sim", "--seed", seed, "--quiet"]);
    let first = rows("7");
    assert_eq!(first, rows("7"));
    assert_ne!(first, rows("8"));
}

#[test]
fn a_wrong_file_costs_no_call_and_leaves_nothing() {
    let project = Project::new();
    project
        .write("wrong.yaml", &CHAT.replace("max_tokens", "max_token").replace("steps.greet.text", "steps.gret.text"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let backend = format!("http://{}/v1", listener.local_addr().expect("bound"));
    listener.set_nonblocking(true).expect("set");
    let output = project.run(&["run", "wrong.yaml", "--backend", &backend]);
    let talk = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{talk}");
    assert!(talk.contains("wrong.yaml:4:") && talk.contains("max_tokens"), "{talk}");
    assert!(talk.contains("wrong.yaml:9:") && talk.contains("greet"), "both mistakes at once: {talk}");
    assert!(listener.accept().is_err(), "nobody was called");
    assert!(!project.path(".pipe").exists(), "nothing was written");
}

#[test]
fn a_wrong_row_is_named_by_its_line_before_any_call() {
    let project = Project::new();
    project.write("rows.jsonl", "{\"id\": 1, \"who\": \"Bob\"}\nnonsense\n{\"id\": 1, \"who\": \"Cid\"}\n");
    let file = CHAT.replace("values: [ { who: Bob }, { who: Cid } ]", "{ path: rows.jsonl, id: id }");
    project.write("hello.yaml", &file.replace("items:\n  {", "items: {"));
    let output = project.run(&["run", "hello.yaml", "--backend", "sim"]);
    let talk = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{talk}");
    assert!(talk.contains("rows.jsonl:2") && talk.contains("rows.jsonl:3"), "{talk}");
    assert!(talk.contains("row 1 already"), "the earlier place is named too: {talk}");
}

#[test]
fn nobody_at_the_port_is_exit_4_and_named() {
    let project = Project::new();
    project.write("hello.yaml", CHAT);
    let output = project.run(&["run", "hello.yaml", "--backend", "http://127.0.0.1:9/v1"]);
    let talk = text(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{talk}");
    assert!(talk.contains("127.0.0.1:9") && talk.contains("refused"), "{talk}");
}

#[test]
fn results_of_another_run_are_not_overwritten_without_force() {
    let project = Project::new();
    project.write("hello.yaml", CHAT);
    let run = ["run", "hello.yaml", "--backend", "sim", "--out", "rows.jsonl"];
    project.stdout(&run);
    let before = fs::read_to_string(project.path("rows.jsonl")).expect("rows were written");
    let refused = project.run(&run);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("--force"), "{}", text(&refused.stderr));
    assert_eq!(before, fs::read_to_string(project.path("rows.jsonl")).expect("still there"));
    project.stdout(&[&run[..], &["--force"]].concat());
}

#[test]
fn an_unfinished_run_is_told_and_resumed_or_left() {
    let project = Project::with_pipelines();
    let run = ["run", "pipelines/monte_carlo.yaml", "--backend", "sim:2", "--out", "rows.jsonl"];
    let mut child = project.pipe(&run).spawn().expect("pipe starts");
    while project.settled() < 5 {
        assert!(child.try_wait().expect("known").is_none(), "the run is long enough to be hit");
        std::thread::yield_now();
    }
    child.kill().expect("killed");
    child.wait().expect("waited for");

    let refused = project.run(&run);
    let talk = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{talk}");
    assert!(talk.contains("is not finished") && talk.contains("--resume") && talk.contains("--new"), "{talk}");
    project.stdout(&[&run[..], &["--resume", "--quiet"]].concat());
    assert_eq!(fs::read_to_string(project.path("rows.jsonl")).expect("rows").lines().count(), 200);
}

#[test]
fn ctrl_c_drains_and_says_how_to_go_on() {
    let project = Project::with_pipelines();
    let run = ["run", "pipelines/monte_carlo.yaml", "--backend", "sim:1", "--new"];
    let child = project.pipe(&run).stderr(std::process::Stdio::piped()).stdout(std::process::Stdio::null()).spawn();
    let child = child.expect("pipe starts");
    while project.settled() == 0 {
        std::thread::yield_now();
    }
    let signal = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(signal.expect("kill runs").success());
    let output = child.wait_with_output().expect("waited for");
    let talk = text(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{talk}");
    assert!(talk.contains("pipe resume"), "{talk}");
}

#[test]
fn a_second_writer_is_told_who_holds_the_run() {
    let project = Project::with_pipelines();
    let run = ["run", "pipelines/monte_carlo.yaml", "--backend", "sim:1", "--new", "--quiet"];
    let mut child = project.pipe(&run).stdout(std::process::Stdio::null()).spawn().expect("pipe starts");
    while project.settled() == 0 {
        assert!(child.try_wait().expect("known").is_none(), "the run is long enough to be met");
        std::thread::yield_now();
    }
    let second = project.run(&["resume"]);
    child.kill().expect("killed");
    child.wait().expect("waited for");
    let talk = text(&second.stderr);
    assert_eq!(second.status.code(), Some(2), "{talk}");
    assert!(talk.contains(&child.id().to_string()), "the holder is named: {talk}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let project = Project::new();
    project.write("hello.yaml", CHAT);
    let pipe = env!("CARGO_BIN_EXE_pipe");
    let line =
        format!("{pipe} run hello.yaml --backend sim --repeat 200 2>/dev/null | head -1; echo ${{PIPESTATUS[0]}}");
    let output = std::process::Command::new("bash").args(["-c", &line]).current_dir(project.path(".")).output();
    let stdout = text(&output.expect("bash runs").stdout);
    assert_eq!(stdout.lines().nth(1), Some("0"), "{stdout}");
}

#[test]
fn help_shows_examples_and_exit_codes() {
    let project = Project::new();
    assert!(project.stdout(&["--help"]).contains("130"));
    assert!(project.stdout(&["run", "--help"]).contains("pipe run debate.yaml"));
    assert!(project.stdout(&["completions", "bash"]).contains("_pipe"));
}
