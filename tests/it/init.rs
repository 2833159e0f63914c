//! What `pipe init` writes passes, runs, and is left alone afterwards.

use std::fs;

use serde_json::Value;

use crate::project::{Project, text};

#[test]
fn every_template_passes_check_and_runs() {
    for template in ["debate", "score", "chat"] {
        let project = Project::new();
        let said = project.stdout(&["init", "new", "--template", template, "--backend", "sim", "--yes"]);
        let file = format!("new/{template}.yaml");
        assert!(said.contains("cd new") && said.contains(&format!("pipe run {template}.yaml")), "{said}");
        let checked = project.run(&["check", &file]);
        assert!(checked.status.success(), "{}", text(&checked.stderr));
        assert_eq!(text(&checked.stderr), "", "no warning either");
        let ran = project.run(&["run", &file, "--quiet", "--json"]);
        assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));

        let yaml = fs::read_to_string(project.path(&file)).expect("written");
        assert!(yaml.starts_with("# yaml-language-server: $schema=pipe.schema.json\n"));
        let schema = fs::read_to_string(project.path("new/pipe.schema.json")).expect("written beside it");
        assert_eq!(schema, project.stdout(&["schema"]));
        let workflow = fs::read_to_string(project.path("new/.github/workflows/pipelines.yml")).expect("written");
        let workflow: Value = serde_yaml::from_str(&workflow).expect("a workflow is YAML");
        assert!(workflow["jobs"]["check"]["steps"].as_array().is_some_and(|steps| steps.len() > 2));
        let commands = workflow.to_string();
        assert!(commands.contains("--format github") && commands.contains(&format!("pipe run {template}.yaml")));
    }
}

#[test]
fn without_a_terminal_nothing_is_asked_and_nothing_written_over() {
    let project = Project::new();
    let said: Value =
        serde_json::from_str(&project.stdout(&["init", "--json", "--backend", "sim"])).expect("one JSON object");
    assert_eq!(said["files"][0], "debate.yaml");
    project.write("debate.yaml", "mine");
    let refused = project.run(&["init"]);
    assert_eq!(refused.status.code(), Some(2));
    let told = text(&refused.stderr);
    assert!(told.contains("debate.yaml is there already") && told.contains("--force"), "{told}");
    assert_eq!(fs::read_to_string(project.path("debate.yaml")).expect("there"), "mine");
    assert_eq!(project.run(&["init", "--backend", "ollama"]).status.code(), Some(2));
}
