//! The form of an answer: how it is asked for in words and as a schema, and how it is read.

use std::sync::Arc;

use serde_json::{Value, json};

use super::answer::{json_in, unfenced};
use super::{AnswerSchema, Scale, read_choice};
use crate::event::{FinishReason, Unscored, Verdict};

/// Longest complaint about an answer, in characters.
const COMPLAINT: usize = 300;

/// What a judge's answer must be.
#[derive(Clone, Debug)]
pub enum Form {
    /// One of these.
    Choice(Vec<String>),
    /// A number on this scale.
    Score(Scale),
    /// Each of these once, the best first.
    Ranking(Vec<String>),
    /// A value that matches this.
    Json(AnswerSchema),
}

/// What was read in an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// What counts.
    pub verdict: Verdict,
    /// What is wrong with the answer, for a model that is asked again; none when it has its form, or was cut.
    pub complaint: Option<String>,
}

impl Form {
    /// Says how to answer; with `explain` a reason comes before the verdict.
    #[must_use]
    pub fn instructions(&self, explain: bool) -> String {
        let (key, sign, what) = match self {
            Self::Choice(options) => ("choice", "X", format!("X is one of {}", quoted(options))),
            Self::Score(scale) => ("score", "N", format!("N is {}", scale.describe())),
            Self::Ranking(entries) => {
                ("ranking", "L", format!("L is a list of {} from the best to the worst, each once", quoted(entries)))
            }
            Self::Json(schema) => return schema.instructions(),
        };
        let legend = if let Self::Score(scale) = self { scale.legend() } else { String::new() };
        let (reason, why) = match explain {
            true => ("\"reason\": R, ", "R says why in one or two sentences and "),
            false => ("", ""),
        };
        format!(
            "Answer with one JSON object and nothing else: {{{reason}\"{key}\": {sign}}}, where {why}{what}.{legend}"
        )
    }

    /// Returns the JSON Schema of the answer; the reason stands first, so that it is not made up for a verdict.
    #[must_use]
    pub fn schema(&self, explain: bool) -> Arc<Value> {
        let (key, part) = match self {
            Self::Choice(options) => ("choice", json!({ "type": "string", "enum": options })),
            Self::Score(scale) => ("score", score_schema(scale)),
            Self::Ranking(entries) => {
                let each = json!({ "type": "string", "enum": entries });
                let count = entries.len();
                ("ranking", json!({ "type": "array", "items": each, "minItems": count, "maxItems": count }))
            }
            Self::Json(schema) => return schema.value(),
        };
        let (properties, required) = match explain {
            true => (json!({ "reason": { "type": "string" }, key: part }), json!(["reason", key])),
            false => (json!({ key: part }), json!([key])),
        };
        Arc::new(json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        }))
    }

    /// Reads an answer, strictly: what could mean two things means none.
    #[must_use]
    pub fn read(&self, answer: &str, finish: FinishReason) -> Reading {
        let verdict = match self {
            Self::Choice(options) => read_choice(answer, options, finish),
            Self::Score(scale) => read_score(answer, scale),
            Self::Ranking(entries) => read_ranking(answer, entries),
            Self::Json(schema) => match schema.check(answer) {
                Ok(()) => Verdict::Json,
                Err(complaint) => return unmatched(answer, finish, complaint),
            },
        };
        let Verdict::Unscored(reason) = verdict else { return Reading { verdict, complaint: None } };
        if finish == FinishReason::Length {
            return cut();
        }
        let wanted = match self {
            Self::Choice(options) => format!("one of {}", quoted(options)),
            Self::Score(scale) => scale.describe(),
            Self::Ranking(entries) => format!("a list of {}, each once", quoted(entries)),
            Self::Json(_) => "a value that matches the schema".to_owned(),
        };
        let complaint = format!("the answer is not {wanted}");
        Reading { verdict: Verdict::Unscored(reason), complaint: Some(bounded(&complaint)) }
    }
}

fn unmatched(answer: &str, finish: FinishReason, complaint: String) -> Reading {
    if finish == FinishReason::Length {
        return cut();
    }
    let reason = if json_in(answer).is_some() { Unscored::Mismatched } else { Unscored::Unreadable };
    Reading { verdict: Verdict::Unscored(reason), complaint: Some(complaint) }
}

/// An answer that was cut is not asked for again: it would be cut again.
const fn cut() -> Reading {
    Reading { verdict: Verdict::Unscored(Unscored::CutOff), complaint: None }
}

fn score_schema(scale: &Scale) -> Value {
    let values: Vec<Value> = scale.values().map(number).collect();
    let kind = if values.iter().all(Value::is_i64) { "integer" } else { "number" };
    if scale.is_short() {
        return json!({ "type": kind, "enum": values });
    }
    let (min, max, _) = scale.bounds();
    json!({ "type": kind, "minimum": number(min), "maximum": number(max) })
}

/// Writes a number as people do: a whole one without a point.
#[expect(clippy::cast_possible_truncation, reason = "checked to be whole, and below 2^53")]
#[must_use]
pub fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 { json!(value as i64) } else { json!(value) }
}

fn read_score(answer: &str, scale: &Scale) -> Verdict {
    let value = match json_in(answer) {
        Some(Value::Object(mut object)) => object.shift_remove("score"),
        Some(value) => Some(value),
        None => Some(Value::from(unfenced(answer.trim()))),
    };
    let number = match value {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => {
            let bare = text.trim_matches(|c: char| c.is_whitespace() || "\"'`*.".contains(c));
            match scale.named(bare) {
                Some(value) => Some(value),
                None => bare.parse().ok().filter(|number: &f64| number.is_finite()),
            }
        }
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => None,
    };
    match number.map(|number| scale.nearest(number)) {
        Some(Some(value)) => Verdict::Score(value),
        Some(None) => Verdict::Unscored(Unscored::OutOfRange),
        None => Verdict::Unscored(Unscored::Unreadable),
    }
}

fn read_ranking(answer: &str, entries: &[String]) -> Verdict {
    let unreadable = Verdict::Unscored(Unscored::Unreadable);
    let list = match json_in(answer) {
        Some(Value::Object(mut object)) => object.shift_remove("ranking"),
        list => list,
    };
    let Some(Value::Array(list)) = list else { return unreadable };
    let mut ranking: Vec<String> = Vec::with_capacity(entries.len());
    for value in &list {
        let folded = value.as_str().map(|text| text.trim().to_lowercase());
        let found = entries.iter().find(|entry| Some(entry.to_lowercase()) == folded);
        match found {
            Some(entry) if !ranking.contains(entry) => ranking.push(entry.clone()),
            Some(_) | None => return unreadable,
        }
    }
    if ranking.len() == entries.len() { Verdict::Ranking(ranking) } else { unreadable }
}

fn quoted(texts: &[String]) -> String {
    texts.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(", ")
}

/// Shortens a text to what an event may hold.
pub(super) fn bounded(text: &str) -> String {
    let line = text.replace(char::is_control, " ");
    match line.char_indices().nth(COMPLAINT) {
        Some((end, _)) => format!("{}…", &line[..line[..end].char_indices().last().map_or(0, |(last, _)| last)]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|&text| text.to_owned()).collect()
    }

    fn scale() -> Scale {
        let mut scale = Scale::new(1.0, 5.0, 1.0).expect("a scale");
        assert!(scale.name(1.0, "poor".into()) && scale.name(5.0, "excellent".into()));
        scale
    }

    fn check(form: &Form, answer: &str, expected: &str) {
        let Reading { verdict, complaint } = form.read(answer, FinishReason::Stop);
        let got = match &verdict {
            Verdict::Choice(option) => option.clone(),
            Verdict::Score(score) => score.to_string(),
            Verdict::Ranking(entries) => entries.join(">"),
            Verdict::Json => "matches".to_owned(),
            Verdict::Unscored(reason) => format!("{reason:?}"),
        };
        assert_eq!(got, expected, "{answer:?}");
        assert_eq!(complaint.is_some(), matches!(verdict, Verdict::Unscored(_)), "{answer:?}");
    }

    #[test]
    fn scores_are_numbers_of_the_scale_or_their_names() {
        let form = Form::Score(scale());
        check(&form, r#"{"score": 4}"#, "4");
        check(&form, r#"{"reason": "r", "score": 4.0}"#, "4");
        check(&form, "```json\n{\"score\": \"5\"}\n```", "5");
        check(&form, " 3. ", "3");
        check(&form, r#"{"score": "Excellent"}"#, "5");
        check(&form, r#"{"score": 6}"#, "OutOfRange");
        check(&form, r#"{"score": 3.5}"#, "OutOfRange");
        check(&form, r#"{"score": null}"#, "Unreadable");
        check(&form, "4 out of 5", "Unreadable");
        check(&form, "NaN", "Unreadable");
        check(&form, "I'm sorry, I cannot rate people.", "Unreadable");
        check(&form, "", "Unreadable");
    }

    #[test]
    fn rankings_hold_everything_once() {
        let form = Form::Ranking(texts(&["A", "B", "C"]));
        check(&form, r#"{"ranking": ["B", "a", "C"]}"#, "B>A>C");
        check(&form, r#"["C", "B", "A"]"#, "C>B>A");
        check(&form, r#"{"ranking": ["B", "A"]}"#, "Unreadable");
        check(&form, r#"{"ranking": ["B", "A", "A"]}"#, "Unreadable");
        check(&form, r#"{"ranking": ["B", "A", "C", "C"]}"#, "Unreadable");
        check(&form, "B, A, C", "Unreadable");
    }

    #[test]
    fn a_cut_answer_is_not_complained_about() {
        let reading = Form::Score(scale()).read("{\"reason\": \"It", FinishReason::Length);
        assert_eq!(reading, cut());
    }

    #[test]
    fn instructions_and_schema_say_the_same() {
        let form = Form::Score(scale());
        assert_eq!(
            form.instructions(true),
            "Answer with one JSON object and nothing else: {\"reason\": R, \"score\": N}, where R says why in one or \
             two sentences and N is a whole number from 1 to 5.\n1: poor\n5: excellent"
        );
        assert_eq!(
            form.schema(true).to_string(),
            r#"{"type":"object","properties":{"reason":{"type":"string"},"score":{"type":"integer","enum":[1,2,3,4,5]}},"required":["reason","score"],"additionalProperties":false}"#
        );
        let form = Form::Choice(texts(&["a", "b"]));
        assert_eq!(
            form.instructions(false),
            "Answer with one JSON object and nothing else: {\"choice\": X}, where X is one of \"a\", \"b\"."
        );
    }

    #[test]
    fn complaints_are_short_and_one_line() {
        assert_eq!(bounded("a\nb"), "a b");
        assert_eq!(bounded(&"ü".repeat(400)).chars().count(), 300);
    }
}
