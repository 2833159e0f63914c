//! What the README shows works.

use std::path::Path;

use crate::project::Project;

/// The first YAML block of the README.
fn pipeline() -> String {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("a README");
    let block = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    block.expect("the README shows a pipeline").to_owned()
}

#[test]
fn the_readme_pipeline_runs() {
    let project = Project::new();
    project.write("reviews.yaml", &pipeline());
    project.write(
        "reviews.jsonl",
        "{\"review_id\": 1, \"text\": \"It broke.\"}\n{\"review_id\": 2, \"text\": \"Lovely.\"}\n",
    );
    project.stdout(&["run", "reviews.yaml", "--backend", "sim", "--quiet"]);
    let rows = std::fs::read_to_string(project.path("moods.jsonl")).expect("rows were written");
    assert_eq!(rows.lines().count(), 2, "{rows}");
    assert!(rows.contains("\"review\":1,\"mood\":"), "{rows}");
}
