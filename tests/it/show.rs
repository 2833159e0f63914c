//! The way down from a run to one attempt, on a run that was made here.

use serde_json::Value;

use crate::project::Project;

#[test]
fn a_call_is_shown_with_what_was_asked_for() {
    let project = Project::with_pipelines();
    project.stdout(&["run", "pipelines/debate.yaml", "--backend", "sim", "--quiet", "--json"]);
    let run = project.stdout(&["show"]);
    assert!(run.contains("pipe show last 0"), "{run}");
    let case = project.stdout(&["show", "last", "0"]);
    assert!(case.contains("turn/4") && case.contains("pipe show last 0 debate"), "{case}");
    let step = project.stdout(&["show", "last", "0", "debate"]);
    assert!(step.contains("You debate, and you are for") && step.contains("messages as above"), "{step}");
    let call = project.stdout(&["show", "last", "0", "debate", "turn/2"]);
    for word in ["con on auto", "temperature 0.6 · max_tokens 60 · seed ", "attempt 1", "in our queue", "tokens"] {
        assert!(call.contains(word), "{word}: {call}");
    }
    let vote = project.stdout(&["show", "last", "0", "verdict", "vote/1"]);
    assert!(vote.contains("A, B, tie"), "the options as the judge saw them: {vote}");

    let value: Value = serde_json::from_str(&project.stdout(&["show", "last", "0", "verdict", "vote/1", "--json"]))
        .expect("one JSON object");
    assert_eq!(value["options"]["max_tokens"], 60);
    assert!(value["options"]["seed"].is_u64() && value["attempts"][0]["answer"].is_string(), "{value}");
    assert_eq!(project.run(&["show", "last", "--failed"]).status.code(), Some(0));
}
