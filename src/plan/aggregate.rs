//! What is done once over all cases of a cell, when they are over: its closing. A plan of its own beside the cell's.

use std::sync::Arc;

use super::{CellIdx, Chat, Judge, Plan, Step, StepKind, Wanted};

/// See [`super::StepKind::Aggregate`].
#[derive(Clone, Debug)]
pub struct Aggregate {
    /// The step whose outputs it is made of: one of the cell's plan, not of the closing's.
    pub of: Arc<Step>,
    /// How.
    pub by: By,
}

/// What an aggregate makes of the outputs of all cases.
#[derive(Clone, Debug)]
pub enum By {
    /// Counts of values, or the mean of numbers.
    Table,
    /// An order of what a judge compares; these names.
    Rank(Vec<String>),
    /// The answer to one question about all of them.
    Chat(Chat),
}

impl By {
    /// Returns its word in a file.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Rank(_) => "rank",
            Self::Chat(_) => "chat",
        }
    }
}

impl Aggregate {
    /// Returns what is asked about all cases; none for what is put together without a model.
    #[must_use]
    pub const fn chat(&self) -> Option<&Chat> {
        match &self.by {
            By::Chat(chat) => Some(chat),
            By::Table | By::Rank(_) => None,
        }
    }

    /// Returns what stands in an order over all cases; none for a step that compares nothing.
    #[must_use]
    pub fn compared(of: &StepKind) -> Option<Vec<String>> {
        match of {
            StepKind::Judge(Judge { wanted: Wanted::Rank(names) | Wanted::Pairwise(names), .. }) => {
                Some(names.iter().map(|one| one.name.clone()).collect())
            }
            StepKind::Judge(_)
            | StepKind::Chat(_)
            | StepKind::Dialogue(_)
            | StepKind::Transform(_)
            | StepKind::Assert(_)
            | StepKind::Aggregate(_) => None,
        }
    }

    /// Returns true when what is ranked are comparisons of two.
    #[must_use]
    pub fn is_pairwise(&self) -> bool {
        matches!(&self.of.kind, StepKind::Judge(Judge { wanted: Wanted::Pairwise(_), .. }))
    }
}

impl Plan {
    /// Returns how many cells have something that is done over all of their cases: all of them, or none.
    #[must_use]
    pub fn closings(&self) -> u64 {
        if self.closing.is_some() { self.count_cells() as u64 } else { 0 }
    }

    /// Returns where the plan of a cell's closing stands: after all cells.
    #[must_use]
    pub fn closing_of(&self, CellIdx(place): CellIdx) -> CellIdx {
        CellIdx(self.count_cells() + place)
    }

    /// Returns true for the place of a closing.
    #[must_use]
    pub fn is_closing(&self, CellIdx(place): CellIdx) -> bool {
        place >= self.count_cells()
    }

    /// Returns the cell that a place belongs to: its own, or that of the closing.
    #[must_use]
    pub fn home_of(&self, CellIdx(place): CellIdx) -> CellIdx {
        CellIdx(place % self.count_cells())
    }
}
