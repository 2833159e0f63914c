//! One answer → one option, strictly: an answer that could mean two options means none.

use serde_json::Value;

use super::answer::unfenced;
use crate::event::{FinishReason, Unscored, Verdict};

/// Reads which option an answer names.
///
/// Understood are `{"choice": "x"}`, alone or in a code fence, and the bare option with quotes, stars or a full stop
/// around it. Case does not count. Anything else is unscored: a default would be an invented measurement.
#[must_use]
pub fn read_choice(answer: &str, options: &[String], finish: FinishReason) -> Verdict {
    let body = unfenced(answer.trim());
    let named = match serde_json::from_str::<Value>(body) {
        Ok(Value::Object(object)) => object.get("choice").and_then(Value::as_str).map(str::to_owned),
        Ok(Value::String(text)) => Some(text),
        Ok(_) => None,
        Err(_) => Some(body.to_owned()),
    };
    let found = named.and_then(|named| {
        let bare = named.trim_matches(|c: char| c.is_whitespace() || "\"'`*.".contains(c)).to_lowercase();
        options.iter().find(|option| option.to_lowercase() == bare)
    });
    match found {
        Some(option) => Verdict::Choice(option.clone()),
        None if finish == FinishReason::Length => Verdict::Unscored(Unscored::CutOff),
        None => Verdict::Unscored(Unscored::Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: &str, expected: &str) {
        let options = ["pro", "con", "tie"].map(str::to_owned);
        let got = match read_choice(answer, &options, FinishReason::Stop) {
            Verdict::Choice(option) => option,
            Verdict::Unscored(reason) => format!("{reason:?}"),
            other => panic!("bug: a choice was read as {other:?}"),
        };
        assert_eq!(got, expected, "{answer:?}");
    }

    #[test]
    fn reads_what_is_plain_and_nothing_else() {
        check(r#"{"choice": "con"}"#, "con");
        check("```json\n{\"choice\":\"PRO\"}\n```", "pro");
        check(" **Tie**. ", "tie");
        check("I think pro was better than con", "Unreadable");
        check(r#"{"choice": "maybe"}"#, "Unreadable");
        check(r#"{"choice": 1}"#, "Unreadable");
        check("[]", "Unreadable");
        check("", "Unreadable");
    }

    #[test]
    fn a_cut_answer_says_so() {
        let options = ["a", "b"].map(str::to_owned);
        assert_eq!(read_choice("{\"cho", &options, FinishReason::Length), Verdict::Unscored(Unscored::CutOff));
    }
}
