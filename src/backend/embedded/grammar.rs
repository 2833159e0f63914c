//! The grammar that leaves a model no answer but one of the options.
//! Reads: option names. Gives: the JSON objects and a GBNF grammar for exactly those. Never: sampling.
//! Start at [`ChoiceGrammar::new`].

/// The answers that a choice allows, and the grammar that allows nothing else.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ChoiceGrammar {
    /// Each option as the whole answer: `{"choice": "pro"}`.
    pub(super) objects: Vec<String>,
    /// GBNF text with the rule `root`.
    pub(super) gbnf: String,
}

impl ChoiceGrammar {
    /// Builds the grammar for `options`; none when there are no options.
    pub(super) fn new(options: &[String]) -> Option<Self> {
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
        expected.assert_eq(&ChoiceGrammar::new(&options).map_or("none".into(), |grammar| grammar.gbnf));
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
}
