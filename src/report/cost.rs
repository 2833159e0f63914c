//! What a run's tokens cost: usage by actor, priced when it is told, because a price may be edited meanwhile.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Cells;
use crate::base::{ActorName, BackendName, MicroUsd, Price, TokenCount};
use crate::event::{AttemptEnded, AttemptId, AttemptStarted, CellPrices, Outcome, Usage};

/// Tokens by actor, and what they cost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spent {
    /// What the tokens of actors cost, as last said.
    prices: BTreeMap<ActorName, Price>,
    /// The same in the cells of a matrix where they cost something else.
    cell_prices: Vec<CellPrices>,
    /// Who speaks in each request under way, in which cell, and where.
    asked: BTreeMap<AttemptId, (Option<usize>, ActorName, BackendName)>,
    actors: BTreeMap<(Option<usize>, ActorName), Answers>,
}

/// The answers of one actor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Answers {
    usage: Usage,
    /// Answers of which the server did not tell the tokens.
    uncounted: u64,
}

/// What a run's answers cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// In US dollars.
    pub usd: f64,
    /// The same in millionths, exactly.
    pub micro_usd: MicroUsd,
    /// Actors that answered and have no price: not counted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub without_price: Vec<ActorName>,
    /// Answers without a count of tokens: not counted.
    #[serde(skip_serializing_if = "super::summary::is_zero")]
    pub uncounted: u64,
}

impl Spent {
    pub(super) fn set_prices(&mut self, prices: &BTreeMap<ActorName, Price>, of_cells: &[CellPrices]) {
        self.prices.clone_from(prices);
        self.cell_prices = of_cells.to_vec();
    }

    pub(super) fn start(&mut self, started: &AttemptStarted, cell: Option<usize>) {
        self.asked.insert(started.id.clone(), (cell, started.actor.clone(), started.backend.clone()));
    }

    /// Counts what a request took, answered or not, and returns where it went.
    pub(super) fn end(&mut self, ended: &AttemptEnded) -> Option<BackendName> {
        let (cell, actor, backend) = self.asked.remove(&ended.id)?;
        let mut usage = ended.usage;
        usage.add(&ended.estimated);
        let is_answered = matches!(ended.outcome, Outcome::Answered(_));
        // What a failed request took is known only where the server said it, or where it can be estimated.
        if ended.from_cache.is_none() && (is_answered || !usage.is_empty()) {
            let answers = self.actors.entry((cell, actor)).or_default();
            answers.usage.add(&usage);
            answers.uncounted += u64::from(is_answered && (usage.input.is_none() || usage.output.is_none()));
        }
        Some(backend)
    }

    /// Returns the cost so far; none where no price is known.
    pub(super) fn cost(&self, cells: &Cells) -> Option<Cost> {
        if self.prices.is_empty() && self.cell_prices.is_empty() {
            return None;
        }
        let mut cost = Cost { usd: 0.0, micro_usd: MicroUsd(0), without_price: Vec::new(), uncounted: 0 };
        for ((cell, actor), answers) in &self.actors {
            let values = cell.and_then(|place| cells.matrix(place));
            let own = values.and_then(|values| self.cell_prices.iter().find(|prices| prices.matrix == *values));
            let Some(price) = own.map_or(&self.prices, |own| &own.prices).get(actor) else {
                if !cost.without_price.contains(actor) {
                    cost.without_price.push(actor.clone());
                }
                continue;
            };
            let count = |tokens: Option<TokenCount>| tokens.map_or(0, |TokenCount(count)| count);
            let Usage { input, output, cached, reasoning: _ } = answers.usage;
            cost.micro_usd = cost.micro_usd.plus(price.of(count(input), count(output), count(cached)));
            cost.uncounted += answers.uncounted;
        }
        cost.usd = cost.micro_usd.dollars();
        Some(cost)
    }
}

impl Cost {
    /// Writes it for people.
    pub(super) fn text(&self) -> String {
        let mut parts = vec![self.micro_usd.to_string()];
        if !self.without_price.is_empty() {
            let names: Vec<&str> = self.without_price.iter().map(ActorName::as_str).collect();
            parts.push(format!("without {}: no price known", names.join(", ")));
        }
        if self.uncounted > 0 {
            let answers = super::number::counted(self.uncounted, "answer");
            parts.push(format!("without {answers} whose tokens the server did not tell"));
        }
        parts.join(" · ")
    }
}
