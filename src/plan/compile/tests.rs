//! What a file becomes, and what is said of one that becomes nothing.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::*;
use crate::base::StepName;
use crate::plan::{BackendUrl, Concurrency, Items, ModelChoice, StepIdx, StepKind, Stop};

const DEBATE: &str = r#"
version: 1
params:
  rounds: { type: integer, default: 2, maximum: 20 }
actors:
  pro: { system: "You speak for {{ item.motion }}.", temperature: 0.9 }
  con: { system: file://con.md, temperature: 0.9, max_tokens: 1k }
  referee: { temperature: 0 }
items:
  values: [{ motion: Tea }, { motion: Coffee }]
steps:
  verdict:
    judge:
      actor: referee
      question: "Who won?\n{{ steps.debate.transcript }}"
      choose: [pro, con, tie]
      blind: [pro, con]
  debate:
    dialogue:
      actors: [pro, con]
      opening: "The motion: {{ item.motion }}"
      stop: { any: [ { rounds: "{{ params.rounds }}" }, { says: { actor: con, pattern: "(?i)i concede" } } ] }
"#;

fn with(text: &str, overrides: &Overrides) -> Compiled {
    let env = |name: &str| (name == "HOST").then(|| "gpu1".to_owned());
    let read_text = |path: &str| match path {
        "con.md" => Ok("You speak against it.\n".to_owned()),
        _ => Err("there is no such file".to_owned()),
    };
    let resolve = |path: &str| Ok(PathBuf::from("/project").join(path));
    let list = |path: &str| resolve(path).map(|path| vec![path]);
    let around = Surroundings { env: &env, read_text: &read_text, resolve: &resolve, list: &list };
    compile(Arc::from("debate.yaml"), text, overrides, &around)
}

fn plan_of(text: &str, overrides: &Overrides) -> Plan {
    let compiled = with(text, overrides);
    compiled.plan.unwrap_or_else(|| panic!("{:#?}", compiled.diagnostics))
}

fn codes(text: &str, overrides: &Overrides) -> Vec<&'static str> {
    with(text, overrides).diagnostics.iter().map(|diagnostic| diagnostic.code).collect()
}

fn plain() -> Overrides {
    Overrides::default()
}

#[test]
fn a_debate_becomes_a_plan() {
    let plan = plan_of(DEBATE, &plain());
    assert_eq!(plan.name, "debate");
    assert_eq!(plan.params["rounds"], 2);
    assert_eq!(plan.backends.len(), 1);
    assert_eq!(plan.backends[0].url, BackendUrl::Auto);
    assert_eq!(plan.steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(), ["debate", "verdict"]);
    assert_eq!(plan.steps[1].reads, [StepIdx(0)]);
    assert_eq!(plan.steps[1].after, [StepIdx(0)]);
    let StepKind::Dialogue(dialogue) = &plan.steps[0].kind else { panic!("a dialogue") };
    let two = NonZeroU32::new(2).expect("not 0");
    assert_eq!(dialogue.stop, Stop::Any(vec![Stop::Rounds(two), Stop::Says(0)]));
    let con = plan.actor(dialogue.actors[1]);
    assert_eq!(con.sampling.max_tokens, Some(1_000));
    assert_eq!(con.model, ModelChoice::Auto);
    assert_eq!(plan.templates.source(con.system.expect("it has one")), "You speak against it.\n");
    assert!(matches!(&plan.items, Items::Inline { rows, id: None } if rows.len() == 2));
    assert_eq!(plan.find_step(&StepName::from("verdict")), Some(StepIdx(1)));
}

#[test]
fn the_command_line_wins() {
    let overrides = Overrides {
        name: None,
        params: vec![("rounds".to_owned(), "3".to_owned()), ("rounds".to_owned(), "5".to_owned())],
        seed: Some(7),
        repeat: NonZeroU32::new(4),
        backend: Some("sim:10".to_owned()),
        model: Some("llama".to_owned()),
        concurrency: NonZeroU32::new(9),
        out: Some("/tmp/out.jsonl".to_owned()),
        aside: false,
        set: vec![("actors.pro.temperature".to_owned(), "0.1".to_owned())],
        limit: Some(1),
    };
    let plan = plan_of(DEBATE, &overrides);
    assert_eq!((plan.seed, plan.repeat.get(), plan.limit), (7, 4, Some(1)));
    assert_eq!(plan.params["rounds"], 5);
    assert_eq!(plan.backends[0].url, BackendUrl::Sim { speed: 10 });
    assert_eq!(plan.backends[0].concurrency, Concurrency::Fixed(NonZeroU32::new(9).expect("not 0")));
    assert!(plan.actors.iter().all(|actor| actor.model == ModelChoice::Named(Arc::from("llama"))));
    assert_eq!(plan.actors[0].sampling.temperature, Some(0.1));
    assert_eq!(plan.results.map(|results| results.path), Some(PathBuf::from("/tmp/out.jsonl")));
}

#[test]
fn mistakes_on_the_command_line_are_named() {
    let check =
        |overrides: Overrides, expected: &str| assert!(codes(DEBATE, &overrides).contains(&expected), "{expected}");
    let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    check(Overrides { params: pair("round", "3"), ..plain() }, "P0206");
    check(Overrides { params: pair("rounds", "many"), ..plain() }, "P0206");
    check(Overrides { params: pair("rounds", "21"), ..plain() }, "P0206");
    check(Overrides { params: pair("rounds", "0"), ..plain() }, "P0113");
    check(Overrides { set: pair("actors.pro.temprature", "1"), ..plain() }, "P0110");
    check(Overrides { set: pair("version.x", "1"), ..plain() }, "P0207");
    check(Overrides { backend: Some("simm".to_owned()), ..plain() }, "P0113");
    check(Overrides { out: Some("/tmp/out.xlsx".to_owned()), ..plain() }, "P0113");
}

#[test]
fn keys_stay_with_their_server() {
    let text = DEBATE.replace(
        "actors:\n  pro",
        "backends:\n  cloud: { base_url: \"http://${HOST}:8000/v1\", api_key: \"${HOST}\" }\nactors:\n  pro",
    );
    let plan = plan_of(&text, &plain());
    assert_eq!(plan.backends[0].url, BackendUrl::Url("http://gpu1:8000/v1".to_owned()));
    assert_eq!(plan.backends[0].api_key.as_ref().map(crate::plan::Secret::expose), Some("gpu1"));
    let elsewhere = Overrides { backend: Some("http://other/v1".to_owned()), ..plain() };
    assert_eq!(plan_of(&text, &elsewhere).backends[0].api_key, None);
}

#[test]
fn a_backend_that_nobody_uses_may_lack_its_key() {
    let backends = "backends:\n  here: {}\n  cloud: { base_url: \"${UNSET}\" }\nmodels:\n  small: { backend: here }\nactors:\n  pro";
    let text = DEBATE
        .replace("actors:\n  pro", backends)
        .replace("pro: {", "pro: { model: small,")
        .replace("con: {", "con: { model: small,")
        .replace("referee: {", "referee: { model: small,");
    let plan = plan_of(&text, &plain());
    assert_eq!(plan.backends.iter().map(|backend| backend.name.as_str()).collect::<Vec<_>>(), ["here"]);
    assert!(codes(&text.replace("backend: here", "backend: cloud"), &plain()).contains(&"P0201"));
}

#[test]
fn the_hash_knows_what_changes_answers() {
    let original = plan_of(DEBATE, &plain()).hash;
    let same = |text: &str| assert_eq!(plan_of(text, &plain()).hash, original, "{text}");
    let other = |text: &str| assert_ne!(plan_of(text, &plain()).hash, original, "{text}");
    same(&format!("name: other\ndescription: words\n{DEBATE}# comment\nlimits: {{ concurrency: 3 }}\n"));
    same(&format!("{DEBATE}results: {{ path: r.jsonl }}\n"));
    let actors = DEBATE.replace("  referee: { temperature: 0 }\n", "");
    same(&actors.replace("actors:\n  pro", "actors:\n  referee: { temperature: 0 }\n  pro"));
    other(&DEBATE.replace("temperature: 0.9, max", "temperature: 0.8, max"));
    other(&DEBATE.replace("Who won?", "Who lost?"));
    other(&DEBATE.replace("default: 2", "default: 3"));
    other(&DEBATE.replace("Coffee", "Milk"));
    other(&DEBATE.replace("(?i)i concede", "(?i)i give up"));
    other(&DEBATE.replace("choose: [pro, con, tie]", "choose: [con, pro, tie]"));
    other(&format!("{DEBATE}seed: 1\n"));
    other(&format!("{DEBATE}repeat: 2\n"));
    let fast = |speed: &str| plan_of(DEBATE, &Overrides { backend: Some(speed.to_owned()), ..plain() }).hash;
    assert_eq!(fast("sim:3"), fast("sim"));
    assert_ne!(fast("sim"), original);
}

#[test]
fn the_name_counts_when_a_template_reads_it() {
    let text = DEBATE.replace("The motion:", "In {{ run.name }}:");
    let named = |name: &str| plan_of(&format!("name: {name}\n{text}"), &plain()).hash;
    assert_ne!(named("one"), named("other"));
}

#[test]
fn a_template_that_fails_on_a_row_costs_no_call() {
    let text = DEBATE.replace("{ motion: Coffee }", "{ topic: Coffee }");
    assert_eq!(codes(&text, &plain()), ["P0308", "P0308"]);
    assert!(codes(&DEBATE.replace("{{ item.motion }}.", "{{ item.side or 'x' }}."), &plain()).contains(&"P0506"));
}

#[test]
fn a_chat_continues_only_so_many_talks() {
    let file = |chats: usize| {
        let mut text =
            "version: 1\nactors: { ann: {} }\nsteps:\n  s0: { chat: { actor: ann, prompt: x } }\n".to_owned();
        for chat in 1..chats {
            let before = chat - 1;
            writeln!(text, "  s{chat}: {{ chat: {{ actor: ann, prompt: x, history: s{before} }} }}").unwrap();
        }
        text
    };
    let plan = plan_of(&file(101), &plain());
    assert_eq!(plan.steps[100].reads.len(), 100);
    assert_eq!(codes(&file(102), &plain()), ["P0408"]);
    assert_eq!(codes(&file(5_000), &plain()), ["P0408"], "the first one is enough, and is found at once");
}

#[test]
fn overrides_survive_the_journal() {
    let overrides = Overrides { seed: Some(3), set: vec![("a".to_owned(), "b".to_owned())], ..plain() };
    let text = serde_json::to_string(&overrides).expect("plain data");
    assert_eq!(text, r#"{"seed":3,"set":[["a","b"]]}"#);
    assert_eq!(serde_json::from_str::<Overrides>(&text).ok(), Some(overrides));
}

#[test]
fn any_text_at_all_is_answered_with_messages() {
    for text in
        ["", "a", "[]", "- x", "{", "\u{0}", "version: 1\nactors: 3\nsteps: x", "*a", "a: &a [*a]", "? x\n: y"]
    {
        let compiled = with(text, &plain());
        assert!(compiled.plan.is_none() && !compiled.diagnostics.is_empty(), "{text:?}");
        assert!(compiled.diagnostics.iter().all(|diagnostic| !diagnostic.labels.is_empty()), "{text:?}");
    }
}

proptest::proptest! {
    #[test]
    fn damaged_files_never_panic(cut in 0_usize..900, junk in "[\\[\\]{}:#&*!|>'\"%@`,\\-? \\n\\tx0é$]{0,6}") {
        let mut at = cut.min(DEBATE.len());
        while !DEBATE.is_char_boundary(at) {
            at -= 1;
        }
        let text = format!("{}{junk}{}", &DEBATE[..at], &DEBATE[at..]);
        let compiled = with(&text, &plain());
        proptest::prop_assert_eq!(compiled.plan.is_some(), !has_errors(&compiled.diagnostics));
        let inside = |span: &crate::diag::Span| &*span.file != "debate.yaml" || span.end <= text.len();
        proptest::prop_assert!(compiled.diagnostics.iter().flat_map(|found| &found.labels).all(|label| inside(&label.span)));
    }
}
