//! What goes into a request beside the prompt and the usual options: headers, how much is thought, more of the body.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::decode::{Decode, Fields, Place, wrong_type};
use super::node::{Kind, Node, Spanned};
use super::words::one_of;
use super::{FromScalar, Literal, Refusal, Required, Setting, Text, Tokens};
use crate::base::FRAMING_HEADERS;
use crate::diag::{Diagnostic, code};

/// More headers of each request: names and values, in the file's order.
#[derive(Clone, Debug)]
pub struct Headers(pub Vec<(Spanned<String>, Text)>);

/// How much a model may think before it answers.
#[derive(Clone, Debug)]
pub enum Effort {
    /// In a word.
    Word(Setting<EffortWord>),
    /// In tokens.
    Budget(ThinkingBudget),
}

/// How much a model may think, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffortWord {
    /// Not at all.
    Off,
    /// Little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
}

/// How much a model may think, in tokens.
#[derive(Clone, Debug, JsonSchema)]
pub struct ThinkingBudget {
    /// The longest thought.
    #[schemars(extend("examples" = ["2k", 512]))]
    pub budget: Required<Setting<Tokens>>,
}

/// More fields of a request's body.
#[derive(Clone, Debug)]
pub struct ExtraBody(pub Vec<(Spanned<String>, Node)>);

/// Headers that hold a secret.
const SECRET: [&str; 5] = ["api-key", "authorization", "cookie", "proxy-authorization", "x-api-key"];

/// Fields of the body that are not the author's, with the reason and the remedy.
const OWNED: [(&str, &str); 4] = [
    ("model", "it is the `model` of the actor, or of its entry under `models`"),
    ("messages", "they are made of `system`, `prompt` and what was said before"),
    ("stream", "answers are streamed on a terminal; `limits.timeouts.first_token` streams them everywhere"),
    ("n", "each call asks for one answer; `repeat` runs the same more often"),
];

impl Decode for Headers {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let Kind::Map(entries) = &node.kind else {
            if !matches!(node.kind, Kind::Invalid) {
                let help = "write { X-Gateway-Team: lab, X-Api-Key: \"${GATEWAY_KEY}\" }";
                report.push(wrong_type(node, place, "a map from names to texts").help(help));
            }
            return None;
        };
        let mut headers: Vec<(Spanned<String>, Text)> = Vec::with_capacity(entries.len());
        for (name, value) in entries {
            let own = Place { what: format!("header `{}` of {}", name.value, place.owner()), at: name.span.clone() };
            if let Some(diagnostic) = refused_name(name, &own, &headers) {
                report.push(diagnostic);
                continue;
            }
            let Some(text) = Text::decode(value, &own, report) else { continue };
            check_value(name, &text, &own, report);
            headers.push((name.clone(), text));
        }
        Some(Self(headers))
    }
}

fn refused_name(name: &Spanned<String>, own: &Place, earlier: &[(Spanned<String>, Text)]) -> Option<Diagnostic> {
    let text = name.value.as_str();
    if text.is_empty() || !text.bytes().all(is_token) {
        let message = format!("{text:?} cannot be the name of a header");
        let label = "a name has letters, digits and the characters !#$%&'*+-.^_`|~";
        let help = "write it as the server's documentation does, such as X-Gateway-Team";
        return Some(Diagnostic::error(code::BAD_NAME, message).at(&name.span, label).help(help));
    }
    if FRAMING_HEADERS.contains(&text.to_ascii_lowercase().as_str()) {
        return Some(
            Diagnostic::error(code::UNKNOWN_KEY, format!("{} cannot be set", own.what))
                .at(&name.span, "it belongs to how the request is carried")
                .help("remove it"),
        );
    }
    let (first, _) = earlier.iter().find(|(other, _)| other.value.eq_ignore_ascii_case(text))?;
    Some(
        Diagnostic::error(code::DUPLICATE_KEY, format!("{} is there twice", own.what))
            .at(&name.span, "again here")
            .at(&first.span, "first here")
            .help("upper and lower case are the same in names of headers; keep one of them"),
    )
}

/// A byte that names of headers may have, by RFC 9110.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

fn check_value(name: &Spanned<String>, text: &Text, own: &Place, report: &mut Vec<Diagnostic>) {
    if text.value.contains("{{") {
        report.push(
            Diagnostic::error(code::NOT_ONE_REFERENCE, format!("{} is a template", own.what))
                .at(&text.span, "headers are the same in all requests")
                .help("write text, or ${NAME} from the environment"),
        );
    } else if SECRET.contains(&name.value.to_ascii_lowercase().as_str()) && !text.value.contains("${") {
        report.push(
            Diagnostic::warning(code::LITERAL_SECRET, format!("{} holds a secret", own.what))
                .at(&text.span, "this is in the file, where others read it")
                .help("write ${NAME} and set the variable, for instance \"Bearer ${GATEWAY_KEY}\""),
        );
    }
}

impl FromScalar for EffortWord {
    const EXPECTED: &'static str = "`off`, `low`, `medium`, `high`, or a map with `budget`";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        let words = [("off", Self::Off), ("low", Self::Low), ("medium", Self::Medium), ("high", Self::High)];
        let remedy = match literal {
            // What writes YAML for its version 1.1 makes this of a bare `off`.
            Literal::Bool(false) => return Ok(Self::Off),
            Literal::Bool(true) => "low, medium and high are how much; without the key it is as the server does",
            Literal::Integer(_) | Literal::Float(_) => "a number of tokens is written { budget: 2k }",
            Literal::Text(text) => match text.trim().to_lowercase().as_str() {
                "none" | "no" | "disabled" | "0" => "write off",
                "on" | "yes" | "enabled" | "auto" | "default" => {
                    "low, medium and high are how much; without the key it is as the server does"
                }
                "minimal" | "min" => "write low, or { budget: 500 }",
                "xhigh" | "max" | "maximum" => "write high, or { budget: 32k }",
                other if Tokens::from_scalar(&Literal::of_plain(other)).is_ok() => {
                    "a number of tokens is written { budget: 2k }"
                }
                _ => return one_of(literal, &words),
            },
            Literal::Null => return Err(Refusal::wrong_type(literal)),
        };
        let refusal = match literal {
            Literal::Text(text) => Refusal::out_of_range(format!("there is no `{}`", text.trim())),
            _ => Refusal { help: None, ..Refusal::wrong_type(literal) },
        };
        Err(refusal.help(remedy))
    }
}

impl Decode for Effort {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        match &node.kind {
            Kind::Invalid => None,
            Kind::Scalar(_) => Setting::decode(node, place, report).map(Self::Word),
            Kind::Map(_) => {
                let mut fields = Fields::of(node, place, report)?;
                let budget = ThinkingBudget { budget: fields.required("budget", report) };
                fields.finish(report);
                Some(Self::Budget(budget))
            }
            Kind::List(_) => {
                report.push(wrong_type(node, place, EffortWord::EXPECTED).help("write low, or { budget: 2k }"));
                None
            }
        }
    }
}

impl Decode for ExtraBody {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let Kind::Map(entries) = &node.kind else {
            if !matches!(node.kind, Kind::Invalid) {
                let help = "write for instance { top_k: 40 }: it goes into the request as it is";
                report.push(wrong_type(node, place, "a map of fields").help(help));
            }
            return None;
        };
        for (name, _) in entries {
            let Some((field, remedy)) = OWNED.iter().find(|(field, _)| *field == name.value) else { continue };
            report.push(
                Diagnostic::error(code::UNKNOWN_KEY, format!("{} cannot set `{field}`", place.what))
                    .at(&name.span, "this field is not for the file to set")
                    .help(*remedy),
            );
        }
        let is_free = |name: &Spanned<String>| OWNED.iter().all(|(field, _)| *field != name.value);
        Some(Self(entries.iter().filter(|(name, _)| is_free(name)).cloned().collect()))
    }
}

impl JsonSchema for Headers {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Headers".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let letter = |letter: char| match letter.is_ascii_alphabetic() {
            true => format!("[{}{letter}]", letter.to_ascii_uppercase()),
            false => letter.to_string(),
        };
        let framing: Vec<String> = FRAMING_HEADERS.iter().map(|name| name.chars().map(letter).collect()).collect();
        let framing = framing.join("|");
        json_schema!({
            "type": "object",
            "additionalProperties": { "type": "string", "pattern": r"\S", "not": { "pattern": r"\{\{" } },
            "propertyNames": { "pattern": format!("^(?!({framing})$)[A-Za-z0-9!#$%&'*+.^_`|~-]+$") },
        })
    }
}

impl JsonSchema for Effort {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Effort".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let word = generator.subschema_for::<Setting<EffortWord>>();
        let budget = generator.subschema_for::<ThinkingBudget>();
        json_schema!({ "anyOf": [word, budget] })
    }
}

impl JsonSchema for ExtraBody {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ExtraBody".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "propertyNames": { "not": { "enum": OWNED.map(|(field, _)| field) } } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn off_has_many_spellings_and_each_is_read_or_has_a_remedy() {
        let read = |text: &str| EffortWord::from_scalar(&Literal::of_plain(text)).map_err(|refusal| refusal.help);
        assert_eq!(read("off"), Ok(EffortWord::Off));
        assert_eq!(read("false"), Ok(EffortWord::Off));
        assert_eq!(read("none"), Err(Some("write off".to_owned())));
        assert_eq!(read("medium"), Ok(EffortWord::Medium));
        for text in ["true", "on", "2000", "2k", "minimal", "xhigh", "hihg"] {
            assert!(matches!(read(text), Err(Some(_))), "{text}");
        }
    }
}
