//! JSON Lines: one object a line.

use std::io::{BufRead, Read as _};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::{Map, Value};

use super::problem::{Wrong, no_text, other_encoding};
use super::{LONGEST_ROW, Numbered, Object};

/// A file with one JSON object a line. Memory: one line.
pub(super) struct Lines {
    input: Box<dyn BufRead>,
    line: u64,
}

impl Lines {
    pub(super) fn new(input: Box<dyn BufRead>) -> Self {
        Self { input, line: 0 }
    }

    /// Returns the number of the next line that is not blank, and what stands there.
    pub(super) fn next(&mut self) -> Option<Numbered> {
        loop {
            self.line += 1;
            let mut line = Vec::new();
            match self.input.by_ref().take(LONGEST_ROW).read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => return Some((self.line, Err(Wrong::unreadable(&error)))),
            }
            if line.len() as u64 == LONGEST_ROW && line.last() != Some(&b'\n') {
                let message = format!("the line is longer than {} MiB", LONGEST_ROW >> 20);
                let wrong = Wrong::row(message, "one JSON object a line; is this really JSON Lines?");
                let passed = self.pass_over();
                return Some((self.line, Err(passed.map_or_else(|error| Wrong::unreadable(&error), |()| wrong))));
            }
            if self.line == 1
                && let Some(wrong) = other_encoding(&line)
            {
                return Some((1, Err(wrong)));
            }
            let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line);
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            return Some((self.line, object(line)));
        }
    }

    /// Passes over the rest of a line.
    fn pass_over(&mut self) -> std::io::Result<()> {
        loop {
            let part = self.input.fill_buf()?;
            let (length, ends) = match part.iter().position(|byte| *byte == b'\n') {
                Some(place) => (place + 1, true),
                None => (part.len(), part.is_empty()),
            };
            self.input.consume(length);
            if ends {
                return Ok(());
            }
        }
    }
}

fn object(line: &[u8]) -> Result<Object, Wrong> {
    const HELP: &str = "one JSON object a line, such as {\"motion\": \"…\"}";
    if line.contains(&0) {
        return Err(Wrong::row("the line has NUL bytes: it is no text", HELP));
    }
    if let Some(wrong) = no_text(line) {
        return Err(wrong);
    }
    let mut deserializer = serde_json::Deserializer::from_slice(line);
    let read = Distinct::deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    match read {
        Ok(Distinct(Value::Object(object))) => Ok(object),
        Ok(Distinct(_)) => Err(Wrong::row("the line is JSON, but no object", HELP)),
        Err(error) => {
            let reason = error.to_string();
            let reason = reason.split(" at line ").next().unwrap_or_default();
            let wrong = match error.classify() {
                // Nothing else is asked of values than that their keys differ.
                Category::Data => Wrong::row(reason, "keep one of them: the row would not say which one counts"),
                Category::Io | Category::Syntax | Category::Eof => {
                    Wrong::row(format!("the line is no JSON: {reason}"), HELP)
                }
            };
            Err(Wrong { column: Some(error.column()), ..wrong })
        }
    }
}

/// A value whose objects have each key once: JSON leaves open which of two would count.
struct Distinct(Value);

impl<'de> Deserialize<'de> for Distinct {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DistinctVisitor).map(Self)
    }
}

struct DistinctVisitor;

impl<'de> Visitor<'de> for DistinctVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Distinct(value)) = values.next_element()? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(serde::de::Error::custom(format_args!("the key {key:?} stands twice")));
            }
            let Distinct(value) = entries.next_value()?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_read_as_they_stand_and_a_key_counts_once() {
        let check = |line: &str, expected: Result<Value, &str>| {
            let read = object(line.as_bytes()).map(Value::Object).map_err(|wrong| wrong.message);
            assert_eq!(read, expected.map_err(str::to_owned), "{line}");
        };
        let all = r#"{"n":-1,"u":18446744073709551615,"f":0.1,"t":"\u00e9","l":[true,null,{"a":{}}],"e":1e3}"#;
        check(all, Ok(serde_json::from_str(all).expect("JSON")));
        check(r#"{"b": 1, "a": 2}"#, Ok(json!({ "b": 1, "a": 2 })));
        check(r#"{"a": 1, "b": 2, "a": 1}"#, Err("the key \"a\" stands twice"));
        check(r#"{"a": [{"x": 1, "x": 2}]}"#, Err("the key \"x\" stands twice"));
        check(r#"{"a": 1} x"#, Err("the line is no JSON: trailing characters"));
        check("[1]", Err("the line is JSON, but no object"));
    }
}
