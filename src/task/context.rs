//! What a template can see of a case.

use serde_json::{Map, Value, json};

use super::Texts;
use super::blind::Labels;
use super::compose::{ComposeError, Models};
use crate::base::Digest;
use crate::event::{Judgement, TaskOutput, TaskSettled, TaskStatus, Turn, Verdict};
use crate::judge::{json_in, number, reason_in};
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
        "actors": actors,
        "steps": steps,
        "run": { "name": plan.name, "seed": plan.seed },
        "turn": turn_number(place),
    }))
}

fn turn_number(place: &Place) -> Value {
    match place.call {
        crate::plan::Call::Turn(turn) => json!(turn),
        crate::plan::Call::Say | crate::plan::Call::Repair(_) | crate::plan::Call::Vote(_) => Value::Null,
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
        (_, Some(TaskOutput::Judge(judgement))) => judge_fields(judgement, labels, texts)?,
        (StepKind::Chat(_), None) => json!({ "text": null, "json": null }),
        (StepKind::Dialogue(_), None) => {
            json!({ "transcript": null, "turns": null, "last": null, "stopped_by": null })
        }
        (StepKind::Judge(_), None) => {
            Value::Object(JUDGE_FIELDS.iter().map(|&field| (field.to_owned(), Value::Null)).collect())
        }
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
    json!({ "text": text, "json": json_in(text) })
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

/// What there is of a judge, whatever it is asked for.
const JUDGE_FIELDS: [&str; 7] = ["choice", "score", "ranking", "json", "reason", "votes", "flipped"];

fn judge_fields(judgement: &Judgement, labels: &Labels, texts: Texts<'_>) -> Result<Value, ComposeError> {
    let shown = |verdict: &Verdict| match verdict {
        Verdict::Choice(option) => json!(labels.show(option)),
        Verdict::Score(score) => number(*score),
        Verdict::Ranking(names) => names.iter().map(|name| json!(labels.show(name))).collect(),
        Verdict::Json | Verdict::Unscored(_) => Value::Null,
    };
    let mut fields: Map<String, Value> = JUDGE_FIELDS.iter().map(|&field| (field.to_owned(), Value::Null)).collect();
    let field = match &judgement.verdict {
        Verdict::Choice(_) => "choice",
        Verdict::Score(_) => "score",
        Verdict::Ranking(_) => "ranking",
        Verdict::Json | Verdict::Unscored(_) => "json",
    };
    fields[field] = shown(&judgement.verdict);
    if let Some(first) = judgement.votes.first() {
        let answer = fetch(&first.reason, texts)?;
        if judgement.verdict == Verdict::Json {
            fields["json"] = json_in(&answer).unwrap_or_default();
        }
        fields["reason"] = json!(reason_in(&answer));
    }
    fields["votes"] = judgement.votes.iter().map(|vote| shown(&vote.verdict)).collect();
    fields["flipped"] = json!(judgement.flipped);
    Ok(Value::Object(fields))
}
