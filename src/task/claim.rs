//! Whether a claim holds of a value; if not, what was expected and what there is.

use serde_json::Value;

use super::evaluate::{Scope, is_true};
use crate::event::Failure;
use crate::plan::Check;

/// Characters of a value in a message.
const SHOWN: usize = 120;

/// Checks a claim. None when it holds, else why it does not.
///
/// # Errors
/// Something that cannot be evaluated.
pub(super) fn check(scope: &mut Scope<'_>, check: &Check, value: &Value) -> Result<Option<String>, Failure> {
    let but = |holds: bool, expected: String| (!holds).then(|| format!("expected {expected}, got {}", shown(value)));
    Ok(match check {
        Check::Equals(operand) => {
            let wanted = scope.operand("equals", operand)?;
            but(are_equal(value, &wanted), shown(&wanted))
        }
        Check::Contains(operand) => {
            let wanted = scope.operand("contains", operand)?;
            but(contains(value, &wanted), format!("something with {} in it", shown(&wanted)))
        }
        Check::Matches(regex) => but(regex.is_match(&text_of(value)), format!("a match of /{regex}/")),
        Check::Within { of, by } => {
            let (of, by) = (scope.operand("of", of)?, scope.operand("by", by)?);
            let close = number_of(value).zip(number_of(&of)).zip(number_of(&by));
            // Between neighbouring numbers rounding must not decide: 0.3 is within 0.1 of 0.2.
            let holds = close.is_some_and(|((value, of), by)| {
                (value - of).abs() <= by + f64::EPSILON * 4.0 * (value.abs() + of.abs())
            });
            but(holds, format!("a number within {} of {}", bare(&by), bare(&of)))
        }
        Check::Schema(schema) => {
            schema.faults(value).map(|faults| format!("expected what the schema says: {faults}"))
        }
        Check::Expr(expression) => {
            scope.show(value);
            let holds = is_true(&scope.evaluate("expr", *expression)?);
            but(holds, format!("that `{}` holds", scope.source(*expression)))
        }
    })
}

/// Texts are compared without blanks around them, numbers by their value, also when they are written as text.
fn are_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::String(one), Value::String(other)) => one.trim() == other.trim(),
        (Value::Number(_), Value::Number(_) | Value::String(_)) | (Value::String(_), Value::Number(_)) => {
            number_of(one).zip(number_of(other)).is_some_and(|(one, other)| is_same(one, other))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| are_equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let same = |(key, value): (&String, &Value)| other.get(key).is_some_and(|other| are_equal(value, other));
            one.len() == other.len() && one.iter().all(same)
        }
        (Value::Bool(holds), Value::String(text)) | (Value::String(text), Value::Bool(holds)) => {
            text.trim() == if *holds { "true" } else { "false" }
        }
        (one, other) => one == other,
    }
}

#[expect(clippy::float_cmp, reason = "equal numbers are equal; nearness is what `within` is for")]
fn is_same(one: f64, other: f64) -> bool {
    one == other
}

fn contains(value: &Value, wanted: &Value) -> bool {
    match value {
        Value::Array(list) => list.iter().any(|element| are_equal(element, wanted)),
        Value::Object(map) => map.contains_key(text_of(wanted).trim()),
        Value::Null => false,
        Value::String(_) | Value::Number(_) | Value::Bool(_) => {
            let wanted = text_of(wanted);
            !wanted.is_empty() && text_of(value).contains(&*wanted)
        }
    }
}

fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn bare(value: &Value) -> String {
    number_of(value).map_or_else(|| shown(value), |number| number.to_string())
}

/// Writes a value for a message, cut where it is long.
pub(super) fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => "nothing".to_owned(),
        other => other.to_string(),
    };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_is_what_a_reader_takes_for_equal() {
        let check = |one: Value, other: Value, expected: bool| {
            assert_eq!(are_equal(&one, &other), expected, "{one} and {other}");
            assert_eq!(are_equal(&other, &one), expected, "{other} and {one}");
        };
        check(json!(" Paris\n"), json!("Paris"), true);
        check(json!("paris"), json!("Paris"), false);
        check(json!("42"), json!(42), true);
        check(json!(42.0), json!(42), true);
        check(json!("forty-two"), json!(42), false);
        check(json!("true"), json!(true), true);
        check(json!({"a": [1, "x "]}), json!({"a": [1.0, "x"]}), true);
        check(json!({"a": 1}), json!({"a": 1, "b": 2}), false);
        check(json!(null), json!(""), false);
    }

    #[test]
    fn containing_follows_the_type() {
        assert!(contains(&json!("I concede."), &json!("concede")));
        assert!(contains(&json!(["a", 2]), &json!("2")));
        assert!(contains(&json!({"a": 1}), &json!("a")));
        assert!(!contains(&json!({"b": "a"}), &json!("a")));
        assert!(!contains(&json!("text"), &json!("")), "an empty expectation is a mistake, not a pass");
        assert!(!contains(&Value::Null, &json!("null")));
    }
}
