//! What is said of files with mistakes: every file under `tests/invalid` has one, but `eight_mistakes.yaml`.
//!
//! The snapshots hold place, reason and remedy as a user reads them. After a change: `cargo insta review`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pipe::cli::diagnostics::render;
use pipe::cli::files::ProjectFiles;
use pipe::diag::{ALL, Severity, code};
use pipe::plan::{Compiled, Overrides, Surroundings, compile};

fn files_of(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(&folder).expect("the folder is part of the repository");
    let paths = entries.map(|entry| entry.expect("readable").path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "yaml")).collect();
    files.sort();
    files
}

fn compile_file(path: &Path) -> (Compiled, String) {
    let text = std::fs::read_to_string(path).expect("readable");
    let files = ProjectFiles::around(path).expect("its folder exists");
    let env = |_: &str| None;
    let read_text = |path: &str| {
        files.read_text(path).map_err(|reason| reason.replace(&files.root().display().to_string(), "[project]"))
    };
    let resolve = |path: &str| files.resolve(path);
    let list = |path: &str| files.list(path);
    let around = Surroundings { env: &env, read_text: &read_text, resolve: &resolve, list: &list };
    let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
    let compiled = compile(Arc::from(name.as_str()), &text, &Overrides::default(), &around);
    let source_of = |file: &str| if file == name { Some(text.clone()) } else { files.read_text(file).ok() };
    let rendered = render(&compiled.diagnostics, &source_of, false);
    (compiled, rendered)
}

#[test]
fn every_mistake_has_its_message() {
    for path in files_of("tests/invalid") {
        let (compiled, rendered) = compile_file(&path);
        let name = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        let expects_plan = name.starts_with("warn_");
        assert_eq!(compiled.plan.is_some(), expects_plan, "{name}:\n{rendered}");
        for diagnostic in &compiled.diagnostics {
            assert!(!diagnostic.labels.is_empty(), "{name}: no place: {}", diagnostic.message);
            assert!(!diagnostic.message.ends_with('.'), "{name}: {}", diagnostic.message);
            // What must be there is a remedy, and so is the name of a type or a range.
            let remedy = !diagnostic.help.is_empty()
                || diagnostic.message.contains(" must be ")
                || diagnostic.labels.iter().any(|label| label.text.starts_with("its type is"));
            assert!(remedy, "{name}: no remedy: {}", diagnostic.message);
        }
        insta::assert_snapshot!(name, rendered);
    }
}

#[test]
fn eight_mistakes_are_told_at_once() {
    let path = files_of("tests/invalid").into_iter().find(|path| path.ends_with("eight_mistakes.yaml"));
    let (compiled, rendered) = compile_file(&path.expect("the file is there"));
    let errors = compiled.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
    assert!(errors >= 8, "{rendered}");
}

#[test]
fn every_code_has_a_file() {
    let mut seen = BTreeSet::new();
    for path in files_of("tests/invalid") {
        seen.extend(compile_file(&path).0.diagnostics.iter().map(|diagnostic| diagnostic.code));
    }
    // The one that only the command line can cause.
    seen.insert(code::SET);
    let missing: Vec<&str> = ALL.iter().map(|code| code.code).filter(|code| !seen.contains(code)).collect();
    assert!(missing.is_empty(), "no file under tests/invalid causes {missing:?}");
}

#[test]
fn every_shipped_pipeline_compiles_without_a_word() {
    let files = files_of("pipelines");
    assert!(files.len() >= 4);
    for path in files {
        let (compiled, rendered) = compile_file(&path);
        assert!(compiled.plan.is_some(), "{rendered}");
        assert_eq!(rendered, "", "{}", path.display());
        let text = std::fs::read_to_string(&path).expect("readable");
        assert!(text.starts_with("# yaml-language-server: $schema=../schemas/pipeline.schema.json\n"));
    }
}
