use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Fingerprints, Overrides, Plan, StepChange, StepIdx, Surroundings, Voice, compare, compile};
use crate::base::{Digest, ItemId};

const FILE: &str = r#"
version: 1
name: t
params: { tone: { default: kind }, other: { default: x } }
actors:
  ann: { system: "Be {{ params.tone }}.", temperature: 0.5 }
  bob: { system: Be brief. }
items: { values: [ { who: Eve, note: a } ] }
steps:
  greet: { chat: { actor: ann, prompt: "Greet {{ item.who }}." } }
  reply: { chat: { actor: bob, prompt: "Reply to {{ steps.greet.text }}" } }
  alone: { chat: { actor: bob, prompt: "All: {{ item }}" } }
"#;

fn plan(text: &str) -> Plan {
    let compiled = compile(Arc::from("t.yaml"), text, &Overrides::default(), &Surroundings::EMPTY);
    compiled.plan.unwrap_or_else(|| panic!("{:?}", compiled.diagnostics))
}

fn prints(plan: &Plan) -> Fingerprints {
    let voice = Voice { place: "server", model: Arc::from("m") };
    Fingerprints::of(plan, &vec![voice; plan.actors.len()])
}

/// Compares the plan of [`FILE`] with one where `from` is replaced, steps by name.
#[track_caller]
fn check(from: &str, to: &str, expected: &[(&str, StepChange)]) {
    assert!(FILE.contains(from));
    let (before, now) = (plan(FILE), plan(&FILE.replace(from, to)));
    let changes = compare((&now, &prints(&now)), (&before, &prints(&before)));
    let edited = now.steps.iter().zip(changes).filter(|(_, change)| *change != StepChange::Same);
    let edited: Vec<_> = edited.map(|(step, change)| (step.name.to_string(), change)).collect();
    let expected: Vec<_> = expected.iter().map(|(name, change)| ((*name).to_owned(), change.clone())).collect();
    assert_eq!(edited, expected, "{from:?} → {to:?}");
}

fn fields(names: &[&str]) -> StepChange {
    StepChange::Changed(names.iter().map(|&name| name.to_owned()).collect())
}

#[test]
fn an_edit_is_named_by_its_field_and_what_is_below_by_its_step() {
    let below = || ("reply", StepChange::Depends(vec!["greet".into()]));
    check("Greet {{", "Hail {{", &[("greet", fields(&["prompt"])), below()]);
    check("0.5", "0.6", &[("greet", fields(&["actors.ann.temperature"])), below()]);
    check("default: kind", "default: rude", &[("greet", fields(&["params.tone"])), below()]);
    check(
        "Be brief.",
        "Be long.",
        &[("reply", fields(&["actors.bob.system"])), ("alone", fields(&["actors.bob.system"]))],
    );
    let all = ["greet", "reply", "alone"].map(|step| (step, fields(&["seed"])));
    check("name: t", "name: t\nseed: 7", &all);
}

#[test]
fn what_no_call_depends_on_is_no_edit() {
    check("default: x", "default: y", &[]);
    check("name: t", "name: t   # a comment\ndescription: words\nrepeat: 5", &[]);
    check("name: t", "name: t\nlimits: { retries: { attempts: 2 } }", &[]);
    check("note: a", "note: b", &[]);
    check("name: t", "name: u", &[]);
}

#[test]
fn a_new_step_is_new_and_the_others_stay() {
    let more = "  more: { chat: { actor: bob, prompt: More. } }\n  alone:";
    check("  alone:", more, &[("more", StepChange::New)]);
}

#[test]
fn another_model_or_place_is_another_step() {
    let plan = plan(FILE);
    let voices = |place, model: &str| vec![Voice { place, model: Arc::from(model) }; plan.actors.len()];
    let of = |place, model| Fingerprints::of(&plan, &voices(place, model));
    let change = |now: &Fingerprints| compare((&plan, now), (&plan, &of("server", "m")))[2].clone();
    assert_eq!(change(&of("server", "m")), StepChange::Same);
    assert_eq!(change(&of("server", "n")), fields(&["actors.bob.model"]));
    assert_eq!(change(&of("sim", "m")), fields(&["actors.bob.backend"]));
}

fn print(plan: &Plan, step: usize, item: &str, repeat: u32, row: &Value, output: Option<&str>) -> Option<Digest> {
    let row: Map<String, Value> = row.as_object().cloned().unwrap_or_default();
    let output = output.map(|text| Digest::of(text.as_bytes()));
    prints(plan).task(plan, StepIdx(step), (&ItemId::from(item), repeat, &row), &|_| output)
}

#[test]
fn a_task_is_its_item_its_repeat_the_fields_it_reads_and_what_it_heard() {
    let plan = plan(FILE);
    let row = json!({ "who": "Eve", "note": "a" });
    let other = json!({ "who": "Eve", "note": "b" });
    let [ada, none, empty] = [json!({ "who": "Ada" }), json!({}), json!({ "who": "" })];
    let greet = |item, repeat, row| print(&plan, 0, item, repeat, row, None);
    assert!(greet("1", 1, &row).is_some());
    assert_ne!(greet("1", 1, &row), greet("2", 1, &row));
    assert_ne!(greet("1", 1, &row), greet("1", 2, &row));
    assert_eq!(greet("1", 1, &row), greet("1", 1, &other), "it does not read the note");
    assert_ne!(greet("1", 1, &row), greet("1", 1, &ada));
    assert_ne!(greet("1", 1, &none), greet("1", 1, &empty), "absent is not empty");

    assert_eq!(print(&plan, 1, "1", 1, &row, None), None, "what it reads is not known");
    let reply = |output| print(&plan, 1, "1", 1, &row, Some(output));
    assert_eq!(reply("hello"), reply("hello"));
    assert_ne!(reply("hello"), reply("hi"));
    let alone = |row| print(&plan, 2, "1", 1, row, None);
    assert_ne!(alone(&row), alone(&other), "it reads the whole row");
}

/// Compares two files of three chats, each with `first` as given; says which steps differ and how.
#[track_caller]
fn continues(first: &str, edited: &str, expected: &[(&str, StepChange)]) {
    let file = |first: &str| {
        let file = r#"
version: 1
name: t
actors: { ann: {}, ben: {} }
items: { values: [ { who: Eve, note: a } ] }
steps:
  first: FIRST
  second: { chat: { actor: ann, prompt: Why?, history: first } }
  third: { chat: { actor: ann, prompt: Really?, history: [second] } }
"#;
        plan(&file.replace("FIRST", first))
    };
    let (before, now) = (file(first), file(edited));
    assert_ne!(before.hash, now.hash);
    let changes = compare((&now, &prints(&now)), (&before, &prints(&before)));
    let edited = now.steps.iter().zip(changes).filter(|(_, change)| *change != StepChange::Same);
    let edited: Vec<_> = edited.map(|(step, change)| (step.name.to_string(), change)).collect();
    let expected: Vec<_> = expected.iter().map(|(name, change)| ((*name).to_owned(), change.clone())).collect();
    assert_eq!(edited, expected);
}

#[test]
fn what_a_chat_continues_is_part_of_what_it_asks() {
    let below = |field: &str| {
        let field = format!("history.first.{field}");
        [("second", fields(&[&field])), ("third", fields(&[&field]))]
    };
    let chat = "{ chat: { actor: ann, prompt: \"Greet {{ item.who }}.\" } }";
    let [second, third] = below("prompt");
    continues(chat, &chat.replace("Greet", "Hail"), &[("first", fields(&["prompt"])), second, third]);

    let dialogue = "{ dialogue: { actors: [ann, ben], opening: Tea?, history: { last: 3 }, stop: { rounds: 2 } } }";
    let [second, third] = below("opening");
    continues(dialogue, &dialogue.replace("Tea", "Rum"), &[("first", fields(&["opening"])), second, third]);
    let [second, third] = below("history");
    continues(dialogue, &dialogue.replace('3', "4"), &[("first", fields(&["history"])), second, third]);
    let read = |step: &str| StepChange::Depends(vec![step.into()]);
    continues(
        dialogue,
        &dialogue.replace('2', "5"),
        &[
            ("first", fields(&["stop"])),
            ("second", read("first")),
            ("third", StepChange::Depends(vec!["first".into(), "second".into()])),
        ],
    );
}

#[test]
fn the_columns_of_what_a_chat_continues_are_its_own() {
    let text = "version: 1\nactors: { ann: {} }\nitems: { values: [ { who: Eve, note: a } ] }\nsteps:\n  first: { \
                chat: { actor: ann, prompt: \"Greet {{ item.who }}.\" } }\n  second: { chat: { actor: ann, prompt: \
                Why?, history: first } }\n";
    let plan = plan(text);
    let prints = prints(&plan);
    let print = |who: &str, note: &str| {
        let Value::Object(row) = json!({ "who": who, "note": note }) else { panic!("a map") };
        let output = |_: StepIdx| Some(Digest::of(b"the same answer"));
        prints.task(&plan, StepIdx(1), (&ItemId::from("one"), 1, &row), &output)
    };
    assert_eq!(print("Eve", "a"), print("Eve", "b"));
    assert_ne!(print("Eve", "a"), print("Ann", "a"));
}

#[test]
fn what_is_asked_after_a_round_is_part_of_what_a_dialogue_asks() {
    let file = "version: 1\nactors: { ann: {}, ben: {}, eve: { system: Be fair. } }\nitems: { values: [ { who: Eve } ] }\n\
                steps:\n  talk:\n    dialogue: { actors: [ann, ben], opening: Hi., stop: { any: [ { rounds: 2 }, { \
                judge_says: { actor: eve, question: \"{{ item.who }}? {{ last }}\", choose: [yes, no], on: yes } } ] } }\n    \
                repair: 2\n";
    let check = |from: &str, to: &str, field: &str| {
        let (before, now) = (plan(file), plan(&file.replace(from, to)));
        assert_ne!(before.hash, now.hash, "{to}");
        let changes = compare((&now, &prints(&now)), (&before, &prints(&before)));
        assert_eq!(changes, [fields(&[field])], "{from:?} → {to:?}");
    };
    check("? {{", "! {{", "stop");
    check("[yes, no]", "[no, yes]", "stop");
    check("on: yes", "on: no", "stop");
    check("repair: 2", "repair: 3", "stop");
    check("Be fair.", "Be kind.", "actors.eve.system");
    let plan = plan(file);
    let prints = prints(&plan);
    let print = |who: &str| {
        let Value::Object(row) = json!({ "who": who }) else { panic!("a map") };
        prints.task(&plan, StepIdx(0), (&ItemId::from("one"), 1, &row), &|_| None)
    };
    assert_ne!(print("Eve"), print("Ann"), "the question reads the column");
}
