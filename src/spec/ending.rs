//! When a dialogue is over.

use schemars::JsonSchema;

use super::decode::{Decode, Fields, Place};
use super::node::{Node, Spanned};
use super::steps::distinct;
use super::{Count, Required, Setting, Share, Text, Tokens};
use crate::diag::{Diagnostic, Span};

/// The conditions of a stop.
const CONDITIONS: &[&str] =
    &["rounds", "turns", "says", "agree", "unchanged", "looping", "judge_says", "budget", "any", "all", "not"];

/// When a dialogue is over: exactly one condition.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(extend("oneOf" = [
    {"required": ["rounds"]}, {"required": ["turns"]}, {"required": ["says"]}, {"required": ["agree"]},
    {"required": ["unchanged"]}, {"required": ["looping"]}, {"required": ["judge_says"]}, {"required": ["budget"]},
    {"required": ["any"]}, {"required": ["all"]}, {"required": ["not"]},
]))]
pub struct Stop {
    /// So many turns of each actor have been taken.
    #[schemars(extend("examples" = [3, "{{ params.rounds }}"]))]
    pub rounds: Option<Setting<Count>>,
    /// So many turns have been taken.
    #[schemars(extend("examples" = [6]))]
    pub turns: Option<Setting<Count>>,
    /// The latest turn matches a pattern.
    #[schemars(extend("examples" = [{"actor": "con", "pattern": "(?i)i concede"}]))]
    pub says: Option<Says>,
    /// What a pattern finds in the latest turn of each actor is the same.
    #[schemars(extend("examples" = [{"pattern": "(?i)answer: *(\\w+)"}]))]
    pub agree: Option<Agree>,
    /// An actor says what it said before.
    #[schemars(extend("examples" = [{"pattern": "(?i)answer: *(\\w+)", "window": 2}]))]
    pub unchanged: Option<Unchanged>,
    /// An actor says nearly what it said before.
    #[schemars(extend("examples" = [{"similarity": 0.9, "window": 2}]))]
    pub looping: Option<Looping>,
    /// An actor, asked after each round, says so. An answer that is none of the options stops nothing.
    #[schemars(extend("examples" = [{"actor": "referee", "question": "Is all said?\n{{ transcript }}", "choose": ["over", "open"], "on": "over"}]))]
    pub judge_says: Option<JudgeSays>,
    /// So much has been spent on the dialogue, on questions of `judge_says`, too.
    #[schemars(extend("examples" = [{"tokens": "20k"}]))]
    pub budget: Option<Budget>,
    /// One of these holds.
    #[schemars(extend("minItems" = 1))]
    #[schemars(extend("examples" = [[{"rounds": 10}, {"says": {"pattern": "(?i)i concede"}}]]))]
    pub any: Option<Vec<Stop>>,
    /// All of these hold.
    #[schemars(extend("minItems" = 1))]
    #[schemars(extend("examples" = [[{"rounds": 2}, {"turns": 5}]]))]
    pub all: Option<Vec<Stop>>,
    /// This does not hold.
    #[schemars(extend("examples" = [{"says": {"pattern": "because"}}]))]
    pub not: Option<Box<Stop>>,
    /// Where it is written.
    #[schemars(skip)]
    pub span: Span,
}

/// What the latest turn is searched for.
#[derive(Clone, Debug, JsonSchema)]
pub struct Says {
    /// Whose turns: one of the dialogue's actors. Omitted: anybody's.
    #[schemars(extend("examples" = ["con"]))]
    pub actor: Option<Spanned<String>>,
    /// A regular expression.
    #[schemars(example = &"(?i)i concede")]
    pub pattern: Required<Text>,
}

/// What all actors must say alike.
#[derive(Clone, Debug, JsonSchema)]
pub struct Agree {
    /// A regular expression. Its first group counts, or all that it matches when it has none; capitals and blanks do
    /// not.
    #[schemars(example = &"(?i)answer: *(\\w+)")]
    pub pattern: Required<Text>,
}

/// What an actor must repeat.
#[derive(Clone, Debug, JsonSchema)]
pub struct Unchanged {
    /// A regular expression. Its first group counts, or all that it matches when it has none; capitals and blanks do
    /// not. Omitted: the whole turn counts.
    #[schemars(example = &"(?i)answer: *(\\w+)")]
    pub pattern: Option<Text>,
    /// With how many of the actor's turns before the latest it must agree.
    #[schemars(extend("default" = 1))]
    #[schemars(extend("examples" = [2]))]
    pub window: Option<Setting<Count>>,
}

/// How alike two turns of an actor must be.
#[derive(Clone, Debug, JsonSchema)]
pub struct Looping {
    /// The share of three-word sequences that two turns have in common, of those in either (Jaccard).
    #[schemars(extend("examples" = [0.9, "90%"]))]
    pub similarity: Required<Setting<Share>>,
    /// With how many of the actor's turns before the latest it is compared; one that is alike is enough.
    #[schemars(extend("default" = 1))]
    #[schemars(extend("examples" = [2]))]
    pub window: Option<Setting<Count>>,
}

/// What an actor is asked after each round. Conditions are looked at as they are listed: one that cannot change anything
/// any more is not asked.
#[derive(Clone, Debug, JsonSchema)]
pub struct JudgeSays {
    /// Who is asked: a name from `actors`, a speaker or another one.
    #[schemars(extend("examples" = ["referee"]))]
    pub actor: Required<Spanned<String>>,
    /// What is asked: a template that also reads `transcript`, `turns` and `last` of the talk so far. How to answer is
    /// added to it.
    #[schemars(example = &"Is all said?\n{{ transcript }}")]
    pub question: Required<Text>,
    /// At least two options, one of which is the answer.
    #[schemars(extend("minItems" = 2, "uniqueItems" = true))]
    #[schemars(extend("examples" = [["over", "open"]]))]
    pub choose: Required<Vec<Spanned<String>>>,
    /// The option that ends the dialogue.
    #[schemars(extend("examples" = ["over"]))]
    pub on: Required<Spanned<String>>,
}

/// What a dialogue may spend.
#[derive(Clone, Debug, JsonSchema)]
pub struct Budget {
    /// Tokens of prompts and answers together, as the server counts them; at four bytes a token of the answers where
    /// it does not.
    #[schemars(extend("examples" = ["20k"]))]
    pub tokens: Required<Setting<Tokens>>,
}

impl Stop {
    /// Adds every `judge_says` in it.
    pub fn judges<'a>(&'a self, found: &mut Vec<&'a JudgeSays>) {
        found.extend(&self.judge_says);
        let lists = self.any.iter().chain(&self.all).flatten();
        lists.chain(self.not.as_deref()).for_each(|stop| stop.judges(found));
    }
}

impl Decode for Stop {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let stop = Self {
            rounds: fields.optional("rounds", report),
            turns: fields.optional("turns", report),
            says: fields.optional("says", report),
            agree: fields.optional("agree", report),
            unchanged: fields.optional("unchanged", report),
            looping: fields.optional("looping", report),
            judge_says: fields.optional("judge_says", report),
            budget: fields.optional("budget", report),
            any: fields.optional("any", report),
            all: fields.optional("all", report),
            not: fields.optional("not", report),
            span: node.span.clone(),
        };
        fields.one_condition(CONDITIONS, None, report);
        fields.finish(report);
        Some(stop)
    }
}

impl Decode for Says {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let says = Self { actor: fields.optional("actor", report), pattern: fields.required("pattern", report) };
        fields.finish(report);
        Some(says)
    }
}

impl Decode for Agree {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let agree = Self { pattern: fields.required("pattern", report) };
        fields.finish(report);
        Some(agree)
    }
}

impl Decode for Unchanged {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let unchanged =
            Self { pattern: fields.optional("pattern", report), window: fields.optional("window", report) };
        fields.finish(report);
        Some(unchanged)
    }
}

impl Decode for Looping {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let looping =
            Self { similarity: fields.required("similarity", report), window: fields.optional("window", report) };
        fields.finish(report);
        Some(looping)
    }
}

impl Decode for JudgeSays {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let judge = Self {
            actor: fields.required("actor", report),
            question: fields.required("question", report),
            choose: fields.required("choose", report),
            on: fields.required("on", report),
        };
        if let Some(options) = judge.choose.as_ref() {
            let place = fields.place_of("choose", &fields.span_of("choose"));
            distinct(options, fields.length_of("choose"), &place, report);
        }
        fields.finish(report);
        Some(judge)
    }
}

impl Decode for Budget {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let budget = Self { tokens: fields.required("tokens", report) };
        fields.finish(report);
        Some(budget)
    }
}
