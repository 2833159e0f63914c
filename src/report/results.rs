//! The table of results: one row per settled case, equal for equal plans whatever the timing.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::case::{CaseRecord, MissingText, Texts, status_word, task_status_word, text_of, unscored_phrase};
use crate::base::StepName;
use crate::event::{Judgement, TaskOutput, TaskSettled, Turn, Verdict};
use crate::judge::{json_in, number, reason_in};

/// Which columns a table has, and in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// What varies in the matrix, in the plan's order.
    pub matrix: Vec<String>,
    /// The steps with the kind of their output, in the order of their columns.
    pub steps: Vec<(StepName, Shape)>,
    /// Instead of the standard columns: a name and the path of its value (`item.x`, `id`, `repeat`, `status`,
    /// `error`, `steps.<step>.<field>`), split at the points.
    pub columns: Option<Vec<(String, Vec<String>)>>,
}

/// What fields a step's output has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `text`.
    Chat,
    /// `json`: a chat whose answer has a schema.
    Value,
    /// `transcript`, `turns`, `stopped_by`.
    Dialogue,
    /// `choice`, `votes`, `flipped`.
    Judge,
    /// `choice`, `reason`, `votes`, `flipped`.
    Explained,
    /// `score`, `votes`.
    Score,
    /// `score`, `reason`, `votes`.
    ExplainedScore,
    /// `ranking`, `votes`, `flipped`.
    Ranking,
    /// `value`.
    Transform,
    /// `passed`.
    Assert,
}

impl Shape {
    const fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Chat => &["text"],
            Self::Value => &["json"],
            Self::Dialogue => &["transcript", "turns", "stopped_by"],
            Self::Judge => &["choice", "votes", "flipped"],
            Self::Explained => &["choice", "reason", "votes", "flipped"],
            Self::Score => &["score", "votes"],
            Self::ExplainedScore => &["score", "reason", "votes"],
            Self::Ranking => &["ranking", "votes", "flipped"],
            Self::Transform => &["value"],
            Self::Assert => &["passed"],
        }
    }
}

/// Makes rows of one layout, whose names it puts together once.
#[derive(Debug)]
pub struct Rows<'a> {
    layout: &'a Layout,
    /// What no field of an item may be named.
    standard: BTreeSet<String>,
    /// What is read of the matrix, and its column.
    matrix: Vec<(&'a str, String)>,
    /// What is read of a step, and its column.
    fields: Vec<(&'a StepName, &'static str, String)>,
}

impl<'a> Rows<'a> {
    /// Puts the names of the columns together.
    #[must_use]
    pub fn of(layout: &'a Layout) -> Self {
        let of_step = |(step, shape): &'a (StepName, Shape)| {
            shape.fields().iter().map(move |field| (step, *field, format!("{step}.{field}")))
        };
        Self {
            layout,
            standard: standard_names(layout).into_iter().collect(),
            matrix: layout.matrix.iter().map(|name| (name.as_str(), format!("matrix.{name}"))).collect(),
            fields: layout.steps.iter().flat_map(of_step).collect(),
        }
    }

    /// Returns the row of a settled case.
    ///
    /// Standard columns: `id`, `repeat`, the item's fields, `<step>.<field>`, `status`, `error`. What a failed or skipped
    /// step would have said is null, so every row has the same columns. An item's field that is named like a standard
    /// column goes under `item.<field>`, unless it is the id itself.
    ///
    /// # Errors
    /// The journal lacks a text: it is damaged.
    pub fn row(&self, case: &CaseRecord<'_>, texts: Texts<'_>) -> Result<Map<String, Value>, MissingText> {
        let columns = self.layout.columns.as_ref();
        columns
            .map_or_else(|| self.standard_row(case, texts), |columns| custom_row(case, columns, self.layout, texts))
    }

    fn standard_row(&self, case: &CaseRecord<'_>, texts: Texts<'_>) -> Result<Map<String, Value>, MissingText> {
        let mut row = Map::with_capacity(4 + self.matrix.len() + case.item.len() + self.fields.len());
        row.insert("id".to_owned(), json!(case.admitted.item));
        row.insert("repeat".to_owned(), json!(case.admitted.repeat));
        for (name, column) in &self.matrix {
            row.insert(column.clone(), case.admitted.matrix.get(*name).cloned().unwrap_or_default());
        }
        for (name, value) in case.item {
            if name == "id" && is_id(case, value) {
                continue;
            }
            let mut key = name.clone();
            while self.standard.contains(&key) || (key != *name && case.item.contains_key(&key)) {
                key.insert_str(0, "item.");
            }
            row.insert(key, value.clone());
        }
        for (step, field, column) in &self.fields {
            row.insert(column.clone(), field_value(case, step, field, texts)?);
        }
        row.insert("status".to_owned(), json!(status_word(case.status)));
        row.insert("error".to_owned(), error_value(case, self.layout));
        Ok(row)
    }
}

fn custom_row(
    case: &CaseRecord<'_>,
    columns: &[(String, Vec<String>)],
    layout: &Layout,
    texts: Texts<'_>,
) -> Result<Map<String, Value>, MissingText> {
    let mut row = Map::new();
    for (name, path) in columns {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let value = match path.as_slice() {
            ["id"] => json!(case.admitted.item),
            ["repeat"] => json!(case.admitted.repeat),
            ["matrix", name] => case.admitted.matrix.get(*name).cloned().unwrap_or_default(),
            ["status"] => json!(status_word(case.status)),
            ["error"] => error_value(case, layout),
            ["item", inner @ ..] => inside(case.item, inner),
            ["steps", step, field] => field_value(case, &StepName::from(*step), field, texts)?,
            _ => Value::Null,
        };
        row.insert(name.clone(), value);
    }
    Ok(row)
}

/// Returns the standard columns of a table without rows, of which nobody knows what their items have.
#[must_use]
pub fn standard_columns(layout: &Layout) -> Vec<String> {
    let mut names = standard_names(layout);
    // As in a row: what became of the case stands last.
    names[2..].rotate_left(2);
    names
}

fn standard_names(layout: &Layout) -> Vec<String> {
    let fixed = ["id", "repeat", "status", "error"].map(str::to_owned);
    let steps = layout.steps.iter();
    let fields = steps.flat_map(|(step, shape)| shape.fields().iter().map(move |field| format!("{step}.{field}")));
    let matrix = layout.matrix.iter().map(|name| format!("matrix.{name}"));
    fixed.into_iter().chain(matrix).chain(fields).collect()
}

fn is_id(case: &CaseRecord<'_>, value: &Value) -> bool {
    let id = case.admitted.item.as_str();
    match value {
        Value::String(text) => text == id,
        Value::Number(number) => number.to_string() == id,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

fn inside(item: &Map<String, Value>, path: &[&str]) -> Value {
    let Some((first, rest)) = path.split_first() else {
        return Value::Object(item.clone());
    };
    let deeper = |value: &Value, key: &&str| value.get(key).cloned();
    let found = item.get(*first).cloned();
    rest.iter().fold(found, |value, key| deeper(&value?, key)).unwrap_or(Value::Null)
}

fn field_value(case: &CaseRecord<'_>, step: &StepName, field: &str, texts: Texts<'_>) -> Result<Value, MissingText> {
    let Some(task) = case.task(step) else {
        return Ok(Value::Null);
    };
    if field == "status" {
        return Ok(json!(task_status_word(task.status)));
    }
    match &task.output {
        Some(TaskOutput::Each { elements }) if field == "keys" => {
            Ok(elements.iter().map(|element| json!(element.key)).collect())
        }
        Some(TaskOutput::Each { elements }) => {
            let fields = elements.iter().map(|element| output_field(step, element.output.as_ref(), field, texts));
            fields.collect::<Result<Vec<_>, _>>().map(Value::Array)
        }
        output => output_field(step, output.as_ref(), field, texts),
    }
}

fn output_field(
    step: &StepName,
    output: Option<&TaskOutput>,
    field: &str,
    texts: Texts<'_>,
) -> Result<Value, MissingText> {
    let text = |digest| text_of(texts, step, digest).map(|text| json!(&*text));
    match (output, field) {
        (Some(TaskOutput::Value { value }), "value") => {
            let text = text_of(texts, step, value)?;
            Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
        }
        (Some(TaskOutput::Assertion { passed }), "passed") => Ok(json!(passed)),
        (Some(TaskOutput::Chat { text: digest }), "text") => text(digest),
        (Some(TaskOutput::Chat { text: digest }), "json") => {
            Ok(json_in(&text_of(texts, step, digest)?).unwrap_or_default())
        }
        (Some(TaskOutput::Dialogue { turns, .. }), "transcript") => transcript(step, turns, texts).map(Value::from),
        (Some(TaskOutput::Dialogue { turns, .. }), "turns") => Ok(json!(turns.len())),
        (Some(TaskOutput::Dialogue { turns, .. }), "last") => {
            turns.last().map_or(Ok(Value::Null), |turn| text(&turn.text))
        }
        (Some(TaskOutput::Dialogue { stopped_by, .. }), "stopped_by") => Ok(json!(stopped_by)),
        (Some(TaskOutput::Judge(judgement)), "reason" | "json") => match judgement.votes.first() {
            None => Ok(Value::Null),
            Some(vote) => {
                let answer = text_of(texts, step, &vote.reason)?;
                let is_value = judgement.verdict == Verdict::Json;
                let value = json_in(&answer).filter(|_| is_value).unwrap_or_default();
                Ok(if field == "json" { value } else { json!(reason_in(&answer)) })
            }
        },
        (Some(TaskOutput::Judge(judgement)), field) => Ok(judge_field(judgement, field)),
        (Some(_) | None, _) => Ok(Value::Null),
    }
}

fn judge_field(judgement: &Judgement, field: &str) -> Value {
    match field {
        "choice" | "score" | "ranking" => value_of(&judgement.verdict),
        "votes" => judgement.votes.iter().map(|vote| value_of(&vote.verdict)).collect(),
        // Never asked both ways is not the same as never flipped.
        "flipped" if judgement.pairs > 0 => json!(judgement.flipped),
        _ => Value::Null,
    }
}

fn value_of(verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Choice(option) => json!(option),
        Verdict::Score(score) => number(*score),
        Verdict::Ranking(names) => json!(names),
        Verdict::Json | Verdict::Unscored(_) => Value::Null,
    }
}

/// Writes a dialogue as `name: text` with blank lines between.
fn transcript(step: &StepName, turns: &[Turn], texts: Texts<'_>) -> Result<String, MissingText> {
    let mut lines = Vec::with_capacity(turns.len());
    for turn in turns {
        lines.push(format!("{}: {}", turn.actor, text_of(texts, step, &turn.text)?));
    }
    Ok(lines.join("\n\n"))
}

fn error_value(case: &CaseRecord<'_>, layout: &Layout) -> Value {
    let in_order = layout.steps.iter().filter_map(|(step, _)| case.task(step));
    let mut reasons: Vec<(&TaskSettled, String)> = in_order.filter_map(|task| Some((task, reason(task)?))).collect();
    // What failed says more than what could not be counted.
    reasons.sort_by_key(|(task, _)| task.failure.is_none());
    reasons.into_iter().next().map_or(Value::Null, |(task, reason)| json!(format!("{}: {reason}", task.step)))
}

fn reason(task: &TaskSettled) -> Option<String> {
    if let Some(failure) = task.failure.as_ref().filter(|_| task.because.is_none()) {
        return Some(format!("{}: {}", failure.kind.word(), failure.detail));
    }
    match &task.output {
        Some(TaskOutput::Judge(Judgement { verdict: Verdict::Unscored(reason), .. })) => {
            Some(format!("unscored: {}", unscored_phrase(*reason)))
        }
        Some(_) | None => None,
    }
}
