//! Where a run came from, and the same run once more: against a real git repository, and a server that changes its mind.

use std::process::Command;

use serde_json::Value;

use crate::project::{CHAT, Project, text};

fn git(project: &Project, arguments: &[&str]) {
    let who = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main"];
    let mut command = Command::new("git");
    command.arg("-C").arg(project.path(".")).args(who).args(arguments);
    let done = command.output().expect("the tests need git");
    assert!(done.status.success(), "git {arguments:?}: {}", text(&done.stderr));
}

fn provenance(project: &Project) -> Value {
    serde_json::from_str(&project.stdout(&["show", "--provenance", "--json"])).expect("JSON")
}

#[test]
fn a_run_says_which_commit_it_was_made_from() {
    let project = Project::with_pipelines();
    let run = ["run", "pipelines/debate.yaml", "--backend", "sim", "--quiet", "--new"];
    let clean = [&run[..], &["--require-clean"]].concat();
    let refused = project.run(&clean);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("lies in no git repository"), "{}", text(&refused.stderr));

    git(&project, &["init", "-q"]);
    git(&project, &["remote", "add", "origin", "https://me:secret@example.org/talks.git"]);
    git(&project, &["add", "-A"]);
    git(&project, &["commit", "-qm", "first"]);
    project.stdout(&clean);
    let told = provenance(&project);
    let commit = &told["provenance"]["commit"];
    assert_eq!(commit["repository"], "https://example.org/talks.git");
    assert_eq!(commit["path"], "pipelines/debate.yaml");
    assert_eq!((&commit["changed"], &commit["diff"]), (&Value::Null, &Value::Null), "it is clean: {told}");
    assert_eq!(commit["id"].as_str().map(str::len), Some(40));
    assert!(told["input"]["cases"] == 1 && told["plan"].is_string() && told["backends"][0]["server"] == "sim");

    let file = project.path("pipelines/debate.yaml");
    let edited = std::fs::read_to_string(&file).expect("it is there") + "# a word\n";
    std::fs::write(&file, edited).expect("it can be written");
    let refused = project.run(&clean);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("a file differs from commit"), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("pipelines/debate.yaml"), "{}", text(&refused.stderr));
    project.stdout(&run);
    let now = provenance(&project);
    assert_eq!(now["provenance"]["commit"]["changed"], 1);
    assert!(now["provenance"]["commit"]["diff"].is_string(), "{now}");
    let shown = project.stdout(&["show", "--provenance"]);
    assert!(shown.contains("1 file differed: pipelines/debate.yaml"), "{shown}");
}

#[test]
fn a_run_that_goes_on_from_another_state_says_both() {
    let project = Project::new();
    let stops = CHAT.to_owned() + "stop: { budget: { tokens: 1 } }\nlimits: { concurrency: 1 }\n";
    let file = project.write("hello.yaml", &stops);
    git(&project, &["init", "-q"]);
    git(&project, &["add", "hello.yaml"]);
    git(&project, &["commit", "-qm", "first"]);
    let stopped = project.run(&["run", "hello.yaml", "--backend", "sim", "--quiet"]);
    assert_eq!(stopped.status.code(), Some(6), "{}", text(&stopped.stderr));
    let began = provenance(&project);
    assert_eq!(began["resumes"], serde_json::json!([]));
    // Going on from the same state is nothing to tell.
    let stopped = project.run(&["resume", "--quiet"]);
    assert_eq!(stopped.status.code(), Some(6), "{}", text(&stopped.stderr));
    assert_eq!(provenance(&project)["resumes"][0]["provenance"], began["provenance"]);
    assert!(!project.stdout(&["show", "--provenance"]).contains("resumed"));

    std::fs::write(&file, stops.replace("tokens: 1 }", "tokens: 1M }")).expect("written");
    git(&project, &["commit", "-qam", "second"]);
    std::fs::write(project.path("more.txt"), "x").expect("written");
    project.stdout(&["resume", "--quiet"]);
    let now = provenance(&project);
    assert_eq!(now["provenance"], began["provenance"], "it began where it began");
    let then = &now["resumes"][1]["provenance"]["commit"];
    assert!(then["id"].is_string() && then["id"] != began["provenance"]["commit"]["id"], "{now}");
    assert!(then["changed"].as_u64() >= Some(1), "{now}");
    let shown = project.stdout(&["show", "--provenance"]);
    let (before, after) = shown.split_once("resumed").expect("it says both");
    let id = |value: &Value| value["id"].as_str().expect("an id").to_owned();
    assert!(before.contains(&id(&began["provenance"]["commit"])), "{shown}");
    assert!(after.contains(&id(then)) && after.contains("differed: hello.yaml"), "{shown}");
}

#[test]
fn a_run_is_made_again_from_what_it_kept_whatever_the_file_says_now() {
    let project = Project::with_pipelines();
    let run = ["run", "pipelines/monte_carlo.yaml", "--backend", "sim", "--quiet", "--repeat", "12", "--new"];
    let run = [&run[..], &["--out", "rows.jsonl"]].concat();
    project.stdout(&run);
    let rows = std::fs::read(project.path("rows.jsonl")).expect("rows");
    std::fs::write(project.path("pipelines/monte_carlo.yaml"), "version: 1\nname: other\n").expect("written");

    let again = project.run(&["reproduce", "last", "--json", "--quiet"]);
    assert_eq!((again.status.code(), text(&again.stderr)), (Some(0), String::new()));
    let told = text(&again.stdout);
    let told: Value = serde_json::from_str(told.lines().last().expect("a line")).expect("JSON");
    assert_eq!((&told["same"], &told["compared"]["same"]), (&Value::Bool(true), &Value::from(12)), "{told}");
    assert_eq!(std::fs::read(project.path("rows.jsonl")).expect("rows"), rows, "the first run's rows are left alone");

    // Another seed is another talk, and the comparison says in which step.
    project.write("other.yaml", &text(&std::fs::read(root("pipelines/monte_carlo.yaml")).expect("shipped")));
    project.stdout(&["run", "other.yaml", "--backend", "sim", "--quiet", "--repeat", "12", "--new", "--seed", "77"]);
    let first = told["run"].as_str().expect("an id");
    let other = project.run(&["reproduce", first, "--with", "last"]);
    assert_eq!(other.status.code(), Some(1));
    let said = text(&other.stdout);
    assert!(said.contains("not the same") && said.contains("debate") && said.contains(" of 12"), "{said}");
    assert!(said.contains("pipe show") && said.contains(" 0 debate"), "where to look: {said}");
}

#[test]
fn rows_that_are_others_now_are_refused() {
    let project = Project::with_pipelines();
    project.stdout(&["run", "pipelines/score_candidates.yaml", "--backend", "sim", "--quiet", "--new"]);
    let rows = project.path("pipelines/candidates.jsonl");
    let fewer: Vec<u8> =
        std::fs::read(&rows).expect("rows").into_iter().skip_while(|byte| *byte != b'\n').skip(1).collect();
    std::fs::write(&rows, fewer).expect("written");
    let refused = project.run(&["reproduce"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("no longer what they were"), "{}", text(&refused.stderr));
}

fn root(path: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
