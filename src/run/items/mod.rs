//! Rows of the input, one at a time, with their ids: from the pipeline, or from files in several formats.
//! Reads: `Plan`. Gives: rows in the order of admission, and all that is wrong with them. Memory: one row, and what
//! finding equal rows, a sample or another order takes (told where it is done).
//! Start at [`survey()`] and [`RowSource`].

mod accepted;
mod csv;
mod file;
mod lines;
mod parquet;
mod problem;
mod source;
mod survey;

pub use problem::ItemProblem;
pub(super) use source::RowSource;
pub use survey::{Survey, survey};

/// One row of the input.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) item: crate::base::ItemId,
    pub(super) json: String,
}

/// A row as it is read.
type Object = serde_json::Map<String, serde_json::Value>;

/// The number of a line or row, from 1, and what stands there.
type Numbered = (u64, Result<Object, problem::Wrong>);

/// Longest row of an input file, in bytes.
const LONGEST_ROW: u64 = 16 << 20;
