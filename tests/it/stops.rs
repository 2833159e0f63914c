//! Runs that end before their last case, with the real binary.

use std::fs;

use crate::project::{Project, text};

const FILE: &str = "count.yaml";

/// Forty rows, of which every fourth has nothing to be counted to.
fn project(stop: &str) -> Project {
    let project = Project::new();
    let row = |n: u32| if n.is_multiple_of(4) { format!("{{\"k\": {n}}}") } else { format!("{{\"n\": {n}}}") };
    let rows: Vec<String> = (1..=40).map(row).collect();
    project.write("rows.jsonl", &(rows.join("\n") + "\n"));
    let steps = "steps: { ask: { chat: { actor: pro, prompt: \"Count to {{ item.n }}.\" } } }";
    let head = "version: 1\nactors: { pro: { max_tokens: 20 } }\nitems: { path: rows.jsonl }";
    project.write(
        FILE,
        &format!("{head}\n{steps}\nlimits: {{ concurrency: 2 }}\nresults: {{ path: out.jsonl }}\n{stop}\n"),
    );
    project
}

fn run(project: &Project, arguments: &[&str]) -> (Option<i32>, String) {
    let out = project.run(arguments);
    (out.status.code(), text(&out.stderr))
}

const RUN: &[&str] = &["run", FILE, "--backend", "sim"];

#[test]
fn a_spent_budget_is_exit_6_and_more_of_it_goes_on() {
    let whole = project("");
    assert_eq!(run(&whole, RUN).0, Some(1), "ten cases fail");

    let stopped = project("stop: { budget: { tokens: 200 } }");
    let (code, talk) = run(&stopped, RUN);
    assert_eq!(code, Some(6), "{talk}");
    assert!(talk.contains("by its budget") && talk.contains("of 200 tokens are spent"), "{talk}");
    assert!(!stopped.path("out.jsonl").exists(), "a run that is not over has no table");
    let (code, talk) = run(&stopped, &["resume"]);
    assert_eq!(code, Some(6), "the budget is the whole run's: {talk}");
    let (code, talk) = run(&stopped, &["resume", "--set", "stop.budget.tokens=5M"]);
    assert_eq!(code, Some(1), "{talk}");
    assert!(talk.contains("by --set: stop differs"), "{talk}");
    let table = |project: &Project| fs::read_to_string(project.path("out.jsonl")).expect("it is over");
    assert_eq!(table(&stopped), table(&whole));
}

#[test]
fn too_many_failures_are_exit_1_before_the_end() {
    let stopped = project("stop: { errors: { fraction: 20%, after: 8 } }");
    let (code, talk) = run(&stopped, RUN);
    assert_eq!(code, Some(1), "{talk}");
    assert!(talk.contains("by its errors") && talk.contains("cases failed"), "{talk}");
    assert!(stopped.settled() < 40);
}

#[test]
fn failures_may_be_tolerated() {
    let (code, talk) = run(&project("tolerate: 25%"), RUN);
    assert_eq!(code, Some(0), "{talk}");
    assert!(talk.contains("10 of 40 cases failed (25.0 % tolerated)"), "{talk}");
    let (code, talk) = run(&project("tolerate: 20%"), RUN);
    assert_eq!(code, Some(1), "{talk}");
}

#[test]
fn so_many_items_are_the_whole_run() {
    let first = project("stop: { any: [{ items: { n: 3 } }, { budget: { time: 1h } }] }");
    let (code, talk) = run(&first, RUN);
    assert_eq!(code, Some(0), "{talk}");
    let table = fs::read_to_string(first.path("out.jsonl")).expect("it is over");
    assert_eq!(table.lines().count(), 3);
}

#[test]
fn spent_money_is_exit_6_and_more_of_it_goes_on() {
    let priced = |stop: &str| {
        let project = project(stop);
        let yaml = fs::read_to_string(project.path(FILE)).expect("just written");
        let models =
            "models: { dear: { price: { input: 1 USD/k, output: 2 USD/k } } }\nbackends: { here: { base_url: sim } }";
        let named = yaml.replace("pro: { max_tokens: 20 }", "pro: { model: dear, max_tokens: 20 }");
        project.write(FILE, &format!("{named}{models}\n"));
        project
    };
    let stopped = priced("stop: { budget: { cost: 0.30 USD } }");
    let (code, talk) = run(&stopped, &["run", FILE]);
    assert_eq!(code, Some(6), "{talk}");
    assert!(talk.contains("of 0.30 USD are spent"), "{talk}");
    let (code, talk) = run(&stopped, &["resume"]);
    assert_eq!(code, Some(6), "the budget is the whole run's: {talk}");
    let (code, talk) = run(&stopped, &["resume", "--set", "stop.budget.cost=500 USD"]);
    assert_eq!(code, Some(1), "ten cases fail: {talk}");
    let whole = priced("");
    assert_eq!(run(&whole, &["run", FILE]).0, Some(1));
    let table = |project: &Project| fs::read_to_string(project.path("out.jsonl")).expect("it is over");
    assert_eq!(table(&stopped), table(&whole));
}
