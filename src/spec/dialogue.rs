//! Dialogues: who opens, and how much each sees.

use schemars::JsonSchema;

use super::decode::{Decode, Fields, Place};
use super::node::{Kind, Node, Spanned};
use super::steps::distinct;
use super::{Count, FromScalar, Literal, Refusal, Required, Setting, Stop, Text, Tokens};
use crate::diag::Diagnostic;

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
        let history = Self { last: fields.optional("last", report), tokens: fields.optional("tokens", report) };
        fields.one_of(&["last", "tokens"], "`last` counts turns, `tokens` what they are long", report);
        fields.finish(report);
        Some(history)
    }
}
