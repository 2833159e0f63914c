//! Every key of the language at work: each is used by a file that passes, and complained about where it is wrong.
//!
//! The files are `tests/valid/*.yaml` and `pipelines/*.yaml`. A first line `# exit: N` says how a run ends that does
//! not end with 0; what stands in `NAME.stdin` beside `NAME.yaml` is given to it on stdin.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use pipe::diag::{Diagnostic, Severity};
use pipe::spec::{parse, schema};
use serde_json::{Value, json};

use crate::project::{Project, copy, text};

/// Keys that take whatever is written there, so that no value of theirs can be wrong.
const TAKE_ANYTHING: &[&str] = &["Assert.value", "Assert.equals", "Assert.contains", "Within.of", "Within.by"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn valid_files() -> Vec<PathBuf> {
    let folders = ["tests/valid", "pipelines"].map(|folder| root().join(folder));
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).expect("part of the repository"));
    let paths = entries.map(|entry| entry.expect("readable").path());
    let mut files: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    files.sort();
    files
}

fn read(path: &Path) -> (String, Value) {
    let text = fs::read_to_string(path).expect("readable");
    let value = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (text, value)
}

#[test]
fn every_valid_file_passes_and_runs() {
    let project = Project::new();
    copy(&root().join("tests/valid"), &project.path("valid"));
    let names: Vec<String> = valid_files()
        .iter()
        .filter(|path| path.parent().is_some_and(|folder| folder.ends_with("valid")))
        .map(|path| format!("valid/{}", path.file_name().expect("a file has a name").to_string_lossy()))
        .collect();
    assert!(!names.is_empty());
    for name in &names {
        let mut arguments = vec!["check", name];
        let stdin = project.path(name).with_extension("stdin");
        let given = fs::read(&stdin).unwrap_or_default();
        let run = |arguments: &[&str]| {
            let mut command = project.pipe(arguments);
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().expect("pipe starts");
            // A process that reads nothing of it may be gone already.
            drop(child.stdin.take().expect("piped").write_all(&given));
            child.wait_with_output().expect("waited for")
        };
        let checked = run(&arguments);
        assert_eq!(checked.status.code(), Some(0), "{name}:\n{}", text(&checked.stderr));

        let yaml = fs::read_to_string(project.path(name)).expect("readable");
        let first = yaml.lines().next().unwrap_or_default();
        let expected = first.strip_prefix("# exit: ").map_or(0, |code| code.trim().parse().expect("a number"));
        arguments = vec!["run", name, "--backend", "sim", "--new", "--quiet", "--json"];
        let ran = run(&arguments);
        assert_eq!(ran.status.code(), Some(expected), "{name}:\n{}", text(&ran.stderr));
    }
}

/// One key in one file, and what the schema says of it.
struct Use<'a> {
    /// `Definition.key`.
    key: String,
    /// Where it stands, as a JSON pointer.
    pointer: String,
    property: &'a Value,
}

/// Reads values and a schema side by side.
struct Walk<'a> {
    schema: &'a Value,
}

impl<'a> Walk<'a> {
    fn takes(&self, part: &Value, value: &Value) -> bool {
        let whole = json!({ "definitions": self.schema["definitions"], "allOf": [part] });
        jsonschema::validator_for(&whole).expect("a part of a schema is one").is_valid(value)
    }

    /// Adds the keys of a value that `part`, a piece of the definition `name`, describes.
    fn uses(&self, name: &str, part: &'a Value, value: &Value, pointer: &str, found: &mut Vec<Use<'a>>) {
        if let Some(target) = part["$ref"].as_str() {
            let name = target.trim_start_matches("#/definitions/");
            return self.uses(name, &self.schema["definitions"][name], value, pointer, found);
        }
        for piece in part["allOf"].as_array().into_iter().flatten() {
            self.uses(name, piece, value, pointer, found);
        }
        for way in ["anyOf", "oneOf"].iter().filter_map(|way| part[way].as_array()).flatten() {
            if self.takes(way, value) {
                self.uses(name, way, value, pointer, found);
            }
        }
        for (key, inner) in value.as_object().into_iter().flatten() {
            let pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
            if let Some(property) = part["properties"].get(key) {
                found.push(Use { key: format!("{name}.{key}"), pointer: pointer.clone(), property });
                self.uses(name, property, inner, &pointer, found);
            } else if part["additionalProperties"].is_object() && !key.starts_with("x-") {
                self.uses(name, &part["additionalProperties"], inner, &pointer, found);
            }
        }
        for (place, inner) in value.as_array().into_iter().flatten().enumerate() {
            if part["items"].is_object() {
                self.uses(name, &part["items"], inner, &format!("{pointer}/{place}"), found);
            }
        }
    }

    /// Returns every key that the schema has.
    fn keys(&self) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        let definitions = self.schema["definitions"].as_object().expect("there are definitions");
        let all = definitions.iter().map(|(name, part)| (name.as_str(), part)).chain([("pipeline", self.schema)]);
        for (name, part) in all {
            keys.extend(part["properties"].as_object().into_iter().flatten().map(|(key, _)| format!("{name}.{key}")));
            for way in ["anyOf", "oneOf", "allOf"].iter().filter_map(|way| part[way].as_array()).flatten() {
                let inner = way["properties"].as_object().into_iter().flatten();
                keys.extend(inner.map(|(key, _)| format!("{name}.{key}")));
            }
        }
        keys
    }
}

/// Returns a file's text as JSON, which is YAML, with `wrong` in the place of one value, and where that stands.
fn with_wrong(value: &Value, pointer: &str, wrong: &Value) -> (String, std::ops::Range<usize>) {
    const MARK: &str = "here stands what is wrong";
    let mut value = value.clone();
    *value.pointer_mut(pointer).expect("the place is from this value") = json!(MARK);
    let text = serde_json::to_string_pretty(&value).expect("a value is JSON");
    let mark = format!("\"{MARK}\"");
    let start = text.find(&mark).expect("the mark is in it");
    let wrong = wrong.to_string();
    (text.replacen(&mark, &wrong, 1), start..start + wrong.len())
}

fn complains(diagnostics: &[Diagnostic], place: &std::ops::Range<usize>) -> bool {
    diagnostics.iter().any(|diagnostic| {
        let label = diagnostic.labels.first();
        diagnostic.severity == Severity::Error
            && !diagnostic.message.is_empty()
            && label.is_some_and(|label| label.span.start >= place.start && label.span.end <= place.end)
    })
}

/// A wrong value is refused by the schema, and by `check` with a message that points at it and at nothing before it.
#[test]
fn every_key_has_a_use_that_passes_and_one_that_is_complained_about() {
    let schema = schema();
    let walk = Walk { schema: &schema };
    let wrongs =
        [json!([[]]), json!(true), json!("\u{1}"), json!(-1), json!("{{ steps }}"), json!({ "no_such_key": [[]] })];
    let mut passing: BTreeMap<String, usize> = BTreeMap::new();
    let mut failing: BTreeSet<String> = TAKE_ANYTHING.iter().map(|key| (*key).to_owned()).collect();
    let mut silent = Vec::new();
    for path in valid_files() {
        let (_, value) = read(&path);
        let mut found = Vec::new();
        walk.uses("pipeline", &schema, &value, "", &mut found);
        for one in found {
            let seen = passing.entry(one.key.clone()).or_default();
            *seen += 1;
            // A second place may be read by other code; a tenth is not worth the time.
            if *seen > 2 {
                continue;
            }
            for wrong in wrongs.iter().filter(|wrong| !walk.takes(one.property, wrong)) {
                let (text, place) = with_wrong(&value, &one.pointer, wrong);
                let (_, diagnostics) = parse(Arc::from("f.yaml"), &text);
                if complains(&diagnostics, &place) {
                    failing.insert(one.key.clone());
                } else {
                    silent.push(format!("{}: {wrong} in {} of {}", one.key, one.pointer, path.display()));
                }
            }
        }
    }
    let keys = walk.keys();
    let without = |have: &dyn Fn(&String) -> bool| keys.iter().filter(|key| !have(key)).cloned().collect::<Vec<_>>();
    let (unused, unrefused) = (without(&|key| passing.contains_key(key)), without(&|key| failing.contains(key)));
    assert!(unused.is_empty(), "no file in tests/valid or pipelines uses {unused:#?}");
    assert!(silent.is_empty(), "the schema refuses these values, and no message points at them: {silent:#?}");
    assert!(unrefused.is_empty(), "nothing that is wrong for these keys was found: {unrefused:#?}");
    let strangers: Vec<_> = TAKE_ANYTHING.iter().filter(|key| !keys.contains(**key)).collect();
    assert!(strangers.is_empty(), "no longer keys: {strangers:?}");
}

/// A key that must be there is missed, and one that nobody knows is refused, wherever there are keys.
#[test]
fn a_missing_key_and_a_strange_one_are_told_everywhere() {
    let schema = schema();
    let walk = Walk { schema: &schema };
    let mut done = BTreeSet::new();
    for path in valid_files() {
        let (_, value) = read(&path);
        let mut found = Vec::new();
        walk.uses("pipeline", &schema, &value, "", &mut found);
        for one in found {
            let (definition, key) = one.key.split_once('.').expect("a key has a definition");
            if !done.insert(one.key.clone()) {
                continue;
            }
            let (parent, _) = one.pointer.rsplit_once('/').expect("a pointer has a slash");
            let mut strange = value.clone();
            let map = strange.pointer_mut(parent).and_then(Value::as_object_mut).expect("keys are in a map");
            map.insert("no_such_key".to_owned(), json!(1));
            let text = serde_json::to_string_pretty(&strange).expect("a value is JSON");
            let start = text.find("\"no_such_key\"").expect("it was put there");
            let (_, diagnostics) = parse(Arc::from("f.yaml"), &text);
            let place = start..start + "\"no_such_key\": 1".len();
            assert!(complains(&diagnostics, &place), "{}: {text}\n{diagnostics:?}", one.key);

            let part = if definition == "pipeline" { &schema } else { &schema["definitions"][definition] };
            if part["required"].as_array().is_some_and(|list| list.contains(&json!(key))) {
                let mut without = value.clone();
                let map = without.pointer_mut(parent).and_then(Value::as_object_mut).expect("keys are in a map");
                map.shift_remove(key);
                let text = serde_json::to_string_pretty(&without).expect("a value is JSON");
                let (_, diagnostics) = parse(Arc::from("f.yaml"), &text);
                let named = diagnostics.iter().any(|diagnostic| {
                    diagnostic.severity == Severity::Error && diagnostic.message.contains(&format!("`{key}`"))
                });
                assert!(named, "{} can be left out of {}: {diagnostics:?}", one.key, path.display());
            }
        }
    }
}
