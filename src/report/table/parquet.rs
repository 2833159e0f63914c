//! Parquet, through the column interface of its library: one typed column each, null where a row has nothing.

use std::io::{self, Write};
use std::mem::take;
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;
use serde_json::{Map, Value};

use super::columns::{ColumnKind, TableColumns, as_text};

/// Rows that are written together: readers take that many at once.
const MOST_ROWS: usize = 65_536;
/// Text that is written together, in bytes; bounds the memory.
const MOST_BYTES: usize = 32 << 20;

/// Writes rows as Parquet.
pub(super) struct Parquet<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    columns: Vec<(String, Values)>,
    rows: usize,
    bytes: usize,
}

/// The values of a column that wait to be written, and for each row whether it has one.
struct Values {
    there: Vec<i16>,
    kept: Kept,
}

enum Kept {
    Booleans(Vec<bool>),
    Integers(Vec<i64>),
    Numbers(Vec<f64>),
    Texts(Vec<ByteArray>),
}

impl<W: Write + Send> Parquet<W> {
    pub(super) fn start(columns: &TableColumns, out: W) -> io::Result<Self> {
        let fields = columns.iter().map(|(name, kind)| field(name, kind).map(Arc::new));
        let fields = fields.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let schema = Type::group_type_builder("rows").with_fields(fields).build().map_err(failed)?;
        let properties = WriterProperties::builder()
            .set_created_by(concat!("pipe ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .build();
        let writer = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties)).map_err(failed)?;
        let columns = columns.iter().map(|(name, kind)| (name.to_owned(), Values::of(kind))).collect();
        Ok(Self { writer, columns, rows: 0, bytes: 0 })
    }

    pub(super) fn write(&mut self, row: &Map<String, Value>) -> io::Result<()> {
        for (name, values) in &mut self.columns {
            self.bytes += values.add(row.get(name).unwrap_or(&Value::Null));
        }
        self.rows += 1;
        if self.rows >= MOST_ROWS || self.bytes >= MOST_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        if take(&mut self.rows) == 0 {
            return Ok(());
        }
        self.bytes = 0;
        let mut group = self.writer.next_row_group().map_err(failed)?;
        for (_, values) in &mut self.columns {
            values.write(&mut group).map_err(failed)?;
        }
        group.close().map(drop).map_err(failed)
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        self.writer.into_inner().map_err(failed)
    }
}

impl Values {
    const fn of(kind: ColumnKind) -> Self {
        let kept = match kind {
            ColumnKind::Boolean => Kept::Booleans(Vec::new()),
            ColumnKind::Integer => Kept::Integers(Vec::new()),
            ColumnKind::Number => Kept::Numbers(Vec::new()),
            ColumnKind::Nothing | ColumnKind::Text => Kept::Texts(Vec::new()),
        };
        Self { there: Vec::new(), kept }
    }

    /// Adds the value of a row and returns how many bytes it takes.
    fn add(&mut self, value: &Value) -> usize {
        let length = match &mut self.kept {
            Kept::Booleans(values) => value.as_bool().map(|value| values.push(value)).map(|()| 1),
            Kept::Integers(values) => value.as_i64().map(|value| values.push(value)).map(|()| 8),
            Kept::Numbers(values) => value.as_f64().map(|value| values.push(value)).map(|()| 8),
            Kept::Texts(values) => as_text(value).map(|text| {
                let length = text.len();
                values.push(ByteArray::from(text.into_bytes()));
                length
            }),
        };
        self.there.push(i16::from(length.is_some()));
        length.unwrap_or_default() + 2
    }

    fn write<W: Write + Send>(&mut self, group: &mut SerializedRowGroupWriter<'_, W>) -> Result<(), ParquetError> {
        let there = take(&mut self.there);
        let Some(mut column) = group.next_column()? else { return Ok(()) };
        let there = Some(there.as_slice());
        match &mut self.kept {
            Kept::Booleans(values) => column.typed::<BoolType>().write_batch(&take(values), there, None)?,
            Kept::Integers(values) => column.typed::<Int64Type>().write_batch(&take(values), there, None)?,
            Kept::Numbers(values) => column.typed::<DoubleType>().write_batch(&take(values), there, None)?,
            Kept::Texts(values) => column.typed::<ByteArrayType>().write_batch(&take(values), there, None)?,
        };
        column.close()
    }
}

fn field(name: &str, kind: ColumnKind) -> Result<Type, ParquetError> {
    let of = |physical| Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
    match kind {
        ColumnKind::Boolean => of(Physical::BOOLEAN).build(),
        ColumnKind::Integer => of(Physical::INT64).build(),
        ColumnKind::Number => of(Physical::DOUBLE).build(),
        ColumnKind::Nothing | ColumnKind::Text => of(Physical::BYTE_ARRAY)
            .with_logical_type(Some(LogicalType::String))
            .with_converted_type(ConvertedType::UTF8)
            .build(),
    }
}

fn failed(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(error) => io::Error::other(error),
        },
        other => io::Error::other(other),
    }
}
