//! Work without a model, and what stands around a step's work.

use schemars::JsonSchema;

use super::decode::{Decode, Fields, Place, wrong_type};
use super::node::{Kind, Node};
use super::{Required, SchemaSource, Text};
use crate::diag::{Diagnostic, code};

/// Any value that JSON has; texts in it may be templates where the key says so.
#[derive(Clone, Debug)]
pub struct AnyValue(pub Node);

/// A value from an expression, without a model.
#[derive(Clone, Debug, JsonSchema)]
pub struct Transform {
    /// A bare expression: what stands inside of `{{ }}` elsewhere.
    #[schemars(example = &"steps.answers.text | length")]
    pub expr: Required<Text>,
}

/// A claim that must hold, without a model. Where it does not, the step fails with what was expected and what there is.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(extend("oneOf" = [
    {"required": ["equals"]}, {"required": ["contains"]}, {"required": ["matches"]}, {"required": ["within"]},
    {"required": ["schema"]}, {"required": ["expr"]},
]))]
pub struct Assert {
    /// What is looked at: a template; one whole `{{ … }}` keeps its type.
    #[schemars(extend("examples" = ["{{ steps.answer.text }}"]))]
    pub value: Required<AnyValue>,
    /// It is this: a literal or a template. Blanks around texts do not count, and "42" is 42.
    #[schemars(extend("examples" = ["{{ item.expected }}", 42]))]
    pub equals: Option<AnyValue>,
    /// It has this in it: a text a piece, a list an element, a map a key.
    #[schemars(extend("examples" = ["{{ item.keyword }}"]))]
    pub contains: Option<AnyValue>,
    /// A regular expression that its text matches.
    #[schemars(extend("examples" = ["(?i)^yes"]))]
    pub matches: Option<Text>,
    /// It is a number near another.
    #[schemars(extend("examples" = [{"of": "{{ item.expected }}", "by": 0.5}]))]
    pub within: Option<Within>,
    /// A JSON Schema that it matches, or `file://` and the path of one. A text that is JSON may match as what it says.
    #[schemars(extend("examples" = [{"type": "object", "required": ["city"]}, "file://answer.schema.json"]))]
    pub schema: Option<SchemaSource>,
    /// A bare expression that holds; it sees what is looked at as `value`.
    #[schemars(extend("examples" = ["value | length < 280"]))]
    pub expr: Option<Text>,
}

/// A number near another.
#[derive(Clone, Debug, JsonSchema)]
pub struct Within {
    /// The other: a number, or one whole `{{ … }}`.
    #[schemars(extend("examples" = [42, "{{ item.expected }}"]))]
    pub of: Required<AnyValue>,
    /// How far from it at most: a number, or one whole `{{ … }}`.
    #[schemars(extend("examples" = [0.5]))]
    pub by: Required<AnyValue>,
}

/// What a step is done for: an expression that gives a list, or the list itself.
#[derive(Clone, Debug)]
pub enum ForEach {
    /// A bare expression.
    Expression(Text),
    /// Written out.
    List(Vec<Node>),
}

/// What a failure of a step does.
#[derive(Clone, Debug)]
pub enum OnError {
    /// The case fails.
    Fail,
    /// The step counts as skipped.
    Skip,
    /// The step counts as done with this.
    Default(AnyValue),
}

impl Decode for AnyValue {
    fn decode(node: &Node, _: &Place, _: &mut Vec<Diagnostic>) -> Option<Self> {
        (!matches!(node.kind, Kind::Invalid)).then(|| Self(node.clone()))
    }
}

impl Decode for Transform {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let transform = Self { expr: fields.required("expr", report) };
        fields.finish(report);
        Some(transform)
    }
}

/// What must hold of a value.
const CHECKS: &[&str] = &["equals", "contains", "matches", "within", "schema", "expr"];

impl Decode for Assert {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let assert = Self {
            value: fields.required("value", report),
            equals: fields.optional("equals", report),
            contains: fields.optional("contains", report),
            matches: fields.optional("matches", report),
            within: fields.optional("within", report),
            schema: fields.optional("schema", report),
            expr: fields.optional("expr", report),
        };
        fields.one_of(CHECKS, "two claims are two steps, or one `expr` with `and`", report);
        fields.finish(report);
        Some(assert)
    }
}

impl Decode for Within {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let within = Self { of: fields.required("of", report), by: fields.required("by", report) };
        fields.finish(report);
        Some(within)
    }
}

impl Decode for ForEach {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        match &node.kind {
            Kind::List(list) => Some(Self::List(list.clone())),
            Kind::Scalar(_) => Text::decode(node, place, report).map(Self::Expression),
            Kind::Invalid => None,
            Kind::Map(_) => {
                report.push(
                    wrong_type(node, place, "a list or an expression that gives one")
                        .help("write [a, b], or item.sections, or steps.<step>.json.parts"),
                );
                None
            }
        }
    }
}

impl Decode for OnError {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        const EXPECTED: &str = "`fail`, `skip` or a map with `default`";
        match &node.kind {
            Kind::Invalid => None,
            Kind::Scalar(text) => match text.value.as_str() {
                "fail" => Some(Self::Fail),
                "skip" => Some(Self::Skip),
                other => {
                    report.push(
                        Diagnostic::error(code::OUT_OF_RANGE, format!("{} must be {EXPECTED}", place.what))
                            .at(&node.span, format!("this is {other:?}"))
                            .help("fail: the case fails; skip: it goes on without; { default: … }: it goes on with that"),
                    );
                    None
                }
            },
            Kind::Map(_) => {
                let mut fields = Fields::of(node, place, report)?;
                let default: Required<AnyValue> = fields.required("default", report);
                fields.finish(report);
                default.0.map(Self::Default)
            }
            Kind::List(_) => {
                report.push(wrong_type(node, place, EXPECTED));
                None
            }
        }
    }
}
