//! Matrices: every combination is asked once, and a cell that is added later is all that is asked. A server that shares
//! no code with `pipe` counts the requests.

use serde_json::Value;

use crate::backend_faults::FaultServer;
use crate::project::{Project, text};

const FILE: &str = "version: 1
name: sweep
actors: { a: { system: \"Speak {{ matrix.lang }}.\", max_tokens: 20 }, b: { temperature: 0.5 } }
items: { values: [{ x: tea }, { x: rum }, { x: milk }] }
repeat: 2
matrix: { lang: [en, de], heat: { set: actors.a.temperature, to: [0, 1] } }
steps:
  say: { chat: { actor: a, prompt: \"Praise {{ item.x }}.\" } }
  grade: { judge: { actor: b, question: \"Good? {{ steps.say.text }}\", choose: [good, bad] } }
";

fn rows(project: &Project, name: &str) -> Vec<Value> {
    let rows = std::fs::read_to_string(project.path(name)).expect("rows were written");
    rows.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn only_cells_that_are_new_are_asked() {
    let (project, server) = (Project::new(), FaultServer::start());
    project.write("sweep.yaml", FILE);
    let run = |out: &str, more: &[&str]| {
        let before = server.asked().len();
        let done = project.run(&[&["run", "sweep.yaml", "--backend", &server.url, "--out", out], more].concat());
        assert!(done.status.success(), "{}", text(&done.stderr));
        (server.asked().len() - before, text(&done.stderr))
    };
    let (asked, talk) = run("first.jsonl", &[]);
    assert_eq!(asked, 48, "3 items × 4 cells × 2 repeats × 2 steps: {talk}");
    assert!(talk.contains("    lang=de heat=1  6 of 6 ok · grade: "), "a line for each cell: {talk}");
    let first = rows(&project, "first.jsonl");
    let cell = |row: &Value| (row["matrix.lang"].clone(), row["matrix.heat"].clone(), row["repeat"].clone());
    assert_eq!(cell(&first[0]), ("en".into(), 0.into(), 1.into()));
    assert_eq!(cell(&first[1]), ("en".into(), 0.into(), 2.into()), "item, then cell, then repeat");
    assert_eq!(cell(&first[7]), ("de".into(), 1.into(), 2.into()));
    assert_eq!(first[8]["x"], "rum");

    project.edit("sweep.yaml", "lang: [en, de]", "lang: [fr, en, de]");
    let plan = project.run(&["plan", "sweep.yaml", "--json"]);
    let plan: Value = serde_json::from_slice(&plan.stdout).expect("JSON");
    assert_eq!(plan["cells"].as_array().map(Vec::len), Some(6));
    assert_eq!(
        (&plan["cases"], &plan["steps"][1]["reused"], &plan["steps"][1]["calls"]["most"]),
        (&36.into(), &24.into(), &12.into())
    );
    let (asked, talk) = run("second.jsonl", &[]);
    assert_eq!(asked, 24, "{talk}");
    let second = rows(&project, "second.jsonl");
    let old = second.iter().filter(|row| row["matrix.lang"] != "fr").cloned().collect::<Vec<_>>();
    assert_eq!(old, first, "what was known is as it was");
    run("fresh.jsonl", &["--new"]);
    assert_eq!(rows(&project, "fresh.jsonl"), second, "reuse changes nothing of the results");
}

#[test]
fn the_shipped_sweep_runs_anywhere() {
    let project = Project::with_pipelines();
    let done = project.run(&["run", "pipelines/model_sweep.yaml", "--backend", "sim", "--out", "r.jsonl"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let rows = rows(&project, "r.jsonl");
    assert_eq!(rows.len(), 24, "3 items × 4 cells × 2 repeats");
    assert!(rows.iter().all(|row| row["matrix.style"].is_string() && row["status"] != "failed"), "{rows:?}");
}

#[test]
fn an_item_is_shown_with_its_cases_in_other_cells() {
    let project = Project::new();
    project.write("sweep.yaml", &FILE.replace("items: { values", "items: { id: x, values"));
    project.stdout(&["run", "sweep.yaml", "--backend", "sim", "--quiet"]);
    let shown = project.run(&["show", "last", "tea#2"]);
    assert!(text(&shown.stdout).contains("case 1 · tea#2  lang=en heat=0"), "{}", text(&shown.stdout));
    let others =
        "tea in other cells of the matrix: case 3 (lang=en heat=1), case 5 (lang=de heat=0), case 7 (lang=de heat=1)";
    assert!(text(&shown.stderr).contains(others), "{}", text(&shown.stderr));
    let json: Value = serde_json::from_str(&project.stdout(&["show", "last", "tea#2", "--json"])).expect("JSON");
    assert_eq!(json["other_cells"][2]["case"], 7);
    let by_number = project.run(&["show", "last", "1"]);
    assert!(!text(&by_number.stderr).contains("other cells"), "a number names one case");
}
