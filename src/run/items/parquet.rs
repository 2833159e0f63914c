//! Parquet, through the row interface of its library.
//!
//! Numbers, texts, booleans, lists, maps and structs are themselves; times are texts as ISO 8601 has them; decimals are
//! texts, which lose nothing.

use std::fs::File;

use parquet::file::reader::SerializedFileReader;
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use serde_json::Value;

use super::problem::Wrong;
use super::{Numbered, Object};

/// A Parquet file. Memory: what the library holds of one row group, page by page.
pub(super) struct Parquet {
    rows: RowIter<'static>,
    row: u64,
}

impl Parquet {
    /// Reads where the rows are.
    ///
    /// # Errors
    /// It is no Parquet, or one that this library cannot read.
    pub(super) fn open(file: File) -> Result<Self, Wrong> {
        let reader = SerializedFileReader::new(file).map_err(|error| unreadable(&error))?;
        Ok(Self { rows: RowIter::from_file_into(Box::new(reader)), row: 0 })
    }

    /// Returns the number of the next row, from 1, and the row.
    pub(super) fn next(&mut self) -> Option<Numbered> {
        self.row += 1;
        let row = self.rows.next()?;
        Some((self.row, row.map_err(|error| unreadable(&error)).and_then(|row| object(&row))))
    }
}

fn unreadable(error: &parquet::errors::ParquetError) -> Wrong {
    Wrong::file(
        format!("cannot be read as Parquet: {error}"),
        "check the file, or write it again with snappy or zstd",
    )
}

fn object(row: &Row) -> Result<Object, Wrong> {
    let mut object = Object::new();
    for (name, field) in row.get_column_iter() {
        let value = value(field).map_err(|what| {
            let message = format!("column {name:?} {what}");
            Wrong::row(message, "write the column as text or numbers, or leave it out")
        })?;
        object.insert(name.clone(), value);
    }
    Ok(object)
}

fn value(field: &Field) -> Result<Value, String> {
    let float = |number: f64| serde_json::Number::from_f64(number).map_or(Value::Null, Value::Number);
    let time = |time: Option<String>| time.map(Value::from).ok_or_else(|| "has a time out of range".to_owned());
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(truth) => Value::from(*truth),
        Field::Byte(number) => Value::from(*number),
        Field::Short(number) => Value::from(*number),
        Field::Int(number) => Value::from(*number),
        Field::Long(number) => Value::from(*number),
        Field::UByte(number) => Value::from(*number),
        Field::UShort(number) => Value::from(*number),
        Field::UInt(number) => Value::from(*number),
        Field::ULong(number) => Value::from(*number),
        Field::Float16(number) => float(f64::from(*number)),
        // By its shortest text: 0.1 in four bytes is meant to be 0.1 in eight too.
        Field::Float(number) => number.to_string().parse().map_or(Value::Null, float),
        Field::Double(number) => float(*number),
        Field::Str(text) => Value::from(text.as_str()),
        Field::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            Ok(text) => Value::from(text),
            Err(_) => return Err("has bytes that are no text".to_owned()),
        },
        Field::Date(days) => time(iso::date(i64::from(*days)))?,
        Field::TimeMillis(millis) => time(iso::time(i64::from(*millis) * 1_000))?,
        Field::TimeMicros(micros) => time(iso::time(*micros))?,
        Field::TimestampMillis(millis) => time(millis.checked_mul(1_000).and_then(iso::timestamp))?,
        Field::TimestampMicros(micros) => time(iso::timestamp(*micros))?,
        Field::Decimal(_) => Value::from(field.to_string()),
        Field::Group(row) => {
            let mut object = Object::new();
            for (name, field) in row.get_column_iter() {
                object.insert(name.clone(), value(field)?);
            }
            Value::Object(object)
        }
        Field::ListInternal(list) => {
            list.elements().iter().map(value).collect::<Result<Vec<_>, _>>().map(Value::from)?
        }
        Field::MapInternal(map) => {
            let mut object = Object::new();
            for (key, field) in map.entries() {
                let key = match value(key)? {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                object.insert(key, value(field)?);
            }
            Value::Object(object)
        }
    })
}

/// Times as texts, in UTC.
mod iso {
    /// Microseconds of a day.
    const DAY: i64 = 86_400_000_000;

    /// Writes a date; none before the year 0 and after 9999.
    ///
    /// The civil date of a day number, after Howard Hinnant's `civil_from_days`.
    pub(super) fn date(days: i64) -> Option<String> {
        let shifted = days.checked_add(719_468)?;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        (0..=9_999).contains(&year).then(|| format!("{year:04}-{month:02}-{day:02}"))
    }

    /// Writes a time of day, as exact as it is.
    pub(super) fn time(micros: i64) -> Option<String> {
        if !(0..DAY).contains(&micros) {
            return None;
        }
        let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
        let whole = format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
        Some(match rest {
            0 => whole,
            rest if rest % 1_000 == 0 => format!("{whole}.{:03}", rest / 1_000),
            rest => format!("{whole}.{rest:06}"),
        })
    }

    /// Writes a moment.
    pub(super) fn timestamp(micros: i64) -> Option<String> {
        Some(format!("{}T{}Z", date(micros.div_euclid(DAY))?, time(micros.rem_euclid(DAY))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_texts() {
        assert_eq!(iso::date(0).as_deref(), Some("1970-01-01"));
        assert_eq!(iso::date(19_782).as_deref(), Some("2024-02-29"));
        assert_eq!(iso::date(-1).as_deref(), Some("1969-12-31"));
        assert_eq!(iso::timestamp(1_709_210_096_500_000).as_deref(), Some("2024-02-29T12:34:56.500Z"));
        assert_eq!(iso::timestamp(-1).as_deref(), Some("1969-12-31T23:59:59.999999Z"));
        assert_eq!(iso::date(i64::MAX), None);
        assert_eq!(value(&Field::Float(0.1)), Ok(serde_json::json!(0.1)));
        assert_eq!(value(&Field::Double(f64::NAN)), Ok(Value::Null));
    }
}
