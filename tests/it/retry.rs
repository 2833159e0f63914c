//! `pipe retry`: what failed is asked again in the same run, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::backend_faults::FaultServer;
use crate::project::{Project, python, text};

const ITEMS: usize = 8;

/// Two chats in a row and one aside, over eight items.
fn pipeline(url: &str) -> String {
    let rows: Vec<String> = (0..ITEMS).map(|number| format!("{{ id: i{number} }}")).collect();
    format!(
        "version: 1\nname: shaky\nseed: 5\nlimits: {{ concurrency: 2, retries: {{ attempts: 1 }} }}\n\
         items: {{ id: id, values: [{}] }}\nbackends: {{ b: {{ base_url: '{url}/v1' }} }}\n\
         models: {{ m: {{ backend: b, model: fault-model }} }}\nactors: {{ a: {{ model: m }} }}\nsteps:\n  \
         first: {{ chat: {{ actor: a, prompt: 'About {{{{ item.id }}}}?' }} }}\n  \
         second: {{ chat: {{ actor: a, prompt: 'And then? {{{{ steps.first.text }}}}' }} }}\n  \
         aside: {{ chat: {{ actor: a, prompt: 'Aside, {{{{ item.id }}}}?' }} }}\nresults: {{ path: rows.jsonl }}\n",
        rows.join(", ")
    )
}

/// Runs it to its end and returns the rows.
fn rows(project: &Project) -> String {
    fs::read_to_string(project.path("rows.jsonl")).expect("rows were written")
}

fn begun(url: &str) -> Project {
    let project = Project::new();
    project.write("shaky.yaml", &pipeline(url));
    project.run(&["run", "shaky.yaml", "--quiet"]);
    project
}

fn summary(project: &Project) -> Value {
    serde_json::from_str(&project.stdout(&["show", "--json"])).expect("JSON")
}

/// What was settled of each step, by its name.
fn steps(project: &Project) -> std::collections::BTreeMap<String, Value> {
    let steps = summary(project)["steps"].as_array().expect("a list").clone();
    steps.into_iter().map(|step| (step["step"].as_str().expect("a name").to_owned(), step)).collect()
}

fn audited(project: &Project) {
    let audit = python("python3", "tests/audit/audit.py").arg(project.run_folder()).output().expect("the audit runs");
    assert!(audit.status.success(), "{}{}", text(&audit.stdout), text(&audit.stderr));
}

#[test]
fn only_what_failed_is_asked_and_the_rows_are_those_of_an_undisturbed_run() {
    let server = FaultServer::start();
    let calm = begun(&server.url);
    let all: BTreeSet<String> = server.asked().into_iter().collect();
    assert_eq!(all.len(), 3 * ITEMS);

    let project = begun(&format!("{}/fault/overflow-openai/first/9", server.url));
    let failed = summary(&project)["cases"]["failed"].as_u64().expect("a count");
    assert!(failed >= 5, "nine refusals are in at least five of the cases: {failed}");
    let said = text(&project.run(&["show"]).stdout);
    assert!(said.contains("pipe retry"), "who reads of failures is told what to do: {said}");
    let run = summary(&project)["run"].clone();
    let asked = server.asked_and_failed();
    let tried = &asked[3 * ITEMS..];
    let of = |fault: bool| tried.iter().filter(move |(_, failed)| *failed == fault).map(|(digest, _)| digest);
    let refused: Vec<&String> = of(true).collect();
    let answered: BTreeSet<&String> = of(false).collect();
    assert_eq!(refused.len(), 9);

    let retried = project.run(&["retry", "--json"]);
    let talk = text(&retried.stderr);
    assert!(retried.status.success(), "{talk}");
    assert!(talk.contains(&format!("{failed} cases, ")) && talk.contains("asked again (first "), "{talk}");
    let again = server.asked()[asked.len()..].to_vec();
    for digest in refused {
        assert_eq!(again.iter().filter(|one| *one == digest).count(), 1, "what was refused is asked once more");
    }
    assert!(again.iter().all(|digest| !answered.contains(digest)), "what was answered is not asked");
    assert_eq!(again.len() + answered.len(), all.len());
    assert_eq!(rows(&project), rows(&calm));

    let told: Value = serde_json::from_str(&text(&retried.stdout)).expect("JSON");
    assert_eq!((&told["run"], &told["reopened"]), (&run, &failed.into()));
    let now = summary(&project);
    assert_eq!(now["cases"]["ok"], ITEMS);
    assert_eq!((now["cases"]["failed"].as_u64(), now["given_up"].as_array().map(Vec::len)), (Some(0), Some(0)));
    assert_eq!(steps(&project), steps(&calm), "a case counts once");
    audited(&project);

    // Killed between its last case and its results, it would leave those of before.
    fs::write(project.path("rows.jsonl"), "old").expect("written");
    fs::write(project.run_folder().join("owed"), "").expect("written");
    assert!(text(&project.run(&["resume"]).stderr).contains("results: "));
    assert_eq!(rows(&project), rows(&calm));
    assert!(!project.run_folder().join("owed").exists());

    let nothing = project.run(&["retry"]);
    assert!(nothing.status.success());
    assert!(text(&nothing.stderr).contains("nothing is asked again"), "{}", text(&nothing.stderr));
    assert_eq!(server.asked().len(), asked.len() + again.len());
}

#[test]
fn a_server_that_still_fails_is_retried_until_it_does_not() {
    let server = FaultServer::start();
    let calm = begun(&server.url);
    // Each time it refuses: the first, and what is tried again of it.
    let project = begun(&format!("{}/fault/overflow-openai/first/40", server.url));
    let mut failed = vec![summary(&project)["cases"]["failed"].as_u64().expect("a count")];
    while failed.last() != Some(&0) {
        assert!(failed.len() < 5, "{failed:?}");
        project.run(&["retry", "--quiet"]);
        let now = summary(&project);
        let settled: u64 = ["ok", "failed", "unscored"].iter().filter_map(|word| now["cases"][word].as_u64()).sum();
        assert_eq!(settled, ITEMS as u64, "a case counts once however often it is retried");
        failed.push(now["cases"]["failed"].as_u64().expect("a count"));
        audited(&project);
    }
    assert!(failed.len() > 3, "{failed:?}");
    assert_eq!(rows(&project), rows(&calm));
    assert_eq!(steps(&project), steps(&calm));
}

#[test]
fn a_retry_that_is_killed_is_resumed() {
    let server = FaultServer::start();
    let calm = begun(&server.url);
    let project = begun(&format!("{}/delay/40/fault/overflow-openai/first/16", server.url));
    let before = server.asked().len();
    let mut child = project.pipe(&["retry", "--quiet"]).stderr(Stdio::piped()).spawn().expect("pipe starts");
    let begun = Instant::now();
    while server.asked().len() < before + 5 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the retry asks nothing");
        std::thread::yield_now();
    }
    child.kill().expect("killed");
    child.wait().expect("waited for");
    assert_ne!(summary(&project)["status"], "complete");
    let resumed = project.run(&["resume", "--quiet"]);
    assert!(resumed.status.success(), "{}", text(&resumed.stderr));
    assert_eq!(rows(&project), rows(&calm));
    assert_eq!(summary(&project)["cases"]["ok"], ITEMS);
    audited(&project);
}

#[test]
fn a_step_or_an_item_alone_is_retried_and_what_there_is_not_is_named() {
    let server = FaultServer::start();
    let project = begun(&format!("{}/fault/overflow-openai/first/16", server.url));
    assert_eq!(summary(&project)["cases"]["failed"], ITEMS);
    let before = server.asked().len();
    let one = project.run(&["retry", "last", "i3", "--quiet"]);
    assert_eq!(one.status.code(), Some(1), "seven cases are still failed: {}", text(&one.stderr));
    assert_eq!(summary(&project)["cases"]["failed"], ITEMS - 1);
    assert_eq!(server.asked().len() - before, 3);
    project.run(&["retry", "last", "--step", "aside", "--quiet"]);
    assert_eq!(server.asked().len() - before, 3 + ITEMS - 1);
    for (arguments, named) in
        [(["last", "moon", "--quiet"], "no case \"moon\""), (["last", "--step", "moon"], "no step \"moon\"")]
    {
        let wrong = project.run(&[&["retry"], &arguments[..]].concat());
        assert_eq!(wrong.status.code(), Some(2));
        assert!(text(&wrong.stderr).contains(named), "{}", text(&wrong.stderr));
    }
    project.edit("shaky.yaml", "And then?", "And now?");
    let edited = project.run(&["retry"]);
    assert_eq!(edited.status.code(), Some(2));
    assert!(text(&edited.stderr).contains("--reuse"), "{}", text(&edited.stderr));
}
