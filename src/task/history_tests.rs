use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::base::{ActorName, CaseNo, Digest, ItemId};
use crate::event::{Because, Failure, FailureKind, TaskOutput, TaskSettled, TaskStatus, Turn, Usage};
use crate::plan::{Call, CellIdx, Overrides, Place, Plan, StepIdx, StepKind, Surroundings, compile};

const FILE: &str = r#"
version: 1
actors: { ann: { system: "You teach." }, ben: {}, cy: {}, eve: {} }
items: { values: [ { topic: "{{ params.x }}" } ] }
steps:
  explain: { chat: { actor: ann, prompt: "Explain {{ item.topic }}." } }
  doubt: { chat: { actor: ann, prompt: "Really?", history: explain } }
  two: { dialogue: { actors: [ann, ben], opening: "Right? {{ steps.doubt.text }}", history: { last: 2 }, stop: { rounds: 2 } } }
  three: { dialogue: { actors: [ann, ben, cy], opening: Again., stop: { rounds: 1 } } }
  again: { chat: { actor: ann, prompt: "And now?", history: [doubt, explain] } }
  inside: { chat: { actor: ben, prompt: "Well?", history: two } }
  outside: { chat: { actor: eve, prompt: "Who?", history: [two] } }
  named: { chat: { actor: cy, prompt: "Well?", history: [three, again] } }
"#;

struct World {
    plan: Plan,
    texts: BTreeMap<Digest, Arc<str>>,
    settled: BTreeMap<usize, TaskSettled>,
}

impl World {
    fn new() -> Self {
        let compiled = compile(Arc::from("t.yaml"), FILE, &Overrides::default(), &Surroundings::EMPTY);
        let plan = compiled.plan.unwrap_or_else(|| panic!("{:?}", compiled.diagnostics));
        let mut world = Self { plan, texts: BTreeMap::new(), settled: BTreeMap::new() };
        for step in ["explain", "doubt", "again"] {
            let text = world.put(&format!("{step} answer"));
            world.settle(step, Some(TaskOutput::Chat { text }));
        }
        for (step, speakers) in [("two", &["ann", "ben", "ann", "ben"][..]), ("three", &["ann", "ben", "cy"])] {
            let turns = speakers.iter().enumerate().map(|(number, speaker)| Turn {
                actor: ActorName::from(*speaker),
                text: world.put(&format!("{step} {}", number + 1)),
            });
            let turns = turns.collect();
            world.settle(step, Some(TaskOutput::Dialogue { turns, stopped_by: "rounds".to_owned() }));
        }
        world
    }

    fn put(&mut self, text: &str) -> Digest {
        let digest = Digest::of(text.as_bytes());
        self.texts.insert(digest, Arc::from(text));
        digest
    }

    fn at(&self, step: &str) -> usize {
        self.plan.steps.iter().position(|found| found.name.as_str() == step).expect("a step of the file")
    }

    fn settle(&mut self, step: &str, output: Option<TaskOutput>) {
        let status = if output.is_some() { TaskStatus::Ok } else { TaskStatus::Skipped };
        let because = output.is_none().then_some(Because::When);
        let settled = TaskSettled {
            case: CaseNo(0),
            step: step.into(),
            status,
            because,
            output,
            failure: None,
            usage: Usage::default(),
            busy_ms: 0,
        };
        self.settled.insert(self.at(step), settled);
    }

    /// Returns what is sent for a step, and how many turns are left out.
    fn asks(&mut self, step: &str) -> (Vec<String>, u32) {
        let row = self.put(r#"{"topic":"{{ params.x }}"}"#);
        let step = StepIdx(self.at(step));
        let StepKind::Chat(chat) = &self.plan.step(step).kind else { panic!("a chat") };
        let inputs = self.plan.step(step).reads.iter().map(|&read| (read, Arc::new(self.settled[&read.0].clone())));
        let place = Place {
            case: CaseNo(0),
            item: ItemId::from("one"),
            repeat: 1,
            cell: CellIdx(0),
            row,
            step,
            each: None,
            call: Call::Say,
            actor: chat.actor,
            turns: Vec::new(),
            mended: None,
            inputs: inputs.collect(),
            lacks: crate::event::Features::NONE,
        };
        let models: Vec<Arc<str>> = self.plan.actors.iter().map(|_| Arc::from("m")).collect();
        let composed = compose(&self.plan, &place, &models, &|digest| self.texts.get(digest).cloned());
        let composed = composed.expect("composes");
        let show = |message: &crate::prompt::Message| format!("{}: {}", message.role.word(), message.content);
        (composed.messages.iter().map(show).collect(), composed.dropped_turns)
    }

    #[track_caller]
    fn check(&mut self, step: &str, expected: &[&str]) {
        assert_eq!(self.asks(step).0, expected, "{step}");
    }
}

#[test]
fn chats_go_on_with_all_that_was_said_and_nothing_twice() {
    World::new().check(
        "again",
        &[
            "system: You teach.",
            "user: Explain {{ params.x }}.",
            "assistant: explain answer",
            "user: Really?",
            "assistant: doubt answer",
            "user: And now?",
        ],
    );
}

#[test]
fn a_dialogue_goes_on_as_its_speaker_saw_it() {
    let mut world = World::new();
    let expected =
        ["user: Right? doubt answer\n\ntwo 3", "assistant: two 4", "user: Well?"].map(str::to_owned).to_vec();
    assert_eq!(world.asks("inside"), (expected, 2), "its `history` leaves the first round out");
    world.check(
        "named",
        &[
            "user: Again.\n\nann: three 1\n\nben: three 2",
            "assistant: three 3",
            "user: Explain {{ params.x }}.",
            "assistant: explain answer",
            "user: Really?",
            "assistant: doubt answer",
            "user: And now?",
            "assistant: again answer",
            "user: Well?",
        ],
    );
}

#[test]
fn who_took_no_part_reads_names() {
    World::new().check("outside", &["user: Right? doubt answer\n\nann: two 3\n\nben: two 4\n\nWho?"]);
}

#[test]
fn what_was_not_done_adds_nothing_and_what_it_continued_stays() {
    let mut world = World::new();
    world.settle("doubt", None);
    let expected =
        ["system: You teach.", "user: Explain {{ params.x }}.", "assistant: explain answer", "user: And now?"];
    world.check("again", &expected);

    // `on_error` gave an answer to a prompt that does not render: it must not fail this one, too.
    let text = world.put("by default");
    world.settle("doubt", Some(TaskOutput::Chat { text }));
    let doubt = world.at("doubt");
    let settled = world.settled.get_mut(&doubt).expect("settled above");
    settled.failure = Some(Failure::new(FailureKind::Render, "no"));
    world.check("again", &expected);
}

#[test]
fn a_talk_reads_what_was_read_for_the_talks_that_it_continues() {
    let world = World::new();
    let reads = |step: &str| {
        let step = world.plan.step(StepIdx(world.at(step)));
        assert!(step.reads.iter().all(|read| step.after.contains(read)));
        step.reads.iter().map(|&read| world.plan.step(read).name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(reads("outside"), ["doubt", "two"]);
    assert_eq!(reads("again"), ["explain", "doubt"]);
}
