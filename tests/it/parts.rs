//! A pipeline in several files: a run keeps the texts of all, and an edit of any of them is an edit of the pipeline.

use std::fs;

use serde_json::Value;

use crate::project::{Project, text};
use crate::reuse::{FILE, interrupted_run_of, resume};

const SYSTEM: &str = "You judge debates by the quality of the arguments alone.";

/// A run, killed, of a pipeline whose judge and retries stand in `pipelines/parts/common.yaml`.
fn interrupted() -> Project {
    let project = Project::with_pipelines();
    project.edit(FILE, &format!("    system: {SYSTEM}\n"), "");
    project.edit(FILE, "version: 1\n", "version: 1\ninclude: [parts/common.yaml]\n");
    project.write("pipelines/parts/referee.md", SYSTEM);
    project.write(
        "pipelines/parts/common.yaml",
        "actors: { referee: { system: file://referee.md } }\nlimits: { retries: { attempts: 4 } }\n",
    );
    interrupted_run_of(project)
}

#[test]
fn a_run_goes_on_without_the_files_that_it_included() {
    let project = interrupted();
    let folder = project.path("pipelines/parts");
    fs::rename(&folder, project.path("pipelines/away")).expect("renamed");
    let out = project.run(&["resume"]);
    let talk = text(&out.stderr);
    assert!(out.status.success() && !talk.contains("edited"), "{talk}");
    assert!(talk.contains("parts/common.yaml is gone; the run goes on with its own copy"), "{talk}");
    assert!(talk.contains("parts/referee.md is gone"), "{talk}");
    fs::rename(project.path("pipelines/away"), &folder).expect("renamed");
    assert_eq!(
        fs::read_to_string(project.path("rows.jsonl")).expect("rows"),
        crate::reuse::fresh(&project),
        "the rows are those of a fresh run"
    );
}

#[test]
fn an_edit_of_an_included_file_is_an_edit_of_the_pipeline() {
    let project = interrupted();
    project.edit("pipelines/parts/common.yaml", "attempts: 4", "attempts: 5");
    let (talk, runs, same) = resume(&project);
    assert!(talk.contains("was edited: limits differs; the run goes on with that"), "{talk}");
    assert!(runs == 1 && same);

    let project = interrupted();
    project.edit("pipelines/parts/referee.md", "alone", "and nothing else");
    let (talk, runs, same) = resume(&project);
    assert!(talk.contains("asks something else: a new run takes over"), "{talk}");
    assert!(runs == 2 && same);
}

#[test]
fn a_mistake_is_told_where_it_stands_as_found_from_here() {
    let project = Project::with_pipelines();
    project.write("pipelines/parts/common.yaml", "actors:\n  referee: { temperature: 3 }\n");
    project.edit(FILE, "version: 1\n", "version: 1\ninclude: [parts/common.yaml]\n");
    project.edit(FILE, "    temperature: 0\n", "");
    let out = project.run(&["check", FILE, "--json"]);
    assert_eq!(out.status.code(), Some(3));
    let json: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let found = &json["files"][0]["diagnostics"][0];
    assert_eq!(found["file"], "pipelines/parts/common.yaml");
    assert_eq!([&found["line"], &found["column"]], [2, 27]);
    let said = text(&project.run(&["check", FILE]).stderr);
    assert!(
        said.contains("--> pipelines/parts/common.yaml:2:27") && said.contains("referee: { temperature: 3 }"),
        "{said}"
    );
}

#[test]
fn what_is_included_stays_in_the_project_unless_allowed() {
    let project = Project::new();
    fs::create_dir_all(project.path("inside/.git")).expect("created");
    project.write("common.yaml", "actors: { a: {} }\n");
    project.write(
        "inside/f.yaml",
        "version: 1\ninclude: [../common.yaml]\nsteps: { s: { chat: { actor: a, prompt: Hello } } }\n",
    );
    let refused = project.run(&["check", "inside/f.yaml"]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(text(&refused.stderr).contains("outside of the project"), "{}", text(&refused.stderr));
    let allowed = project.run(&["check", "inside/f.yaml", "--allow-outside"]);
    assert!(allowed.status.success(), "{}", text(&allowed.stderr));
}
