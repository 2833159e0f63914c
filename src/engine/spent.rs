//! Tokens by who spent them, so that they have a price; one that is edited later counts for those of before, too.

use std::collections::BTreeMap;

use crate::base::{MicroUsd, TokenCount};
use crate::event::{SnapSpent, Usage};
use crate::plan::{ActorIdx, CellIdx, Plan};

/// Tokens of all attempts, by cell and actor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpentBy(BTreeMap<(CellIdx, ActorIdx), Usage>);

impl SpentBy {
    pub(super) fn add(&mut self, cell: CellIdx, actor: ActorIdx, usage: &Usage) {
        if !usage.is_empty() {
            self.0.entry((cell, actor)).or_default().add(usage);
        }
    }

    /// Returns what they cost by the plan's prices. Cost: cells × actors.
    pub(super) fn cost(&self, plan: &Plan) -> MicroUsd {
        let count = |tokens: Option<TokenCount>| tokens.map_or(0, |TokenCount(count)| count);
        let costs = self.0.iter().filter_map(|(&(cell, actor), usage)| {
            let plan = plan.cell(cell);
            let price = plan.price_of(plan.actor(actor))?;
            Some(price.of(count(usage.input), count(usage.output), count(usage.cached)))
        });
        costs.fold(MicroUsd(0), MicroUsd::plus)
    }

    pub(super) fn snapshot(&self, plan: &Plan) -> Vec<SnapSpent> {
        let stored = |(&(cell, actor), &usage): (&(CellIdx, ActorIdx), &Usage)| {
            let plan = plan.cell(cell);
            SnapSpent { matrix: plan.matrix.clone(), actor: plan.actor(actor).name.clone(), usage }
        };
        self.0.iter().map(stored).collect()
    }

    pub(super) fn restore(plan: &Plan, stored: Vec<SnapSpent>) -> Result<Self, String> {
        let mut spent = Self::default();
        for SnapSpent { matrix, actor, usage } in stored {
            let cell = plan.find_cell(&matrix).ok_or("the plan has no cell for what was spent")?;
            let place = plan.cell(cell).actors.iter().position(|one| one.name == actor);
            let place = place.ok_or_else(|| format!("the plan has no actor {actor}"))?;
            spent.0.insert((cell, ActorIdx(place)), usage);
        }
        Ok(spent)
    }
}
