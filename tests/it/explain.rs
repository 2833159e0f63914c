//! `pipe explain` has a page for every code, and its examples say what they claim.

use std::path::Path;
use std::sync::Arc;

use pipe::cli::files::ProjectFiles;
use pipe::diag::explain::{page, pages};
use pipe::diag::{ALL, code};
use pipe::plan::{Compiled, Overrides, Surroundings, compile};

use crate::project::{Project, text};

/// What an example leaves out.
const REST: [(&str, &str); 3] = [
    ("version:", "version: 1"),
    ("actors:", "actors: { pro: {}, con: {}, referee: {} }"),
    (
        "steps:",
        "steps:\n  debate:\n    dialogue: { actors: [pro, con], opening: Tea?, stop: { rounds: 2 } }\n  verdict:\n    \
         judge: { actor: referee, question: \"Who won? {{ steps.debate.transcript }}\", choose: [pro, con, tie] }",
    ),
];

fn completed(example: &str) -> String {
    let mut file = example.to_owned();
    for (key, rest) in REST {
        if !example.lines().any(|line| line.starts_with(key)) {
            file.push_str(rest);
            file.push('\n');
        }
    }
    file
}

fn compiled(example: &str, set: Vec<(String, String)>) -> Compiled {
    let files = ProjectFiles::around(&Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/example.yaml"));
    let files = files.expect("the folder is part of the repository");
    let around = Surroundings {
        env: &|_| None,
        read_text: &|path| files.read_text(path),
        resolve: &|path| files.resolve(path),
        list: &|path| files.list(path),
    };
    let overrides = Overrides { set, ..Overrides::default() };
    compile(Arc::from("example.yaml"), &completed(example), &overrides, &around)
}

/// An example that is a command line sets a value in an otherwise right file.
fn of_example(example: &str) -> Compiled {
    let Some((_, assignment)) = example.split_once("--set ") else { return compiled(example, Vec::new()) };
    let (path, value) = assignment.split_once('=').expect("it sets a value");
    compiled("", vec![(path.to_owned(), value.to_owned())])
}

#[test]
fn every_code_has_a_page_whose_examples_hold() {
    assert_eq!(pages().count(), ALL.len());
    for known in ALL {
        let page = page(known.code).unwrap_or_else(|| panic!("{} has no page", known.code));
        let wrong = of_example(page.wrong);
        let codes: Vec<&str> = wrong.diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
        assert!(codes.contains(&page.code), "{}: the wrong example gives {codes:?}", page.code);
        let right = of_example(page.right);
        assert!(right.plan.is_some(), "{}: the right example: {:?}", page.code, right.diagnostics);
        assert!(right.diagnostics.iter().all(|diagnostic| diagnostic.code != page.code), "{}", page.code);
        let texts = [page.means, page.why];
        assert!(texts.iter().all(|text| text.ends_with('.') && !text.contains("  ")), "{}", page.code);
    }
    assert_eq!(page(code::SET).map(|page| page.wrong.starts_with("pipe ")), Some(true));
}

#[test]
fn the_command_shows_pages_and_lists_codes() {
    let project = Project::new();
    let list = project.stdout(&["explain"]);
    assert_eq!(list.lines().count(), ALL.len());
    assert!(list.starts_with("P0101  the file is not valid YAML\n"), "{list}");
    assert!(project.stdout(&["explain", "p0110"]).contains("temprature"));
    let json: serde_json::Value =
        serde_json::from_str(&project.stdout(&["explain", "P0110", "--json"])).expect("JSON");
    assert_eq!(json["code"], "P0110");
    assert!(json["right"].as_str().is_some_and(|right| right.contains("temperature")));
    let unknown = project.run(&["explain", "P9999"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("there is no code"), "{}", text(&unknown.stderr));
}

#[test]
fn programs_get_places_and_annotations() {
    let project = Project::new();
    project.write("f.yaml", &completed("repeat: often\n"));
    let output = project.run(&["check", "f.yaml", "--json"]);
    assert_eq!(output.status.code(), Some(3));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let found = &json["files"][0]["diagnostics"][0];
    let expected = serde_json::json!({
        "code": "P0112", "severity": "error", "message": "`repeat` must be a whole number from 1", "file": "f.yaml",
        "line": 1, "column": 9, "end_line": 1, "end_column": 14, "help": [],
        "labels": [{ "file": "f.yaml", "line": 1, "column": 9, "end_line": 1, "end_column": 14, "text": "this is text" }],
    });
    assert_eq!(found, &expected);
    let output = project.run(&["check", "f.yaml", "--format", "github"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(
        text(&output.stdout),
        "::error file=f.yaml,line=1,col=9,endLine=1,endColumn=14,title=P0112::`repeat` must be a whole number from \
         1%0Athis is text\n"
    );
}
