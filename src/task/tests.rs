use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use regex::Regex;
use serde_json::json;

use super::*;
use crate::base::{ActorName, CaseNo, Digest, ItemId, StepName};
use crate::event::{Facts, FinishReason, TaskOutput, TaskSettled, TaskStatus, Turn, Unscored, Usage, Verdict};
use crate::judge::Rule;
use crate::plan::{
    Actor, ActorIdx, BackendIdx, Ballot, Call, Course, Dialogue, History, Inquiry, Items, Judge, Likeness, Limits,
    Mended, ModelChoice, Order, Pattern, Place, Plan, RoundJudge, Sampling, Step, StepIdx, StepKind, Stop, Telemetry,
    Wanted, Way,
};
use crate::prompt::Templates;

/// A debate of `speakers` and a blind judge.
fn plan(speakers: &[&str]) -> Plan {
    let mut templates = Templates::default();
    let opening = templates.add("Motion: {{ item.motion }}").expect("compiles");
    let system = templates.add("You are at turn {{ turn }}.").expect("compiles");
    let question = templates.add("Who won?\n{{ steps.debate.transcript }}\n").expect("compiles");
    let actor = |name: &str, system| Actor {
        name: ActorName::from(name),
        backend: BackendIdx(0),
        model: ModelChoice::Auto,
        system,
        price: None,
        sampling: Sampling::default(),
    };
    let mut actors: Vec<Actor> = speakers.iter().map(|name| actor(name, Some(system))).collect();
    actors.push(actor("referee", None));
    let one = NonZeroU32::MIN;
    Plan {
        name: "t".to_owned(),
        description: None,
        hash: Digest::of(b"t"),
        seed: 0,
        params: serde_json::Map::new(),
        backends: Vec::new(),
        steps: vec![
            Step {
                name: StepName::from("debate"),
                after: vec![],
                reads: vec![],
                course: Course::default(),
                kind: StepKind::Dialogue(Dialogue {
                    actors: (0..speakers.len()).map(ActorIdx).collect(),
                    opening,
                    stop: Stop::Rounds(one),
                    order: Order::RoundRobin,
                    history: History::All,
                    captures: Vec::new(),
                    likenesses: Vec::new(),
                    judges: Vec::new(),
                    patterns: vec![Pattern {
                        actor: Some(ActorIdx(1)),
                        regex: Regex::new("concede").expect("valid"),
                    }],
                }),
            },
            Step {
                name: StepName::from("verdict"),
                after: vec![StepIdx(0)],
                reads: vec![StepIdx(0)],
                course: Course::default(),
                kind: StepKind::Judge(Judge {
                    actors: vec![ActorIdx(speakers.len())],
                    question,
                    wanted: Wanted::Choose(["pro", "con", "tie"].map(str::to_owned).to_vec()),
                    votes: one,
                    rule: Rule::Majority,
                    blind: Some([ActorName::from("pro"), ActorName::from("con")]),
                    swap: false,
                    explain: false,
                    repair: 1,
                }),
            },
        ],
        actors,
        items: Items::One,
        pick: crate::plan::Pick::default(),
        columns: std::collections::BTreeMap::new(),
        limit: None,
        repeat: one,
        limits: Limits::default(),
        halt: None,
        evidence: None,
        repeats: None,
        tolerated: 0.0,
        cache: crate::spec::CacheUse::Off,
        results: None,
        telemetry: Telemetry::default(),
        templates: Arc::new(templates),
        closing: None,
        matrix: serde_json::Map::new(),
        cells: crate::plan::Cells::default(),
    }
}

#[derive(Default)]
struct Store(BTreeMap<Digest, Arc<str>>);

impl Store {
    fn put(&mut self, text: &str) -> Digest {
        let digest = Digest::of(text.as_bytes());
        self.0.insert(digest, Arc::from(text));
        digest
    }

    fn turn(&mut self, actor: &str, text: &str) -> Turn {
        Turn { actor: ActorName::from(actor), text: self.put(text) }
    }
}

fn place(store: &mut Store, step: usize, call: Call, actor: usize) -> Place {
    Place {
        case: CaseNo(0),
        item: ItemId::from("tea"),
        repeat: 1,
        cell: crate::plan::CellIdx(0),
        row: store.put(&json!({ "motion": "Tea is better" }).to_string()),
        step: StepIdx(step),
        each: None,
        call,
        actor: ActorIdx(actor),
        turns: Vec::new(),
        mended: None,
        inputs: Vec::new(),
        lacks: crate::event::Features::NONE,
    }
}

fn composed(plan: &Plan, place: &Place, store: &Store) -> Vec<String> {
    let models: Vec<Arc<str>> = plan.actors.iter().map(|_| Arc::from("m")).collect();
    let question = compose(plan, place, &models, &|digest| store.0.get(digest).cloned()).expect("composes");
    question.messages.iter().map(|message| format!("{}: {}", message.role.word(), message.content)).collect()
}

fn facts(plan: &Plan, place: &Place, answer: &str, store: &Store) -> Facts {
    read(plan, place, answer, FinishReason::Stop, &|digest| store.0.get(digest).cloned()).expect("texts are there")
}

fn change(plan: &mut Plan, change: impl Fn(&mut Dialogue)) {
    match &mut plan.steps[0].kind {
        StepKind::Dialogue(dialogue) => change(dialogue),
        StepKind::Chat(_)
        | StepKind::Judge(_)
        | StepKind::Transform(_)
        | StepKind::Assert(_)
        | StepKind::Aggregate(_) => {
            unreachable!("the first step is the dialogue")
        }
    }
}

#[test]
fn two_speakers_alternate_without_names() {
    let plan = plan(&["pro", "con"]);
    let mut store = Store::default();
    let mut at = place(&mut store, 0, Call::Turn(3), 0);
    at.turns = vec![store.turn("pro", "Yes."), store.turn("con", "No.")];
    let expected = ["system: You are at turn 3.", "user: Motion: Tea is better", "assistant: Yes.", "user: No."];
    assert_eq!(composed(&plan, &at, &store), expected);

    let mut at = place(&mut store, 0, Call::Turn(2), 1);
    at.turns = vec![store.turn("pro", "Yes.")];
    assert_eq!(composed(&plan, &at, &store), ["system: You are at turn 2.", "user: Motion: Tea is better\n\nYes."]);
}

#[test]
fn three_speakers_are_named_and_joined() {
    let plan = plan(&["pro", "con", "third"]);
    let mut store = Store::default();
    let mut at = place(&mut store, 0, Call::Turn(4), 0);
    at.turns = vec![store.turn("pro", "Yes."), store.turn("con", "No."), store.turn("third", "Maybe.")];
    assert_eq!(composed(&plan, &at, &store)[2..], ["assistant: Yes.", "user: con: No.\n\nthird: Maybe."]);
}

fn verdict_place(store: &mut Store, exchanged: bool) -> Place {
    let mut at = place(
        store,
        1,
        Call::Vote(Ballot { way: if exchanged { Way::Exchanged } else { Way::Straight }, ..Ballot::first() }),
        2,
    );
    let turns = vec![store.turn("pro", "Yes."), store.turn("con", "No.")];
    let settled = TaskSettled {
        case: at.case,
        step: StepName::from("debate"),
        status: TaskStatus::Ok,
        because: None,
        output: Some(TaskOutput::Dialogue { turns, stopped_by: "rounds".to_owned() }),
        failure: None,
        usage: Usage::default(),
        busy_ms: 0,
    };
    at.inputs = vec![(StepIdx(0), Arc::new(settled))];
    at
}

#[test]
fn a_blind_judge_sees_labels_and_never_names() {
    let plan = plan(&["pro", "con"]);
    let mut store = Store::default();
    for (exchanged, transcript) in [(false, "A: Yes.\n\nB: No."), (true, "B: Yes.\n\nA: No.")] {
        let at = verdict_place(&mut store, exchanged);
        let text = composed(&plan, &at, &store).join("\n");
        assert!(text.contains(transcript), "{text}");
        assert!(text.contains(r#"X is one of "A", "B", "tie""#), "{text}");
        assert!(!text.contains("pro") && !text.contains("con:"), "{text}");
    }
}

#[test]
fn blind_answers_are_mapped_back() {
    let plan = plan(&["pro", "con"]);
    let mut store = Store::default();
    let answer = r#"{"choice": "A"}"#;
    for (exchanged, expected) in [(false, "pro"), (true, "con")] {
        let at = verdict_place(&mut store, exchanged);
        let facts = facts(&plan, &at, answer, &store);
        assert_eq!(facts.verdict, Some(Verdict::Choice(expected.to_owned())));
    }
}

#[test]
fn says_looks_at_its_own_actor() {
    let plan = plan(&["pro", "con"]);
    let mut store = Store::default();
    for (actor, expected) in [(0, false), (1, true)] {
        let at = place(&mut store, 0, Call::Turn(1), actor);
        assert_eq!(facts(&plan, &at, "I concede.", &store).says, [expected]);
    }
}

#[test]
fn a_missing_field_is_an_error_that_names_the_template() {
    let plan = plan(&["pro", "con"]);
    let mut store = Store::default();
    let mut at = place(&mut store, 0, Call::Turn(1), 0);
    at.row = store.put("{}");
    let models: Vec<Arc<str>> = plan.actors.iter().map(|_| Arc::from("m")).collect();
    let error = compose(&plan, &at, &models, &|digest| store.0.get(digest).cloned()).expect_err("undefined");
    assert!(error.to_string().contains("opening does not render for case 0"), "{error}");
}

#[test]
fn seeds_differ_by_call_and_repeat_alone() {
    let plan = plan(&["pro", "con"]);
    let mut store = Store::default();
    let one = place(&mut store, 0, Call::Turn(1), 0);
    let mut other = one.clone();
    assert_eq!(crate::plan::seed_of(&plan, &one), crate::plan::seed_of(&plan, &other));
    other.case = CaseNo(9);
    assert_eq!(crate::plan::seed_of(&plan, &one), crate::plan::seed_of(&plan, &other));
    other.repeat = 2;
    assert_ne!(crate::plan::seed_of(&plan, &one), crate::plan::seed_of(&plan, &other));
}

#[test]
fn a_history_drops_the_oldest_turns_and_keeps_the_opening() {
    let mut store = Store::default();
    let mut at = place(&mut store, 0, Call::Turn(4), 1);
    at.turns = ["pro", "con", "pro"].map(|actor| store.turn(actor, &format!("{actor} says this."))).to_vec();
    let check = |history, dropped, expected: &[&str]| {
        let mut plan = plan(&["pro", "con"]);
        change(&mut plan, |dialogue| dialogue.history = history);
        assert_eq!(composed(&plan, &at, &store)[1..], *expected, "{history:?}");
        let models: Vec<Arc<str>> = plan.actors.iter().map(|_| Arc::from("m")).collect();
        let question = compose(&plan, &at, &models, &|digest| store.0.get(digest).cloned()).expect("composes");
        assert_eq!(question.dropped_turns, dropped, "{history:?}");
    };
    let two = ["user: Motion: Tea is better", "assistant: con says this.", "user: pro says this."];
    let one = ["user: Motion: Tea is better\n\npro says this."];
    check(History::Last(NonZeroU32::new(2).expect("not 0")), 1, &two);
    check(
        History::Last(NonZeroU32::new(9).expect("not 0")),
        0,
        &["user: Motion: Tea is better\n\npro says this.", "assistant: con says this.", "user: pro says this."],
    );
    // Each turn has 14 bytes: 4 tokens.
    check(History::Tokens(8), 1, &two);
    check(History::Tokens(7), 2, &one);
    check(History::Tokens(1), 2, &one);
}

#[test]
fn captures_and_likenesses_become_facts() {
    let mut plan = plan(&["pro", "con"]);
    change(&mut plan, |dialogue| {
        dialogue.captures = vec![Some(Regex::new("(?i)answer: *(.*)").expect("valid")), None];
        dialogue.likenesses = [1, 2]
            .map(|window| Likeness { similarity: 0.9, window: NonZeroU32::new(window).expect("not 0") })
            .to_vec();
        dialogue.stop = Stop::Budget(100);
    });
    let mut store = Store::default();
    let mut at = place(&mut store, 0, Call::Turn(5), 0);
    at.turns = ["one two three", "four five six", "seven eight nine", "one two three"]
        .iter()
        .zip(["pro", "con"].into_iter().cycle())
        .map(|(text, actor)| store.turn(actor, text))
        .collect();
    let read = facts(&plan, &at, "One, two three.", &store);
    assert_eq!(read.loops, [false, true], "only the second window reaches back to the first turn");
    assert_eq!(read.captures, [None, Some(Digest::of(b"one, two three."))]);
    assert_eq!(read.about_tokens, 4);
    let read = facts(&plan, &at, "I think ANSWER:  Forty  two", &store);
    assert_eq!(read.captures[0], Some(Digest::of(b"forty two")));
    assert_eq!(read.loops, [false, false]);
}

#[test]
fn a_question_after_a_round_sees_the_talk_and_is_read_as_an_option() {
    let mut plan = plan(&["pro", "con"]);
    let question = Arc::get_mut(&mut plan.templates)
        .expect("nobody else has them")
        .add("{{ transcript }}\n{{ last }} {{ turns[0].actor }}: over?")
        .expect("compiles");
    change(&mut plan, |dialogue| {
        let choose = ["over", "open"].map(str::to_owned).to_vec();
        dialogue.judges = vec![RoundJudge { actor: ActorIdx(2), question, choose, on: "over".to_owned(), repair: 1 }];
        dialogue.stop = Stop::Any(vec![Stop::JudgeSays(0), Stop::Budget(100)]);
    });
    let mut store = Store::default();
    let ask = |repair| Call::Ask(Inquiry { round: 1, which: 0, repair });
    let mut at = place(&mut store, 0, ask(0), 2);
    at.turns = vec![store.turn("pro", "{{ item.motion }}"), store.turn("con", "No.")];
    let question = "user: pro: {{ item.motion }}\n\ncon: No.\nNo. pro: over?\n\nAnswer with one JSON object and nothing \
                    else: {\"choice\": X}, where X is one of \"over\", \"open\".";
    assert_eq!(composed(&plan, &at, &store), [question], "what was said is data, and is never rendered");

    let read = facts(&plan, &at, r#"{"choice": "Over"}"#, &store);
    assert_eq!((read.verdict, read.invalid), (Some(Verdict::Choice("over".to_owned())), None));
    assert_eq!(read.about_tokens, 5, "it counts for the dialogue's budget");
    let read = facts(&plan, &at, "Perhaps.", &store);
    assert_eq!(read.verdict, Some(Verdict::Unscored(Unscored::Unreadable)));
    let complaint = read.invalid.expect("a complaint");

    at.call = ask(1);
    at.mended = Some(Mended { answer: store.put("Perhaps."), complaint });
    let again = composed(&plan, &at, &store);
    assert_eq!(again[..2], [question, "assistant: Perhaps."]);
    assert!(again[2].contains("not one of \"over\", \"open\""), "{}", again[2]);
}
