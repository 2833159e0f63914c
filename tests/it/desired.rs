//! A directory as what is to be: `pipe plan DIR` says what differs, `pipe apply DIR` makes the runs match, and only that.

use std::fs;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::project::{Project, text};

/// Two steps, of which the second reads the first: an edit of the second asks nothing of the first.
const TALK: &str = "version: 1
actors: { one: {} }
items: { values: [{ topic: tea }, { topic: rain }, { topic: chess }] }
steps:
  say: { chat: { actor: one, prompt: 'Speak of {{ item.topic }}.' } }
  judge: { judge: { actor: one, question: 'Was it good? {{ steps.say.text }}', choose: [good, bad] } }
";

fn project(pipe_yaml: &str) -> Project {
    let project = Project::new();
    project.write("pipe.yaml", pipe_yaml);
    project.write("talk.yaml", TALK);
    project
}

const ONE: &str = "version: 1\npipelines:\n  talk: { file: talk.yaml, backend: sim }\n";

/// Returns what `pipe plan . --json` says.
fn plan(project: &Project) -> Value {
    serde_json::from_str(&project.stdout(&["plan", ".", "--json"])).expect("JSON")
}

fn states(project: &Project) -> Vec<(String, String)> {
    let plan = plan(project);
    let entries = plan["entries"].as_array().expect("entries").iter();
    let word = |value: &Value| value.as_str().expect("a word").to_owned();
    entries.map(|entry| (word(&entry["name"]), word(&entry["state"]))).collect()
}

fn state(project: &Project) -> String {
    states(project).remove(0).1
}

/// Applies, and returns the exit code with the last line of JSON.
fn apply(project: &Project, arguments: &[&str]) -> (Option<i32>, Value) {
    let done = project.run(&[&["apply", ".", "--json"], arguments].concat());
    let told = text(&done.stdout);
    let last = told.lines().last().unwrap_or_else(|| panic!("it says nothing: {}", text(&done.stderr)));
    (done.status.code(), serde_json::from_str(last).expect("JSON"))
}

fn runs(project: &Project) -> Vec<Value> {
    project.stdout(&["runs", "--json"]).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// How many requests the newest run sent.
fn requests(project: &Project) -> u64 {
    let shown: Value = serde_json::from_str(&project.stdout(&["show", "last", "--json"])).expect("JSON");
    shown["answered"].as_u64().unwrap_or_else(|| panic!("{shown}"))
}

#[test]
fn only_what_was_edited_is_asked_and_an_edit_that_is_taken_back_asks_nothing() {
    let project = project(ONE);
    let rows = "{\"topic\":\"tea\"}\n{\"topic\":\"rain\"}\n{\"topic\":\"chess\"}\n";
    project.write("rows.jsonl", rows);
    project.edit(
        "talk.yaml",
        "{ values: [{ topic: tea }, { topic: rain }, { topic: chess }] }",
        "{ path: rows.jsonl }",
    );
    let checked = project.stdout(&["check", "."]);
    assert!(checked.contains("talk.yaml: ok: talk (2 steps, 1 actor, 3 cases)"), "{checked}");
    assert_eq!(state(&project), "new");
    assert_eq!(plan(&project)["calls"]["most"], 6);
    let (exit, told) = apply(&project, &[]);
    assert_eq!((exit, &told["entries"][0]["exit"]), (Some(0), &Value::from(0)), "{told}");
    let first = told["entries"][0]["run"].clone();
    assert_eq!(requests(&project), 6);

    // Nothing is left to do, however often.
    assert_eq!((state(&project), runs(&project).len()), ("unchanged".to_owned(), 1));
    let (exit, told) = apply(&project, &[]);
    assert_eq!((exit, &told["entries"][0]["state"]), (Some(0), &Value::from("unchanged")));
    assert_eq!(runs(&project).len(), 1);

    project.edit("talk.yaml", "Was it good?", "Was it any good?");
    let said = project.stdout(&["plan", "."]);
    assert!(said.contains("1 changed") && said.contains("judge changed (question)"), "{said}");
    let markdown = project.stdout(&["plan", ".", "--format", "markdown"]);
    for part in
        ["### Plan of `.`: 1 changed", "| `talk` | **changed** | 3 | judge changed (question) | 3 | 3 |", "<details>"]
    {
        assert!(markdown.contains(part), "{part}: {markdown}");
    }
    let (exit, told) = apply(&project, &[]);
    assert_eq!(exit, Some(0), "{told}");
    assert_eq!((runs(&project).len(), requests(&project)), (2, 3), "the answers of `say` are taken over");

    project.edit("talk.yaml", "Was it any good?", "Was it good?");
    assert_eq!(plan(&project)["entries"][0]["run"], first, "the run of before stands for it again");
    let (exit, _) = apply(&project, &[]);
    assert_eq!((exit, runs(&project).len()), (Some(0), 2));

    // A row that comes asks itself alone.
    project.write("rows.jsonl", &format!("{rows}{{\"topic\":\"snow\"}}\n"));
    let said = project.stdout(&["plan", "."]);
    assert!(said.contains("other rows, 6 tasks reused, 2 calls"), "{said}");
}

#[test]
fn every_mistake_of_a_project_is_told_at_its_place_and_nothing_is_begun() {
    let project = project(
        "version: 1
pipelines:
  talk: { file: talk.yaml, backend: sim, params: { rounds: 3 } }
  gone: { file: gone.yaml }
  away: { file: ../away.yaml }
  piped: { file: piped.yaml }
  broken: { file: broken.yaml }
  one: { file: out.yaml, backend: sim }
  two: { file: out.yaml, backend: sim, seed: 2 }
  never: { file: talk.yaml, schedule: 0 3 30 2 * }
",
    );
    project.write(
        "piped.yaml",
        &TALK.replace("{ values: [{ topic: tea }, { topic: rain }, { topic: chess }] }", "{ path: '-' }"),
    );
    project.write("broken.yaml", &TALK.replace("actor: one, prompt", "actor: two, prompt"));
    project.write("out.yaml", &format!("{TALK}results: {{ path: rows.jsonl }}\n"));
    for command in [&["plan", "."][..], &["apply", "."]] {
        let refused = project.run(command);
        assert_eq!(refused.status.code(), Some(3));
        let said = text(&refused.stderr);
        for part in [
            "the pipeline has no param `rounds`",
            "--> pipe.yaml:3:52",
            "gone.yaml: there is no such file",
            "--> pipe.yaml:4:17",
            "../away.yaml: it is outside of the project",
            "piped.yaml reads its items from stdin",
            "there is no actor `two`",
            "--> broken.yaml:5",
            "`one` and `two` write their results to one file",
            "no such day is in the calendar",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    let annotated = project.run(&["check", ".", "--format", "github"]);
    assert_eq!(annotated.status.code(), Some(3));
    let lines = text(&annotated.stdout);
    assert!(
        lines.contains("::error file=pipe.yaml,line=4,col=17") && lines.contains("file=broken.yaml,line=5"),
        "{lines}"
    );
    let told = project.run(&["apply", ".", "--json"]);
    let told: Value = serde_json::from_str(&text(&told.stdout)).expect("JSON");
    assert_eq!(
        (&told["error"]["exit"], &told["error"]["files"][0]["file"]),
        (&Value::from(3), &Value::from("pipe.yaml"))
    );
    assert!(!project.path(".pipe").exists(), "nothing is begun");
}

#[test]
fn without_a_pipe_yaml_every_pipeline_is_applied_once() {
    let project = Project::new();
    fs::create_dir_all(project.path("sets/.hidden")).expect("folders");
    let sim = |name: &str| format!("{TALK}name: {name}\nbackends: {{ b: {{ base_url: sim }} }}\n");
    for (path, text) in [
        ("sets/a.yaml", sim("first")),
        ("sets/b.yml", sim("second")),
        ("sets/part.yaml", "actors: { one: {} }\n".to_owned()),
        ("sets/compose.yaml", "version: \"3\"\nservices: { a: { image: b } }\ninclude: [c]\n".to_owned()),
        ("sets/.hidden/c.yaml", sim("third")),
    ] {
        project.write(path, &text);
    }
    let said = project.stdout(&["plan", "sets"]);
    assert!(
        said.contains("2 pipelines in sets: 2 new") && said.contains("first") && said.contains("second"),
        "{said}"
    );
    project.stdout(&["apply", "sets", "--quiet"]);
    assert!(project.stdout(&["plan", "sets"]).contains("2 unchanged"));
    // A name that two have is refused.
    project.write("sets/c.yaml", &sim("first"));
    let refused = project.run(&["plan", "sets"]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(text(&refused.stderr).contains("a.yaml and c.yaml are both named `first`"), "{}", text(&refused.stderr));
}

#[test]
fn what_failed_beyond_what_is_tolerated_fails_every_time_until_it_is_mended() {
    let failing = format!("{TALK}  hold: {{ assert: {{ value: '{{{{ item.topic }}}}', equals: tea }} }}\n");
    let project = project(
        "version: 1\npipelines:\n  talk: { file: talk.yaml, backend: sim }\n  fine: { file: fine.yaml, backend: sim }\n",
    );
    project.write("talk.yaml", &failing);
    project.write("fine.yaml", TALK);
    let (exit, told) = apply(&project, &[]);
    assert_eq!(
        (exit, &told["entries"][0]["exit"], &told["entries"][1]["exit"]),
        (Some(1), &Value::from(1), &Value::from(0)),
        "{told}"
    );
    assert_eq!(state(&project), "failed");
    let said = project.stdout(&["plan", "."]);
    assert!(said.contains("2 of 3 cases failed; `pipe retry"), "{said}");
    let (exit, told) = apply(&project, &[]);
    assert_eq!((exit, runs(&project).len()), (Some(1), 2), "it is told again, and not asked again: {told}");
    project.write("talk.yaml", &format!("{failing}tolerate: 70%\n"));
    let (exit, told) = apply(&project, &[]);
    assert_eq!((exit, runs(&project).len()), (Some(0), 2), "what is tolerated is no question to a model: {told}");
}

#[test]
fn an_apply_that_was_stopped_goes_on_with_the_same_run() {
    let project = project("version: 1\npipelines:\n  talk: { file: talk.yaml, backend: 'sim:1', repeat: 40 }\n");
    let mut child = project
        .pipe(&["apply", ".", "--grace", "1s"])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    while project.settled() == 0 {
        assert!(child.try_wait().expect("known").is_none(), "it ended before it was stopped");
        std::thread::yield_now();
    }
    // A second one is refused while the first goes on.
    let second = project.run(&["apply", "."]);
    assert_eq!(second.status.code(), Some(2));
    let said = text(&second.stderr);
    assert!(said.contains(&format!("process {} applies something", child.id())), "{said}");
    assert_eq!(state(&project), "running");
    let signalled = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill is there");
    assert!(signalled.success());
    assert_eq!(child.wait().expect("it ends").code(), Some(143));
    assert_eq!(state(&project), "unfinished");
    let said = project.stdout(&["plan", "."]);
    assert!(said.contains("nothing new is to be asked; 1 run goes on"), "{said}");
    let stopped = project.run_folder();
    project.edit("pipe.yaml", "sim:1", "sim");
    let (exit, told) = apply(&project, &[]);
    assert_eq!((exit, runs(&project).len()), (Some(0), 1), "{told}");
    assert_eq!(told["entries"][0]["run"].as_str(), stopped.file_name().and_then(std::ffi::OsStr::to_str));
    assert_eq!(state(&project), "unchanged");
}

#[test]
fn what_was_removed_goes_when_it_is_said_and_drift_is_told() {
    let project = project(ONE);
    project.write("other.yaml", TALK);
    project.write("pipe.yaml", &format!("{ONE}  other: {{ file: other.yaml, backend: sim, seed: 4 }}\n"));
    apply(&project, &[]);
    project.write("pipe.yaml", ONE);
    assert_eq!(
        states(&project),
        [("talk", "unchanged"), ("other", "removed")].map(|(name, state)| (name.into(), state.into()))
    );
    let (exit, _) = apply(&project, &[]);
    assert_eq!((exit, runs(&project).len()), (Some(0), 2), "nothing is deleted unless it is said");
    let refused: Output = project.run(&["apply", ".", "--prune"]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
    let (exit, told) = apply(&project, &["--prune", "--yes"]);
    assert_eq!((exit, told["deleted"].as_array().map(Vec::len), runs(&project).len()), (Some(0), Some(1), 1));
    assert_eq!(states(&project).len(), 1);

    // Somebody deletes the run that stands for it: it is asked again, and said why.
    let run = project.run_folder();
    fs::remove_dir_all(&run).expect("deleted");
    let said = project.stdout(&["plan", "."]);
    assert!(said.contains("new") && said.contains("which was applied, is gone"), "{said}");
}

#[test]
fn old_runs_go_as_keep_says_and_never_the_one_that_stands() {
    let project = project("version: 1\npipelines:\n  talk: { file: talk.yaml, backend: sim, keep: 2 }\n");
    for seed in 1..=4 {
        project.write("talk.yaml", &format!("{TALK}seed: {seed}\n"));
        let (exit, told) = apply(&project, &[]);
        assert_eq!(exit, Some(0), "{told}");
    }
    // The next apply finds two that are older than those that are kept.
    assert!(plan(&project)["entries"][0]["expired"].as_array().is_some_and(|runs| !runs.is_empty()));
    apply(&project, &[]);
    assert_eq!((runs(&project).len(), state(&project)), (2, "unchanged".to_owned()));
}

#[test]
fn a_commit_that_is_told_is_recorded() {
    let project = project(ONE);
    let commit = "0123456789abcdef0123456789abcdef01234567";
    apply(&project, &["--commit", commit, "--repository", "https://me:secret@example.org/talks.git"]);
    let told: Value = serde_json::from_str(&project.stdout(&["show", "--provenance", "--json"])).expect("JSON");
    let told = &told["provenance"]["commit"];
    assert_eq!((&told["id"], &told["path"], &told["told"]), (&commit.into(), &"talk.yaml".into(), &true.into()));
    assert_eq!(told["repository"], "https://example.org/talks.git", "without its password");
    assert_eq!(project.run(&["apply", ".", "--require-clean"]).status.code(), Some(0), "nothing is left to begin");
    let applied = fs::read_to_string(project.path(".pipe/applied.json")).expect("it is written");
    assert!(applied.contains("https://example.org/talks.git") && !applied.contains("secret"), "{applied}");
    // Another folder of the same repository knows what was removed.
    project.write("other.yaml", TALK);
    project.write("pipe.yaml", "version: 1\npipelines:\n  other: { file: other.yaml, backend: sim }\n");
    let said = project.stdout(&["plan", ".", "--repository", "https://me:secret@example.org/talks.git"]);
    assert!(said.contains("1 new, 1 removed"), "{said}");
    project.write("pipe.yaml", ONE);
    project.edit("talk.yaml", "Was it good?", "Is it good?");
    let refused = project.run(&["apply", ".", "--require-clean"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("lies in no git repository"), "{}", text(&refused.stderr));
}

#[test]
fn a_run_on_the_simulated_backend_stands_for_auto_only_where_that_is_asked_for() {
    let project = project("version: 1\npipelines:\n  talk: { file: talk.yaml }\n");
    let with = |arguments: &[&str]| {
        let done = project.pipe(arguments).env("PIPE_BASE_URL", "sim").output().expect("pipe starts");
        (done.status.code(), text(&done.stdout))
    };
    assert_eq!(with(&["apply", ".", "--quiet"]).0, Some(0));
    assert!(with(&["plan", "."]).1.contains("1 unchanged"));
    assert_eq!(state(&project), "changed", "no model has answered it yet");
}

#[test]
fn one_of_them_is_applied_by_its_name() {
    let project = project(&format!("{ONE}  other: {{ file: talk.yaml, backend: sim, seed: 4 }}\n"));
    let (exit, told) = apply(&project, &["--only", "other"]);
    assert_eq!((exit, told["entries"].as_array().map(Vec::len)), (Some(0), Some(1)));
    assert_eq!(
        states(&project),
        [("talk", "new"), ("other", "unchanged")].map(|(name, state)| (name.into(), state.into()))
    );
    let unknown = project.run(&["apply", ".", "--only", "nobody"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("it has talk, other"), "{}", text(&unknown.stderr));
}
