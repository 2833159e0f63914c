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

/// The file with questions about all cases; the middle item says nothing.
fn asking() -> String {
    FILE.replace("pro: { max_tokens: 8 }", "pro: { max_tokens: 8 }, editor: { max_tokens: 12, system: Sum up. }")
        + "  say:
    chat: { actor: pro, prompt: \"Praise {{ item.n }}\" }
    when: item.n != 2
  summary:
    aggregate:
      of: say
      by: chat
      actor: editor
      prompt: |-
        {{ count }} texts, {{ left_out }} without, {{ steps.count.table.n }} counted:
        {%- for row in rows %}
        {{ row.repeat }}: {{ row.text }} ({{ row.item | length }})
        {%- endfor %}
    retries: { attempts: 3 }
  title:
    aggregate: { of: verdict, by: chat, actor: editor, prompt: \"{{ rows[0].choice }}: {{ steps.summary.text }}\" }
"
}

fn text_of<'s>(summary: &'s Value, step: &str) -> &'s str {
    let all = summary["aggregates"].as_array().into_iter().flatten();
    let one = all.into_iter().find(|one| one["step"] == step).expect("it is there");
    one["text"].as_str().unwrap_or_else(|| panic!("it has a text: {one}"))
}

#[test]
fn a_question_about_all_cases_is_an_ordinary_call() {
    let project = Project::new();
    project.write("all.yaml", &asking());
    let planned = project.stdout(&["plan", "all.yaml", "--backend", "sim"]);
    assert!(planned.contains("1 call: chat of say, once when all cases are over"), "{planned}");
    assert!(planned.contains("8 to 14 calls in all"), "six verdicts, up to six praises, two about all: {planned}");
    assert!(planned.contains("at most 120 tokens out"), "{planned}");
    let prompts = project.stdout(&["plan", "all.yaml", "--backend", "sim", "--prompts"]);
    assert!(
        prompts.contains("summary · the one call over all cases") && prompts.contains("{{ left_out }}"),
        "{prompts}"
    );
    let resolved = project.stdout(&["plan", "all.yaml", "--resolved"]);
    assert!(resolved.contains("by: chat") && resolved.contains("actor: editor"), "{resolved}");

    let summary = summary(&project, &["run", "all.yaml", "--backend", "sim", "--json"]);
    let said = text_of(&summary, "summary").to_owned();
    assert!(!said.is_empty() && !text_of(&summary, "title").is_empty());
    assert_eq!(summary["requests"], 12, "six verdicts, four praises, two about all");
    let asked = project.stdout(&["show", "last", "6", "summary"]);
    assert!(asked.contains("4 texts, 2 without, 6 counted:") && asked.contains("Sum up."), "{asked}");
    let rows: Vec<&str> = asked.lines().filter(|line| line.ends_with("(12)")).map(str::trim).collect();
    let repeats: Vec<&str> = rows.iter().map(|row| &row[..2]).collect();
    assert_eq!(repeats, ["1:", "2:", "1:", "2:"], "in the order of admission:\n{asked}");
    let call = project.stdout(&["show", "last", "6", "summary", "say"]);
    assert!(call.contains("max_tokens 12") && call.contains("seed"), "{call}");
    assert!(project.stdout(&["show"]).contains(&said), "the summary tells the answer");
    assert!(project.stdout(&["show", "last", "6", "title"]).contains(&said), "later aggregates read it");
    let exported = project.stdout(&["export", "last"]);
    let about_all: Vec<Value> =
        exported.lines().skip(10).map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(about_all.len(), 2, "what was asked about all cases comes after them: {exported}");
    assert_eq!(about_all[0]["custom_id"], "6/summary/say");
    let sent = about_all[0]["body"]["messages"][1]["content"].as_str().expect("a text");
    assert!(sent.starts_with("4 texts, 2 without, 6 counted:"), "{sent}");
    let again = project.stdout(&["plan", "all.yaml", "--backend", "sim"]);
    assert!(again.contains("2 calls in all") && again.contains("about "), "the rest is reused: {again}");
}

#[test]
fn a_question_about_all_cases_is_the_same_after_a_resume() {
    let project = Project::new();
    project.write("all.yaml", &asking());
    let calm = summary(&project, &["run", "all.yaml", "--backend", "sim", "--new", "--json"]);
    let stops = format!("{}stop: {{ budget: {{ tokens: 40 }} }}\nlimits: {{ concurrency: 1 }}\n", asking());
    project.write("all.yaml", &stops);
    let stopped = project.run(&["run", "all.yaml", "--backend", "sim", "--new", "--json"]);
    assert_eq!(stopped.status.code(), Some(6), "{}", text(&stopped.stderr));
    let resumed = summary(&project, &["resume", "--set", "stop.budget.tokens=1M", "--json"]);
    for step in ["summary", "title"] {
        assert_eq!(text_of(&resumed, step), text_of(&calm, step), "{step}");
    }
}

#[test]
fn a_question_that_cannot_be_made_fails_alone() {
    let project = Project::new();
    project.write("all.yaml", &asking().replace("{{ rows[0].choice }}", "{{ rows[0].choise.first }}"));
    let ran = project.run(&["run", "all.yaml", "--backend", "sim", "--json"]);
    assert_eq!(ran.status.code(), Some(1), "{}", text(&ran.stderr));
    let summary: Value = serde_json::from_str(&text(&ran.stdout)).expect("a summary");
    assert!(!text_of(&summary, "summary").is_empty(), "the others are made");
    let title = summary["aggregates"].as_array().into_iter().flatten().find(|one| one["step"] == "title");
    assert_eq!(title.expect("it is there")["status"], "failed");
    assert_eq!((&summary["cases"]["failed"], &summary["answered"]), (&Value::from(0), &Value::from(11)));
}
