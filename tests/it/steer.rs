//! One shell steers the run of another.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::project::{Project, text};

/// Some six seconds undisturbed: long enough to be steered, and held for as long as a test wants by a pause.
const MONTE_CARLO: &[&str] =
    &["run", "pipelines/monte_carlo.yaml", "--backend", "sim:10", "--concurrency", "8", "--quiet", "--new"];
const DEADLINE: Duration = Duration::from_secs(60);

/// Starts a run and waits until it has settled something.
fn live(project: &Project) -> Child {
    let child = project.pipe(MONTE_CARLO).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("pipe starts");
    let begun = Instant::now();
    while project.settled() == 0 {
        assert!(begun.elapsed() < DEADLINE, "the run does not begin");
        std::thread::yield_now();
    }
    child
}

fn glance(project: &Project) -> Value {
    let lines = project.stdout(&["runs", "--json"]);
    serde_json::from_str(lines.lines().next().expect("a run")).expect("JSON")
}

#[test]
fn a_run_is_paused_goes_on_is_stopped_and_resumed() {
    let project = Project::with_pipelines();
    let child = live(&project);
    let paused: Value = serde_json::from_str(&project.stdout(&["pause", "--json"])).expect("JSON");
    assert_eq!(paused["status"], "paused");
    assert_eq!(glance(&project)["status"], "paused");
    assert!(text(&project.run(&["pause"]).stderr).contains("paused already"));
    assert!(project.stdout(&["show"]).contains("paused after"));

    let tuned = project.run(&["tune", "--concurrency", "3"]);
    assert!(tuned.status.success(), "{}", text(&tuned.stderr));
    assert!(text(&tuned.stderr).contains("3 calls at once"), "{}", text(&tuned.stderr));
    let wrong = project.run(&["tune", "--concurrency", "3", "--backend", "moon"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("no backend \"moon\""), "{}", text(&wrong.stderr));
    let look: Value = serde_json::from_str(&project.stdout(&["top", "--json"])).expect("JSON");
    let backends = look["backends"].as_object().expect("by name");
    assert!(backends.values().all(|lane| lane["slots"] == 3), "{look}");
    assert_eq!(look["status"], "paused");
    assert!(project.stdout(&["top", "--once"]).contains("said of late"));

    let deaf = project.run(&["resume", "--set", "limits.concurrency=2"]);
    assert_eq!(deaf.status.code(), Some(2));
    assert!(text(&deaf.stderr).contains("takes no --set"), "{}", text(&deaf.stderr));
    assert_eq!(glance(&project)["status"], "paused");
    let resumed = project.run(&["resume"]);
    assert!(resumed.status.success());
    assert!(text(&resumed.stderr).contains("goes on, in the process that works on it"), "{}", text(&resumed.stderr));

    let stopped = project.run(&["stop"]);
    assert!(stopped.status.success(), "{}", text(&stopped.stderr));
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(143), "{}", text(&output.stderr));
    assert_eq!(glance(&project)["status"], "stopped");
    let control = project.run_folder().join("control");
    assert_eq!(fs::read_dir(control).expect("it is there").count(), 0, "orders are taken");

    // Whoever steers a run that nobody works on is told so; stopping it is no mistake.
    let nothing = project.run(&["stop"]);
    assert!(nothing.status.success() && text(&nothing.stderr).contains("not running"), "{}", text(&nothing.stderr));
    assert_eq!(project.run(&["tune", "--concurrency", "3"]).status.code(), Some(2));
    let nothing = project.run(&["pause", "--json"]);
    let told: Value = serde_json::from_slice(&nothing.stdout).expect("JSON");
    assert_eq!(told["error"]["exit"], 2);
    let nothing = project.run(&["pause"]);
    assert_eq!(nothing.status.code(), Some(2));
    assert!(text(&nothing.stderr).contains("`pipe resume` goes on"), "{}", text(&nothing.stderr));

    assert!(project.run(&["resume", "--quiet"]).status.success());
    let calm = Project::with_pipelines();
    calm.stdout(&["run", "pipelines/monte_carlo.yaml", "--backend", "sim", "--quiet"]);
    assert_eq!(project.stdout(&["results"]), calm.stdout(&["results"]), "steering changes no row");
}

#[test]
fn a_cancelled_run_stays_cancelled() {
    let project = Project::with_pipelines();
    let child = live(&project);
    project.stdout(&["pause"]);
    let unasked = project.run(&["cancel"]);
    assert_eq!(unasked.status.code(), Some(2), "{}", text(&unasked.stderr));
    assert!(text(&unasked.stderr).contains("--yes"), "{}", text(&unasked.stderr));
    let cancelled = project.run(&["cancel", "--yes"]);
    assert!(cancelled.status.success(), "{}", text(&cancelled.stderr));
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(143), "{}", text(&output.stderr));
    assert_eq!(glance(&project)["status"], "cancelled");
    assert!(project.stdout(&["show"]).contains("cancelled after"));

    let resumed = project.run(&["resume"]);
    assert_eq!(resumed.status.code(), Some(2));
    assert!(text(&resumed.stderr).contains("--reuse"), "{}", text(&resumed.stderr));
    assert!(text(&project.run(&["cancel", "--yes"]).stderr).contains("is cancelled"));
    // It is in nobody's way: the same file starts a new run that takes over what it has.
    let again = project.run(&["run", "pipelines/monte_carlo.yaml", "--backend", "sim", "--json"]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    let summary: Value = serde_json::from_str(&text(&again.stdout)).expect("JSON");
    assert!(summary["reused"][0]["tasks"].as_u64().is_some_and(|tasks| tasks > 0), "{summary}");
}

#[test]
fn a_run_that_was_killed_is_cancelled_without_its_process() {
    let project = Project::with_pipelines();
    let mut child = live(&project);
    child.kill().expect("killed");
    child.wait().expect("waited for");
    assert_eq!(glance(&project)["status"], "interrupted");
    let cancelled = project.run(&["cancel", "--yes", "--json"]);
    assert!(cancelled.status.success(), "{}", text(&cancelled.stderr));
    assert_eq!(glance(&project)["status"], "cancelled");
    assert_eq!(project.run(&["resume"]).status.code(), Some(2));
}

#[test]
fn limits_are_tuned_while_a_run_goes_on_and_stay() {
    let project = Project::with_pipelines();
    let child = live(&project);
    project.stdout(&["pause"]);
    let refused = |set: &str, code: i32, says: &str| {
        let output = project.run(&["tune", "--set", set]);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains(says), "{}", text(&output.stderr));
    };
    refused("actors.pro.temperature=0.1", 2, "limits.retries.attempts");
    refused("limits.retries.attempts=none", 2, "limits.retries.attempts");
    refused("limits.concurrency=auto", 2, "is a number");
    refused("limits.timeouts.first_token=1m", 1, "only streamed answers");
    assert_eq!(project.run(&["tune"]).status.code(), Some(2), "something is to be said");

    let told = project.stdout(&[
        "tune",
        "--json",
        "--set",
        "limits.retries.attempts=9",
        "--set",
        "limits.timeouts.total=2h",
        "--set",
        "limits.concurrency=4",
    ]);
    assert_eq!(serde_json::from_str::<Value>(&told).expect("JSON")["status"], "tuned");
    let slots = |count: u64| {
        let look: Value = serde_json::from_str(&project.stdout(&["top", "--json"])).expect("JSON");
        assert!(look["backends"].as_object().expect("by name").values().all(|lane| lane["slots"] == count), "{look}");
    };
    slots(4);

    // What is spent already is more than that: the run leaves at once, also when it is taken up as it is.
    let tuned = project.run(&["tune", "--set", "stop.budget.tokens=1"]);
    assert!(tuned.status.success(), "{}", text(&tuned.stderr));
    assert!(text(&tuned.stderr).contains("stop.budget.tokens=1 from here on"), "{}", text(&tuned.stderr));
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(6), "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("from here on"), "--quiet is quiet");
    assert_eq!(project.run(&["tune", "--set", "limits.concurrency=2"]).status.code(), Some(2), "nobody is there");
    assert_eq!(project.run(&["resume", "--quiet"]).status.code(), Some(6));
    slots(4);

    let resumed = project.run(&["resume", "--quiet", "--set", "stop.budget.tokens=100M"]);
    assert!(resumed.status.success(), "{}", text(&resumed.stderr));
    slots(4);
    let calm = Project::with_pipelines();
    calm.stdout(&["run", "pipelines/monte_carlo.yaml", "--backend", "sim", "--quiet"]);
    assert_eq!(project.stdout(&["results"]), calm.stdout(&["results"]), "tuning changes no row");
}
