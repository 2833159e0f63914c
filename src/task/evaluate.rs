//! What is found out without a model: conditions, lists of elements, values, claims.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::Texts;
use super::blind::Labels;
use super::claim;
use super::compose::Models;
use super::context::context;
use crate::base::{Digest, EachKey};
use crate::event::{Element, Evaluation, Failure, FailureKind, TaskOutput};
use crate::plan::{ForEach, Ground, Operand, Plan, StepKind};
use crate::prompt::ExpressionId;

/// Elements of one `for_each` list: each is at least a line in the journal, and calls as a rule.
pub const MOST_ELEMENTS: usize = 1_000;
/// A longer text is known by its hash: a key stands in every line about its element.
const LONGEST_KEY: usize = 64;

/// What was found out, and the texts that its digests stand for.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// For the engine.
    pub evaluation: Evaluation,
    /// For the journal.
    pub texts: Vec<(Digest, Arc<str>)>,
}

/// Finds out whether a step is to be done in a case, and for which elements.
#[must_use]
pub fn open(plan: &Plan, ground: &Ground, models: Models<'_>, texts: Texts<'_>) -> Found {
    found(opened(plan, ground, models, texts))
}

/// Does the work of a step that needs no model.
///
/// # Panics
/// The step needs one: a bug of the caller.
#[must_use]
pub fn work(plan: &Plan, ground: &Ground, models: Models<'_>, texts: Texts<'_>) -> Found {
    found(worked(plan, ground, models, texts))
}

type Finding = Result<(Evaluation, Vec<(Digest, Arc<str>)>), Failure>;

fn found(finding: Finding) -> Found {
    let (evaluation, texts) = finding.unwrap_or_else(|failure| (Evaluation::Failed(failure), Vec::new()));
    Found { evaluation, texts }
}

fn opened(plan: &Plan, ground: &Ground, models: Models<'_>, texts: Texts<'_>) -> Finding {
    let scope = Scope::of(plan, ground, models, texts)?;
    let course = &plan.step(ground.step).course;
    if let Some(when) = course.when
        && !is_true(&scope.evaluate("when", when)?)
    {
        return Ok((Evaluation::Opened { holds: false, each: None }, Vec::new()));
    }
    let list = match &course.for_each {
        None => return Ok((Evaluation::Opened { holds: true, each: None }, Vec::new())),
        Some(ForEach::Given(list)) => list.clone(),
        Some(ForEach::Found(expression)) => match scope.evaluate("for_each", *expression)? {
            Value::Array(list) => list,
            other => {
                let what =
                    format!("`for_each` of step `{}` gives {}, not a list", scope.name(), claim::shown(&other));
                return Err(render(&what));
            }
        },
    };
    if list.len() > MOST_ELEMENTS {
        let what = format!(
            "`for_each` of step `{}` gives {} elements; at most {MOST_ELEMENTS} are done (slice it: list[:100])",
            scope.name(),
            list.len()
        );
        return Err(render(&what));
    }
    let mut keys = BTreeSet::new();
    let mut elements = Vec::with_capacity(list.len());
    let mut kept = Vec::with_capacity(list.len());
    for element in &list {
        let (value, text) = keep(element);
        elements.push(Element { key: distinct(&key_of(element), &mut keys), value });
        kept.push((value, text));
    }
    Ok((Evaluation::Opened { holds: true, each: Some(elements) }, kept))
}

fn worked(plan: &Plan, ground: &Ground, models: Models<'_>, texts: Texts<'_>) -> Finding {
    let mut scope = Scope::of(plan, ground, models, texts)?;
    match &plan.step(ground.step).kind {
        StepKind::Transform(transform) => {
            let (value, text) = keep(&scope.evaluate("expr", transform.expr)?);
            Ok((Evaluation::Done(TaskOutput::Value { value }), vec![(value, text)]))
        }
        StepKind::Assert(assert) => {
            let value = scope.operand("value", &assert.value)?;
            match claim::check(&mut scope, &assert.check, &value)? {
                None => Ok((Evaluation::Done(TaskOutput::Assertion { passed: true }), Vec::new())),
                Some(why) => Err(Failure::new(FailureKind::Assertion, cut(&why))),
            }
        }
        StepKind::Chat(_) | StepKind::Dialogue(_) | StepKind::Judge(_) => {
            panic!("bug: step `{}` needs a model", scope.name())
        }
    }
}

/// What an expression of one task sees.
pub(super) struct Scope<'a> {
    plan: &'a Plan,
    ground: &'a Ground,
    data: Value,
}

impl<'a> Scope<'a> {
    fn of(plan: &'a Plan, ground: &'a Ground, models: Models<'_>, texts: Texts<'_>) -> Result<Self, Failure> {
        let data = context(plan, ground, None, models, &Labels::none(), texts);
        let data = data.map_err(|error| render(&error.to_string()))?;
        Ok(Self { plan, ground, data })
    }

    fn name(&self) -> &str {
        self.plan.step(self.ground.step).name.as_str()
    }

    /// Lets expressions see the value that is looked at.
    pub(super) fn show(&mut self, value: &Value) {
        self.data["value"] = value.clone();
    }

    /// Returns the source of an expression.
    pub(super) fn source(&self, expression: ExpressionId) -> &str {
        self.plan.templates.expression(expression)
    }

    pub(super) fn evaluate(&self, what: &str, expression: ExpressionId) -> Result<Value, Failure> {
        self.plan.templates.evaluate(expression, &self.data).map_err(|error| self.refuse(what, &error))
    }

    pub(super) fn operand(&self, what: &str, operand: &Operand) -> Result<Value, Failure> {
        match operand {
            Operand::Literal(value) => Ok(value.clone()),
            Operand::Expression(expression) => self.evaluate(what, *expression),
            Operand::Text(template) => {
                let text = self.plan.templates.render(*template, &self.data);
                text.map(Value::String).map_err(|error| self.refuse(what, &error))
            }
        }
    }

    fn refuse(&self, what: &str, error: &crate::prompt::RenderError) -> Failure {
        render(&format!("`{what}` of step `{}`: {error}", self.name()))
    }
}

fn render(detail: &str) -> Failure {
    Failure::new(FailureKind::Render, cut(detail))
}

/// Keeps a failure's detail as short as it must be (`event/failure.rs`).
fn cut(detail: &str) -> String {
    detail.replace('\n', " ").chars().take(400).collect()
}

/// Returns what a condition makes of a value: as `if` in a template does.
pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(holds) => *holds,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

fn keep(value: &Value) -> (Digest, Arc<str>) {
    let text: Arc<str> = Arc::from(value.to_string());
    (Digest::of(text.as_bytes()), text)
}

/// Returns what an element is known by: itself, what its map names it, or the hash of its content.
fn key_of(element: &Value) -> String {
    let hash = || hash_of(element);
    let short = is_short;
    match element {
        Value::String(text) if short(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) | Value::Null => element.to_string(),
        Value::Object(map) => {
            let named = ["id", "name", "key"].into_iter().find_map(|field| match map.get(field)? {
                Value::String(text) if short(text) => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                Value::String(_) | Value::Bool(_) | Value::Null | Value::Array(_) | Value::Object(_) => None,
            });
            named.unwrap_or_else(hash)
        }
        Value::String(_) | Value::Array(_) => hash(),
    }
}

/// Returns true when a text can stand for itself.
pub(super) fn is_short(text: &str) -> bool {
    text.chars().count() <= LONGEST_KEY && !text.contains(char::is_control)
}

/// Returns a short name for a long value.
pub(super) fn hash_of(value: &Value) -> String {
    Digest::of(value.to_string().as_bytes()).to_string().chars().take(12).collect()
}

/// Gives equal keys `#2`, `#3`, …
fn distinct(key: &str, taken: &mut BTreeSet<String>) -> EachKey {
    let mut candidate = key.to_owned();
    let mut number = 1;
    while !taken.insert(candidate.clone()) {
        number += 1;
        candidate = format!("{key}#{number}");
    }
    EachKey::from(candidate)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_content_and_never_positions() {
        let list = json!(["a", "a", 3, true, { "id": 7, "x": 1 }, { "name": "n" }, ["x"], "a#2", "y".repeat(65)]);
        let mut taken = BTreeSet::new();
        let keys: Vec<String> = list
            .as_array()
            .expect("a list")
            .iter()
            .map(|element| distinct(&key_of(element), &mut taken).to_string())
            .collect();
        assert_eq!(keys[..6], ["a", "a#2", "3", "true", "7", "n"]);
        assert_eq!((keys[6].len(), &*keys[7], keys[8].len()), (12, "a#2#2", 12));
    }
}
