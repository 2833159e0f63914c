//! What is seen in a case that is over, for a condition on evidence.

use serde_json::Value;

use super::Texts;
use super::blind::Labels;
use super::compose::Models;
use super::context::context;
use super::evaluate::{hash_of, is_short, is_true};
use crate::event::Observation;
use crate::plan::{Ground, Observed, Plan};

/// Most of what is told of a condition that cannot be looked at, in characters: it stands in the event of each case.
const LONGEST_REASON: usize = 200;

/// Finds what the run's condition on evidence looks at in a case, in the order of [`crate::plan::Evidence::observed`].
#[must_use]
pub fn observe(plan: &Plan, ground: &Ground, models: Models<'_>, texts: Texts<'_>) -> Vec<Option<Observation>> {
    let Some(evidence) = plan.looked_at() else { return Vec::new() };
    let data = context(plan, ground, None, models, &Labels::none(), texts);
    let unclear = |observed: &Observed, why: String| {
        let text = format!("`{}`: {why}", plan.templates.expression(observed.expr).trim());
        Some(Observation::Unclear(text.replace('\n', " ").chars().take(LONGEST_REASON).collect()))
    };
    let see = |observed: &Observed| match &data {
        Err(error) => unclear(observed, error.to_string()),
        Ok(data) => match plan.templates.evaluate(observed.expr, data) {
            Err(error) => unclear(observed, error.to_string()),
            Ok(value) if observed.is_claim => Some(Observation::Truth(is_true(&value))),
            Ok(value) => seen(&value),
        },
    };
    evidence.observed.iter().map(see).collect()
}

fn seen(value: &Value) -> Option<Observation> {
    let label =
        |text: &str, whole: &Value| Observation::Label(if is_short(text) { text.to_owned() } else { hash_of(whole) });
    Some(match value {
        Value::Null => return None,
        Value::Bool(holds) => Observation::Truth(*holds),
        Value::Number(number) => Observation::Number(number.as_f64()?),
        Value::String(text) => label(text, value),
        Value::Array(_) | Value::Object(_) => label(&value.to_string(), value),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_seen_as_what_can_be_counted() {
        assert_eq!(seen(&json!(null)), None);
        assert_eq!(seen(&json!(false)), Some(Observation::Truth(false)));
        assert_eq!(seen(&json!(3)), Some(Observation::Number(3.0)));
        assert_eq!(seen(&json!("pro")), Some(Observation::Label("pro".to_owned())));
        assert_eq!(seen(&json!(["a", 1])), Some(Observation::Label("[\"a\",1]".to_owned())));
        let Some(Observation::Label(long)) = seen(&json!("x".repeat(70))) else { panic!("it has a name") };
        assert_eq!(long.len(), 12);
    }
}
