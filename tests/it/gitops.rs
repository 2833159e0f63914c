//! A branch of pipelines, followed from a real host of repositories: what is pushed is what runs, and nothing else.

use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pipe::event::Event;
use pipe::journal::{EventSeq, Reader};
use serde_json::Value;

use crate::follower::{Follower, SECRET, signal};
use crate::git_server::{Host, Mood};
use crate::project::{CHAT, Project, text};

const TOKEN: &str = "s3cret-of-the-host";
/// base64 of `x-access-token:s3cret-of-the-host`.
const BASIC: &str = "Basic eC1hY2Nlc3MtdG9rZW46czNjcmV0LW9mLXRoZS1ob3N0";
/// As slow as a model.
const SLOW: &str = "sim:1";
/// A host with a project of one pipeline, that takes as long as `backend` does.
fn host(backend: &str) -> Host {
    let host = Host::start();
    host.write("pipelines/hello.yaml", CHAT);
    if backend == SLOW {
        let many: Vec<String> = (0..16).map(|at| format!("{{ who: P{at} }}")).collect();
        let many = CHAT.replace("{ who: Bob }, { who: Cid }", &many.join(", "));
        host.write("pipelines/hello.yaml", &format!("{many}limits: {{ concurrency: 2 }}\n"));
    }
    let entry =
        format!("version: 1\npipelines:\n  hello: {{ file: pipelines/hello.yaml, backend: \"{backend}\" }}\n");
    host.write("pipe.yaml", &entry);
    host.wants(BASIC);
    host
}

fn command(project: &Project, host: &Host, more: &[&str]) -> Command {
    let url = host.url();
    let fixed = ["gitops", "--repo", &url, "--allow-protocol", "http", "--json"];
    let mut command = project.pipe(&[&fixed[..], more].concat());
    command.env("PIPE_GIT_TOKEN", TOKEN).env("PIPE_GIT_WEBHOOK_SECRET", SECRET).env("OTHER_KEY", "k3y");
    command
}

fn run_folder(project: &Project, entry: &Value) -> PathBuf {
    project.path(".pipe/runs").join(entry["run"].as_str().expect("a run"))
}

/// How many calls a run made, by step, and what its provenance says is its commit.
fn calls(run: &Path) -> (Vec<String>, String) {
    let reader = Reader::open(&run.join("journal.db")).expect("a journal");
    let mut calls = Vec::new();
    let look = &mut |_, recorded: pipe::event::Recorded| {
        if let Event::AttemptStarted(started) = &recorded.event {
            calls.push(started.id.step.to_string());
        }
        Ok(())
    };
    reader.events_after(EventSeq::default(), look).expect("readable");
    calls.sort();
    let (_, started) = reader.run_started().expect("it began");
    (calls, started.provenance.and_then(|told| told.commit).expect("a commit").id)
}

#[test]
fn what_is_pushed_runs_and_only_what_differs_is_asked() {
    let (project, host) = (Project::new(), host("sim"));
    let first = host.push();
    let mut follower = Follower::of(command(&project, &host, &[]));
    let entry = follower.applied(&first);
    assert_eq!(entry["state"], "new");
    let (asked, commit) = calls(&run_folder(&project, &entry));
    assert_eq!(asked, ["again", "again", "greet", "greet"]);
    assert_eq!(commit, first);

    // One prompt is edited: only its step is asked.
    host.write("pipelines/hello.yaml", &CHAT.replace("Say it again", "Once more"));
    let second = host.push();
    follower.wake();
    let entry = follower.applied(&second);
    let (asked, commit) = calls(&run_folder(&project, &entry));
    assert_eq!(asked, ["again", "again"]);
    assert_eq!(commit, second);
    let rows = project.stdout(&["results", entry["run"].as_str().expect("a run")]);
    assert_eq!(rows.lines().count(), 2);

    // A bad one changes nothing, and says where it is wrong.
    host.write("pipelines/hello.yaml", &CHAT.replace("steps.greet.text", "steps.gret.text"));
    let bad = host.push();
    follower.wake();
    let refused = follower.next("refused");
    assert_eq!((refused["commit"].as_str(), refused["stays"].as_str()), (Some(&*bad), Some(&*second)));
    let why = refused["why"].as_str().expect("a reason");
    assert!(why.contains("pipelines/hello.yaml:9") && why.contains("gret") && !why.contains("trees"), "{why}");
    let status = follower.status();
    assert_eq!(status["state"], "refused");
    assert_eq!((status["seen"].as_str(), status["good"].as_str()), (Some(&*bad), Some(&*second)));
    assert_eq!(status["error"]["message"], why);
    assert!(follower.get("/healthz").ends_with("\r\n\r\nrefused\n"));
    assert_eq!(fs::read_dir(project.path(".pipe/runs")).expect("runs").count(), 2);

    // So does one that is no YAML, and a project that is none.
    host.write("pipe.yaml", "version: [1\n");
    let broken = host.push();
    follower.wake();
    assert_eq!(follower.next("refused")["commit"], broken);

    // Taken back, everything is known: nothing is asked.
    host.git(&["revert", "--no-edit", "--no-commit", "HEAD~2..HEAD"]);
    let reverted = host.push();
    follower.wake();
    let entry = follower.applied(&reverted);
    assert_eq!(entry["state"], "unchanged");
    assert_eq!(fs::read_dir(project.path(".pipe/runs")).expect("runs").count(), 2);
    assert_eq!(follower.leave(), Some(143));
    let told = project.stdout(&["gitops", "--status"]);
    assert!(told.contains(&reverted[..10]) && told.contains("no process"), "{told}");
}

#[test]
fn a_newer_commit_takes_the_place_of_one_that_is_being_applied() {
    let (project, host) = (Project::new(), host(SLOW));
    let first = host.push();
    let mut follower = Follower::of(command(&project, &host, &[]));
    assert_eq!(follower.next("applying")["commit"], first);
    while project.settled() == 0 {
        std::thread::yield_now();
    }
    host.write("pipelines/hello.yaml", &CHAT.replace("Say it again", "Once more"));
    host.write("pipe.yaml", "version: 1\npipelines:\n  hello: { file: pipelines/hello.yaml, backend: sim }\n");
    let second = host.push();
    follower.wake();
    assert_eq!(follower.next("stopping")["commit"], first);
    let stopped = follower.next("applied");
    assert_eq!((stopped["commit"].as_str(), stopped["exit"].as_i64()), (Some(&*first), Some(143)));
    let entry = follower.applied(&second);
    let run = run_folder(&project, &entry);
    let (asked, commit) = calls(&run);
    assert_eq!(commit, second);
    assert_eq!(asked.iter().filter(|step| *step == "again").count(), 2);
    let rows = project.stdout(&["results", entry["run"].as_str().expect("a run")]);
    assert_eq!(rows.lines().count(), 2);
    assert_eq!(follower.status()["state"], "in_sync");
    assert_eq!(follower.leave(), Some(143));
}

#[test]
fn a_second_reconciler_is_told_who_is_there() {
    let (project, host) = (Project::new(), host("sim"));
    let first = host.push();
    let mut follower = Follower::of(command(&project, &host, &[]));
    follower.applied(&first);
    let second = command(&project, &host, &["--once"]).output().expect("pipe starts");
    assert_eq!(second.status.code(), Some(2), "{}", text(&second.stderr));
    let told = text(&second.stderr);
    assert!(told.contains(&format!("process {}", follower.child.id())) && told.contains("--status"), "{told}");
    // Killed, it leaves nothing that keeps another out.
    signal(follower.child.id(), "KILL");
    follower.child.wait().expect("it ends");
    let third = command(&project, &host, &["--once"]).output().expect("pipe starts");
    assert_eq!(third.status.code(), Some(0), "{}", text(&third.stderr));
    assert!(text(&third.stdout).contains("in_sync"), "{}", text(&third.stdout));
}

#[test]
fn a_killed_reconciler_leaves_an_apply_that_the_next_one_ends_and_goes_on_from() {
    let (project, host) = (Project::new(), host(SLOW));
    let first = host.push();
    let mut follower = Follower::of(command(&project, &host, &[]));
    assert_eq!(follower.next("applying")["commit"], first);
    while project.settled() == 0 {
        std::thread::yield_now();
    }
    signal(follower.child.id(), "KILL");
    follower.child.wait().expect("it ends");
    let mut next = Follower::of(command(&project, &host, &[]));
    let entry = next.applied(&first);
    let run = run_folder(&project, &entry);
    let (asked, commit) = calls(&run);
    assert_eq!(commit, first);
    assert!((32..=34).contains(&asked.len()), "at most the two calls in flight are asked again: {}", asked.len());
    assert_eq!(run, project.run_folder(), "the only one");
    assert_eq!(next.leave(), Some(143));
}

/// Whether a secret stands in any command line, and in the environment of processes that fit.
fn told_by_processes(secret: &str, of: &dyn Fn(&str) -> bool) -> (bool, Vec<String>) {
    let mut on_a_line = false;
    let mut in_environments = Vec::new();
    for entry in fs::read_dir("/proc").expect("readable").flatten() {
        let read = |name: &str| {
            fs::read(entry.path().join(name)).map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
        };
        let Ok(line) = read("cmdline") else { continue };
        on_a_line |= line.contains(secret);
        if of(&line)
            && let Ok(environment) = read("environ")
        {
            in_environments.push(environment);
        }
    }
    (on_a_line, in_environments)
}

#[test]
fn no_run_and_no_list_of_processes_has_the_hosts_secrets() {
    let (project, host) = (Project::new(), host(SLOW));
    let first = host.push();
    let seen = std::sync::Arc::new(std::sync::Mutex::new(None));
    let store = std::sync::Arc::clone(&seen);
    // While git fetches, with the token.
    host.before_objects(move || {
        *store.lock().expect("whole") = Some(told_by_processes(TOKEN, &|_| false).0);
    });
    let mut follower = Follower::of(command(&project, &host, &[]));
    assert_eq!(follower.next("applying")["commit"], first);
    assert_eq!(*seen.lock().expect("whole"), Some(false), "git was looked at, and its command lines are clean");
    let home = project.path("").canonicalize().expect("there").display().to_string();
    let is_apply = |line: &str| line.contains(" apply ") && line.contains(&home);
    let mut environments = Vec::new();
    while environments.is_empty() {
        let (on_a_line, found) = told_by_processes(TOKEN, &is_apply);
        assert!(!on_a_line);
        environments = found.into_iter().filter(|found| found.contains("PIPE_HOME=")).collect();
    }
    for environment in environments {
        for secret in [TOKEN, SECRET, "OTHER_KEY", BASIC] {
            assert!(!environment.contains(secret), "{environment}");
        }
    }
    while project.settled() == 0 {
        std::thread::yield_now();
    }
    assert_eq!(follower.leave(), Some(143));
    let (asked, _) = calls(&project.run_folder());
    assert!(asked.len() < 32, "it left before the end: {asked:?}");
    // And goes on where it was.
    host.write("pipe.yaml", "version: 1\npipelines:\n  hello: { file: pipelines/hello.yaml, backend: sim }\n");
    host.push();
    let again = command(&project, &host, &["--once"]).output().expect("pipe starts");
    assert_eq!(again.status.code(), Some(0), "{}{}", text(&again.stdout), text(&again.stderr));
}

#[test]
fn a_host_that_is_away_changes_nothing_and_is_asked_again() {
    let (project, host) = (Project::new(), host("sim"));
    let first = host.push();
    let mut follower = Follower::of(command(&project, &host, &[]));
    follower.applied(&first);
    host.mood(Mood::Away);
    follower.wake();
    let away = follower.next("unreachable");
    assert!(away["why"].as_str().is_some_and(|why| why.contains("503")), "{away}");
    assert!(away["again_us"].as_i64() > away["at_us"].as_i64());
    let status = follower.status();
    assert_eq!((status["state"].as_str(), status["good"].as_str()), (Some("unreachable"), Some(&*first)));
    host.mood(Mood::Serves);
    host.write("more.md", "x");
    let second = host.push();
    follower.wake();
    assert_eq!(follower.next("reachable")["commit"], second);
    follower.applied(&second);
    assert_eq!(follower.status()["error"], Value::Null);
    assert_eq!(follower.leave(), Some(143));
    host.mood(Mood::Away);
    let once = command(&project, &host, &["--once"]).output().expect("pipe starts");
    assert_eq!(once.status.code(), Some(4), "{}", text(&once.stderr));
}

#[test]
fn webhooks_are_believed_by_their_signature_alone() {
    let (project, host) = (Project::new(), host("sim"));
    let first = host.push();
    let mut follower = Follower::of(command(&project, &host, &[]));
    follower.applied(&first);
    let before = host.requests().len();
    for (headers, body, expected) in [
        (String::new(), "{}".to_owned(), "401"),
        ("x-gitlab-token: nonsense\r\n".to_owned(), "{}".to_owned(), "401"),
        (format!("x-hub-signature-256: sha256={}\r\n", "0".repeat(64)), "{}".to_owned(), "401"),
        (format!("x-gitlab-token: {SECRET}\r\n"), " ".repeat(1 << 21), "413"),
    ] {
        let answer = follower.webhook(&headers, &body);
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{headers}: {answer}");
    }
    assert!(follower.get("/webhook").starts_with("HTTP/1.1 405"));
    assert!(follower.get("/else").starts_with("HTTP/1.1 404"));
    assert_eq!(host.requests().len(), before, "nobody woke it");
    assert_eq!(follower.leave(), Some(143));

    let url = host.url();
    let arguments = ["gitops", "--repo", &url, "--allow-protocol", "http", "--json", "--listen", "127.0.0.1:0"];
    let mut command = project.pipe(&arguments);
    let mut child = command.env("PIPE_GIT_TOKEN", TOKEN).stdout(Stdio::piped()).spawn().expect("pipe starts");
    let lines = BufReader::new(child.stdout.take().expect("asked for"));
    let mut open = Follower { child, lines, address: String::new() };
    open.address = open.next("started")["listen"].as_str().expect("an address").replace("http://", "");
    let answer = open.webhook("x-gitlab-token: \r\n", "{}");
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("PIPE_GIT_WEBHOOK_SECRET"), "{answer}");
    assert_eq!(open.leave(), Some(143));
}

#[test]
fn what_is_never_fetched_is_refused_before_git_is_asked() {
    let project = Project::new();
    for (url, word) in [
        ("ext::sh -c 'touch touched'", "spaces"),
        ("ext::touch%20touched", "https://"),
        ("file:///etc", "--allow-protocol file"),
        ("http://127.0.0.1:9/a", "--allow-protocol http"),
        ("--upload-pack=touch touched", "option"),
        ("https://me:s3cret@127.0.0.1:9/a", "PIPE_GIT_TOKEN"),
    ] {
        let output = project.run(&["gitops", "--once", &format!("--repo={url}")]);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{url}: {told}");
        assert!(told.contains(word) && !told.contains("s3cret"), "{url}: {told}");
    }
    for more in [["--branch=-x", "branch"], ["--path=../x", "folder"], ["--pass-env=PIPE_GIT_TOKEN", "between"]] {
        let output = project.run(&["gitops", "--once", "--repo=https://127.0.0.1:9/a", more[0]]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(more[1]), "{}", text(&output.stderr));
    }
    assert!(!project.path(".pipe").exists() && !project.path("touched").exists());
}
