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
    assert!(talk.contains("go on      pipe resume --set stop.budget.tokens=…"), "{talk}");
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

/// Eight rows with five repeats of each, six of the eight odd ones.
fn counting(stop: &str, calls: u32) -> Project {
    let project = Project::new();
    let rows: Vec<String> = (1..=8).map(|n| format!("{{\"n\": {n}}}")).collect();
    project.write("rows.jsonl", &(rows.join("\n") + "\n"));
    let head = "version: 1\nactors: { pro: { max_tokens: 20 } }\nitems: { path: rows.jsonl }\nrepeat: 5";
    let steps = "steps:\n  ask: { chat: { actor: pro, prompt: \"Count to {{ item.n }}.\" } }\n  size: { transform: { expr: \"'odd' if item.n % 4 else 'even'\" } }";
    let limits = format!("limits: {{ concurrency: {calls} }}");
    project.write(FILE, &format!("{head}\n{steps}\n{limits}\nresults: {{ path: out.jsonl }}\n{stop}\n"));
    project
}

#[test]
fn the_first_case_that_fits_ends_the_run_whatever_the_timing() {
    let stop = "stop: { expr: \"repeat == 2 and item.n == 3\" }";
    let tables: Vec<String> = [1, 7]
        .map(|calls| {
            let project = counting(stop, calls);
            let (code, talk) = run(&project, RUN);
            assert_eq!(code, Some(0), "{talk}");
            assert!(talk.contains("by its expr: repeat == 2 and item.n == 3 holds in case 10"), "{talk}");
            let (code, talk) = run(&project, &["resume"]);
            assert_eq!(code, Some(0), "{talk}");
            assert!(talk.contains("complete") && !talk.contains("resuming"), "{talk}");
            fs::read_to_string(project.path("out.jsonl")).expect("it is over")
        })
        .into();
    assert_eq!(tables[0], tables[1]);
    let rows: Vec<serde_json::Value> =
        tables[0].lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let places: Vec<(u64, u64)> = rows
        .iter()
        .map(|row| (row["repeat"].as_u64().expect("a number"), row["n"].as_u64().expect("a number")))
        .collect();
    let first = (1..=8).map(|n| (1, n));
    assert_eq!(places, first.chain((1..=3).map(|n| (2, n))).collect::<Vec<_>>(), "every item before any repeat");
}

#[test]
fn who_watches_a_run_that_has_seen_enough_counts_as_its_results_do() {
    let project = counting("stop: { expr: \"repeat == 2 and item.n == 3\" }", 7);
    assert_eq!(run(&project, RUN).0, Some(0));
    let json = |arguments: &[&str]| -> serde_json::Value {
        serde_json::from_str(project.stdout(arguments).lines().last().expect("a line")).expect("JSON")
    };
    let (shown, watched) = (json(&["show", "--json"]), json(&["top", "--json"]));
    assert_eq!(shown["cases"]["ok"], 11);
    assert_eq!(watched["cases"], shown["cases"]);
}

#[test]
fn a_condition_that_cannot_be_looked_at_is_told_with_the_case_and_why() {
    let project = counting("stop: { expr: \"12 % (item.n - 3) > 9\" }", 2);
    let (code, talk) = run(&project, RUN);
    assert_eq!(code, Some(0), "{talk}");
    let talk = talk.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        talk.contains("could not be looked at in 5 cases; case 2: `12 % (item.n - 3) > 9`: "),
        "five repeats of the third item: {talk}"
    );
    let shown = project.stdout(&["show"]);
    assert!(shown.contains("could not be looked at in 5 cases; case 2: "), "{shown}");
}

#[test]
fn a_run_whose_file_is_gone_goes_on_with_other_limits_and_asks_nothing_else() {
    let stopped = project("stop: { budget: { tokens: 200 } }");
    assert_eq!(run(&stopped, RUN).0, Some(6));
    fs::rename(stopped.path(FILE), stopped.path("away.yaml")).expect("renamed");
    let (code, talk) = run(&stopped, &["resume", "--set", "seed=9"]);
    assert_eq!(code, Some(2), "{talk}");
    assert!(talk.contains("count.yaml is gone, and with that --set the run would ask something else"), "{talk}");
    let (code, talk) = run(&stopped, &["resume", "--set", "stop.budget.tokens=5M"]);
    assert_eq!(code, Some(1), "ten cases fail: {talk}");
    assert!(talk.contains("is gone; the run goes on with its own copy"), "{talk}");
    assert!(talk.contains("by --set: stop differs"), "{talk}");
}

#[test]
fn a_majority_that_nothing_can_change_ends_the_run() {
    let project = counting("stop: { decided: { of: steps.size.value } }", 3);
    let (code, talk) = run(&project, RUN);
    assert_eq!(code, Some(0), "{talk}");
    // Of forty, six of every eight are odd: with 21 of them after 27 the other 13 change nothing.
    assert!(talk.contains("steps.size.value: odd 21 before even 6 with 13 cases left"), "{talk}");
    let table = fs::read_to_string(project.path("out.jsonl")).expect("it is over");
    assert_eq!(table.lines().count(), 27);
    let shown = project.run(&["show", "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!(shown["cases"]["ok"], 27);
}

#[test]
fn a_run_cut_by_its_budget_sees_enough_at_the_same_case() {
    let stop = "stop: { any: [{ expr: \"repeat == 4 and item.n == 6\" }, { budget: { tokens: 300 } }] }";
    let (whole, cut) = (counting(&stop.replace("300", "5M"), 2), counting(stop, 5));
    assert_eq!(run(&whole, RUN).0, Some(0));
    assert_eq!(run(&cut, RUN).0, Some(6));
    let yaml = fs::read_to_string(cut.path(FILE)).expect("just written");
    cut.write(FILE, &yaml.replace("tokens: 300", "tokens: 5M"));
    let (code, talk) = run(&cut, &["resume"]);
    assert_eq!(code, Some(0), "{talk}");
    let table = |project: &Project| fs::read_to_string(project.path("out.jsonl")).expect("it is over");
    assert_eq!(table(&cut), table(&whole));
}

#[test]
fn each_item_is_repeated_until_it_is_enough() {
    // Odd ones are settled by the first repeat; of the two others most repeats are of one kind.
    let enough = r#"[{ expr: "steps.size.value == 'odd'" }, { decided: { of: "'late' if repeat > 2 else none" } }]"#;
    let repeat = format!("repeat: {{ max: 9, stop: {{ any: {enough} }} }}");
    let tables: Vec<String> = [1, 7]
        .map(|calls| {
            let project = counting("", calls);
            let yaml = fs::read_to_string(project.path(FILE)).expect("just written");
            project.write(FILE, &yaml.replace("repeat: 5", &repeat));
            let (code, talk) = run(&project, RUN);
            assert_eq!(code, Some(0), "{talk}");
            assert!(talk.contains("8 items had enough before the last one"), "{talk}");
            fs::read_to_string(project.path("out.jsonl")).expect("it is over")
        })
        .into();
    assert_eq!(tables[0], tables[1]);
    let rows = tables[0].lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let mut repeats = std::collections::BTreeMap::new();
    for row in rows {
        *repeats.entry(row["n"].as_u64().expect("a number")).or_insert(0) += 1;
    }
    // Decided when more are late than are left: at the sixth repeat four are, and three are left.
    let expected = (1..=8).map(|n| (n, if n % 4 == 0 { 6 } else { 1 }));
    assert_eq!(repeats, expected.collect());
}
