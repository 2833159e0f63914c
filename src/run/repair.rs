//! A journal is looked through, and what holds of a damaged one is written anew.
//!
//! Whatever cannot be read, the new log is one that this very run could have written: of each case that lost something a
//! beginning of its events, so that a resume asks the rest again and nothing else.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::intake::cases_of_item;
use super::items::RowSource;
use super::resume::Source;
use crate::base::{CaseNo, Digest, Timestamp};
use crate::engine::{IllegalEvent, Replay, TaskState};
use crate::event::{CaseAdmitted, Event, Failure, Message, Outcome, Recorded, RunStarted, TaskOutput};
use crate::journal::{Batch, Durability, EventLog as _, EventSeq, Found, JournalError, Salvage, Sqlite, Text};
use crate::plan::Plan;

/// Events in one transaction of the new journal.
const GROUP: usize = 2_000;

/// What is found in a journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Events that can be read.
    pub events: u64,
    /// Cases admitted.
    pub cases: u64,
    /// Texts that are what their digests name.
    pub texts: u64,
    /// What is wrong, the first of it: place and what shows it.
    pub damage: Vec<(String, String)>,
    /// How much is wrong.
    pub damaged: u64,
}

/// What became of a damaged journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Events that are kept.
    pub kept: u64,
    /// Events that could not be read.
    pub lost: u64,
    /// Events that could be read and do not follow from what is kept.
    pub dropped: u64,
    /// Texts that could not be read.
    pub texts_lost: u64,
    /// Answers that are kept though their prompts are lost.
    pub prompts_lost: u64,
    /// Cases that were admitted anew from the input.
    pub readmitted: u64,
    /// Cases of which something is asked again, but for those that the input has to give again.
    pub reopened: u64,
}

/// A journal that cannot be repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// A file cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The beginning is gone.
    #[error("the event that says what the run is made of is lost: nothing can be kept without it")]
    NoBeginning,
    /// A text of the pipeline is gone.
    #[error("text {0}, of which the pipeline is made, is lost: nothing can be kept without it")]
    NoSource(Digest),
}

/// Returns what a damaged journal says of its beginning, and the texts that the run is made of.
///
/// # Errors
/// One of them cannot be read.
pub fn beginning(salvage: &Salvage) -> Result<(RunStarted, Source), RepairError> {
    let (mut started, mut tuned) = (None, None);
    salvage.events(&mut |found| {
        if let Found::Event(seq, recorded) = found {
            match recorded.event {
                Event::RunStarted(event) if seq == EventSeq(1) => started = Some(event),
                Event::RunTuned(event) => tuned = Some(event),
                _ => {}
            }
        }
        Ok(())
    })?;
    let started = started.ok_or(RepairError::NoBeginning)?;
    let (text, files, sets) = match tuned {
        Some(tuned) => (tuned.source, tuned.files, tuned.sets),
        None => (started.source, started.files.clone(), Vec::new()),
    };
    let wanted: BTreeSet<Digest> = files.values().copied().chain([text]).collect();
    let mut found = std::collections::BTreeMap::new();
    salvage.texts(&mut |text| {
        if wanted.contains(&text.digest) {
            found.insert(text.digest, text.body);
        }
        Ok(())
    })?;
    let find = |digest: Digest| found.get(&digest).cloned().ok_or(RepairError::NoSource(digest));
    let files = files.into_iter().map(|(path, digest)| Ok((path, find(digest)?)));
    let source = Source { files: files.collect::<Result<_, RepairError>>()?, text: find(text)?, sets };
    Ok((started, source))
}

/// Returns the texts that an event cannot do without.
fn needed(event: &Event) -> Vec<Digest> {
    let of_output = |output: &Option<TaskOutput>| output.as_ref().map(TaskOutput::texts).unwrap_or_default();
    let of_failure = |failure: &Option<Failure>| failure.as_ref().and_then(|failure| failure.evidence);
    match event {
        Event::RunStarted(event) => event.files.values().copied().chain([event.source]).collect(),
        Event::RunTuned(event) => event.files.values().copied().chain([event.source]).collect(),
        Event::CaseAdmitted(event) => vec![event.row],
        Event::AttemptEnded(event) => match &event.outcome {
            Outcome::Answered(answer) => vec![answer.text],
            Outcome::Failed(failure) => failure.evidence.into_iter().collect(),
        },
        Event::Evaluated(event) => event.each.iter().flatten().map(|element| element.value).collect(),
        Event::ElementSettled(event) => {
            of_output(&event.task.output).into_iter().chain(of_failure(&event.task.failure)).collect()
        }
        Event::TaskSettled(task) => of_output(&task.output).into_iter().chain(of_failure(&task.failure)).collect(),
        Event::TaskAdopted(event) => of_output(&event.task.output),
        _ => Vec::new(),
    }
}

/// Finds a text, of a case or of the run.
type Find<'a> = dyn Fn(Option<CaseNo>, &Digest) -> Result<Option<Arc<str>>, JournalError> + 'a;

/// Returns the first text that an event speaks of and nobody has: of a request or a thought, and of what cannot be
/// done without.
fn missing(event: &Event, text: &Find<'_>) -> Result<(Option<Digest>, Option<Digest>), JournalError> {
    let case = event.case();
    let find = |digest: Digest| match text(case, &digest) {
        Ok(found) => Ok(found),
        Err(JournalError::Damaged { .. }) => Ok(None),
        Err(error) => Err(error),
    };
    for digest in needed(event) {
        if find(digest)?.is_none() {
            return Ok((None, Some(digest)));
        }
    }
    let Event::AttemptEnded(ended) = event else { return Ok((None, None)) };
    for Message(_, text) in &ended.request {
        if find(*text)?.is_none() {
            return Ok((Some(*text), None));
        }
    }
    if let Outcome::Answered(answer) = &ended.outcome
        && let Some(thought) = answer.thought
        && find(thought)?.is_none()
    {
        return Ok((Some(thought), None));
    }
    Ok((None, None))
}

/// Takes a text that is lost out of an attempt that can do without: its thought, else its whole prompt. Returns true
/// when that was the prompt.
fn forget(ended: &mut crate::event::AttemptEnded, lost: Digest) -> bool {
    if let Outcome::Answered(answer) = &mut ended.outcome
        && answer.thought == Some(lost)
    {
        answer.thought = None;
        return false;
    }
    ended.request.clear();
    true
}

/// Applies an event to a fold, and demands besides what a fold of whole journals may take for granted.
fn follow(replay: &mut Replay, recorded: &Recorded) -> Result<(), IllegalEvent> {
    let illegal = |why: String| IllegalEvent { kind: recorded.event.kind(), why };
    match &recorded.event {
        Event::CaseSettled(event) => {
            let case = replay.state().open.get(&event.case);
            if case.is_some_and(|case| case.tasks.iter().any(|task| matches!(task, TaskState::Open(_)))) {
                return Err(illegal(format!("a task of case {} is not settled", event.case)));
            }
        }
        Event::SourceEnded(event) if event.cases != replay.state().cases.admitted => {
            return Err(illegal(format!("{} cases, of {} admitted", event.cases, replay.state().cases.admitted)));
        }
        _ => {}
    }
    replay.apply(recorded)
}

impl Checked {
    /// Most damage that is told of.
    const TOLD: usize = 20;

    fn tell(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.damaged += 1;
        if self.damage.len() < Self::TOLD {
            self.damage.push((place.into(), what.into()));
        }
    }
}

/// Looks a journal through: the file, every checksum and number, every text that is spoken of, and whether its events
/// follow from one another, where the plan is known.
///
/// # Errors
/// Trouble of the store that is no damage.
pub fn check(path: &Path, plan: Option<&Arc<Plan>>) -> Result<Checked, JournalError> {
    let mut checked = Checked::default();
    let salvage = match Salvage::open(path) {
        Err(error @ JournalError::Damaged { .. }) => {
            checked.tell("the file itself", error.to_string());
            return Ok(checked);
        }
        opened => opened?,
    };
    for line in salvage.unsound() {
        checked.tell("the file itself", line);
    }
    let mut texts = 0;
    for place in salvage.texts(&mut |_| {
        texts += 1;
        Ok(())
    })? {
        checked.tell(place.to_string(), "it is not what its digest names, or cannot be read");
    }
    checked.texts = texts;
    let mut replay = plan.map(|plan| Replay::from_zero(Arc::clone(plan)));
    let mut last = EventSeq::default();
    salvage.events(&mut |found| {
        let (seq, recorded) = match found {
            Found::Event(seq, recorded) => (seq, recorded),
            Found::Lost(count) => {
                checked.tell(
                    format!("event {}", last.next()),
                    match count {
                        1 => "it is not there, or not as it was written".to_owned(),
                        many => {
                            format!("it and the {} after it are not there, or not as they were written", many - 1)
                        }
                    },
                );
                checked.damaged += count - 1;
                last = EventSeq(last.0 + count);
                // What follows cannot be expected to follow.
                replay = None;
                return Ok(());
            }
        };
        last = seq;
        checked.events += 1;
        checked.cases += u64::from(matches!(recorded.event, Event::CaseAdmitted(_)));
        let (prompt, other) = missing(&recorded.event, &|case, digest| salvage.text(case, digest))?;
        if let Some(digest) = prompt.or(other) {
            checked.tell(format!("event {seq}"), format!("text {digest}, which it names, is missing or damaged"));
        }
        if let Some(Err(illegal)) = replay.as_mut().map(|replay| follow(replay, &recorded)) {
            checked.tell(format!("event {seq}"), illegal.to_string());
            replay = None;
        }
        Ok(())
    })?;
    for (seq, what) in salvage.checkpoints(last) {
        checked.tell(format!("the checkpoint after event {seq}"), what);
    }
    Ok(checked)
}

/// The new journal while it is written.
struct Rewriting<'p> {
    plan: &'p Arc<Plan>,
    log: Sqlite,
    replay: Replay,
    events: Vec<Recorded>,
    texts: Vec<Text>,
    done: Repaired,
    /// Cases of which nothing more is taken.
    cut: BTreeSet<CaseNo>,
    /// No more cases are taken: the input does not tell which one was lost.
    closed: bool,
    /// The end of the run, which holds only when nothing comes after it and nothing was lost.
    ended: Option<Recorded>,
    at: Timestamp,
}

/// Writes what holds of a damaged journal to `new`, where nothing is yet.
///
/// # Errors
/// The new file cannot be written.
pub fn repair(salvage: &Salvage, plan: &Arc<Plan>, new: &Path) -> Result<Repaired, RepairError> {
    let mut log = Sqlite::create(new, Durability::Power)?;
    let mut texts: Vec<Text> = Vec::new();
    let mut failed = None;
    let lost = salvage.texts(&mut |text| {
        texts.push(text);
        if texts.len() >= GROUP {
            log.append(&[Batch { texts: std::mem::take(&mut texts), ..Batch::default() }])?;
        }
        Ok(())
    })?;
    log.append(&[Batch { texts, ..Batch::default() }])?;
    log.add_samples(salvage.sampled());
    let done = Repaired { texts_lost: lost.len() as u64, ..Repaired::default() };
    let mut rewriting = Rewriting {
        plan,
        log,
        replay: Replay::from_zero(Arc::clone(plan)),
        events: Vec::new(),
        texts: Vec::new(),
        done,
        cut: BTreeSet::new(),
        closed: false,
        ended: None,
        at: Timestamp(0),
    };
    salvage.events(&mut |found| {
        if failed.is_none() {
            failed = rewriting.take(found).err();
        }
        Ok(())
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    Ok(rewriting.finish()?)
}

impl Rewriting<'_> {
    fn take(&mut self, found: Found) -> Result<(), JournalError> {
        if let Some(ended) = self.ended.take() {
            self.put(ended)?;
        }
        match found {
            Found::Lost(count) => {
                self.done.lost += count;
                // Nobody knows whose they were: of every case under way the beginning is kept.
                self.cut.extend(self.replay.state().open.keys());
                Ok(())
            }
            Found::Event(_, recorded) => self.take_event(*recorded),
        }
    }

    fn take_event(&mut self, mut recorded: Recorded) -> Result<(), JournalError> {
        self.at = recorded.at;
        if matches!(recorded.event, Event::RunEnded(_)) {
            self.ended = Some(recorded);
            return Ok(());
        }
        // After the last case come those that close the cells: the fold says whether they follow.
        let case = recorded.event.case().filter(|_| !self.replay.state().source_ended);
        if let Some(case) = case {
            let is_new = matches!(recorded.event, Event::CaseAdmitted(_));
            let admitted = self.replay.state().cases.admitted;
            if case.0 > admitted || (case.0 == admitted && !is_new) {
                self.readmit(case.0 + u64::from(!is_new))?;
            }
            if case.0 > self.replay.state().cases.admitted {
                self.done.dropped += 1;
                return Ok(());
            }
        }
        if recorded.event.case().is_some_and(|case| self.cut.contains(&case)) {
            self.done.dropped += 1;
            return Ok(());
        }
        let other = loop {
            let (spare, other) = missing(&recorded.event, &|case, digest| self.log.text(case, digest))?;
            match (spare, &mut recorded.event) {
                (Some(lost), Event::AttemptEnded(ended)) => self.done.prompts_lost += u64::from(forget(ended, lost)),
                (Some(_) | None, _) => break other,
            }
        };
        if other.is_some() || follow(&mut self.replay, &recorded).is_err() {
            self.done.dropped += 1;
            match recorded.event.case() {
                Some(case) if matches!(recorded.event, Event::CaseAdmitted(_)) => self.readmit(case.0 + 1)?,
                Some(case) => drop(self.cut.insert(case)),
                None => {}
            }
            return Ok(());
        }
        self.put(recorded)
    }

    /// Admits cases whose admission is lost, up to a number, as the input gives them.
    fn readmit(&mut self, upto: u64) -> Result<(), JournalError> {
        let from = self.replay.state().cases.admitted;
        if self.closed || from >= upto {
            return Ok(());
        }
        let Some(cases) = given(self.plan, from, upto, &self.replay) else {
            self.closed = true;
            return Ok(());
        };
        for (admitted, row) in cases {
            let case = admitted.case;
            let recorded = Recorded { at: self.at, event: Event::CaseAdmitted(admitted) };
            if self.replay.apply(&recorded).is_err() {
                self.closed = true;
                return Ok(());
            }
            self.texts.push(row.in_case(case));
            self.done.readmitted += 1;
            self.cut.insert(case);
            self.put(recorded)?;
        }
        Ok(())
    }

    fn put(&mut self, recorded: Recorded) -> Result<(), JournalError> {
        self.events.push(recorded);
        self.done.kept += 1;
        if self.events.len() >= GROUP { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), JournalError> {
        let (events, texts) = (std::mem::take(&mut self.events).into(), std::mem::take(&mut self.texts));
        self.log.append(&[Batch { events, texts, checkpoint: None }])?;
        Ok(())
    }

    fn finish(mut self) -> Result<Repaired, JournalError> {
        if let Some(ended) = self.ended.take() {
            let is_whole = self.done.lost + self.done.dropped == 0;
            if is_whole {
                self.put(ended)?;
            } else {
                self.done.dropped += 1;
            }
        }
        let open = self.replay.state().open.keys().filter(|case| self.cut.contains(case)).count() as u64;
        self.done.reopened = open;
        self.flush()?;
        self.log.finish()?;
        Ok(self.done)
    }
}

/// Returns cases as the input gives them today; none when it does not give those that were admitted before.
fn given(plan: &Plan, from: u64, upto: u64, replay: &Replay) -> Option<Vec<(CaseAdmitted, Text)>> {
    // Which cases come when, and how many, follows from what was found in them too.
    if plan.repeats.is_some() || plan.evidence.is_some() {
        return None;
    }
    let mut source = RowSource::open(plan).ok()?;
    let mut chain = crate::base::Hasher::new("pipe admitted 1").finish();
    let (mut number, mut cases) = (0, Vec::new());
    while number < upto {
        let row = source.next_row()?.ok()?;
        let text = Text::of(row.json);
        for (cell, repeat) in cases_of_item(plan) {
            let matrix = plan.cell(cell).matrix.clone();
            if number < from {
                chain = crate::engine::chained(chain, &row.item, repeat, &matrix);
            } else if number < upto {
                let case =
                    CaseAdmitted { case: CaseNo(number), item: row.item.clone(), repeat, matrix, row: text.digest };
                cases.push((case, text.clone()));
            }
            number += 1;
            if number == from && chain != replay.state().admitted_chain {
                return None;
            }
        }
    }
    Some(cases)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::Story;

    #[test]
    fn a_lost_thought_costs_no_answer_and_no_prompt() {
        let mut story = Story::begin("chat");
        let id = story.start(0, "answer", "say", 1, "pro");
        story.answer(&id, "Tea.", crate::event::FinishReason::Stop);
        let Some(Recorded { event: Event::AttemptEnded(mut ended), .. }) = story.log.pop() else { panic!("an end") };
        let thought = Digest::of(b"Hm.");
        if let Outcome::Answered(answer) = &mut ended.outcome {
            answer.thought = Some(thought);
        }
        let lost = |ended: &crate::event::AttemptEnded| {
            let find = |_: Option<CaseNo>, digest: &Digest| Ok(story.texts.get(digest).cloned());
            missing(&Event::AttemptEnded(ended.clone()), &find).expect("nothing is damaged")
        };
        assert_eq!(lost(&ended), (Some(thought), None));
        assert!(!forget(&mut ended, thought) && !ended.request.is_empty());
        assert_eq!(lost(&ended), (None, None));
    }
}
