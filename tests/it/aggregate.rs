//! What is done once over all cases, as a user meets it: summary, `pipe show`, resume, exit codes.

use serde_json::Value;

use crate::project::{Project, text};

const FILE: &str = "version: 1
name: all
actors: { pro: { max_tokens: 8 } }
items: { values: [{ n: 1 }, { n: 2 }, { n: 3 }] }
repeat: 2
steps:
  verdict:
    judge: { actor: pro, question: \"Is {{ item.n }} good?\", choose: [good, bad] }
  number:
    transform: { expr: item.n }
  count:
    aggregate: { of: verdict }
  mean:
    aggregate: { of: number }
";

fn summary(project: &Project, arguments: &[&str]) -> Value {
    serde_json::from_str(&project.stdout(arguments)).expect("a summary")
}

#[test]
fn the_summary_has_tables_and_counts_no_more_cases() {
    let project = Project::new();
    project.write("all.yaml", FILE);
    let summary = summary(&project, &["run", "all.yaml", "--backend", "sim", "--json"]);
    assert_eq!(summary["cases"]["admitted"], 6);
    assert_eq!(summary["cases"]["ok"], 6);
    let aggregates = summary["aggregates"].as_array().expect("two");
    assert_eq!((aggregates[0]["step"].as_str(), aggregates[1]["step"].as_str()), (Some("count"), Some("mean")));
    assert_eq!(aggregates[0]["table"]["n"], 6);
    assert_eq!(aggregates[1]["table"]["mean"]["mean"], 2.0);
    let judge = summary["steps"].as_array().into_iter().flatten().find(|step| step["step"] == "verdict");
    let choices = &judge.expect("it is settled")["judge"]["choices"];
    assert_eq!(choices[0]["count"], aggregates[0]["table"]["rows"][0]["count"], "one number from two roads");

    let rows = project.stdout(&["results"]);
    assert_eq!(rows.lines().count(), 6, "rows are of cases:\n{rows}");
    let shown = project.stdout(&["show"]);
    assert!(shown.contains("count, over all cases") && shown.contains("pipe show last 6"), "{shown}");
    let drilled = project.stdout(&["show", "last", "6"]);
    assert!(drilled.contains("all cases") && drilled.contains("mean 2.00"), "{drilled}");
    let planned = project.stdout(&["plan", "all.yaml", "--backend", "sim"]);
    assert!(planned.contains("table of verdict, once when all cases are over"), "{planned}");
}

#[test]
fn a_run_that_stops_early_makes_its_tables_when_it_is_resumed() {
    let project = Project::new();
    let stops = format!("{FILE}stop: {{ budget: {{ tokens: 20 }} }}\nlimits: {{ concurrency: 1 }}\n");
    project.write("all.yaml", &stops);
    let stopped = project.run(&["run", "all.yaml", "--backend", "sim", "--json"]);
    assert_eq!(stopped.status.code(), Some(6), "{}", text(&stopped.stderr));
    let before: Value = serde_json::from_str(&text(&stopped.stdout)).expect("a summary");
    assert_eq!(before["aggregates"], Value::Null, "not while cases are open");
    let after = summary(&project, &["resume", "--set", "stop.budget.tokens=1M", "--json"]);
    assert_eq!(after["cases"]["ok"], 6);
    assert_eq!(after["aggregates"][0]["table"]["n"], 6);
}

#[test]
fn what_is_no_category_fails_the_run_and_no_case() {
    let project = Project::new();
    project.write("all.yaml", &FILE.replace("expr: item.n }", "expr: \"[item.n]\" }"));
    let ran = project.run(&["run", "all.yaml", "--backend", "sim", "--json"]);
    assert_eq!(ran.status.code(), Some(1), "{}", text(&ran.stderr));
    let summary: Value = serde_json::from_str(&text(&ran.stdout)).expect("a summary");
    assert_eq!(summary["cases"]["failed"], 0);
    assert_eq!(summary["aggregates"][0]["table"]["n"], 6, "the others are made");
    let why = summary["aggregates"][1]["failure"].as_str().unwrap_or_default();
    assert!(why.contains("a list"), "{why}");
    assert!(text(&ran.stderr).contains("1 aggregate over all cases failed"), "{}", text(&ran.stderr));
}
