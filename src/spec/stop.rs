//! When the whole run is over.

use schemars::JsonSchema;

use super::decode::{Decode, Fields, Place, wrong_type};
use super::node::{Kind, Node};
use super::{Count, Length, Literal, Money, Required, Setting, Share, Text, Tokens};
use crate::diag::{Diagnostic, Span, code};

/// The conditions of a run's stop.
const CONDITIONS: &[&str] = &["budget", "errors", "items", "expr", "decided", "any", "all", "not"];

/// What a budget counts.
const BUDGETS: &[&str] = &["tokens", "cost", "time"];

/// When the whole run is over: exactly one condition.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(extend("oneOf" = [
    {"required": ["budget"]}, {"required": ["errors"]}, {"required": ["items"]},
    {"required": ["expr"]}, {"required": ["decided"]},
    {"required": ["any"]}, {"required": ["all"]}, {"required": ["not"]},
]))]
pub struct RunStop {
    /// So much has been spent. Acts at once, exit code 6; `pipe resume` goes on with a greater one.
    #[schemars(extend("examples" = [{"tokens": "5M"}, {"cost": "2.50 USD", "time": "8h"}]))]
    pub budget: Option<RunBudget>,
    /// So many cases have failed. Acts at once, exit code 1; `pipe resume` goes on.
    #[schemars(extend("examples" = [{"fraction": "5%", "after": 50}, {"count": 10}]))]
    pub errors: Option<Errors>,
    /// So many items have been run, in the order of the input, each with all its repeats.
    #[schemars(extend("examples" = [{"n": 500}]))]
    pub items: Option<FirstItems>,
    /// An expression that holds for a case. Tested case by case in the order of admission: the first that fits ends
    /// the run, and what is admitted after it does not count. Exit code 0.
    #[schemars(extend("examples" = ["steps.verdict.choice == 'tie'", "steps.grade.score < 2"]))]
    pub expr: Option<Text>,
    /// The cases that are left cannot change which value is the most frequent one. Tested case by case in the order of
    /// admission; exit code 0.
    #[schemars(extend("examples" = [{"of": "steps.verdict.choice"}]))]
    pub decided: Option<Decided>,
    /// One of these holds.
    #[schemars(extend("minItems" = 1))]
    #[schemars(extend("examples" = [[{"budget": {"tokens": "5M"}}, {"errors": {"fraction": "5%"}}]]))]
    pub any: Option<Vec<RunStop>>,
    /// All of these hold.
    #[schemars(extend("minItems" = 1))]
    #[schemars(extend("examples" = [[{"budget": {"time": "1h"}}, {"errors": {"count": 3}}]]))]
    pub all: Option<Vec<RunStop>>,
    /// This does not hold; beside something that must hold, under `all`.
    #[schemars(extend("examples" = [{"errors": {"count": 3}}]))]
    pub not: Option<Box<RunStop>>,
    /// Where it is written.
    #[schemars(skip)]
    pub span: Span,
}

/// What a run may spend; what is reached first counts. Calls in flight are waited for and come on top.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(extend("anyOf" = [{"required": ["tokens"]}, {"required": ["cost"]}, {"required": ["time"]}]))]
pub struct RunBudget {
    /// Tokens of prompts and answers together, as servers count them; over all processes of the run.
    #[schemars(extend("examples" = ["5M"]))]
    pub tokens: Option<Setting<Tokens>>,
    /// What they cost, by `price` in the entries of `models`: each model that is asked needs one.
    #[schemars(extend("examples" = ["2.50 USD"]))]
    pub cost: Option<Setting<Money>>,
    /// Time during which a process works on the run.
    #[schemars(extend("examples" = ["8h"]))]
    pub time: Option<Setting<Length>>,
}

/// How many cases may fail: exactly one bound.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(extend("oneOf" = [{"required": ["count"]}, {"required": ["fraction"]}]))]
pub struct Errors {
    /// This many failed cases end the run.
    #[schemars(extend("examples" = [10]))]
    pub count: Option<Setting<Count>>,
    /// This share of failed cases among those settled ends the run.
    #[schemars(extend("examples" = ["5%"]))]
    pub fraction: Option<Setting<Share>>,
    /// The share is not looked at before so many cases are settled.
    #[schemars(extend("default" = 20))]
    #[schemars(extend("examples" = [50]))]
    pub after: Option<Setting<Count>>,
}

/// How many items are run.
#[derive(Clone, Debug, JsonSchema)]
pub struct FirstItems {
    /// So many, from the start of the input.
    #[schemars(extend("examples" = [500]))]
    pub n: Required<Setting<Count>>,
}

/// What is to be decided.
#[derive(Clone, Debug, JsonSchema)]
pub struct Decided {
    /// An expression over a case that is over; cases where it gives none are not counted. Under a matrix it must tell
    /// the cells apart: `steps.verdict.choice if matrix.lang == "en"`.
    #[schemars(extend("examples" = ["steps.verdict.choice"]))]
    pub of: Required<Text>,
}

impl Decode for Decided {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let decided = Self { of: fields.required("of", report) };
        fields.finish(report);
        Some(decided)
    }
}

/// How often each item is run: a number, or at most so often and when it is enough.
#[derive(Clone, Debug)]
pub enum Repeat {
    /// So often.
    Times(Setting<Count>),
    /// Until it is enough.
    Until(Box<RepeatUntil>),
}

/// How often each item is run at most, and when it is enough.
#[derive(Clone, Debug, JsonSchema)]
pub struct RepeatUntil {
    /// So often at most.
    #[schemars(extend("examples" = [50]))]
    pub max: Required<Setting<Count>>,
    /// When an item has been repeated enough, each by itself and in each cell of the matrix. Omitted: never before.
    #[schemars(extend("examples" = [{"decided": {"of": "steps.verdict.choice"}}]))]
    pub stop: Option<RepeatStop>,
}

/// When an item has been repeated enough: exactly one condition.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(extend("oneOf" = [
    {"required": ["expr"]}, {"required": ["decided"]},
    {"required": ["any"]}, {"required": ["all"]}, {"required": ["not"]},
]))]
pub struct RepeatStop {
    /// An expression that holds for a case: the first repeat that fits is the last that counts.
    #[schemars(extend("examples" = ["steps.verdict.choice == 'tie'", "steps.right.passed"]))]
    pub expr: Option<Text>,
    /// The repeats that are left cannot change which value is the most frequent one.
    #[schemars(extend("examples" = [{"of": "steps.verdict.choice"}]))]
    pub decided: Option<Decided>,
    /// One of these holds.
    #[schemars(extend("minItems" = 1))]
    #[schemars(extend("examples" = [[{"decided": {"of": "steps.verdict.choice"}}, {"expr": "steps.right.passed"}]]))]
    pub any: Option<Vec<RepeatStop>>,
    /// All of these hold.
    #[schemars(extend("minItems" = 1))]
    #[schemars(extend("examples" = [[{"expr": "repeat >= 3"}, {"expr": "steps.right.passed"}]]))]
    pub all: Option<Vec<RepeatStop>>,
    /// This does not hold.
    #[schemars(extend("examples" = [{"expr": "steps.right.passed"}]))]
    pub not: Option<Box<RepeatStop>>,
    /// Where it is written.
    #[schemars(skip)]
    pub span: Span,
}

/// The conditions of a stop of `repeat`.
const OF_REPEAT: &[&str] = &["expr", "decided", "any", "all", "not"];

impl Repeat {
    /// Returns how often at most.
    #[must_use]
    pub fn most(&self) -> Option<&Setting<Count>> {
        match self {
            Self::Times(times) => Some(times),
            Self::Until(until) => until.max.as_ref(),
        }
    }

    /// Returns when it is enough.
    #[must_use]
    pub fn stop(&self) -> Option<&RepeatStop> {
        match self {
            Self::Times(_) => None,
            Self::Until(until) => until.stop.as_ref(),
        }
    }
}

impl Decode for Repeat {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        match node.kind {
            Kind::Map(_) => RepeatUntil::decode(node, place, report).map(|until| Self::Until(Box::new(until))),
            Kind::Scalar(_) | Kind::List(_) | Kind::Invalid => Setting::decode(node, place, report).map(Self::Times),
        }
    }
}

impl Decode for RepeatUntil {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let until = Self { max: fields.required("max", report), stop: fields.optional("stop", report) };
        fields.finish(report);
        Some(until)
    }
}

impl Decode for RepeatStop {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let stop = Self {
            expr: fields.optional("expr", report),
            decided: fields.optional("decided", report),
            any: fields.optional("any", report),
            all: fields.optional("all", report),
            not: fields.optional("not", report),
            span: node.span.clone(),
        };
        fields.one_condition(OF_REPEAT, Some("{ decided: { of: steps.verdict.choice } }"), report);
        fields.finish(report);
        Some(stop)
    }
}

impl Decode for RunStop {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let stop = Self {
            budget: fields.optional("budget", report),
            errors: fields.optional("errors", report),
            items: fields.optional("items", report),
            expr: fields.optional("expr", report),
            decided: fields.optional("decided", report),
            any: fields.optional("any", report),
            all: fields.optional("all", report),
            not: fields.optional("not", report),
            span: node.span.clone(),
        };
        fields.one_condition(CONDITIONS, Some("{ budget: { tokens: 5M } }"), report);
        fields.finish(report);
        Some(stop)
    }
}

impl Decode for RunBudget {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let budget = Self {
            tokens: fields.optional("tokens", report),
            cost: fields.optional("cost", report),
            time: fields.optional("time", report),
        };
        if !BUDGETS.iter().any(|key| fields.has(key)) {
            let remedy = "write { tokens: 5M }, { cost: 2.50 USD } or { time: 8h }, or several of them";
            fields.one_of(BUDGETS, remedy, report);
        }
        fields.finish(report);
        Some(budget)
    }
}

impl Decode for Errors {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        if let Kind::Scalar(text) = &node.kind {
            let told = wrong_type(node, place, "a map with `count` or `fraction`");
            let written = text.value.trim();
            report.push(match text.literal() {
                Literal::Integer(_) => told.help(format!("write {{ count: {written} }}")),
                _ if written.ends_with('%') => told.help(format!("write {{ fraction: {written}, after: 50 }}")),
                _ => told.help("write { count: 3 }, or { fraction: 5%, after: 50 }"),
            });
            return None;
        }
        let mut fields = Fields::of(node, place, report)?;
        let errors = Self {
            count: fields.optional("count", report),
            fraction: fields.optional("fraction", report),
            after: fields.optional("after", report),
        };
        let remedy = "`count` is a number of cases, `fraction` a share such as 5%";
        fields.one_of(&["count", "fraction"], remedy, report);
        if fields.has("after") && fields.has("count") {
            report.push(
                Diagnostic::error(
                    code::EXACTLY_ONE,
                    format!("`after` of {} has no meaning beside `count`", place.what),
                )
                .at(&fields.span_of("after"), "it belongs to `fraction`")
                .at(&fields.span_of("count"), "a number of cases needs no start")
                .help("remove `after`, or write { fraction: 5%, after: 50 }"),
            );
        }
        fields.finish(report);
        Some(errors)
    }
}

impl Decode for FirstItems {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let items = Self { n: fields.required("n", report) };
        fields.finish(report);
        Some(items)
    }
}
