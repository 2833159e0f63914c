//! CSV as RFC 4180 has it: commas, double quotes, CR LF.

use std::borrow::Cow;
use std::io::{self, Write};

use serde_json::{Map, Value};

use super::columns::{TableColumns, as_text};

/// Writes rows as CSV.
///
/// A text that a spreadsheet would calculate gets an apostrophe before it, which spreadsheets do not show: what a model
/// says may be a formula that fetches or runs something. JSON Lines and Parquet have every text as it was.
pub(super) struct Csv<W: Write> {
    writer: csv::Writer<W>,
    columns: TableColumns,
}

impl<W: Write> Csv<W> {
    pub(super) fn start(columns: TableColumns, out: W) -> io::Result<Self> {
        let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out);
        let names: Vec<String> = columns.iter().map(|(name, _)| inert(name).into_owned()).collect();
        writer.write_record(&names).map_err(io::Error::from)?;
        Ok(Self { writer, columns })
    }

    pub(super) fn write(&mut self, row: &Map<String, Value>) -> io::Result<()> {
        for (name, _) in self.columns.iter() {
            let value = row.get(name).unwrap_or(&Value::Null);
            let text = as_text(value).unwrap_or_default();
            let field = if value.is_string() { inert(&text) } else { Cow::Borrowed(text.as_str()) };
            self.writer.write_field(field.as_bytes()).map_err(io::Error::from)?;
        }
        self.writer.write_record(None::<&[u8]>).map_err(io::Error::from)
    }

    pub(super) fn finish(self) -> io::Result<W> {
        self.writer.into_inner().map_err(|error| io::Error::other(error.to_string()))
    }
}

/// Keeps a spreadsheet from calculating a text.
fn inert(text: &str) -> Cow<'_, str> {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    // A number is one, whatever its sign.
    if is_formula && text.parse::<f64>().is_err() { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}
