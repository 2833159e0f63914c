//! What a recorded request carried beside its messages: the plan of its run, made again, tells it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::earlier::Earlier;
use super::show_case::Page;
use super::show_texts::CallRecord;
use crate::base::{Digest, EachKey};
use crate::event::{AttemptStarted, Element, Outcome, Turn};
use crate::journal::{AttemptRecord, CaseRecord, RunDir};
use crate::plan::{ActorIdx, Call, Mended, Place, Plan, Sampling, Step, StepIdx, StepKind, seed_of};
use crate::prompt::Format;
use crate::task;

/// What one call asked for.
pub(super) struct Asked {
    /// As it was sent.
    pub(super) model: Arc<str>,
    pub(super) sampling: Sampling,
    pub(super) seed: u32,
    /// What the answer had to be one of; empty for any text.
    pub(super) options: Vec<String>,
    /// What the answer had to match; none when any value or text would do.
    pub(super) schema: Option<Arc<Value>>,
}

/// The plan of a run, or why it cannot be made again here.
pub(super) struct AskedOf(Result<Earlier, String>);

impl AskedOf {
    /// Makes the plan of a run again.
    pub(super) fn open(dir: &RunDir) -> Self {
        Self(Earlier::open(dir).map_err(|error| error.to_string()))
    }

    /// Returns what a call asked for, or why nobody can tell.
    ///
    /// # Errors
    /// The reason, for people.
    pub(super) fn asked(&self, page: &Page<'_>, call: &CallRecord<'_>) -> Result<Asked, String> {
        let earlier = match &self.0 {
            Ok(earlier) => earlier,
            Err(reason) => return Err(reason.clone()),
        };
        let Some(place) = place_of(&earlier.plan, page.case, page.attempts, &call.last().started) else {
            return Err("this version asks in another way than the one that ran it".to_owned());
        };
        let plan = earlier.plan.cell(place.cell);
        let models: Vec<Arc<str>> =
            earlier.voices[earlier.plan.home_of(place.cell).0].iter().map(|voice| Arc::clone(&voice.model)).collect();
        let texts = |digest: &Digest| page.reader.text(Some(page.case.admitted.case), digest).ok().flatten();
        let composed = task::compose(plan, &place, &models, &texts);
        let format = composed.map_or(Format::Text, |composed| composed.format);
        let (options, schema) = match format {
            Format::Text => (Vec::new(), None),
            Format::Choice(options) => (options, None),
            Format::Json(schema) => (Vec::new(), Some(schema)),
        };
        Ok(Asked {
            model: Arc::clone(&models[place.actor.0]),
            sampling: plan.actor(place.actor).sampling.clone(),
            seed: seed_of(plan, &place),
            options,
            schema,
        })
    }
}

/// Returns where a recorded call stands in a plan; none when the plan has no such place.
pub(super) fn place_of(
    plan: &Plan,
    case: &CaseRecord,
    attempts: &[AttemptRecord],
    started: &AttemptStarted,
) -> Option<Place> {
    let whole = plan;
    let home = whole.find_cell(&case.admitted.matrix)?;
    if case.closing && whole.closing.is_none() {
        return None;
    }
    let stands_in = if case.closing { whole.closing_of(home) } else { home };
    let plan = whole.cell(stands_in);
    let step = StepIdx(plan.steps.iter().position(|step| step.name == started.id.step)?);
    let actor = ActorIdx(plan.actors.iter().position(|actor| actor.name == started.actor)?);
    let call = Call::parse(&started.id.call)?;
    let inputs = plan.step(step).reads.iter().map(|&read| {
        let task = case.tasks.iter().find(|task| task.step == plan.step(read).name)?;
        Some((read, Arc::new(task.clone())))
    });
    Some(Place {
        case: case.admitted.case,
        item: case.admitted.item.clone(),
        repeat: case.admitted.repeat,
        cell: stands_in,
        row: case.admitted.row,
        step,
        each: started.id.each.as_ref().map(element_of),
        call,
        actor,
        turns: turns_before(plan.step(step), attempts, started, call),
        mended: mended_before(attempts, started, call),
        inputs: inputs.collect::<Option<_>>()?,
        lacks: crate::event::Features::NONE,
    })
}

/// Returns the answer that a call asked to mend.
fn mended_before(attempts: &[AttemptRecord], started: &AttemptStarted, call: Call) -> Option<Mended> {
    let before = call.mends()?.path();
    let mut earlier = attempts.iter().filter(|attempt| {
        let id = &attempt.started.id;
        id.step == started.id.step && id.each == started.id.each && id.call == before
    });
    earlier.find_map(|attempt| match &attempt.ended.as_ref()?.1.outcome {
        Outcome::Answered(answer) => Some(Mended { answer: answer.text, complaint: answer.facts.invalid.clone()? }),
        Outcome::Failed(_) => None,
    })
}

/// Returns an element by its key. What is no text has another value than its key: then the options are not known.
fn element_of(key: &EachKey) -> Element {
    Element { key: key.clone(), value: Digest::of(json!(key).to_string().as_bytes()) }
}

/// Returns the turns of a dialogue that were taken before a call.
fn turns_before(step: &Step, attempts: &[AttemptRecord], started: &AttemptStarted, call: Call) -> Vec<Turn> {
    let number = match (call, &step.kind) {
        (Call::Turn(number), _) => number,
        (Call::Ask(inquiry), StepKind::Dialogue(dialogue)) => {
            let speakers = u32::try_from(dialogue.actors.len()).unwrap_or(u32::MAX);
            inquiry.round.saturating_mul(speakers).saturating_add(1)
        }
        _ => return Vec::new(),
    };
    let is_beside = |attempt: &&AttemptRecord| {
        let (id, other) = (&attempt.started.id, &started.id);
        id.step == other.step && id.each == other.each
    };
    let answered = attempts.iter().filter(is_beside);
    let mut turns: Vec<(u32, Turn)> = answered
        .filter_map(|attempt| {
            let Some(Call::Turn(turn)) = Call::parse(&attempt.started.id.call) else { return None };
            let (_, ended) = attempt.ended.as_ref()?;
            let Outcome::Answered(answer) = &ended.outcome else { return None };
            (turn < number).then(|| (turn, Turn { actor: attempt.started.actor.clone(), text: answer.text }))
        })
        .collect();
    turns.sort_by_key(|(turn, _)| *turn);
    turns.into_iter().map(|(_, turn)| turn).collect()
}
