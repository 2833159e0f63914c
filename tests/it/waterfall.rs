//! Where the time of a run went, drawn in the terminal.

use serde_json::Value;

use crate::project::{Project, text};

#[test]
fn a_small_run_is_drawn_whole_and_a_large_one_by_its_slowest_cases() {
    let project = Project::with_pipelines();
    project.stdout(&["run", "pipelines/debate.yaml", "--backend", "sim", "--quiet"]);
    let drawn = project.stdout(&["trace"]);
    assert!(drawn.contains("├ debate") && drawn.contains("turn/1") && drawn.contains('█'), "{drawn}");
    assert!(!drawn.contains('\u{1b}'), "no colours where nobody sees them: {drawn:?}");
    let told: Value = serde_json::from_str(&project.stdout(&["trace", "last", "0", "--json"])).expect("JSON");
    let rows = told["cases"][0]["rows"].as_array().expect("rows");
    let requests: Vec<&Value> = rows.iter().filter(|row| row["sort"] == "request").collect();
    let answered = requests.iter().filter(|row| row["output_tokens"].as_u64().is_some_and(|tokens| tokens > 0));
    assert!(requests.len() > 2 && answered.count() == requests.len(), "{told}");
    let whole = rows[0]["end_ms"].as_u64().expect("a time");
    assert!(rows.iter().all(|row| row["start_ms"].as_u64() <= row["end_ms"].as_u64()), "{told}");
    assert!(rows.iter().all(|row| row["end_ms"].as_u64().is_some_and(|end| end <= whole)), "{told}");
    let trace = told["cases"][0]["trace"].as_str().expect("an id");
    assert!(drawn.contains(trace), "the id to look for in Jaeger: {drawn}");

    project.stdout(&["run", "pipelines/monte_carlo.yaml", "--backend", "sim", "--quiet", "--repeat", "40"]);
    let drawn = project.stdout(&["trace"]);
    assert!(drawn.contains("the 15 slowest of 40 cases"), "{drawn}");
    let told: Value = serde_json::from_str(&project.stdout(&["trace", "--json"])).expect("JSON");
    let slowest = told["slowest"].as_array().expect("cases");
    let times: Vec<u64> = slowest.iter().map(|case| case["ms"].as_u64().expect("a time")).collect();
    assert!(times.len() == 15 && times.is_sorted_by(|one, next| one >= next), "{told}");
    assert!(drawn.contains(&format!("pipe trace last {}", slowest[0]["case"])), "how to open it: {drawn}");

    let missing = project.run(&["trace", "last", "nobody"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).contains("no case \"nobody\""), "{}", text(&missing.stderr));
}
