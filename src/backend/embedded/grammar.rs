//! The grammar that leaves a model no answer but one of the options, or a value that matches a schema.
//! Reads: option names, schemas. Gives: a GBNF grammar and when an answer is whole. Never: sampling.
//! Start at [`AnswerGrammar::choice`] and [`AnswerGrammar::json`].

use serde_json::Value;

/// A grammar, and what it allows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AnswerGrammar {
    /// Each option as the whole answer: `{"choice": "pro"}`; none when any value of a schema will do.
    pub(super) objects: Vec<String>,
    /// GBNF text with the rule `root`.
    pub(super) gbnf: String,
}

impl AnswerGrammar {
    /// Builds the grammar for `options`; none when there are no options.
    pub(super) fn choice(options: &[String]) -> Option<Self> {
        if options.is_empty() {
            return None;
        }
        let objects: Vec<String> = options
            .iter()
            .map(|option| format!("{{\"choice\": {}}}", serde_json::Value::from(option.as_str())))
            .collect();
        let alternatives: Vec<String> = objects.iter().map(|object| terminal(object)).collect();
        Some(Self { gbnf: format!("root ::= {}\n", alternatives.join(" | ")), objects })
    }

    /// Takes the grammar that llama.cpp makes of a schema.
    pub(super) const fn json(gbnf: String) -> Self {
        Self { gbnf, objects: Vec::new() }
    }

    /// Tells whether nothing can follow a text.
    pub(super) fn is_whole(&self, text: &str) -> bool {
        if !self.objects.is_empty() {
            return self.objects.iter().any(|object| object == text);
        }
        // A number could go on; objects and lists end with their bracket.
        text.ends_with(['}', ']']) && serde_json::from_str::<Value>(text).is_ok()
    }
}

/// Returns the texts that a schema prescribes: the vocabulary must be able to write each of them.
pub(super) fn prescribed(schema: &Value) -> Vec<String> {
    let mut texts = Vec::new();
    let values = schema["enum"].as_array().into_iter().flatten().chain(schema.get("const"));
    texts.extend(values.map(Value::to_string));
    for (key, inner) in schema.as_object().into_iter().flatten() {
        match (key.as_str(), inner) {
            ("properties", Value::Object(properties)) => {
                for (name, part) in properties {
                    texts.push(Value::from(name.as_str()).to_string());
                    texts.extend(prescribed(part));
                }
            }
            (_, Value::Object(_)) => texts.extend(prescribed(inner)),
            (_, Value::Array(parts)) => texts.extend(parts.iter().flat_map(prescribed)),
            _ => {}
        }
    }
    texts
}

/// Writes a text as a GBNF terminal.
///
/// GBNF knows `\"`, `\\`, `\n`, `\r`, `\t`, `\[`, `\]`, `\xHH` and reads everything else as it stands. JSON has already
/// escaped control characters, so only quotes and backslashes are left.
fn terminal(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 8);
    quoted.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "an expectation is written in place")]
    fn check(options: &[&str], expected: Expect) {
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        expected.assert_eq(&AnswerGrammar::choice(&options).map_or("none".into(), |grammar| grammar.gbnf));
    }

    #[test]
    fn options_become_whole_objects() {
        check(&[], expect!["none"]);
        check(
            &["pro", "con"],
            expect![[r#"
                root ::= "{\"choice\": \"pro\"}" | "{\"choice\": \"con\"}"
            "#]],
        );
    }

    #[test]
    fn an_option_cannot_leave_its_string() {
        check(
            &[r#"a"b"#, r"c\d", "e\nf", "ü"],
            expect![[r#"
                root ::= "{\"choice\": \"a\\\"b\"}" | "{\"choice\": \"c\\\\d\"}" | "{\"choice\": \"e\\nf\"}" | "{\"choice\": \"ü\"}"
            "#]],
        );
    }

    #[test]
    fn what_a_schema_prescribes_is_found() {
        let schema = serde_json::json!({
            "type": "object",
            "properties": { "a": { "enum": ["x", 1] }, "b": { "items": { "properties": { "c": { "const": true } } } } },
        });
        assert_eq!(prescribed(&schema), ["\"a\"", "\"x\"", "1", "\"b\"", "\"c\"", "true"]);
    }

    #[test]
    fn a_value_is_whole_at_its_last_bracket() {
        let grammar = AnswerGrammar::json(String::new());
        let check = |text: &str, expected| assert_eq!(grammar.is_whole(text), expected, "{text}");
        check("{\"a\": {}", false);
        check("{\"a\": {}}", true);
        check("12", false);
    }
}
