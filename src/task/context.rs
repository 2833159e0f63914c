//! What a template can see of a case.

use serde_json::{Map, Value, json};

use super::Texts;
use super::blind::Labels;
use super::compose::{ComposeError, Models};
use super::rows::Rows;
use crate::base::Digest;
use crate::event::{CountTable, Judgement, MeanOf, TaskOutput, TaskSettled, TaskStatus, Turn, Verdict};
use crate::judge::{json_in, number, reason_in};
use crate::plan::{Dialogue, Ground, Plan, Step, StepKind};

/// Builds the context of one task, `turn` in a dialogue; `labels` replaces names where speakers are shown.
pub(super) fn context(
    plan: &Plan,
    ground: &Ground,
    turn: Option<u32>,
    models: Models<'_>,
    labels: &Labels,
    texts: Texts<'_>,
) -> Result<Value, ComposeError> {
    let mut actors = Map::new();
    for (actor, model) in plan.actors.iter().zip(models) {
        actors.insert(actor.name.to_string(), json!({ "model": &**model }));
    }
    let mut steps = Map::new();
    for (index, input) in &ground.inputs {
        steps.insert(plan.step(*index).name.to_string(), step(plan.step(*index), input, labels, texts)?);
    }
    let item = match plan.step(ground.step).kind {
        // It is of no item.
        StepKind::Aggregate(_) => json!({}),
        _ => row(&ground.row, texts)?,
    };
    // By hand: `json!` would copy each of them once more.
    let mut data = Map::new();
    let mut see = |name: &str, value: Value| data.insert(name.to_owned(), value);
    see("params", Value::Object(plan.params.clone()));
    see("item", item);
    see("repeat", json!(ground.repeat));
    see("matrix", Value::Object(plan.matrix.clone()));
    see("actors", Value::Object(actors));
    see("steps", Value::Object(steps));
    see("run", json!({ "name": plan.name, "seed": plan.seed }));
    see("turn", json!(turn));
    if let Some(each) = &ground.each {
        see("each", json_of(&each.value, texts)?);
        see("each_key", json!(each.key));
    }
    Ok(Value::Object(data))
}

/// Adds what a prompt about all cases reads of them: `rows`, `count` and `left_out`.
pub(super) fn all_cases(data: &mut Value, rows: Rows) {
    data["count"] = json!(rows.rows.len());
    data["left_out"] = json!(rows.left_out);
    data["rows"] = Value::Array(rows.rows);
}

/// Returns what a step came to in one case, as a later step of that case would see it.
pub(super) fn fields_of(of: &Step, task: &TaskSettled, texts: Texts<'_>) -> Result<Value, ComposeError> {
    step(of, task, &Labels::none(), texts)
}

/// Adds what a question about a dialogue sees of it: `transcript`, `turns` and `last`, as later steps do.
pub(super) fn talk_so_far(
    data: &mut Value,
    dialogue: &Dialogue,
    turns: &[Turn],
    texts: Texts<'_>,
) -> Result<(), ComposeError> {
    let mut fields = dialogue_fields(turns, "", dialogue.actors.len(), &Labels::none(), texts)?;
    for name in ["transcript", "turns", "last"] {
        data[name] = fields[name].take();
    }
    Ok(())
}

fn row(digest: &Digest, texts: Texts<'_>) -> Result<Value, ComposeError> {
    json_of(digest, texts)
}

fn json_of(digest: &Digest, texts: Texts<'_>) -> Result<Value, ComposeError> {
    let text = fetch(digest, texts)?;
    serde_json::from_str(&text).map_err(|_| ComposeError::RowUnreadable(*digest))
}

fn fetch(digest: &Digest, texts: Texts<'_>) -> Result<std::sync::Arc<str>, ComposeError> {
    texts(digest).ok_or(ComposeError::TextMissing(*digest))
}

/// Returns what a template sees of a settled step.
fn step(step: &Step, input: &TaskSettled, labels: &Labels, texts: Texts<'_>) -> Result<Value, ComposeError> {
    let kind = &step.kind;
    let Some(TaskOutput::Each { elements }) = &input.output else {
        let mut fields = fields(kind, input.output.as_ref(), labels, texts)?;
        fields["status"] = json!(status_word(input.status));
        if step.course.for_each.is_some() {
            fields["keys"] = Value::Null;
        }
        return Ok(fields);
    };
    // Of a `for_each` step each field is a list, in the order of its elements.
    let mut lists = Map::new();
    for (name, _) in fields(kind, None, labels, texts)?.as_object().into_iter().flatten() {
        lists.insert(name.clone(), json!([]));
    }
    lists.insert("status".to_owned(), json!([]));
    let mut push = |name: &str, value: Value| {
        if let Some(Value::Array(list)) = lists.get_mut(name) {
            list.push(value);
        }
    };
    for element in elements {
        let fields = fields(kind, element.output.as_ref(), labels, texts)?;
        for (name, value) in fields.as_object().into_iter().flatten() {
            push(name, value.clone());
        }
        push("status", json!(status_word(element.status)));
    }
    lists.insert("keys".to_owned(), elements.iter().map(|element| json!(element.key)).collect());
    Ok(Value::Object(lists))
}

const fn status_word(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Ok => "ok",
        TaskStatus::Unscored => "unscored",
        TaskStatus::Failed => "failed",
        TaskStatus::Skipped => "skipped",
    }
}

/// Every field that the kind of step has; `none` where there is no output.
fn fields(
    kind: &StepKind,
    output: Option<&TaskOutput>,
    labels: &Labels,
    texts: Texts<'_>,
) -> Result<Value, ComposeError> {
    Ok(match (kind, output) {
        (_, Some(TaskOutput::Chat { text })) => chat_fields(&fetch(text, texts)?),
        (_, Some(TaskOutput::Dialogue { turns, stopped_by })) => {
            dialogue_fields(turns, stopped_by, speakers(kind), labels, texts)?
        }
        (_, Some(TaskOutput::Judge(judgement))) => judge_fields(judgement, labels, texts)?,
        (_, Some(TaskOutput::Value { value })) => json!({ "value": json_of(value, texts)? }),
        (_, Some(TaskOutput::Assertion { passed })) => json!({ "passed": passed }),
        (_, Some(TaskOutput::Table(counted))) => json!({ "table": table_fields(counted) }),
        (_, Some(TaskOutput::Ranking(ranked))) => json!({ "ranking": ranked.rows }),
        // Only elements have one, and they have no elements themselves.
        (_, Some(TaskOutput::Each { .. })) => json!({}),
        (StepKind::Transform(_), None) => json!({ "value": null }),
        (StepKind::Assert(_), None) => json!({ "passed": null }),
        (StepKind::Aggregate(_), None) => json!({ "table": null, "ranking": null, "text": null }),
        (StepKind::Chat(_), None) => json!({ "text": null, "json": null }),
        (StepKind::Dialogue(_), None) => {
            json!({ "transcript": null, "turns": null, "last": null, "stopped_by": null })
        }
        (StepKind::Judge(_), None) => {
            Value::Object(JUDGE_FIELDS.iter().map(|&field| (field.to_owned(), Value::Null)).collect())
        }
    })
}

const fn speakers(kind: &StepKind) -> usize {
    match kind {
        StepKind::Dialogue(dialogue) => dialogue.actors.len(),
        StepKind::Chat(_)
        | StepKind::Judge(_)
        | StepKind::Transform(_)
        | StepKind::Assert(_)
        | StepKind::Aggregate(_) => 1,
    }
}

/// Shows a table with every field that a table has, so that a template may print those that are none.
fn table_fields(counted: &CountTable) -> Value {
    let mean = |of: &dyn Fn(&MeanOf) -> Option<f64>| counted.mean.as_ref().and_then(of);
    json!({
        "n": counted.n,
        "rows": counted.rows,
        "mean": mean(&|mean| Some(mean.mean)),
        "low": mean(&|mean| mean.low),
        "high": mean(&|mean| mean.high),
        "deviation": mean(&|mean| mean.deviation),
        "unscored": counted.without.unscored,
        "failed": counted.without.failed,
        "skipped": counted.without.skipped,
    })
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
    let mut fields = Map::new();
    fields.insert("transcript".to_owned(), Value::String(lines.join("\n\n")));
    fields.insert("turns".to_owned(), Value::Array(said));
    fields.insert("last".to_owned(), last);
    fields.insert("stopped_by".to_owned(), json!(stopped_by));
    Ok(Value::Object(fields))
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
