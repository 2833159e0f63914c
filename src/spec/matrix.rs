//! `matrix`: every combination of some values, as in CI.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::decode::{Decode, Fields, Place, wrong_type};
use super::node::{Kind, Node, Spanned};
use super::{Literal, Required};
use crate::diag::{Diagnostic, code};

/// Every combination of some values.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// What varies, in the file's order: the first slowest.
    pub axes: Vec<(Spanned<String>, Axis)>,
    /// Values added to combinations, or combinations of their own.
    pub include: Vec<Combination>,
    /// Combinations left out.
    pub exclude: Vec<Combination>,
    /// Where it is written.
    pub key: Spanned<()>,
}

/// Values by what varies.
#[derive(Clone, Debug)]
pub struct Combination {
    /// In the file's order.
    pub values: Vec<(Spanned<String>, Node)>,
    /// Where it is written.
    pub at: Spanned<()>,
}

/// One thing that varies.
#[derive(Clone, Debug)]
pub struct Axis {
    /// The place of the file that takes the value; none when templates read it.
    pub set: Option<Spanned<String>>,
    /// Its values.
    pub to: Vec<Node>,
}

/// Values that a place of the file takes, one after the other.
#[derive(Clone, Debug, JsonSchema)]
pub(super) struct Replacement {
    /// The place of the file that takes the values: a key under `models`, `actors` or `steps`, with dots between them.
    #[schemars(extend("examples" = ["models.small.model", "actors.writer.temperature"]))]
    pub(super) set: Required<Spanned<String>>,
    /// The values.
    #[schemars(extend("minItems" = 1))]
    #[schemars(extend("examples" = [["llama3.2", "qwen2.5:7b"], [0, 0.7]]))]
    pub(super) to: Required<Vec<Node>>,
}

impl Matrix {
    /// Returns the names of all values that cells may have, in the file's order.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.axes.iter().map(|(name, _)| name.value.as_str()).collect();
        for (name, _) in self.include.iter().flat_map(|combination| &combination.values) {
            if !names.contains(&name.value.as_str()) {
                names.push(&name.value);
            }
        }
        names
    }
}

impl Decode for Node {
    fn decode(node: &Node, _: &Place, _: &mut Vec<Diagnostic>) -> Option<Self> {
        Some(node.clone())
    }
}

impl Decode for Matrix {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let Kind::Map(entries) = &node.kind else {
            if !matches!(node.kind, Kind::Invalid) {
                report.push(
                    wrong_type(node, place, "a map of what varies")
                        .help("write `matrix: { model: { set: models.small.model, to: [a, b] } }`"),
                );
            }
            return None;
        };
        let mut matrix = Self {
            axes: Vec::new(),
            include: Vec::new(),
            exclude: Vec::new(),
            key: Spanned::new((), place.at.clone()),
        };
        for (name, value) in entries {
            let own = |what: String| Place { what, at: name.span.clone() };
            match name.value.as_str() {
                "include" => {
                    matrix.include =
                        Vec::decode(value, &own("`include` of `matrix`".to_owned()), report).unwrap_or_default();
                }
                "exclude" => {
                    matrix.exclude =
                        Vec::decode(value, &own("`exclude` of `matrix`".to_owned()), report).unwrap_or_default();
                }
                key if key.starts_with("x-") => {}
                key => {
                    check_name(name, report);
                    let place = own(format!("`{key}` of `matrix`"));
                    if let Some(axis) = axis(value, &place, report) {
                        matrix.axes.push((name.clone(), axis));
                    }
                }
            }
        }
        if matrix.axes.is_empty() && matrix.include.is_empty() && entries.is_empty() {
            report.push(
                Diagnostic::error(code::BAD_LIST, "`matrix` is empty")
                    .at(&place.at, "nothing varies")
                    .help("write `lang: [en, de]`, or remove `matrix`"),
            );
        }
        Some(matrix)
    }
}

fn check_name(name: &Spanned<String>, report: &mut Vec<Diagnostic>) {
    let text = name.value.as_str();
    let first = |first: char| first.is_ascii_alphabetic() || first == '_';
    let letters = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if text.len() > 64 || !text.starts_with(first) || !text.chars().all(letters) {
        report.push(
            Diagnostic::error(code::BAD_NAME, format!("{text:?} cannot be the name of what varies"))
                .at(&name.span, "a name has at most 64 letters, digits and `_`, and starts with a letter")
                .help("templates read it as `matrix.NAME`"),
        );
    }
}

fn axis(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Axis> {
    let axis = match &node.kind {
        Kind::List(values) => Axis { set: None, to: values.clone() },
        Kind::Map(_) => {
            let mut fields = Fields::of(node, place, report)?;
            let both = Replacement { set: fields.required("set", report), to: fields.required("to", report) };
            fields.finish(report);
            Axis { set: Some(both.set.0?), to: both.to.0? }
        }
        Kind::Scalar(_) => {
            report.push(
                wrong_type(node, place, "a list of values, or a map of `set` and `to`").help("write [one, other]"),
            );
            return None;
        }
        Kind::Invalid => return None,
    };
    if axis.to.is_empty() {
        report.push(
            Diagnostic::error(code::BAD_LIST, format!("{} has no values", place.what))
                .at(&place.at, "there would be no combination at all"),
        );
    }
    for value in &axis.to {
        check_value(value, axis.set.is_some(), place, report);
    }
    Some(axis)
}

/// What templates read is a scalar; what replaces a part of the file may be a map or a list.
fn check_value(value: &Node, replaces: bool, place: &Place, report: &mut Vec<Diagnostic>) {
    let fits = match &value.kind {
        Kind::Scalar(text) => text.literal() != Literal::Null,
        Kind::List(_) | Kind::Map(_) => replaces,
        Kind::Invalid => true,
    };
    if !fits {
        let each = Place { what: format!("each value of {}", place.what), at: value.span.clone() };
        report.push(wrong_type(value, &each, "text, a number, true or false"));
    }
}

impl Decode for Combination {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        match &node.kind {
            Kind::Map(entries) if !entries.is_empty() => {
                Some(Self { values: entries.clone(), at: Spanned::new((), node.span.clone()) })
            }
            Kind::Invalid => None,
            Kind::Map(_) | Kind::Scalar(_) | Kind::List(_) => {
                report.push(wrong_type(node, place, "a map from what varies to a value").help("write { lang: de }"));
                None
            }
        }
    }
}

impl JsonSchema for Matrix {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Matrix".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let axis = generator.subschema_for::<Replacement>();
        let combinations = json_schema!({ "type": "array", "items": { "type": "object", "minProperties": 1 } });
        let scalar = json_schema!({ "type": ["string", "number", "boolean"] });
        json_schema!({
            "type": "object",
            "minProperties": 1,
            "patternProperties": { "^x-": true, "^(include|exclude)$": combinations },
            "additionalProperties": { "anyOf": [{ "type": "array", "minItems": 1, "items": scalar }, axis] },
            "propertyNames": { "anyOf": [{ "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,63}$" }, { "pattern": "^x-" }] },
        })
    }
}

impl JsonSchema for Node {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AnyValue".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean", "array", "object"] })
    }
}
