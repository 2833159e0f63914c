//! What is done once over all cases.

use schemars::JsonSchema;

use super::decode::{Decode, Fields, Place};
use super::node::{Node, Spanned};
use super::{FromScalar, Literal, Refusal, Required, Setting};
use crate::diag::{Diagnostic, closest};

/// What a step came to over all cases: done once for each cell of the matrix, when every case is over.
#[derive(Clone, Debug, JsonSchema)]
pub struct Aggregate {
    /// The step whose outputs it is made of.
    #[schemars(example = &"verdict")]
    pub of: Required<Spanned<String>>,
    /// How. `table`: counts with intervals of choices, claims and short texts, or the mean of scores and numbers; later
    /// aggregates read `table`. `rank`: one order of what a judge ranks or compares, by Borda's count or the share of
    /// wins; later aggregates read `ranking`.
    #[schemars(extend("default" = "table"))]
    #[schemars(extend("examples" = ["rank"]))]
    pub by: Option<Setting<AggregateBy>>,
}

/// How outputs of all cases are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AggregateBy {
    /// Counts, or a mean.
    Table,
    /// An order.
    Rank,
}

impl AggregateBy {
    const ALL: [Self; 2] = [Self::Table, Self::Rank];

    /// Returns its word in a file.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Rank => "rank",
        }
    }
}

impl FromScalar for AggregateBy {
    const EXPECTED: &'static str = "`table` or `rank`";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        let Literal::Text(text) = literal else { return Err(Refusal::wrong_type(literal)) };
        let text = text.trim();
        Self::ALL.into_iter().find(|by| by.word() == text).ok_or_else(|| {
            let refusal = Refusal::out_of_range(format!("there is no `{text}`"));
            match closest(text, Self::ALL.map(Self::word)) {
                Some(near) => refusal.help(format!("did you mean `{near}`?")),
                None => refusal,
            }
        })
    }
}

impl Decode for Aggregate {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let aggregate = Self { of: fields.required("of", report), by: fields.optional("by", report) };
        fields.finish(report);
        Some(aggregate)
    }
}
