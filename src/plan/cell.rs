//! Cells of a matrix: one plan for each combination of its values. A plan without a matrix is its own only cell.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::Plan;
use crate::event::CellPrices;

/// Position of a cell, in the order of admission; 0 where there is no matrix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellIdx(pub usize);

/// The other cells of a plan: the plan itself is the first.
#[derive(Debug, Default)]
pub struct Cells {
    others: Vec<Arc<Plan>>,
    /// Where each combination of values stands, by its name.
    places: BTreeMap<String, CellIdx>,
}

impl Cells {
    /// Takes cells apart.
    #[cfg(test)]
    pub(crate) fn into_others(self) -> Vec<Arc<Plan>> {
        self.others
    }

    /// Puts cells together; `first` is what the first one's values are.
    pub(crate) fn of(first: &Map<String, Value>, others: Vec<Arc<Plan>>) -> Self {
        let values = std::iter::once(first).chain(others.iter().map(|plan| &plan.matrix));
        let places = values.enumerate().map(|(place, values)| (name_of(values), CellIdx(place))).collect();
        Self { others, places }
    }
}

/// Names a combination of values, whatever the order in which they are given.
fn name_of(values: &Map<String, Value>) -> String {
    let sorted: BTreeMap<&String, &Value> = values.iter().collect();
    serde_json::to_string(&sorted).unwrap_or_default()
}

impl Plan {
    /// Returns the plan of a cell: the same steps in the same order, asked with other values.
    #[must_use]
    pub fn cell(&self, CellIdx(place): CellIdx) -> &Self {
        match place {
            0 => self,
            place => &self.cells.others[place - 1],
        }
    }

    /// Returns every cell with its plan, in the order of admission; one where there is no matrix.
    pub fn all_cells(&self) -> impl Iterator<Item = (CellIdx, &Self)> {
        (0..=self.cells.others.len()).map(|place| (CellIdx(place), self.cell(CellIdx(place))))
    }

    /// Returns how many cases each item has: cells × repeats.
    #[must_use]
    pub fn cases_of_item(&self) -> u64 {
        (self.cells.others.len() as u64 + 1) * u64::from(self.repeat.get())
    }

    /// Returns the repeats of items in the order of admission: in each round, every item has those. All at once, or one
    /// after the other where the run may have seen enough before its end: then what counts are all items alike.
    pub fn rounds(&self) -> impl Iterator<Item = RangeInclusive<u32>> + use<> {
        let all = self.repeat.get();
        let each = if self.evidence.is_some() { 1 } else { all };
        (0..all.div_ceil(each)).map(move |round| round * each + 1..=(round + 1) * each)
    }

    /// Returns what the tokens of actors cost in the cells where it is something else than in the first.
    #[must_use]
    pub fn cell_prices(&self) -> Vec<CellPrices> {
        let first = self.prices();
        let others = self.cells.others.iter().map(|cell| (&cell.matrix, cell.prices()));
        let differing = others.filter(|(_, prices)| *prices != first);
        differing.map(|(matrix, prices)| CellPrices { matrix: matrix.clone(), prices }).collect()
    }

    /// Returns where the cell with these values stands; none when there is no such cell.
    #[must_use]
    pub fn find_cell(&self, values: &Map<String, Value>) -> Option<CellIdx> {
        if self.cells.others.is_empty() && *values == self.matrix {
            return Some(CellIdx(0));
        }
        self.cells.places.get(&name_of(values)).copied()
    }
}
