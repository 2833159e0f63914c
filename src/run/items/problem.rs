//! What is wrong with a row, and where it stands.

use std::fmt;
use std::sync::Arc;

/// Something wrong with one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemProblem {
    /// `motions.jsonl:17`, or `items.values, row 3`.
    pub place: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// Where a row stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct At {
    /// The file, or the key.
    pub(super) name: Arc<str>,
    /// From 1.
    pub(super) number: u64,
    /// True when rows are counted, not lines.
    pub(super) is_row: bool,
}

/// What a reader of one format finds wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) message: String,
    pub(super) help: String,
    /// The byte of the line, from 1, when it is known.
    pub(super) column: Option<usize>,
    /// True when the rest of the file cannot be read.
    pub(super) ends: bool,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, number, is_row } = self;
        if *is_row { write!(f, "{name}, row {number}") } else { write!(f, "{name}:{number}") }
    }
}

impl Wrong {
    pub(super) fn row(message: impl Into<String>, help: &str) -> Self {
        Self { message: message.into(), help: help.to_owned(), column: None, ends: false }
    }

    pub(super) fn file(message: impl Into<String>, help: &str) -> Self {
        Self { ends: true, ..Self::row(message, help) }
    }

    pub(super) fn unreadable(error: &std::io::Error) -> Self {
        Self::file(format!("cannot be read: {error}"), "check the file and its disk")
    }

    pub(super) fn at(self, at: &At) -> ItemProblem {
        let place = match self.column {
            Some(column) => format!("{at}:{column}"),
            None => at.to_string(),
        };
        ItemProblem { place, message: self.message, help: self.help }
    }
}

/// Says why bytes are no text: the encoding, as far as it can be told.
pub(super) fn no_text(bytes: &[u8]) -> Option<Wrong> {
    const HELP: &str = "files are UTF-8: `iconv -f LATIN1 -t UTF-8 FILE > NEW` makes them so";
    let error = std::str::from_utf8(bytes).err()?;
    let place = error.valid_up_to();
    let byte = bytes.get(place).copied().unwrap_or_default();
    let wrong = Wrong::row(format!("byte {byte:#04x} is no UTF-8"), HELP);
    Some(Wrong { column: Some(place + 1), ..wrong })
}

/// Refuses a file by the mark at its start.
pub(super) fn other_encoding(start: &[u8]) -> Option<Wrong> {
    let is_utf16 = start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff");
    is_utf16.then(|| Wrong::file("the file is UTF-16", "files are UTF-8: `iconv -f UTF-16 -t UTF-8 FILE > NEW`"))
}
