//! A table in one of its formats.

use std::io::{self, Write};

use serde::Serializer as _;
use serde_json::{Map, Value};

use super::TableColumns;
use super::csv::Csv;
use super::parquet::Parquet;
use crate::base::TableFormat;

/// Writes rows, one after the other.
pub struct TableWriter<W: Write + Send>(Kind<W>);

enum Kind<W: Write + Send> {
    JsonLines(TableColumns, W),
    Csv(Box<Csv<W>>),
    Parquet(Box<Parquet<W>>),
}

impl<W: Write + Send> TableWriter<W> {
    /// Starts a table; every row has these columns and no others. Tabs are written as commas are.
    ///
    /// # Errors
    /// The writer does not take what stands before the rows.
    pub fn start(format: TableFormat, columns: TableColumns, out: W) -> io::Result<Self> {
        Ok(Self(match format {
            TableFormat::JsonLines => Kind::JsonLines(columns, out),
            TableFormat::Csv | TableFormat::Tsv => Kind::Csv(Box::new(Csv::start(columns, out)?)),
            TableFormat::Parquet => Kind::Parquet(Box::new(Parquet::start(&columns, out)?)),
        }))
    }

    /// Writes a row; what it lacks is null.
    ///
    /// # Errors
    /// The writer does not take it.
    pub fn write(&mut self, row: &Map<String, Value>) -> io::Result<()> {
        match &mut self.0 {
            Kind::JsonLines(columns, out) => {
                let mut json = serde_json::Serializer::new(&mut *out);
                let whole = columns.iter().map(|(name, _)| (name, row.get(name).unwrap_or(&Value::Null)));
                json.collect_map(whole)?;
                out.write_all(b"\n")
            }
            Kind::Csv(csv) => csv.write(row),
            Kind::Parquet(parquet) => parquet.write(row),
        }
    }

    /// Ends the table and returns the writer.
    ///
    /// # Errors
    /// The writer does not take what stands after the rows.
    pub fn finish(self) -> io::Result<W> {
        match self.0 {
            Kind::JsonLines(_, out) => Ok(out),
            Kind::Csv(csv) => csv.finish(),
            Kind::Parquet(parquet) => parquet.finish(),
        }
    }
}
