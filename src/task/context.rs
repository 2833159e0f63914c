//! What a template can see of a case.

use serde_json::{Map, Value, json};

use super::Texts;
use super::blind::Labels;
use super::compose::{ComposeError, Models};
use crate::base::Digest;
use crate::event::{Judgement, TaskOutput, TaskSettled, TaskStatus, Turn, Verdict};
use crate::plan::{Place, Plan, StepIdx, StepKind};

/// Builds the context of one call; `labels` replaces names where speakers are shown.
pub(super) fn context(
    plan: &Plan,
    place: &Place,
    models: Models<'_>,
    labels: &Labels,
    texts: Texts<'_>,
) -> Result<Value, ComposeError> {
    let mut actors = Map::new();
    for (actor, model) in plan.actors.iter().zip(models) {
        actors.insert(actor.name.to_string(), json!({ "model": &**model }));
    }
    let mut steps = Map::new();
    for (index, input) in &place.inputs {
        steps.insert(plan.step(*index).name.to_string(), step(plan, *index, input, labels, texts)?);
    }
    Ok(json!({
        "params": plan.params,
        "item": row(&place.row, texts)?,
        "repeat": place.repeat,
        "matrix": plan.matrix,
        "actors": actors,
        "steps": steps,
        "run": { "name": plan.name, "seed": plan.seed },
        "turn": turn_number(place),
    }))
}

fn turn_number(place: &Place) -> Value {
    match place.call {
        crate::plan::Call::Turn(turn) => json!(turn),
        crate::plan::Call::Say | crate::plan::Call::Vote { .. } => Value::Null,
    }
}

fn row(digest: &Digest, texts: Texts<'_>) -> Result<Value, ComposeError> {
    let text = fetch(digest, texts)?;
    serde_json::from_str(&text).map_err(|_| ComposeError::RowUnreadable(*digest))
}

fn fetch(digest: &Digest, texts: Texts<'_>) -> Result<std::sync::Arc<str>, ComposeError> {
    texts(digest).ok_or(ComposeError::TextMissing(*digest))
}

/// Every field that the kind of step has; `none` where there is no output.
fn step(
    plan: &Plan,
    index: StepIdx,
    input: &TaskSettled,
    labels: &Labels,
    texts: Texts<'_>,
) -> Result<Value, ComposeError> {
    let status = match input.status {
        TaskStatus::Ok => "ok",
        TaskStatus::Unscored => "unscored",
        TaskStatus::Failed => "failed",
        TaskStatus::Skipped => "skipped",
    };
    let mut fields = match (&plan.step(index).kind, input.output.as_ref()) {
        (_, Some(TaskOutput::Chat { text })) => chat_fields(&fetch(text, texts)?),
        (_, Some(TaskOutput::Dialogue { turns, stopped_by })) => {
            let names = plan.step(index);
            dialogue_fields(turns, stopped_by, speakers(&names.kind), labels, texts)?
        }
        (_, Some(TaskOutput::Judge(judgement))) => judge_fields(judgement, labels),
        (StepKind::Chat(_), None) => json!({ "text": null, "json": null }),
        (StepKind::Dialogue(_), None) => {
            json!({ "transcript": null, "turns": null, "last": null, "stopped_by": null })
        }
        (StepKind::Judge(_), None) => json!({ "choice": null, "votes": null, "flipped": null }),
    };
    fields["status"] = json!(status);
    Ok(fields)
}

const fn speakers(kind: &StepKind) -> usize {
    match kind {
        StepKind::Dialogue(dialogue) => dialogue.actors.len(),
        StepKind::Chat(_) | StepKind::Judge(_) => 1,
    }
}

fn chat_fields(text: &str) -> Value {
    json!({ "text": text, "json": serde_json::from_str::<Value>(text).ok() })
}

fn dialogue_fields(
    turns: &[Turn],
    stopped_by: &str,
    speakers: usize,
    labels: &Labels,
    texts: Texts<'_>,
) -> Result<Value, ComposeError> {
    let mut said = Vec::with_capacity(turns.len());
    let mut lines = Vec::with_capacity(turns.len());
    for (place, turn) in turns.iter().enumerate() {
        let text = fetch(&turn.text, texts)?;
        let name = labels.show(turn.actor.as_str());
        lines.push(format!("{name}: {text}"));
        said.push(json!({ "n": place + 1, "actor": name, "text": &*text, "round": place / speakers + 1 }));
    }
    let last = said.last().map_or(Value::Null, |turn| turn["text"].clone());
    Ok(json!({ "transcript": lines.join("\n\n"), "turns": said, "last": last, "stopped_by": stopped_by }))
}

fn judge_fields(judgement: &Judgement, labels: &Labels) -> Value {
    let shown = |verdict: &Verdict| match verdict {
        Verdict::Choice(option) => json!(labels.show(option)),
        Verdict::Unscored(_) => Value::Null,
    };
    let votes: Vec<Value> = judgement.votes.iter().map(|vote| shown(&vote.verdict)).collect();
    json!({ "choice": shown(&judgement.verdict), "votes": votes, "flipped": judgement.flipped })
}
