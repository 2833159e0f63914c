//! Files for OpenAI's Batch API, read back with OpenAI's own types.

use std::collections::BTreeSet;

use async_openai::types::chat::{CreateChatCompletionRequest, ResponseFormat};
use serde_json::Value;

use crate::project::{Project, text};

/// Takes each line apart as the service does: fields, method, url, a body of its own type, ids that are unique.
fn requests(lines: &str) -> Vec<(String, CreateChatCompletionRequest)> {
    let mut ids = BTreeSet::new();
    lines
        .lines()
        .map(|line| {
            let value: Value = serde_json::from_str(line).expect("a line is JSON");
            let keys: Vec<&String> = value.as_object().expect("an object").keys().collect();
            assert_eq!(keys, ["custom_id", "method", "url", "body"]);
            assert_eq!(
                (value["method"].as_str(), value["url"].as_str()),
                (Some("POST"), Some("/v1/chat/completions"))
            );
            let id = value["custom_id"].as_str().expect("a text").to_owned();
            assert!(ids.insert(id.clone()), "{id} twice");
            assert_eq!(value["body"]["max_tokens"], Value::Null, "OpenAI's newer models refuse that name");
            (id, serde_json::from_value(value["body"].clone()).expect("a chat completion request"))
        })
        .collect()
}

#[test]
fn a_run_is_exported_as_it_was_sent() {
    let project = Project::with_pipelines();
    project.stdout(&["run", "pipelines/debate.yaml", "--backend", "sim", "--quiet", "--json"]);
    let requests = requests(&project.stdout(&["export", "last", "--model", "gpt-4o-mini"]));
    let ids: Vec<&str> = requests.iter().map(|(id, _)| id.as_str()).collect();
    let turns = ["0/debate/turn/1", "0/debate/turn/2", "0/debate/turn/3", "0/debate/turn/4"];
    assert_eq!(ids[..4], turns);
    assert_eq!(ids[4..], ["0/verdict/vote/1", "0/verdict/vote/1/exchanged"]);
    for (id, request) in &requests {
        assert_eq!(request.model, "gpt-4o-mini");
        assert_eq!(request.max_completion_tokens, Some(60));
        let mut path = id.splitn(3, '/');
        let words = [path.next(), path.next(), path.next()].map(|word| word.expect("three parts"));
        let shown = project.stdout(&["show", "last", words[0], words[1], words[2], "--json"]);
        let shown: Value = serde_json::from_str(&shown).expect("JSON");
        let sent = shown["attempts"][0]["messages"].as_array().expect("messages").len();
        assert_eq!(request.messages.len(), sent, "{id}");
        let is_vote = matches!(request.response_format, Some(ResponseFormat::JsonSchema { .. }));
        assert_eq!(is_vote, id.contains("vote"), "{id}");
    }
}

#[test]
fn a_file_is_exported_as_far_as_no_answer_is_needed() {
    let project = Project::new();
    project.stdout(&["init", "--template", "score", "--backend", "auto", "--yes"]);
    let unnamed = project.run(&["export", "score.yaml"]);
    assert_eq!(unnamed.status.code(), Some(2), "{}", text(&unnamed.stderr));
    assert!(text(&unnamed.stderr).contains("--model"), "{}", text(&unnamed.stderr));
    let output = project.run(&["export", "score.yaml", "--model", "gpt-4o-mini", "--out", "batch.jsonl"]);
    let told = text(&output.stderr);
    assert!(output.status.success() && told.contains("4 requests; left out: mood"), "{told}");
    let lines = std::fs::read_to_string(project.path("batch.jsonl")).expect("written");
    let requests = requests(&lines);
    assert_eq!((requests.len(), requests[3].0.as_str()), (4, "3/gist/say"));
    assert_eq!(project.run(&["export", "score.yaml", "--model", "m", "--out", "batch.jsonl"]).status.code(), Some(2));
}

#[test]
fn rows_are_exported_as_results_are() {
    let project = Project::with_pipelines();
    let run = ["run", "pipelines/monte_carlo.yaml", "--backend", "sim", "--repeat", "3", "--quiet", "--json"];
    project.stdout(&run);
    let rows = project.stdout(&["export", "last", "--format", "jsonl"]);
    assert_eq!(rows.lines().count(), 3);
    assert!(
        rows.lines().all(|row| serde_json::from_str::<Value>(row).is_ok_and(|row| row["status"] == "ok")),
        "{rows}"
    );
    assert_eq!(rows, project.stdout(&["results", "last"]));
    project.stdout(&["export", "--format", "jsonl", "--out", "rows.jsonl"]);
    assert_eq!(std::fs::read_to_string(project.path("rows.jsonl")).expect("written"), rows);
    for wrong in [
        &["export", "pipelines/monte_carlo.yaml", "--format", "jsonl"][..],
        &["export", "last", "--format", "jsonl", "--model", "small"],
        &["export", "last", "--format", "jsonl", "--out", "rows.jsonl"],
    ] {
        assert_eq!(project.run(wrong).status.code(), Some(2), "{wrong:?}");
    }
}
