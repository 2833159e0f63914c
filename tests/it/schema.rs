//! The published JSON Schema: fresh, and of one mind with the reader about the shape of files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pipe::diag::{code, has_errors};
use pipe::spec::{parse, parse_project, part_schema, project_schema, schema};
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Renews the file when `PIPE_BLESS=1` is set; a stale one fails.
#[test]
fn the_published_schema_is_fresh() {
    for (name, schema) in [("pipeline", schema()), ("part", part_schema()), ("project", project_schema())] {
        let path = root().join(format!("schemas/{name}.schema.json"));
        let fresh = serde_json::to_string_pretty(&schema).expect("a schema is JSON") + "\n";
        if std::env::var_os("PIPE_BLESS").is_some() {
            std::fs::write(&path, &fresh).expect("written");
        }
        let published = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(published == fresh, "{} is stale: run with PIPE_BLESS=1", path.display());
    }
}

/// A file that includes may lack what the other has; a file that is included needs nothing at all.
#[test]
fn files_in_parts_are_valid_for_editors() {
    let validator = |schema: &Value| jsonschema::validator_for(schema).expect("the schema is valid");
    let (whole, part) = (validator(&schema()), validator(&part_schema()));
    let value = |text: &str| -> Value { serde_yaml::from_str(text).expect("YAML") };
    for (text, as_whole, as_part) in [
        ("{ version: 1, include: [parts.yaml] }", true, true),
        ("{ version: 1 }", false, true),
        ("{ version: 2, include: [parts.yaml] }", false, false),
        ("{ include: [parts.yaml] }", false, true),
        ("{ limits: { retries: { attempts: 3 } } }", false, true),
        ("{ steps: { ask: { on_error: skip } }, items: { limit: 3 } }", false, true),
        ("{ steps: { ask: { chat: { actor: a } } } }", false, true),
        ("{ steps: { ask: { chat: { actr: a } } } }", false, false),
        ("{ actors: { a: { temperature: 3 } } }", false, false),
    ] {
        assert_eq!((whole.is_valid(&value(text)), part.is_valid(&value(text))), (as_whole, as_part), "{text}");
    }
    for path in yaml_files("tests/valid/parts").into_iter().chain(yaml_files("pipelines/parts")) {
        assert!(part.is_valid(&value(&std::fs::read_to_string(&path).expect("readable"))), "{}", path.display());
    }
}

/// Descriptions and titles are what an editor shows at a key, examples and defaults what it fills in.
#[test]
fn every_key_has_a_title_a_description_and_an_example() {
    fn walk(
        validator: &dyn Fn(&Value) -> jsonschema::Validator,
        part: &Value,
        path: &str,
        missing: &mut Vec<String>,
    ) {
        for (key, property) in part["properties"].as_object().into_iter().flatten() {
            let mut needs = |there: bool, what: &str| {
                if !there {
                    missing.push(format!("{path}.{key}: {what}"));
                }
            };
            for word in ["title", "description"] {
                let text = property[word].as_str().unwrap_or_default();
                needs(!text.is_empty(), word);
            }
            needs(property["description"].as_str().is_some_and(|text| text.ends_with('.')), "a sentence");
            let examples = property["examples"].as_array();
            needs(examples.is_some_and(|examples| !examples.is_empty()), "examples");
            let validator = validator(property);
            let values = examples.into_iter().flatten().chain(property.get("default"));
            values.for_each(|value| needs(validator.is_valid(value), &format!("{value} is not what it takes")));
        }
    }
    let mut missing = Vec::new();
    for (schema, title) in [(schema(), "pipe pipeline, version 1"), (project_schema(), "pipe project, version 1")] {
        // One key of the whole: its own schema beside the definitions that it refers to.
        let validator = |property: &Value| {
            let whole = serde_json::json!({ "definitions": schema["definitions"], "allOf": [property] });
            jsonschema::validator_for(&whole).expect("a part of a schema is one")
        };
        walk(&validator, &schema, "", &mut missing);
        for (name, definition) in schema["definitions"].as_object().expect("there are definitions") {
            walk(&validator, definition, name, &mut missing);
        }
        assert_eq!(schema["title"], title);
        assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// The reader and the schema of `pipe.yaml` take and refuse the same.
#[test]
fn the_schema_of_projects_is_of_one_mind_with_the_reader() {
    let validator = jsonschema::validator_for(&project_schema()).expect("the schema is valid");
    let entry = |keys: &str| format!("{{ version: 1, pipelines: {{ a: {{ file: a.yaml, {keys} }} }} }}");
    for (text, fits) in [
        ("{ version: 1, pipelines: { a: { file: a.yaml } } }".to_owned(), true),
        ("{ version: 1 }".to_owned(), false),
        ("{ version: 2, pipelines: { a: { file: a.yaml } } }".to_owned(), false),
        ("{ version: 1, pipelines: {} }".to_owned(), false),
        ("{ version: 1, pipelines: { a: a.yaml } }".to_owned(), false),
        ("{ version: 1, pipelines: { a: { file: a.json } } }".to_owned(), false),
        (entry("params: { rounds: 3, motion: tea, on: true }"), true),
        (entry("params: { rounds: [3] }"), false),
        (entry("seed: 7, repeat: 2, limit: 10, backend: sim, model: llama3.2"), true),
        (entry("schedule: '0 3 * * *', keep: 14, out: results/a.csv"), true),
        (entry("schedule: '30 8 * * MON-FRI Europe/Berlin'"), true),
        (entry("schedule: daily"), false),
        (entry("keep: 0"), false),
        (entry("backend: ftp://host"), false),
        (entry("cron: x"), false),
    ] {
        let value: Value = serde_yaml::from_str(&text).expect("YAML");
        let (_, report) = parse_project("pipe.yaml".into(), &text);
        assert_eq!((validator.is_valid(&value), !has_errors(&report)), (fits, fits), "{text}: {report:?}");
    }
}

/// Editors read draft 7: a word of a later draft would be passed over without a sound.
#[test]
fn the_schema_says_nothing_that_draft_7_does_not_know() {
    const LATER: &[&str] = &[
        "$defs",
        "$anchor",
        "$dynamicRef",
        "unevaluatedProperties",
        "unevaluatedItems",
        "prefixItems",
        "dependentRequired",
        "dependentSchemas",
        "minContains",
        "maxContains",
    ];
    fn walk(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.keys().filter(|key| LATER.contains(&key.as_str())).cloned());
                // Beside a `$ref` draft 7 passes over everything.
                if map.contains_key("$ref") && map.len() > 1 {
                    found.push(format!("{map:?}"));
                }
                map.values().for_each(|value| walk(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| walk(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = Vec::new();
    walk(&schema(), &mut found);
    assert!(found.is_empty(), "{found:?}");
}

struct Judges {
    validator: jsonschema::Validator,
}

impl Judges {
    fn new() -> Self {
        Self { validator: jsonschema::validator_for(&schema()).expect("the schema is valid") }
    }

    fn reader_accepts(text: &str) -> bool {
        let (spec, diagnostics) = parse(Arc::from("f.yaml"), text);
        spec.is_some() && !has_errors(&diagnostics)
    }

    fn schema_accepts(&self, text: &str) -> Option<bool> {
        let value: Value = serde_yaml::from_str(text).ok()?;
        Some(self.validator.is_valid(&value))
    }

    fn check(&self, text: &str, expected: bool) {
        assert_eq!(Self::reader_accepts(text), expected, "the reader:\n{text}\n{:?}", parse(Arc::from("f"), text).1);
        assert_eq!(self.schema_accepts(text), Some(expected), "the schema:\n{text}");
    }
}

const BASE: &str = "version: 1\nactors: { a: {}, b: {} }\nsteps: { s: { chat: { actor: a, prompt: Hello } } }\n";

#[test]
fn schema_and_reader_accept_the_same_files() {
    let judges = Judges::new();
    judges.check(BASE, true);
    for (more, expected) in [
        ("name: x-1\ndescription: Words.\nseed: 7\nrepeat: 3", true),
        ("name: a b", false),
        ("description: ''", false),
        ("seed: -1", false),
        ("seed: '1'", false),
        ("repeat: 0", false),
        ("repeat: 1.5", false),
        ("repeat: '{{ params.n }}'", true),
        ("repeat: ' {{ params.n * 2 }} '", true),
        ("repeat: '{{ params.n }} times'", false),
        ("repeat: '{{ }}'", false),
        ("repeat: '${N:-3}'", true),
        ("repeat: ${N:-3}", true),
        ("repeat: '${N}{{ params.n }}'", false),
        ("repeat: many", false),
        ("x-mine: { anything: [1, null] }", true),
        ("unknown: 1", false),
        ("params: { n: { type: integer, default: 3, minimum: 1, maximum: 9, description: How many. } }", true),
        ("params: { n: {} }", true),
        ("params: { n: 3 }", false),
        ("params: { n: { type: float } }", false),
        ("params: { n: { minimum: low } }", false),
        ("params: { n-m: {} }", false),
        ("params: { n: { default: [1] } }", false),
        ("params: { n: { default: '${N:-3}' } }", true),
        ("backends: { b-1: { base_url: auto, limits: { concurrency: auto } } }", true),
        ("backends: { b: { base_url: 'sim:20', limits: { concurrency: 4 } } }", true),
        ("backends: { b: { base_url: 'http://h:1/v1', api_key: '${KEY:-}' } }", true),
        ("backends: { b: { base_url: 'http://${HOST}/v1' } }", true),
        ("backends: { b: { base_url: 'sim:fast' } }", false),
        ("backends: { b: { base_url: 'localhost:80' } }", false),
        ("backends: { b: { base_url: 'https://' } }", false),
        ("backends: { b: { limits: { concurrency: 0 } } }", false),
        ("backends: { b: { limits: { concurrency: all } } }", false),
        ("backends: { b: { limits: { rate: 3 } } }", false),
        ("models: { m: { backend: b, model: 'qwen2.5:7b' } }", true),
        ("models: { m: { model: 3 } }", false),
        ("models: { m: { model: '' } }", false),
        ("models: { m: null }", false),
        ("models: { m: { price: { input: 0.15 USD/M, output: 1USD/k, cached: 0.0375 USD/M } } }", true),
        ("models: { m: { price: { input: '${IN:-1 USD/M}', output: '{{ params.out }}' } } }", true),
        ("models: { m: { price: { input: 0.15 USD/M } } }", false),
        ("models: { m: { price: { input: 0.15, output: 1 USD/M } } }", false),
        ("models: { m: { price: { input: $0.15, output: 1 USD/M } } }", false),
        ("models: { m: { price: 1 USD/M } }", false),
        ("items: { path: a.jsonl, id: x }", true),
        ("items: { path: 'data/*.csv', delimiter: ;, types: { a: number, b: string } }", true),
        ("items: { path: a.txt, format: csv, delimiter: tab, where: item.a > 1, limit: 3 }", true),
        ("items: { path: '-', sample: { n: 5, seed: 1 }, shuffle: { seed: 2 } }", true),
        ("items: { path: a.csv, sample: { n: '{{ params.n }}' }, shuffle: true, limit: '{{ params.n }}' }", true),
        ("items: { path: data/ }", false),
        ("items: { path: a.csv, format: xlsx }", false),
        ("items: { path: a.csv, delimiter: ab }", false),
        ("items: { path: a.csv, types: { a: float } }", false),
        ("items: { path: a.csv, types: {} }", false),
        ("items: { path: a.csv, where: true }", false),
        ("items: { path: a.csv, limit: 0 }", false),
        ("items: { path: a.csv, sample: 5 }", false),
        ("items: { path: a.csv, sample: {} }", false),
        ("items: { path: a.csv, shuffle: 5 }", false),
        ("items: { path: a.csv, shuffle: {} }", false),
        ("items: { path: '${DIR}/a.jsonl' }", true),
        ("items: { path: '{{ params.path }}' }", true),
        ("items: { values: [{ a: 1 }, { a: [1, { b: null }] }] }", true),
        ("items: { values: [] }", false),
        ("items: { values: [1] }", false),
        ("items: {}", false),
        ("items: { path: a.jsonl, values: [{ a: 1 }] }", false),
        ("items: [{ a: 1 }]", false),
        ("matrix: { lang: [en, 1, true], t: { set: actors.a.temperature, to: [0, [1]] } }", true),
        ("matrix: { lang: [en], include: [{ x: 1 }], exclude: [{ lang: en }], x-note: 1 }", true),
        ("matrix: {}", false),
        ("matrix: [en]", false),
        ("matrix: { lang: en }", false),
        ("matrix: { lang: [] }", false),
        ("matrix: { lang: [[en]] }", false),
        ("matrix: { lang: [null] }", false),
        ("matrix: { la-ng: [en] }", false),
        ("matrix: { lang: [en], include: { x: 1 } }", false),
        ("matrix: { lang: [en], exclude: [{}] }", false),
        ("matrix: { t: { set: actors.a.temperature } }", false),
        ("matrix: { t: { to: [1] } }", false),
        ("matrix: { t: { set: actors.a.temperature, to: [], by: 1 } }", false),
        ("limits: { concurrency: 3, timeouts: { connect: 10s, first_token: 1.5m, idle: 500ms, total: 1h } }", true),
        ("limits: { timeouts: { total: 10 } }", false),
        ("limits: { timeouts: { total: 0s } }", false),
        ("limits: { timeouts: { total: 0.5s } }", true),
        ("limits: { timeouts: { total: 5y } }", false),
        ("limits: { retries: { attempts: 2, within: 1d, backoff: 1s..60s } }", true),
        ("limits: { retries: { backoff: 1s } }", false),
        ("limits: { retries: { attempts: 0 } }", false),
        ("limits:", false),
        ("results: { path: out/r.jsonl, columns: { a: status } }", true),
        ("results: { columns: { a: status } }", false),
        ("results: { path: r.parquet }", true),
        ("results: { path: out/r.csv }", true),
        ("results: { path: r.xlsx }", false),
        ("results: { path: r.jsonl, columns: {} }", false),
        ("results: { path: r.jsonl, columns: { a: 1 } }", false),
    ] {
        judges.check(&format!("{BASE}{more}\n"), expected);
    }
}

#[test]
fn schema_and_reader_agree_on_actors_and_steps() {
    let judges = Judges::new();
    for (actor, expected) in [
        ("model: m, system: 'Be {{ item.x }}', temperature: 0, top_p: 1, max_tokens: 2k, stop: [a, b, c, d]", true),
        ("temperature: 2.01", false),
        ("temperature: '{{ params.t }}'", true),
        ("temperature: '0.5'", false),
        ("top_p: -0.1", false),
        ("max_tokens: 0", false),
        ("max_tokens: 1g", false),
        ("stop: [a, b, c, d, e]", false),
        ("stop: a", false),
        ("system: ''", false),
        ("system: 3", false),
        ("temprature: 1", false),
        ("x-note: 1", true),
    ] {
        judges.check(&BASE.replace("a: {}", &format!("a: {{ {actor} }}")), expected);
    }
    let dialogue = |stop: &str| format!("dialogue: {{ actors: [a, b], opening: Hi, stop: {stop} }}");
    let steps = [
        ("chat: { actor: a, prompt: Hello }, after: [s]".to_owned(), true),
        ("chat: { actor: a }".to_owned(), false),
        ("chat: { actor: a, prompt: 3 }".to_owned(), false),
        ("after: [s]".to_owned(), false),
        ("chat: { actor: a, prompt: x }, judge: { actor: a, question: x, choose: [p, q] }".to_owned(), false),
        ("judge: { actor: a, question: x, choose: [p, q], votes: 3, blind: [p, q] }".to_owned(), true),
        ("judge: { actor: a, question: x, choose: [p] }".to_owned(), false),
        ("judge: { actor: a, question: x, choose: [p, p] }".to_owned(), false),
        ("judge: { actor: a, question: x, choose: [1, 2] }".to_owned(), false),
        ("judge: { actor: a, question: x, choose: [p, q], blind: [p] }".to_owned(), false),
        ("judge: { actor: a, question: x, choose: [p, q, r], blind: [p, q, r] }".to_owned(), false),
        ("dialogue: { actors: [a], opening: Hi, stop: { turns: 2 } }".to_owned(), false),
        ("dialogue: { actors: [a, a], opening: Hi, stop: { turns: 2 } }".to_owned(), false),
        (dialogue("{ rounds: 2 }"), true),
        (dialogue("{ turns: '{{ params.n }}' }"), true),
        (
            dialogue(
                "{ any: [{ rounds: 2 }, { not: { says: { actor: a, pattern: x } } }, { all: [{ turns: 1 }] }] }",
            ),
            true,
        ),
        (dialogue("{ rounds: 2, turns: 3 }"), false),
        (dialogue("{ any: [] }"), false),
        (dialogue("{ any: { rounds: 2 } }"), false),
        (dialogue("{ says: { actor: a } }"), false),
        (dialogue("{ looping: 1 }"), false),
        (dialogue("{}"), false),
        (dialogue("3"), false),
    ];
    for (step, expected) in steps {
        judges.check(&BASE.replace("chat: { actor: a, prompt: Hello }", &step), expected);
    }
    for missing in
        ["version: 1\n", "actors: { a: {}, b: {} }\n", "steps: { s: { chat: { actor: a, prompt: Hello } } }\n"]
    {
        judges.check(&BASE.replace(missing, ""), false);
    }
    judges.check(&BASE.replace("version: 1", "version: 2"), false);
    judges.check(&BASE.replace("version: 1", "version: '1'"), false);
    judges.check(&BASE.replace("{ a: {}, b: {} }", "{}"), false);
}

/// What is wrong with the shape of a file is wrong for editors too; names and places in a graph are not their business.
#[test]
fn the_schema_refuses_the_shapes_that_the_reader_refuses() {
    let judges = Judges::new();
    let shapes = [
        code::UNKNOWN_KEY,
        code::MISSING_KEY,
        code::WRONG_TYPE,
        code::OUT_OF_RANGE,
        code::UNIT,
        code::BAD_NAME,
        code::EXACTLY_ONE,
        code::VERSION,
        code::NOT_ONE_REFERENCE,
    ];
    let mut refused = 0;
    for path in yaml_files("tests/invalid") {
        let text = std::fs::read_to_string(&path).expect("readable");
        // What such a file has is told by several files together.
        if text.contains("\ninclude:") {
            continue;
        }
        let (_, diagnostics) = parse(Arc::from("f.yaml"), &text);
        let Some(accepted) = judges.schema_accepts(&text) else { continue };
        if diagnostics.iter().any(|diagnostic| shapes.contains(&diagnostic.code)) {
            refused += 1;
            assert!(!accepted, "{}", path.display());
        } else if !has_errors(&diagnostics) {
            assert!(accepted, "{}", path.display());
        }
    }
    assert!(refused >= 15, "{refused}");
    for path in yaml_files("pipelines") {
        judges.check(&std::fs::read_to_string(&path).expect("readable"), true);
    }
}

fn yaml_files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).expect("the folder is part of the repository");
    let paths = entries.map(|entry| entry.expect("readable").path());
    paths.filter(|path| path.extension().is_some_and(|ending| ending == "yaml")).collect()
}
