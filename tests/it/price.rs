//! Prices: what a run costs is told before it is made and after, and a price is no part of what is asked.

use serde_json::{Value, json};

use crate::project::{Project, text};

const FILE: &str = "version: 1
name: priced
models:
  big: { model: large, price: { input: 0.15 USD/M, output: 0.60 USD/M } }
actors: { writer: { model: big, max_tokens: 40 }, judge: { max_tokens: 10 } }
repeat: 10
steps:
  write: { chat: { actor: writer, prompt: Write a line. } }
  grade: { judge: { actor: judge, question: \"Good? {{ steps.write.text }}\", choose: [good, bad] } }
";

fn json_of(project: &Project, arguments: &[&str]) -> Value {
    let out = project.run(arguments);
    assert!(out.status.success(), "{}", text(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&out.stdout)))
}

#[test]
fn the_cost_of_a_run_is_told_before_and_after() {
    let project = Project::new();
    // No option of the command line: it would put the file's model somewhere else, where its price does not hold.
    project.write("priced.yaml", &FILE.replace("models:", "backends: { s: { base_url: sim } }\nmodels:"));
    let plan = json_of(&project, &["plan", "priced.yaml", "--json"]);
    assert_eq!(plan["cost"]["most_out_usd"], json!(0.000_24), "10 answers of at most 40 tokens");
    assert_eq!((&plan["cost"]["about_usd"], &plan["cost"]["most_usd"]), (&Value::Null, &Value::Null));

    let summary = json_of(&project, &["run", "priced.yaml", "--json", "--out", "r.jsonl"]);
    let tokens = |key: &str| summary["tokens"][key].as_u64().expect("a simulated server tells tokens");
    let cost = summary["cost"]["micro_usd"].as_u64().expect("a cost");
    let most = (tokens("input") * 150_000 + tokens("output") * 600_000).div_ceil(1_000_000);
    assert!((1..=most).contains(&cost), "the writer's share of {most}: {cost}");

    project.edit("priced.yaml", "0.60 USD/M", "1.20 USD/M");
    let plan = json_of(&project, &["plan", "priced.yaml", "--json", "--repeat", "20"]);
    assert_eq!(plan["steps"][0]["reused"], 10, "another price asks nothing again");
    let write = &plan["steps"][0]["cost"];
    let about = write["about_usd"]["most"].as_f64().expect("known from the run before");
    assert!(about > 0.0 && about < write["most_usd"].as_f64().expect("bounded by max_tokens"), "{write}");
    let said = text(&project.run(&["plan", "priced.yaml", "--repeat", "20"]).stdout);
    assert!(said.contains("  cost: about 0.000") && said.contains(" USD; at most 0.000"), "{said}");
}

#[test]
fn without_a_price_that_is_said_once() {
    let project = Project::new();
    let away = "backends: { s: { base_url: 'http://127.0.0.1:9/v1' } }\nmodels:";
    project.write("priced.yaml", &FILE.replace("models:", away));
    let said = text(&project.run(&["plan", "priced.yaml"]).stdout);
    assert!(said.contains("cost: not known; judge has no price in `models`"), "{said}");
    project.edit("priced.yaml", ", price: { input: 0.15 USD/M, output: 0.60 USD/M }", "");
    let said = text(&project.run(&["plan", "priced.yaml"]).stdout);
    assert_eq!(said.matches("no price known; `price` in an entry of `models` tells it").count(), 1, "{said}");
}
