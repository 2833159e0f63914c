//! Where cases come from: sources of rows, and which of them are taken.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;

use crate::base::TableFormat;
use crate::prompt::ExpressionId;

/// Where cases come from.
#[derive(Clone, Debug)]
pub enum Items {
    /// One empty item.
    One,
    /// Rows in the file itself.
    Inline {
        /// Objects, in order.
        rows: Vec<serde_json::Map<String, serde_json::Value>>,
        /// The column that is the id.
        id: Option<String>,
    },
    /// Files with rows.
    Files(FileItems),
}

/// Files with rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileItems {
    /// What `path` says.
    pub written: String,
    /// What `format` says.
    pub format: Option<TableFormat>,
    /// Absolute, inside the project root, in the order of reading; none for stdin until its rows are kept somewhere.
    pub paths: Vec<RowsFile>,
    /// The column that is the id.
    pub id: Option<String>,
    /// What stands between the values of a line, when it is said.
    pub delimiter: Option<u8>,
    /// Columns whose type is said.
    pub types: BTreeMap<String, ColumnType>,
}

/// One file with rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowsFile {
    /// Where.
    pub path: PathBuf,
    /// How rows stand in it.
    pub format: TableFormat,
}

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// Whole numbers.
    Integer,
    /// Numbers.
    Number,
    /// Text, as it stands.
    Text,
    /// True or false.
    Boolean,
}

/// Which rows are taken, in this order: `filter`, `sample`, `shuffle`, `limit`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pick {
    /// Only rows for which it gives true.
    pub filter: Option<ExpressionId>,
    /// Only so many by chance.
    pub sample: Option<Sample>,
    /// In the order that follows from this seed.
    pub shuffle: Option<u64>,
    /// Only so many from the start; `--limit` beats it.
    pub limit: Option<NonZeroU32>,
}

/// So many rows by chance: those with the least hash over seed and id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// How many.
    pub n: NonZeroU32,
    /// Another one takes other rows.
    pub seed: u64,
}

impl FileItems {
    /// Returns true when rows come in on stdin.
    #[must_use]
    pub fn is_stdin(&self) -> bool {
        self.written == "-"
    }
}

impl ColumnType {
    /// Returns its word in a file.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Text => "string",
            Self::Boolean => "boolean",
        }
    }
}
