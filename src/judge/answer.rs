//! What stands in an answer: a JSON value, alone or in a code fence, and the reason beside a verdict.

use serde_json::Value;

/// Returns the JSON value that an answer is; none when it is anything else, or anything more.
#[must_use]
pub fn json_in(answer: &str) -> Option<Value> {
    serde_json::from_str(unfenced(answer.trim())).ok()
}

/// Returns why a judge says what it says: the field `reason` of a JSON object, or the words of an answer that is none.
#[must_use]
pub fn reason_in(answer: &str) -> Option<String> {
    match json_in(answer) {
        Some(Value::Object(object)) => object.get("reason").and_then(Value::as_str).map(str::to_owned),
        Some(_) => None,
        None => Some(answer.trim().to_owned()).filter(|words| !words.is_empty()),
    }
}

/// Takes the code fence off a text that is one.
pub(super) fn unfenced(text: &str) -> &str {
    let Some(rest) = text.strip_prefix("```") else { return text };
    let Some(inner) = rest.strip_suffix("```") else { return text };
    inner.strip_prefix("json").unwrap_or(inner).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_is_no_part_of_the_value() {
        assert_eq!(json_in("```json\n{\"a\": 1}\n```"), Some(serde_json::json!({ "a": 1 })));
        assert_eq!(json_in("Here: {\"a\": 1}"), None);
    }

    #[test]
    fn a_reason_is_a_field_or_the_words_themselves() {
        let check = |answer: &str, expected: Option<&str>| assert_eq!(reason_in(answer).as_deref(), expected);
        check(r#"{"reason": "It rhymes.", "choice": "a"}"#, Some("It rhymes."));
        check(r#"{"choice": "a"}"#, None);
        check(" I cannot tell. ", Some("I cannot tell."));
        check("", None);
    }
}
