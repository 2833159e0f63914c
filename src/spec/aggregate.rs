//! What is done once over all cases.

use schemars::JsonSchema;

use super::decode::{Decode, Fields, Place};
use super::node::{Node, Spanned};
use super::words::one_of;
use super::{FromScalar, Literal, Refusal, Required, Setting, Text};
use crate::diag::Diagnostic;

/// What a step came to over all cases: done once for each cell of the matrix, when every case is over.
#[derive(Clone, Debug, JsonSchema)]
pub struct Aggregate {
    /// The step whose outputs it is made of.
    #[schemars(example = &"verdict")]
    pub of: Required<Spanned<String>>,
    /// How. `table`: counts with intervals of choices, claims and short texts, or the mean of scores and numbers; later
    /// aggregates read `table`. `rank`: one order of what a judge ranks or compares, by Borda's count or the share of
    /// wins; later aggregates read `ranking`. `chat`: one question to an actor about all outputs; later aggregates read
    /// `text`.
    #[schemars(extend("default" = "table"))]
    #[schemars(extend("examples" = ["rank"]))]
    pub by: Option<Setting<AggregateBy>>,
    /// Of `by: chat`: who answers, a name from `actors`.
    #[schemars(extend("examples" = ["editor"]))]
    pub actor: Option<Spanned<String>>,
    /// Of `by: chat`: what is asked. The template reads `rows`, one for each case that gave something, with `item`,
    /// `repeat`, `status` and the fields of the step; `count`, how many rows there are, and `left_out`, how many cases
    /// gave nothing. At most 10,000 rows and 4 MiB of their text.
    #[schemars(extend("examples" = ["Sum up:{% for row in rows %}\n- {{ row.item }}: {{ row.text }}{% endfor %}"]))]
    pub prompt: Option<Text>,
}

/// How outputs of all cases are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AggregateBy {
    /// Counts, or a mean.
    Table,
    /// An order.
    Rank,
    /// An answer to one question about all of them.
    Chat,
}

impl AggregateBy {
    const ALL: [Self; 3] = [Self::Table, Self::Rank, Self::Chat];

    /// Returns its word in a file.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Rank => "rank",
            Self::Chat => "chat",
        }
    }
}

impl FromScalar for AggregateBy {
    const EXPECTED: &'static str = "`table`, `rank` or `chat`";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        one_of(literal, &Self::ALL.map(|by| (by.word(), by)))
    }
}

impl Decode for Aggregate {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let aggregate = Self {
            of: fields.required("of", report),
            by: fields.optional("by", report),
            actor: fields.optional("actor", report),
            prompt: fields.optional("prompt", report),
        };
        fields.finish(report);
        Some(aggregate)
    }
}
