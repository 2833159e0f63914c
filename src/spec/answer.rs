//! Settings about answers: flags, rules, repairs, schemas.

use super::decode::{Decode, Place, wrong_type};
use super::node::{Kind, Node};
use super::{FromScalar, Literal, Refusal, Text};
use crate::diag::Diagnostic;

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag(pub bool);

/// How votes become one verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoteRule {
    /// What most say.
    Majority,
    /// The mean.
    Mean,
    /// What all say.
    Unanimous,
}

/// How often an answer is asked for again: 0 to 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repairs(pub u32);

/// Where a JSON Schema is.
#[derive(Clone, Debug)]
pub enum SchemaSource {
    /// Here.
    Inline(Node),
    /// In the file after `file://`.
    File(Text),
}

impl FromScalar for Flag {
    const EXPECTED: &'static str = "true or false";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        match literal {
            Literal::Bool(flag) => Ok(Self(*flag)),
            Literal::Null | Literal::Integer(_) | Literal::Float(_) | Literal::Text(_) => {
                Err(Refusal::wrong_type(literal))
            }
        }
    }
}

impl FromScalar for VoteRule {
    const EXPECTED: &'static str = "`majority`, `mean` or `unanimous`";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        match literal {
            Literal::Text(text) if text.trim() == "majority" => Ok(Self::Majority),
            Literal::Text(text) if text.trim() == "mean" => Ok(Self::Mean),
            Literal::Text(text) if text.trim() == "unanimous" => Ok(Self::Unanimous),
            Literal::Text(text) => Err(Refusal::out_of_range(format!("there is no rule `{}`", text.trim()))),
            Literal::Null | Literal::Bool(_) | Literal::Integer(_) | Literal::Float(_) => {
                Err(Refusal::wrong_type(literal))
            }
        }
    }
}

impl FromScalar for Repairs {
    const EXPECTED: &'static str = "a whole number from 0 to 10";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        match literal {
            Literal::Integer(number) => match u32::try_from(*number) {
                Ok(number) if number <= 10 => Ok(Self(number)),
                _ => Err(Refusal::out_of_range(format!("this is {number}"))),
            },
            Literal::Null | Literal::Bool(_) | Literal::Float(_) | Literal::Text(_) => {
                Err(Refusal::wrong_type(literal))
            }
        }
    }
}

impl Decode for SchemaSource {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        match &node.kind {
            Kind::Map(_) => Some(Self::Inline(node.clone())),
            Kind::Scalar(text) if text.value.starts_with("file://") && !text.value.contains("{{") => {
                Some(Self::File(text.clone()))
            }
            Kind::Invalid => None,
            Kind::Scalar(_) | Kind::List(_) => {
                report.push(
                    wrong_type(node, place, "a JSON Schema, or `file://` and the path of one")
                        .help("write { type: object, properties: { … } }, or file://answer.schema.json"),
                );
                None
            }
        }
    }
}
