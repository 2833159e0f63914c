//! A value that a simulated model answers where a JSON Schema is asked for.

use serde_json::{Map, Value, json};

use super::answer::{identity, user_text};
use super::choice;
use super::draw::Draw;
use super::text;
use crate::backend::port::ChatRequest;

/// How deep a value goes; schemas may point to themselves, and are not followed then.
const DEEPEST: usize = 8;
/// Most entries of a list that the schema does not bound.
const MOST_ENTRIES: usize = 3;

/// Writes a value for a schema: of the right types, from its enumerations and within its bounds; patterns, references
/// and combinations are not followed.
pub(super) fn write(schema: &Value, request: &ChatRequest) -> Value {
    let mut writer = Writer { request, draw: Draw::new(identity(request)) };
    writer.value(schema, 0)
}

struct Writer<'a> {
    request: &'a ChatRequest,
    draw: Draw,
}

impl Writer<'_> {
    fn value(&mut self, schema: &Value, depth: usize) -> Value {
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        if let Some(values) = schema["enum"].as_array().filter(|values| !values.is_empty()) {
            return self.one_of(values);
        }
        let kind = match &schema["type"] {
            Value::String(kind) => kind.as_str(),
            Value::Array(kinds) => kinds.first().and_then(Value::as_str).unwrap_or_default(),
            _ if schema.get("properties").is_some() => "object",
            _ => "string",
        };
        match kind {
            "object" if depth < DEEPEST => self.object(schema, depth),
            "array" if depth < DEEPEST => self.array(schema, depth),
            "integer" => json!(self.whole(schema)),
            "number" => self.fraction(schema),
            "boolean" => json!(self.draw.below(2) == 1),
            "string" => json!(self.sentence(schema)),
            // `null`, and what is too deep.
            _ => Value::Null,
        }
    }

    /// Chooses among texts as a judge does, so that a verdict beside its reason is the one without.
    fn one_of(&mut self, values: &[Value]) -> Value {
        let texts: Option<Vec<String>> = values.iter().map(|value| value.as_str().map(str::to_owned)).collect();
        match texts {
            Some(texts) => json!(choice::choose(self.request, &texts)),
            None => values[self.draw.below(values.len())].clone(),
        }
    }

    fn object(&mut self, schema: &Value, depth: usize) -> Value {
        let mut object = Map::new();
        for (name, part) in schema["properties"].as_object().into_iter().flatten() {
            object.insert(name.clone(), self.value(part, depth + 1));
        }
        Value::Object(object)
    }

    fn array(&mut self, schema: &Value, depth: usize) -> Value {
        let bound = |key: &str| schema[key].as_u64().and_then(|bound| usize::try_from(bound).ok());
        let least = bound("minItems").unwrap_or(1);
        let most = bound("maxItems").unwrap_or(least.max(MOST_ENTRIES)).max(least);
        let count = least + self.draw.below(most - least + 1);
        let part = &schema["items"];
        // A list of each of a few, as in a ranking.
        if let Some(values) = part["enum"].as_array().filter(|values| values.len() == count) {
            let mut left = values.clone();
            return (0..count).map(|_| left.remove(self.draw.below(left.len()))).collect();
        }
        (0..count).map(|_| self.value(part, depth + 1)).collect()
    }

    fn whole(&mut self, schema: &Value) -> i64 {
        let least = schema["minimum"].as_i64().unwrap_or(0);
        let most = schema["maximum"].as_i64().unwrap_or(least.saturating_add(100)).max(least);
        let width = usize::try_from(most.saturating_sub(least)).unwrap_or(100).saturating_add(1);
        least.saturating_add(i64::try_from(self.draw.below(width)).unwrap_or(0))
    }

    fn fraction(&mut self, schema: &Value) -> Value {
        let least = schema["minimum"].as_f64().unwrap_or(0.0);
        let most = schema["maximum"].as_f64().unwrap_or(least + 1.0).max(least);
        let hundredths = u32::try_from(self.draw.below(101)).unwrap_or(0);
        json!(least + (most - least) * f64::from(hundredths) / 100.0)
    }

    fn sentence(&mut self, schema: &Value) -> String {
        let words = text::write(&user_text(self.request), &mut self.draw);
        let sentence = words.split_inclusive('.').next().unwrap_or_default().trim();
        let most = schema["maxLength"].as_u64().and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
        sentence.chars().take(most).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::backend::port::{CallLimits, Format};
    use crate::prompt::{Message, Role};

    fn check(schema: &Value) {
        let second = Duration::from_secs(1);
        let validator = jsonschema::validator_for(schema).expect("a schema");
        for seed in 0..50 {
            let request = ChatRequest {
                model: "sim".into(),
                messages: vec![Message { role: Role::User, content: "Rate trams and buses.".into() }],
                temperature: None,
                top_p: None,
                max_tokens: None,
                stop: vec![],
                seed,
                format: Format::Json(schema.clone().into()),
                stream: false,
                reasoning: None,
                extra: std::sync::Arc::default(),
                lacks: crate::event::Features::NONE,
                trace: None,
                limits: CallLimits { connect: second, first_token: second, idle: second },
            };
            let value = write(schema, &request);
            assert!(validator.is_valid(&value), "{schema}: {value}");
            assert_eq!(value, write(schema, &request));
        }
    }

    #[test]
    fn values_match_their_schema() {
        check(&json!({ "type": "object", "required": ["score", "why", "skills"], "properties": {
            "score": { "type": "integer", "minimum": 1, "maximum": 5 },
            "why": { "type": "string", "maxLength": 40 },
            "share": { "type": "number", "minimum": 0, "maximum": 1 },
            "sure": { "type": "boolean" },
            "skills": { "type": "array", "items": { "type": "string" }, "maxItems": 4 },
        }}));
        let order = json!({ "type": "string", "enum": ["A", "B", "C"] });
        check(&json!({ "type": "array", "items": order, "minItems": 3, "maxItems": 3, "uniqueItems": true }));
        check(&json!({ "enum": [1, 2, 3] }));
    }
}
