//! A pipeline put together from parts is the one written out: what is inherited asks the same, with the same hash.

use std::path::PathBuf;
use std::sync::Arc;

use crate::plan::{Compiled, Overrides, Plan, Surroundings, compile};

/// Compiles `main.yaml` beside some files.
fn compiled(text: &str, files: &[(&str, &str)], overrides: &Overrides) -> Compiled {
    let read_text = |path: &str| {
        let found = files.iter().find(|(name, _)| *name == path);
        found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| format!("there is no such file ({path})"))
    };
    let resolve = |path: &str| Ok(PathBuf::from("/project").join(path));
    let list = |path: &str| resolve(path).map(|path| vec![path]);
    let around = Surroundings { env: &|_| None, read_text: &read_text, resolve: &resolve, list: &list };
    compile(Arc::from("main.yaml"), text, overrides, &around)
}

fn plan(text: &str) -> Plan {
    let compiled = compiled(text, &[], &Overrides::default());
    compiled.plan.unwrap_or_else(|| panic!("{:#?}", compiled.diagnostics))
}

const WRITTEN_OUT: &str = "version: 1
actors:
  pro: { system: Be short., temperature: 0.5, max_tokens: 40 }
  referee: { system: Be short., temperature: 0 }
steps:
  ask: { chat: { actor: pro, prompt: Hello }, on_error: skip }
  verdict:
    judge: { actor: referee, question: \"Good? {{ steps.ask.text }}\", choose: [yes, no] }
    on_error: fail
    repair: 3
";

const INHERITED: &str = "version: 1
defaults:
  actors: { system: Be short., temperature: 0.5 }
  steps: { on_error: skip, repair: 3 }
actors:
  pro: { max_tokens: 40 }
  referee: { temperature: 0 }
steps:
  ask: { chat: { actor: pro, prompt: Hello } }
  verdict:
    judge: { actor: referee, question: \"Good? {{ steps.ask.text }}\", choose: [yes, no] }
    on_error: fail
";

#[test]
fn an_inherited_value_is_as_good_as_a_written_one() {
    assert_eq!(plan(INHERITED).hash, plan(WRITTEN_OUT).hash);
    assert_ne!(plan(INHERITED).hash, plan(&INHERITED.replace("0.5", "0.6")).hash);
    assert_ne!(plan(INHERITED).hash, plan(&INHERITED.replace("repair: 3", "repair: 2")).hash);
}

#[test]
fn the_command_line_and_a_matrix_change_what_is_inherited() {
    let set = |path: &str| Overrides { set: vec![(path.to_owned(), "0.9".to_owned())], ..Overrides::default() };
    let temperatures = |overrides: &Overrides| {
        let plan = compiled(INHERITED, &[], overrides).plan.expect("a plan");
        plan.actors.iter().map(|actor| actor.sampling.temperature).collect::<Vec<_>>()
    };
    assert_eq!(temperatures(&set("defaults.actors.temperature")), [Some(0.9), Some(0.0)]);
    assert_eq!(temperatures(&set("actors.pro.temperature")), [Some(0.9), Some(0.0)]);

    let cells = plan(&format!("{INHERITED}matrix: {{ t: {{ set: actors.pro.temperature, to: [0.1, 0.2] }} }}\n"));
    let of_cells = cells.all_cells().map(|(_, cell)| cell.actors[0].sampling.temperature);
    assert_eq!(of_cells.collect::<Vec<_>>(), [Some(0.1), Some(0.2)]);
}

const MAIN: &str = "version: 1
include: [parts/cast.yaml, late.yaml]
actors: { pro: { temperature: 0.5 } }
steps:
  ask: { on_error: skip }
  verdict: { judge: { actor: referee, question: \"Good? {{ steps.ask.text }}\", choose: [yes, no] }, repair: 3 }
";

const PARTS: &[(&str, &str)] = &[
    ("parts/cast.yaml", "include: [../base.yaml]\nactors: { pro: { system: file://pro.md, temperature: 0.9 } }\n"),
    ("parts/pro.md", "Be short."),
    ("base.yaml", "actors: { pro: { system: Be long., max_tokens: 10 }, referee: { system: Be short. } }\n"),
    (
        "late.yaml",
        "version: 1\nactors: { pro: { max_tokens: 40, temperature: 0.8 }, referee: { temperature: 0 } }\nsteps:\n  \
         ask: { chat: { actor: pro, prompt: Hello } }\n",
    ),
];

#[test]
fn what_is_included_is_as_good_as_written_here() {
    let compiled = compiled(MAIN, PARTS, &Overrides::default());
    assert_eq!(compiled.diagnostics, []);
    assert_eq!(compiled.plan.map(|plan| plan.hash), Some(plan(WRITTEN_OUT).hash));
}

/// Counts files, not only depth: two that each include two would be a thousand.
#[test]
fn includes_end() {
    let codes = |files: &[(&str, &str)]| -> Vec<&str> {
        let compiled = compiled("version: 1\ninclude: [0.yaml]\n", files, &Overrides::default());
        compiled.diagnostics.iter().map(|diagnostic| diagnostic.code).collect()
    };
    let chain = |length: usize, each: &dyn Fn(usize) -> String| -> Vec<(String, String)> {
        (0..length).map(|place| (format!("{place}.yaml"), each(place + 1))).collect()
    };
    let borrow = |files: &[(String, String)]| -> Vec<&'static str> {
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        codes(&files)
    };
    let one = |next: usize| format!("include: [{next}.yaml]\n");
    assert_eq!(borrow(&chain(30, &one)), ["P0209"], "too deep");
    let many =
        |next: usize| if next < 8 { format!("include: [{next}.yaml, {next}.yaml]\n") } else { "x-a: 1".to_owned() };
    let found = borrow(&chain(8, &many));
    assert!(!found.is_empty() && found.iter().all(|code| *code == "P0209"), "too many: {found:?}");
    assert_eq!(codes(&[("0.yaml", "include: [./main.yaml]\n")]), ["P0209"], "the pipeline itself");
    assert_eq!(codes(&[("0.yaml", "")]), ["P0112"], "empty");
}
