//! `reasoning`, `extra_body` and `headers`: what is shown of them, what is exported, and what asks a step again.

use serde_json::{Value, json};

use crate::project::Project;

const FILE: &str = "\
version: 1
name: thinks
backends:
  gateway: { base_url: \"http://openrouter.ai.example.test/v1\", headers: { X-Team: lab-canary-1, X-Key: \"${KEY:-}\" } }
models:
  m: { backend: gateway, model: tiny, reasoning: low, extra_body: { top_k: 40, min_p: 0.1 } }
actors:
  anna: { model: m, max_tokens: 20 }
  bob: { model: m, reasoning: off, extra_body: { top_k: 5 } }
items: { values: [ { who: Bob } ] }
steps:
  greet: { chat: { actor: anna, prompt: \"Greet {{ item.who }}.\" } }
  leave: { chat: { actor: bob, prompt: \"Leave {{ item.who }}.\" } }
";

fn bodies(project: &Project) -> Vec<Value> {
    let lines = project.stdout(&["export", "thinks.yaml"]);
    lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON"))
        .map(|mut line| line["body"].take())
        .collect()
}

#[test]
fn what_is_sent_is_shown_and_exported_without_values_of_headers() {
    let project = Project::new();
    project.write("thinks.yaml", FILE);
    let shown = project.stdout(&["plan", "thinks.yaml", "--prompts"]);
    assert!(shown.contains(r#""reasoning_effort":"low","top_k":40,"min_p":0.1}"#), "{shown}");
    assert!(shown.contains(r#""reasoning_effort":"none","top_k":5,"min_p":0.1}"#), "{shown}");
    assert!(shown.contains("  headers    X-Team\n"), "without one that is empty: {shown}");
    let resolved = project.stdout(&["plan", "thinks.yaml", "--resolved"]);
    assert!(resolved.contains("X-Team: set") && resolved.contains("top_k: 5"), "{resolved}");
    assert!(!shown.contains("canary") && !resolved.contains("canary"), "{resolved}");

    let bodies = bodies(&project);
    let said = |body: &Value| json!([body["reasoning_effort"], body["top_k"], body["min_p"], body["stream"]]);
    assert_eq!(
        bodies.iter().map(said).collect::<Vec<_>>(),
        [json!(["low", 40, 0.1, null]), json!(["none", 5, 0.1, null])]
    );
}

#[test]
fn a_bare_off_is_off_wherever_it_is_written() {
    let project = Project::new();
    for off in ["off", "\"off\"", "'off'", "false"] {
        project.write("thinks.yaml", &FILE.replace("reasoning: off", &format!("reasoning: {off}")));
        assert_eq!(bodies(&project)[1]["reasoning_effort"], "none", "{off}");
    }
    project.write("thinks.yaml", FILE);
    let shown = project.stdout(&["plan", "thinks.yaml", "--prompts", "--set", "actors.anna.reasoning=off"]);
    assert_eq!(shown.matches(r#""reasoning_effort":"none""#).count(), 2, "{shown}");
    let deep = ["--set", "actors.anna.extra_body.top_p=0.5", "--set", "actors.anna.reasoning={ budget: 9k }"];
    let shown = project.stdout(&[&["plan", "thinks.yaml", "--prompts"], &deep[..]].concat());
    assert!(shown.contains(r#""reasoning_effort":"high","#) && shown.contains(r#""top_p":0.5"#), "{shown}");
}

#[test]
fn an_edit_of_them_asks_the_step_again_and_says_why() {
    let project = Project::new();
    let sim = |text: &str| text.replace("http://openrouter.ai.example.test/v1", "sim");
    project.write("thinks.yaml", &sim(FILE));
    project.stdout(&["run", "thinks.yaml", "--quiet"]);
    let against = |text: &str| {
        project.write("thinks.yaml", &sim(text));
        project.stdout(&["plan", "thinks.yaml", "--against", "last"])
    };
    let plan = against(&FILE.replace("reasoning: low", "reasoning: high"));
    assert!(plan.contains("changed (actors.anna.reasoning)"), "{plan}");
    let plan = against(&FILE.replace("top_k: 5", "top_k: 6"));
    assert!(plan.contains("changed (actors.bob.extra_body)"), "{plan}");
    let plan = against(&FILE.replace("X-Team: lab-canary-1", "X-Team: hall"));
    assert!(!plan.contains("changed"), "headers are no part of what is asked: {plan}");
}
