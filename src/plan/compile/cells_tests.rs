//! Which cells a matrix has, and what is said of one that has none.

use std::path::PathBuf;
use std::sync::Arc;

use crate::plan::{CellIdx, Compiled, ModelChoice, Overrides, Plan, StepIdx, Surroundings, compile};

const FILE: &str = "version: 1
models: { small: {} }
actors: { a: { model: small, system: \"Speak {{ matrix.lang or 'any' }}.\" } }
items: { values: [{ x: 1 }, { x: 2 }] }
steps: { ask: { chat: { actor: a, prompt: \"{{ item.x }}\" } } }
";

fn compiled(matrix: &str) -> Compiled {
    let env = |name: &str| (name == "LANGUAGE").then(|| "fr".to_owned());
    let read_text = |_: &str| Err("there is no such file".to_owned());
    let resolve = |path: &str| Ok(PathBuf::from("/project").join(path));
    let around = Surroundings { env: &env, read_text: &read_text, resolve: &resolve, list: &|_| Err(String::new()) };
    compile(Arc::from("f.yaml"), &format!("{FILE}matrix: {matrix}\n"), &Overrides::default(), &around)
}

fn plan(matrix: &str) -> Plan {
    let compiled = compiled(matrix);
    compiled.plan.unwrap_or_else(|| panic!("{matrix}: {:#?}", compiled.diagnostics))
}

fn cells(matrix: &str) -> Vec<String> {
    plan(matrix).all_cells().map(|(_, cell)| crate::report::cell_name(&cell.matrix)).collect()
}

#[test]
fn the_first_value_changes_slowest() {
    assert_eq!(cells("{ lang: [en, de], n: [1, 2] }"), ["lang=en n=1", "lang=en n=2", "lang=de n=1", "lang=de n=2"]);
    assert_eq!(cells("{ lang: [en, '${LANGUAGE}'] }"), ["lang=en", "lang=fr"]);
}

/// <https://docs.github.com/actions/using-jobs/using-a-matrix-for-your-jobs>: the example of its documentation.
#[test]
fn include_and_exclude_work_as_in_ci() {
    let fruits = "{ lang: [apple, pear], animal: [cat, dog], include: [{ color: green }, { color: pink, animal: cat }, \
                  { lang: apple, shape: circle }, { lang: banana }, { lang: banana, animal: cat }] }";
    assert_eq!(
        cells(fruits),
        [
            "lang=apple animal=cat color=pink shape=circle",
            "lang=apple animal=dog color=green shape=circle",
            "lang=pear animal=cat color=pink",
            "lang=pear animal=dog color=green",
            "lang=banana",
            "lang=banana animal=cat",
        ]
    );
    assert_eq!(cells("{ lang: [a, b], n: [1, 2], exclude: [{ lang: a, n: 2 }, { lang: b }] }"), ["lang=a n=1"]);
    assert_eq!(cells("{ include: [{ lang: a }, { lang: b }] }"), ["lang=a", "lang=b"]);
}

#[test]
fn a_cell_is_a_plan_with_its_values_put_in() {
    let plan = plan(
        "{ model: { set: models.small.model, to: [one, two] }, t: { set: actors.a.temperature, to: [0, 1] }, lang: [en] }",
    );
    let asked = |place: usize| {
        let actor = &plan.cell(CellIdx(place)).actors[0];
        let ModelChoice::Named(name) = &actor.model else { panic!("{:?}", actor.model) };
        (name.to_string(), actor.sampling.temperature)
    };
    assert_eq!([asked(0), asked(3)], [("one".to_owned(), Some(0.0)), ("two".to_owned(), Some(1.0))]);
    assert_eq!(plan.cases_of_item(), 4);
    for (place, cell) in plan.all_cells() {
        assert_eq!(plan.find_cell(&cell.matrix), Some(place));
        assert_eq!(cell.step(StepIdx(0)).name, plan.step(StepIdx(0)).name);
    }
    assert_eq!(plan.find_cell(&serde_json::Map::new()), None);
}

#[test]
fn every_cell_is_part_of_the_plans_identity() {
    let hashes =
        ["{ lang: [en] }", "{ lang: [de] }", "{ lang: [en, de] }", "{ lang: [de, en] }"].map(|m| plan(m).hash);
    for (place, hash) in hashes.iter().enumerate() {
        assert!(!hashes[..place].contains(hash), "{place}");
    }
}

#[test]
fn backends_of_all_cells_are_counted_together() {
    let text = FILE
        .replace("models:", "backends: { x: { base_url: sim }, y: { base_url: sim } }\nmodels:")
        .replace("small: {}", "small: { backend: x }");
    let around = Surroundings {
        env: &|_| None,
        read_text: &|_| Err(String::new()),
        resolve: &|path| Ok(PathBuf::from(path)),
        list: &|_| Err(String::new()),
    };
    let text = format!("{text}matrix: {{ b: {{ set: models.small.backend, to: [y, x] }}, lang: [en] }}\n");
    let plan = compile(Arc::from("f"), &text, &Overrides::default(), &around).plan.expect("it compiles");
    for (_, cell) in plan.all_cells() {
        assert_eq!(cell.backends.len(), 2);
    }
    let name = |place: usize| {
        let cell = plan.cell(CellIdx(place));
        cell.backends[cell.actors[0].backend.0].name.to_string()
    };
    assert_eq!([name(0), name(1)], ["y", "x"]);
}

#[test]
fn what_cannot_be_a_matrix_is_told() {
    let check = |matrix: &str, expected: &str| {
        let compiled = compiled(matrix);
        let said: Vec<&str> = compiled.diagnostics.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
        assert!(compiled.plan.is_none() && said.iter().any(|said| said.contains(expected)), "{matrix}: {said:?}");
    };
    check("{ n: { set: repeat, to: [1, 2] } }", "`repeat` is nothing that a matrix sets");
    check("{ n: { set: models.smal.model, to: [a] } }", "`models` has no `smal`");
    check("{ n: { set: steps.ask, to: [{}] } }", "`steps.ask` is nothing that a matrix sets");
    check("{ lang: [a, a] }", "two cells of the matrix have the same values");
    check("{ lang: [a], exclude: [{ lang: a }] }", "no combination left");
    check("{ lang: [a], exclude: [{ long: a }] }", "`exclude` names `long`");
    check("{ n: { set: actors.a.temperature, to: [0, 3] } }", "must be a number from 0 to 2");
    let numbers = (0..40).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    check(&format!("{{ lang: [{numbers}], n: [{numbers}] }}"), "the matrix has 1600 cells");
    check(&format!("{{ lang: [{numbers}], n: [{numbers}], m: [{numbers}] }}"), "40 × 40 × 40 cells");
    check("{ other: [a] }", "the matrix has no `lang`");
}

#[test]
fn a_value_that_nobody_reads_is_a_warning() {
    let compiled = compiled("{ lang: [a, b], n: [1, 2] }");
    assert!(compiled.plan.is_some());
    let said: Vec<&str> = compiled.diagnostics.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
    assert_eq!(said, ["`n` of the matrix changes nothing"]);
}
