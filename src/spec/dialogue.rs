//! Dialogues: who opens, how much each sees, and when it is over.

use schemars::JsonSchema;

use super::decode::{Decode, Fields, Place};
use super::node::{Kind, Node, Spanned};
use super::steps::distinct;
use super::{Count, FromScalar, Literal, Refusal, Required, Setting, Share, Text, Tokens};
use crate::diag::{Diagnostic, Span, code};

/// The conditions of a stop.
const CONDITIONS: &[&str] =
    &["rounds", "turns", "says", "agree", "unchanged", "looping", "budget", "any", "all", "not"];

/// Several actors in turns.
#[derive(Clone, Debug, JsonSchema)]
pub struct Dialogue {
    /// Who speaks, in turn: at least two names from `actors`.
    #[schemars(extend("minItems" = 2, "uniqueItems" = true))]
    #[schemars(extend("examples" = [["pro", "con"]]))]
    pub actors: Required<Vec<Spanned<String>>>,
    /// A message that all see first: a template.
    #[schemars(example = &"The motion: {{ item.motion }}")]
    pub opening: Required<Text>,
    /// When it is over, tested after each turn. `rounds`, `turns` or `budget` must bound it.
    #[schemars(extend("examples" = [{"rounds": 3}, {"any": [{"rounds": 10}, {"says": {"pattern": "(?i)i concede"}}]}]))]
    pub stop: Required<Stop>,
    /// Who speaks when: `round_robin` as listed, `random` with a new order each round, or `opens: rotate`, as listed
    /// but beginning with the next actor in each repeat.
    #[schemars(extend("default" = "round_robin"))]
    #[schemars(extend("examples" = ["random", {"opens": "rotate"}]))]
    pub order: Option<Order>,
    /// How much of the talk each actor sees. System prompt and opening stay, the oldest turns go. Omitted: all of it.
    #[schemars(extend("examples" = [{"last": 40}, {"tokens": "12k"}]))]
    pub history: Option<History>,
}

/// Who speaks when.
#[derive(Clone, Debug)]
pub enum Order {
    /// One word.
    Word(Setting<OrderWord>),
    /// Who opens.
    Opens(Opens),
}

/// `round_robin` or `random`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderWord {
    /// As listed.
    RoundRobin,
    /// A new order each round.
    Random,
}

/// Who opens.
#[derive(Clone, Debug, JsonSchema)]
pub struct Opens {
    /// `rotate`: each repeat begins with the next actor.
    #[schemars(extend("examples" = ["rotate"]))]
    pub opens: Required<Setting<OpensWord>>,
}

/// `rotate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpensWord;

/// How much of the talk each actor sees: exactly one bound.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(extend("oneOf" = [{"required": ["last"]}, {"required": ["tokens"]}]))]
pub struct History {
    /// The latest turns, so many.
    #[schemars(extend("examples" = [40]))]
    pub last: Option<Setting<Count>>,
    /// The latest turns that together have so many tokens, at four bytes a token; the latest one always.
    #[schemars(extend("examples" = ["12k"]))]
    pub tokens: Option<Setting<Tokens>>,
}

/// When a dialogue is over: exactly one condition.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(extend("oneOf" = [
    {"required": ["rounds"]}, {"required": ["turns"]}, {"required": ["says"]}, {"required": ["agree"]},
    {"required": ["unchanged"]}, {"required": ["looping"]}, {"required": ["budget"]},
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
    /// So much has been spent on the dialogue.
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

/// What a dialogue may spend.
#[derive(Clone, Debug, JsonSchema)]
pub struct Budget {
    /// Tokens of prompts and answers together, as the server counts them; at four bytes a token of the answers where
    /// it does not.
    #[schemars(extend("examples" = ["20k"]))]
    pub tokens: Required<Setting<Tokens>>,
}

impl Decode for Dialogue {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let dialogue = Self {
            actors: fields.required("actors", report),
            opening: fields.required("opening", report),
            stop: fields.required("stop", report),
            order: fields.optional("order", report),
            history: fields.optional("history", report),
        };
        if let Some(actors) = dialogue.actors.as_ref() {
            let place = fields.place_of("actors", &fields.span_of("actors"));
            distinct(actors, fields.length_of("actors"), &place, report);
        }
        fields.finish(report);
        Some(dialogue)
    }
}

impl Decode for Order {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        match node.kind {
            Kind::Map(_) => Opens::decode(node, place, report).map(Self::Opens),
            Kind::Scalar(_) | Kind::List(_) | Kind::Invalid => Setting::decode(node, place, report).map(Self::Word),
        }
    }
}

impl FromScalar for OrderWord {
    const EXPECTED: &'static str = "round_robin, random or { opens: rotate }";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        match literal {
            Literal::Text(text) if text == "round_robin" => Ok(Self::RoundRobin),
            Literal::Text(text) if text == "random" => Ok(Self::Random),
            Literal::Text(text) if text == "rotate" => {
                Err(Refusal::out_of_range("who opens may rotate").help("write order: { opens: rotate }"))
            }
            Literal::Text(text) => Err(Refusal::out_of_range(format!("{text:?} is none of them"))),
            literal => Err(Refusal::not_text(literal)),
        }
    }
}

impl Decode for Opens {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let opens = Self { opens: fields.required("opens", report) };
        fields.finish(report);
        Some(opens)
    }
}

impl FromScalar for OpensWord {
    const EXPECTED: &'static str = "rotate";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        match literal {
            Literal::Text(text) if text == "rotate" => Ok(Self),
            literal => Err(Refusal::out_of_range(format!("this is {}", literal.show()))
                .help("the first of `actors` opens anyway, unless it rotates")),
        }
    }
}

impl Decode for History {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        fields.exactly_one(&["last", "tokens"], "`last` counts turns, `tokens` what they are long", report);
        let history = Self { last: fields.optional("last", report), tokens: fields.optional("tokens", report) };
        fields.finish(report);
        Some(history)
    }
}

impl Decode for Stop {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        if CONDITIONS.iter().any(|key| fields.has(key)) || !fields.has_unknown(CONDITIONS) {
            fields.exactly_one(CONDITIONS, "several conditions go under `any` (one is enough) or `all`", report);
        }
        let stop = Self {
            rounds: fields.optional("rounds", report),
            turns: fields.optional("turns", report),
            says: fields.optional("says", report),
            agree: fields.optional("agree", report),
            unchanged: fields.optional("unchanged", report),
            looping: fields.optional("looping", report),
            budget: fields.optional("budget", report),
            any: fields.optional("any", report),
            all: fields.optional("all", report),
            not: fields.optional("not", report),
            span: node.span.clone(),
        };
        for (key, list) in [("any", &stop.any), ("all", &stop.all)] {
            if list.as_ref().is_some_and(Vec::is_empty) {
                report.push(
                    Diagnostic::error(code::BAD_LIST, format!("`{key}` of {} is empty", place.what))
                        .at(&fields.span_of(key), "at least one condition must be given"),
                );
            }
        }
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

impl Decode for Budget {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let budget = Self { tokens: fields.required("tokens", report) };
        fields.finish(report);
        Some(budget)
    }
}
