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
