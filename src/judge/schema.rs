//! The JSON Schema that an answer must match, compiled once.

use std::sync::Arc;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use super::answer::json_in;
use super::form::bounded;

/// Longest schema, as compact JSON, in bytes: it is sent with every question.
const LARGEST: usize = 64 << 10;
/// Most faults that a complaint tells.
const MOST_FAULTS: usize = 3;

/// A schema with its validator. Cheap to clone.
#[derive(Clone)]
pub struct AnswerSchema(Arc<Inner>);

struct Inner {
    value: Arc<Value>,
    validator: Validator,
}

/// Why a schema cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// It is too long.
    #[error("it has more than 64 KiB, and is sent with every question")]
    TooLarge,
    /// It points to another document.
    #[error("`$ref` may not leave the schema, and {0:?} does")]
    Remote(String),
    /// It is no JSON Schema.
    #[error("{0}")]
    Invalid(String),
}

impl AnswerSchema {
    /// Compiles a schema. Nothing is fetched, and patterns take linear time.
    ///
    /// # Errors
    /// It is none, too large, or points elsewhere.
    pub fn new(value: Value) -> Result<Self, SchemaError> {
        if value.to_string().len() > LARGEST {
            return Err(SchemaError::TooLarge);
        }
        if let Some(target) = remote(&value) {
            return Err(SchemaError::Remote(target.to_owned()));
        }
        let options = jsonschema::options().with_pattern_options(PatternOptions::regex());
        let validator = options.build(&value).map_err(|error| SchemaError::Invalid(bounded(&error.to_string())))?;
        Ok(Self(Arc::new(Inner { value: Arc::new(value), validator })))
    }

    /// Returns the schema as it is written.
    #[must_use]
    pub fn value(&self) -> Arc<Value> {
        Arc::clone(&self.0.value)
    }

    /// Says how to answer.
    #[must_use]
    pub fn instructions(&self) -> String {
        let what = if self.0.value.get("type") == Some(&Value::from("object")) { "object" } else { "value" };
        format!("Answer with one JSON {what} and nothing else. It must match this JSON Schema:\n{}", self.0.value)
    }

    /// Checks an answer.
    ///
    /// # Errors
    /// What does not match, in one line.
    pub fn check(&self, answer: &str) -> Result<(), String> {
        let Some(value) = json_in(answer) else {
            return Err("the answer is not JSON, or not JSON alone".to_owned());
        };
        self.faults_of(&value).map_or(Ok(()), Err)
    }

    /// Says what about a value does not match, in one line; none when it does. A text may match as it stands, or as the
    /// JSON that it is.
    #[must_use]
    pub fn faults(&self, value: &Value) -> Option<String> {
        let told = self.faults_of(value)?;
        let Value::String(text) = value else { return Some(told) };
        match json_in(text) {
            Some(inner) => self.faults_of(&inner),
            None => Some(told),
        }
    }

    fn faults_of(&self, value: &Value) -> Option<String> {
        let faults: Vec<String> = self.0.validator.iter_errors(value).take(MOST_FAULTS).map(fault).collect();
        (!faults.is_empty()).then(|| bounded(&faults.join("; ")))
    }
}

impl std::fmt::Debug for AnswerSchema {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("AnswerSchema").field(&self.0.value).finish()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "an iterator's items come by value")]
fn fault(error: jsonschema::ValidationError<'_>) -> String {
    let place = error.instance_path().to_string();
    if place.is_empty() { error.to_string() } else { format!("{place}: {error}") }
}

/// Returns a reference that leaves the document.
fn remote(value: &Value) -> Option<&str> {
    match value {
        Value::Object(object) => {
            let target = ["$ref", "$dynamicRef", "$recursiveRef"].iter().find_map(|key| object.get(*key)?.as_str());
            target.filter(|target| !target.starts_with('#')).or_else(|| object.values().find_map(remote))
        }
        Value::Array(values) => values.iter().find_map(remote),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(schema: Value, answer: &str, expected: Result<(), &str>) {
        let schema = AnswerSchema::new(schema).expect("a schema");
        assert_eq!(schema.check(answer), expected.map_err(str::to_owned), "{answer:?}");
    }

    #[test]
    fn an_answer_matches_or_is_told_why_not() {
        let schema = json!({
            "type": "object",
            "properties": { "skills": { "type": "array", "maxItems": 2 }, "years": { "type": "integer", "minimum": 0 } },
            "required": ["years"],
        });
        check(schema.clone(), r#"{"years": 3}"#, Ok(()));
        check(schema.clone(), "```json\n{\"years\": 3}\n```", Ok(()));
        check(schema.clone(), r#"{"years": "three"}"#, Err(r#"/years: "three" is not of type "integer""#));
        check(schema.clone(), r#"{"skills": []}"#, Err(r#""years" is a required property"#));
        check(schema, "three years", Err("the answer is not JSON, or not JSON alone"));
    }

    #[test]
    fn a_value_matches_as_it_stands_and_a_text_as_what_it_says() {
        let faults = |schema: Value, value: Value| AnswerSchema::new(schema).expect("a schema").faults(&value);
        let city = json!({ "type": "object", "required": ["city"] });
        assert_eq!(faults(city.clone(), json!({ "city": "Rome" })), None);
        assert_eq!(faults(city.clone(), json!(r#"{"city": "Rome"}"#)), None);
        assert_eq!(
            faults(city.clone(), json!(r#"{"town": "Rome"}"#)),
            Some(r#""city" is a required property"#.to_owned())
        );
        assert_eq!(faults(city.clone(), json!("Rome")), Some(r#""Rome" is not of type "object""#.to_owned()));
        assert_eq!(faults(city, json!(null)), Some(r#"null is not of type "object""#.to_owned()));
        assert_eq!(faults(json!({ "type": "string", "maxLength": 3 }), json!("{}")), None);
    }

    #[test]
    fn schemas_that_reach_out_or_are_none_are_refused() {
        let refused = |schema: Value| AnswerSchema::new(schema).expect_err("refused");
        let remote = "https://example.com/schema.json";
        let outside = json!({ "properties": { "a": { "$ref": remote } } });
        assert_eq!(refused(outside), SchemaError::Remote(remote.to_owned()));
        assert!(matches!(refused(json!({ "type": "text" })), SchemaError::Invalid(_)));
        assert!(matches!(refused(json!({ "$ref": "#/definitions/none" })), SchemaError::Invalid(_)));
        assert_eq!(refused(json!({ "enum": vec!["x"; 20_000] })), SchemaError::TooLarge);
        assert!(matches!(refused(json!({ "pattern": r"(a)\1" })), SchemaError::Invalid(_)));
    }

    #[test]
    fn a_schema_that_points_to_itself_ends() {
        let schema = json!({ "type": "object", "properties": { "next": { "$ref": "#" } } });
        check(schema, r#"{"next": {"next": {}}}"#, Ok(()));
    }
}
