//! The table of results as bytes: JSON Lines, CSV or Parquet, in one pass over rows whose columns are known.
//! Reads: rows. Gives: bytes to a writer. Memory: one row; for Parquet, 32 MiB of them.
//! Start at [`TableColumns`] and [`TableWriter`].

mod columns;
mod csv;
mod parquet;
#[cfg(test)]
mod tests;
mod writer;

pub use columns::{ColumnKind, TableColumns};
pub use writer::TableWriter;
