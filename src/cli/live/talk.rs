//! The display of one case or very few: who speaks, what, as it is spoken.
//!
//! Requests are shown one after the other in the order in which they began. What comes beside the one that is being
//! shown is held back until that one ends; another case waits until the present one is settled.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use anstyle::Style;

use super::speech::{Speech, SpeechEnd, failure_line, happening};
use crate::base::{ActorName, AttemptNo, CallPath, CaseNo, Digest, EachKey, StepName};
use crate::cli::printer::{BOLD, DIM, Stream, actor_style, inert, paint};
use crate::event::{
    AttemptEnded, AttemptId, CaseAdmitted, ElementSettled, Event, FinishReason, Outcome, Recorded, TaskOutput,
    TaskSettled,
};
use crate::report::{
    Tally, claim_line, course_line, cut, ranking_line, status_word, table_line, verdict_line, wrapped,
};
use crate::run::Live;

/// Finds the text of a settled answer or of an item.
pub type TextLookup = Box<dyn Fn(CaseNo, &Digest) -> Option<Arc<str>> + Send>;

/// See [`super::Display::Talk`].
pub struct TalkDisplay {
    stream: Stream,
    texts: TextLookup,
    tally: Tally,
    total: Option<u64>,
    actors: Vec<ActorName>,
    scenes: BTreeMap<CaseNo, Scene>,
    present: Option<CaseNo>,
    /// Pieces of requests whose start is not known to be durable yet: facts wait for the disk, pieces do not.
    early: BTreeMap<AttemptId, String>,
    /// The judge whose heading stands last, and of what: the next vote needs none.
    judging: Option<Judging>,
    /// Requests that are over: a piece of one of them comes too late. Few, as the cases are few.
    ended: BTreeSet<AttemptId>,
}

/// Who judges what: the case, the step, the element, the actor.
type Judging = (CaseNo, StepName, Option<EachKey>, ActorName);

/// A case on its way to the screen.
#[derive(Default)]
struct Scene {
    title: Option<Title>,
    blocks: VecDeque<Block>,
    is_settled: bool,
}

struct Title {
    item: String,
    fields: Vec<(String, String)>,
}

enum Block {
    Speech(Box<Speech>),
    Verdict(String),
    Note(String),
}

impl TalkDisplay {
    /// Starts with what the run came to before this process.
    #[must_use]
    pub const fn new(stream: Stream, tally: Tally, texts: TextLookup) -> Self {
        Self {
            stream,
            texts,
            tally,
            total: None,
            actors: Vec::new(),
            scenes: BTreeMap::new(),
            present: None,
            early: BTreeMap::new(),
            judging: None,
            ended: BTreeSet::new(),
        }
    }

    pub(super) fn take(&mut self, live: &Live) {
        match live {
            Live::Facts(facts) => facts.iter().for_each(|fact| self.learn(fact)),
            Live::Piece { id, text, .. } => self.hear(id.clone(), text),
            Live::Total(total) => self.total = *total,
            Live::Budget(_) | Live::InFlight(_) | Live::Sampled(_) => {}
        }
        self.show();
    }

    pub(super) fn finish(mut self) -> Tally {
        // The run is over: nothing that is still held back will be completed by what is yet to come.
        for scene in self.scenes.values_mut() {
            scene.is_settled = true;
        }
        self.show();
        while let Some(case) = self.present.take().or_else(|| self.scenes.keys().next().copied()) {
            let scene = self.scenes.remove(&case).unwrap_or_default();
            for block in scene.blocks {
                match block {
                    Block::Speech(mut speech) if speech.opened => {
                        let rest = speech.more() + &speech.pause();
                        self.write(&rest);
                    }
                    Block::Speech(_) => {}
                    Block::Verdict(line) => self.write_verdict(&line),
                    Block::Note(line) => self.write_note(&line),
                }
            }
        }
        self.tally
    }

    fn learn(&mut self, fact: &Recorded) {
        self.tally.add(fact);
        match &fact.event {
            Event::CaseAdmitted(admitted) => self.admit(admitted),
            Event::CaseReopened(reopened) => self.admit(&reopened.admitted()),
            Event::CellClosing(closing) => self.admit(&closing.as_case()),
            Event::AttemptStarted(started) => self.begin(&started.id, &started.actor),
            Event::AttemptEnded(ended) => self.end_attempt(ended),
            Event::TaskSettled(settled) => self.settle_task(settled),
            Event::ElementSettled(element) => {
                let ElementSettled { each, task } = element;
                let step = StepName::from(format!("{}[{each}]", task.step));
                self.settle_task(&TaskSettled { step, ..task.clone() });
            }
            Event::TaskAdopted(adopted) => {
                let line = format!("{} is reused from {}", adopted.task.step, adopted.from_run);
                self.scene(adopted.task.case).blocks.push_back(Block::Note(line));
                self.repeat_talk(&adopted.task);
                self.settle_task(&adopted.task);
            }
            Event::CaseSettled(settled) => {
                let is_case = settled.case.0 < self.tally.cases.admitted;
                if is_case && self.is_one_of_many() {
                    let line = format!("case {}: {}", settled.case.0 + 1, status_word(settled.status));
                    self.scene(settled.case).blocks.push_back(Block::Note(line));
                }
                self.scene(settled.case).is_settled = true;
            }
            event => {
                if let Some(line) = happening(event) {
                    self.interrupt(&line);
                }
            }
        }
    }

    fn hear(&mut self, id: AttemptId, text: &str) {
        if let Some(speech) = self.scenes.get_mut(&id.case).and_then(|scene| scene.find(&id)) {
            speech.hear(text);
        } else if !self.ended.contains(&id) {
            self.early.entry(id).or_default().push_str(text);
        }
    }

    fn begin(&mut self, id: &AttemptId, actor: &ActorName) {
        let mut speech = Speech::new(id.clone(), actor.clone(), self.stream.reading_width());
        speech.hear(&self.early.remove(id).unwrap_or_default());
        self.scene(id.case).blocks.push_back(Block::Speech(Box::new(speech)));
    }

    fn admit(&mut self, admitted: &CaseAdmitted) {
        let row = (self.texts)(admitted.case, &admitted.row);
        let row = row.and_then(|row| serde_json::from_str::<serde_json::Map<_, _>>(&row).ok()).unwrap_or_default();
        let text = |value: serde_json::Value| match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        let fields = row.into_iter().map(|(name, value)| (name, text(value))).collect();
        let item = match admitted.repeat {
            1 => admitted.item.to_string(),
            repeat => format!("{}, repeat {repeat}", admitted.item),
        };
        let item = match admitted.matrix.is_empty() {
            true => item,
            false => format!("{item}, {}", crate::report::cell_name(&admitted.matrix)),
        };
        self.scene(admitted.case).title = Some(Title { item, fields });
    }

    fn end_attempt(&mut self, ended: &AttemptEnded) {
        let end = match &ended.outcome {
            Outcome::Answered(answer) => SpeechEnd::Said {
                text: (self.texts)(ended.id.case, &answer.text),
                verdict: answer.facts.verdict.clone(),
                finish: answer.finish,
            },
            Outcome::Failed(failure) => {
                SpeechEnd::Failed { failure: failure.clone(), again: ended.retry_at.is_some() }
            }
        };
        if let Some(speech) = self.scene(ended.id.case).find(&ended.id) {
            speech.end = Some(end);
        }
        self.early.remove(&ended.id);
        self.ended.insert(ended.id.clone());
    }

    /// Shows again what was said in a dialogue that is reused.
    fn repeat_talk(&mut self, task: &TaskSettled) {
        let Some(TaskOutput::Dialogue { turns, .. }) = &task.output else { return };
        for (turn, number) in turns.iter().zip(1_u32..) {
            let call = CallPath::from(format!("turn/{number}"));
            let id = AttemptId { case: task.case, step: task.step.clone(), each: None, call, attempt: AttemptNo(1) };
            let mut speech = Speech::new(id, turn.actor.clone(), self.stream.reading_width());
            let text = (self.texts)(task.case, &turn.text);
            speech.end = Some(SpeechEnd::Said { text, verdict: None, finish: FinishReason::Stop });
            self.scene(task.case).blocks.push_back(Block::Speech(Box::new(speech)));
        }
    }

    fn settle_task(&mut self, settled: &TaskSettled) {
        let step = &settled.step;
        if let Some(line) = course_line(settled) {
            self.scene(settled.case).blocks.push_back(Block::Note(line));
        }
        let block = match &settled.output {
            Some(TaskOutput::Judge(judgement)) => Block::Verdict(verdict_line(step, judgement)),
            Some(TaskOutput::Assertion { passed: true }) => Block::Verdict(claim_line(step, true)),
            Some(TaskOutput::Value { value }) => {
                let value = (self.texts)(settled.case, value)
                    .map_or_else(|| "?".to_owned(), |value| inert(&value).into_owned());
                Block::Verdict(format!("{step}: {value}"))
            }
            Some(TaskOutput::Table(counted)) => Block::Verdict(table_line(step, counted)),
            Some(TaskOutput::Ranking(ranked)) => Block::Verdict(ranking_line(step, ranked)),
            Some(TaskOutput::Chat { .. } | TaskOutput::Dialogue { .. }) => return,
            Some(TaskOutput::Assertion { passed: false } | TaskOutput::Each { .. }) | None => {
                match &settled.failure {
                    Some(failure) if settled.because.is_none() => {
                        Block::Note(format!("{step} failed {}", failure_line(failure, false)))
                    }
                    Some(_) | None => return,
                }
            }
        };
        self.scene(settled.case).blocks.push_back(block);
    }

    /// Says something about the whole run at once, in between whatever is being said.
    fn interrupt(&mut self, line: &str) {
        let case = self.present;
        if let Some(Block::Speech(speech)) = case.and_then(|case| self.scene(case).blocks.front_mut())
            && speech.opened
        {
            let rest = speech.more() + &speech.pause();
            self.write(&rest);
        }
        let lines = wrapped(line, self.stream.reading_width(), 2);
        self.write(&format!("{}\n", paint(DIM, &lines)));
    }

    /// Shows all that may be shown.
    fn show(&mut self) {
        loop {
            let Some(case) = self.present.or_else(|| self.scenes.keys().next().copied()) else {
                return;
            };
            self.present = Some(case);
            if let Some(title) = self.scene(case).title.take() {
                self.write_title(case, &title);
            }
            while let Some(block) = self.scene(case).blocks.pop_front() {
                if let Some(waits) = self.show_block(block) {
                    self.scene(case).blocks.push_front(waits);
                    return;
                }
            }
            if !self.scene(case).is_settled {
                return;
            }
            self.scenes.remove(&case);
            self.present = None;
        }
    }

    /// Shows a block as far as it goes; gives it back when more of it is to come.
    fn show_block(&mut self, block: Block) -> Option<Block> {
        let mut speech = match block {
            Block::Speech(speech) => speech,
            Block::Verdict(line) => {
                self.write_verdict(&line);
                return None;
            }
            Block::Note(line) => {
                self.write_note(&line);
                return None;
            }
        };
        if !speech.opened {
            speech.opened = true;
            self.write_heading(&speech);
        }
        let Some(end) = speech.end.take() else {
            let more = speech.more();
            self.write(&more);
            return Some(Block::Speech(speech));
        };
        let closing = speech.close(&end);
        self.write(&closing.rest);
        if let Some(said) = closing.said {
            let lines = wrapped(&said, self.stream.reading_width(), 2);
            self.write(&format!("{}\n", paint(DIM, &lines)));
        }
        if let Some(note) = closing.note {
            self.write_note(&note);
        }
        None
    }

    fn is_one_of_many(&self) -> bool {
        self.total.is_some_and(|total| total > 1)
    }

    fn scene(&mut self, case: CaseNo) -> &mut Scene {
        self.scenes.entry(case).or_default()
    }

    fn style_of(&mut self, actor: &ActorName) -> Style {
        let place = self.actors.iter().position(|known| known == actor).unwrap_or_else(|| {
            self.actors.push(actor.clone());
            self.actors.len() - 1
        });
        actor_style(place)
    }

    fn write_title(&mut self, case: CaseNo, title: &Title) {
        let width = self.stream.reading_width();
        if self.is_one_of_many() {
            let of = self.total.map_or(String::new(), |total| format!(" of {total}"));
            let is_case = case.0 < self.tally.cases.admitted;
            // What is done over all cases is none of them.
            let number = if is_case { format!("case {}{of} · ", case.0 + 1) } else { String::new() };
            let line = format!("── {number}{} ──", inert(&title.item));
            self.write(&format!("\n{}\n", paint(BOLD, &cut(&line, width))));
        }
        for (name, value) in &title.fields {
            let lines = wrapped(&inert(&format!("{name}: {value}")), width, 0);
            self.write(&format!("{}\n", paint(DIM, &lines)));
        }
    }

    fn write_heading(&mut self, speech: &Speech) {
        let Speech { id, actor, .. } = speech;
        let judging = speech.is_vote().then(|| (id.case, id.step.clone(), id.each.clone(), actor.clone()));
        let is_known = judging.is_some() && judging == self.judging;
        self.judging = judging;
        if is_known {
            return;
        }
        let name = paint(self.style_of(&speech.actor), &inert(speech.actor.as_str()));
        let place = speech.place();
        let place = if place.is_empty() { place } else { paint(DIM, &format!("  {place}")) };
        self.write(&format!("\n{name}{place}\n"));
    }

    fn write_verdict(&mut self, line: &str) {
        let lines = wrapped(line, self.stream.reading_width(), 0);
        self.write(&format!("\n{}\n", paint(BOLD, &lines)));
    }

    fn write_note(&mut self, line: &str) {
        let line = cut(&inert(&format!("  {line}")), self.stream.width());
        self.write(&format!("{}\n", paint(DIM, &line)));
    }

    /// A screen that is gone is no reason to stop.
    fn write(&mut self, text: &str) {
        drop(self.stream.write(text));
    }
}

impl Scene {
    fn find(&mut self, id: &AttemptId) -> Option<&mut Speech> {
        self.blocks.iter_mut().find_map(|block| match block {
            Block::Speech(speech) if speech.id == *id => Some(&mut **speech),
            Block::Speech(_) | Block::Verdict(_) | Block::Note(_) => None,
        })
    }
}
