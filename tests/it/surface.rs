//! What a user sees: exit codes, messages, results.

use std::fs;
use std::net::TcpListener;

use serde_json::Value;

use crate::project::{CHAT, Project, text};

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
    assert!(talk.contains("rows.jsonl:1 already"), "the earlier place is named too: {talk}");
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
fn results_that_nobody_could_write_again_are_not_overwritten_without_force() {
    let project = Project::new();
    project.write("hello.yaml", CHAT);
    let run = ["run", "hello.yaml", "--backend", "sim", "--out", "rows.jsonl"];
    project.stdout(&run);
    let again = project.run(&run);
    assert_eq!(again.status.code(), Some(0));
    assert!(
        text(&again.stderr).contains("rows.jsonl will be replaced; `pipe results hello-"),
        "{}",
        text(&again.stderr)
    );

    let rows = fs::read_to_string(project.path("rows.jsonl")).expect("rows were written");
    let edited = format!("{rows}one more\n");
    project.write("rows.jsonl", &edited);
    let refused = project.run(&run);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("--force"), "{}", text(&refused.stderr));
    assert_eq!(edited, fs::read_to_string(project.path("rows.jsonl")).expect("still there"));
    project.stdout(&[&run[..], &["--force"]].concat());
    fs::remove_dir_all(project.path(".pipe/runs")).expect("the runs are gone");
    assert_eq!(project.run(&run).status.code(), Some(2), "nobody keeps what stands in the file");
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

#[test]
fn mistakes_of_the_command_line_are_exit_2_and_those_of_the_file_3() {
    let project = Project::new();
    project.write("hello.yaml", CHAT);
    let sim = ["run", "hello.yaml", "--dry-run"];
    for wrong in [
        &["-p", "rounds=9"][..],
        &["--backend", "simm"],
        &["--set", "actors.anna.temperature=9"],
        &["--set", "actors.nobody.temperature=1"],
    ] {
        let output = project.run(&[&sim[..], wrong].concat());
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", text(&output.stderr));
    }
    project.write("wrong.yaml", &CHAT.replace("max_tokens", "max_token"));
    let both = project.run(&["run", "wrong.yaml", "--dry-run", "-p", "rounds=9"]);
    assert_eq!(both.status.code(), Some(3), "the file is wrong too");
    fs::write(project.path("latin.yaml"), b"version: 1\nname: caf\xe9\n").expect("written");
    let latin = project.run(&["check", "latin.yaml"]);
    assert_eq!(latin.status.code(), Some(3));
    assert!(text(&latin.stderr).contains("latin.yaml:2 is not UTF-8"), "{}", text(&latin.stderr));
}

#[test]
fn with_json_errors_are_json_too() {
    let project = Project::new();
    project.write("hello.yaml", CHAT);
    let error = |arguments: &[&str]| {
        let output = project.run(arguments);
        let value: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        assert_eq!(value["error"]["exit"].as_i64(), output.status.code().map(i64::from), "{value}");
        assert!(!output.stderr.is_empty(), "people are told too");
        value["error"].clone()
    };
    let gone = error(&["run", "hello.yaml", "--backend", "http://127.0.0.1:9/v1", "--json"]);
    assert_eq!(gone["exit"], 4);
    assert!(gone["message"].as_str().is_some_and(|message| message.contains("refused")), "{gone}");
    assert_eq!(error(&["show", "nothing", "--json"])["exit"], 2);
    project.write("wrong.yaml", &CHAT.replace("max_tokens", "max_token"));
    for command in ["run", "plan"] {
        let wrong = error(&[command, "wrong.yaml", "--json"]);
        assert_eq!(wrong["files"][0]["diagnostics"][0]["line"], 4, "{wrong}");
    }
}

/// Starts a run that is long enough to be hit, and kills it when a case is settled.
fn killed(project: &Project, file: &str, more: &[&str]) {
    let run = [&["run", file, "--backend", "sim:1", "--concurrency", "1", "--new", "--quiet"][..], more].concat();
    let mut child = project.pipe(&run).stdout(std::process::Stdio::null()).spawn().expect("pipe starts");
    while project.settled() == 0 {
        assert!(child.try_wait().expect("known").is_none(), "the run is long enough to be hit");
        std::thread::yield_now();
    }
    child.kill().expect("killed");
    child.wait().expect("waited for");
}

#[test]
fn an_unfinished_run_of_another_file_or_other_options_is_not_resumed() {
    let project = Project::new();
    project.write("one.yaml", CHAT);
    project.write("other.yaml", &CHAT.replace("Greet", "Praise"));
    killed(&project, "one.yaml", &["--repeat", "50"]);
    let other = project.run(&["run", "other.yaml", "--backend", "sim", "--resume"]);
    assert_eq!(other.status.code(), Some(2), "{}", text(&other.stderr));
    let options = project.run(&["run", "one.yaml", "--backend", "sim", "--resume"]);
    assert_eq!(options.status.code(), Some(2));
    assert!(text(&options.stderr).contains("other options"), "{}", text(&options.stderr));
    // The same name in another file is no obstacle to a run of its own, which a plain resume then passes over.
    project.stdout(&["run", "other.yaml", "--backend", "sim", "--quiet"]);
    let resumed = project.run(&["resume"]);
    assert!(
        resumed.status.success() && text(&resumed.stderr).contains("of 100 cases done"),
        "{}",
        text(&resumed.stderr)
    );
}

#[test]
fn an_input_edited_behind_what_was_read_is_told() {
    let project = Project::new();
    let file =
        CHAT.replace("items:\n  values: [ { who: Bob }, { who: Cid } ]", "items: { path: rows.jsonl, id: who }");
    project.write("hello.yaml", &file);
    project.write("rows.jsonl", "{\"who\": \"Bob\"}\n{\"who\": \"Cid\"}\n");
    killed(&project, "hello.yaml", &["--repeat", "50"]);
    project.write("rows.jsonl", "{\"who\": \"Bob\"}\n{\"who\": \"Dan\"}\n{\"who\": \"Eve\"}\n");
    let resumed = project.run(&["resume", "--grace", "1s"]);
    let talk = text(&resumed.stderr);
    assert!(talk.contains("the input was edited") && talk.contains("100 cases then, 150 now"), "{talk}");
    assert_eq!(text(&resumed.stdout).lines().count(), 150, "{talk}");
}

#[test]
fn a_run_kept_in_another_project_is_named_by_its_folder() {
    let project = Project::new();
    let inner = project.path("inner");
    fs::create_dir(&inner).expect("a folder");
    fs::write(inner.join("pipe.yaml"), "").expect("a project of its own");
    fs::write(inner.join("hello.yaml"), CHAT).expect("a pipeline");
    let output = project.run(&["run", "inner/hello.yaml", "--backend", "sim", "--quiet", "--json"]);
    assert!(output.status.success());
    let talk = text(&project.run(&["run", "inner/hello.yaml", "--backend", "sim", "--new"]).stderr);
    let hint = talk.lines().find_map(|line| line.trim().strip_prefix("details    pipe show ")).expect("a hint");
    assert!(project.stdout(&["show", hint.trim()]).contains("hello: complete"), "{hint}");
}
