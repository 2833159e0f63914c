//! CSV: values between commas, or what stands for them, under a line of column names.
//!
//! A value is a number, `true` or `false` where it would be written back exactly as it stands, and text else: so
//! `007`, `1e5`, `1.10` and `True` stay as they are, and printing a value gives what the file has. A column whose type
//! is said has that type throughout; only there an empty value is null.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};

use csv::{ByteRecord, Reader, ReaderBuilder};
use serde_json::{Number, Value};

use super::problem::{Wrong, no_text, other_encoding};
use super::{LONGEST_ROW, Numbered, Object};
use crate::plan::ColumnType;

/// What may stand between values, the likelier first.
const DELIMITERS: [u8; 4] = *b",;\t|";
/// Lines that are looked at to find out which it is.
const LOOKED_AT: usize = 20;

/// A CSV file. Memory: one record.
pub(super) struct Csv {
    reader: Reader<Bounded>,
    columns: Vec<Column>,
    /// 1 where lines end with a carriage return too: the library counts a line only when it meets the line feed, which
    /// is part of the next record then.
    behind: u64,
    record: ByteRecord,
    /// The record after it, when that had to be read already.
    ahead: Option<ByteRecord>,
}

struct Column {
    name: String,
    kind: Option<ColumnType>,
}

/// Lets through no more than one record may have; counts quotes.
struct Bounded {
    input: Box<dyn BufRead>,
    room: u64,
    quotes: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.room == 0 {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        let most = usize::try_from(self.room).unwrap_or(usize::MAX).min(buffer.len());
        let length = self.input.read(&mut buffer[..most])?;
        self.room -= length as u64;
        for byte in &buffer[..length] {
            self.quotes += u64::from(*byte == b'"');
        }
        Ok(length)
    }
}

impl Csv {
    /// Reads the column names.
    ///
    /// # Errors
    /// There are none, two are the same, or a type is said of a column that is not there.
    pub(super) fn open(
        mut input: Box<dyn BufRead>,
        delimiter: Option<u8>,
        types: &BTreeMap<String, ColumnType>,
    ) -> Result<Self, Wrong> {
        let start = input.fill_buf().map_err(|error| Wrong::unreadable(&error))?;
        if let Some(wrong) = other_encoding(start) {
            return Err(wrong);
        }
        let mark = if start.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let line_end = start.iter().position(|byte| *byte == b'\n').unwrap_or_default();
        let behind = u64::from(start[..line_end].ends_with(b"\r"));
        let delimiter = delimiter.unwrap_or_else(|| likely_delimiter(&start[mark..]));
        input.consume(mark);
        let bounded = Bounded { input, room: LONGEST_ROW, quotes: 0 };
        let mut reader = ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(bounded);
        let names = reader.byte_headers().map_err(|error| unreadable(&error))?.clone();
        let columns = columns(&names, types)?;
        Ok(Self { reader, columns, behind, record: ByteRecord::new(), ahead: None })
    }

    /// Returns the number of the line where the next record begins, and the record.
    pub(super) fn next(&mut self) -> Option<Numbered> {
        let begins = self.reader.position().line() + self.behind;
        match self.read() {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => return Some((begins, Err(unreadable(&error)))),
        }
        let line = self.record.position().map_or(begins, |position| position.line() + self.behind);
        if self.never_closed() {
            let help = "a quote inside of quotes is doubled: \"\"";
            return Some((line, Err(Wrong::file("a quote is opened here and never closed", help))));
        }
        Some((line, self.values()))
    }

    fn read(&mut self) -> csv::Result<bool> {
        if let Some(ahead) = self.ahead.take() {
            self.record = ahead;
            return Ok(true);
        }
        self.reader.get_mut().room = LONGEST_ROW;
        self.reader.read_byte_record(&mut self.record)
    }

    /// Returns true when the last record of a file has swallowed lines after an open quote.
    fn never_closed(&mut self) -> bool {
        let has_lines = self.record.iter().next_back().is_some_and(|last| last.contains(&b'\n'));
        if !has_lines || self.ahead.is_some() || self.reader.get_ref().quotes.is_multiple_of(2) {
            return false;
        }
        // Whether it is the last one only another look can tell; what is wrong with the next is told when it is read.
        let mut next = ByteRecord::new();
        self.reader.get_mut().room = LONGEST_ROW;
        match self.reader.read_byte_record(&mut next) {
            Ok(true) => self.ahead = Some(next),
            Ok(false) => return true,
            Err(_) => {}
        }
        false
    }

    fn values(&self) -> Result<Object, Wrong> {
        if self.record.len() != self.columns.len() {
            let message = format!(
                "the row has {}, the line of column names {}",
                counted(self.record.len()),
                self.columns.len()
            );
            return Err(Wrong::row(
                message,
                "a value with a delimiter or a line break in it stands in double quotes",
            ));
        }
        let mut row = Object::new();
        for (column, bytes) in self.columns.iter().zip(self.record.iter()) {
            let of_column = |wrong: Wrong| {
                let place = wrong.column.map(|place| format!(", byte {place}")).unwrap_or_default();
                let message = format!("column {:?}{place}: {}", column.name, wrong.message);
                Wrong { message, column: None, ..wrong }
            };
            if bytes.contains(&0) {
                return Err(of_column(Wrong::row("a NUL byte: this is no text", "is this really CSV?")));
            }
            if let Some(wrong) = no_text(bytes) {
                return Err(of_column(wrong));
            }
            let text = std::str::from_utf8(bytes).unwrap_or_default();
            let value = match column.kind {
                None => guessed(text),
                Some(kind) => declared(text, kind).ok_or_else(|| {
                    let message = format!("{text:?} is no {}", kind.word());
                    of_column(Wrong::row(message, "mend the value, or say another type under `types` of `items`"))
                })?,
            };
            row.insert(column.name.clone(), value);
        }
        Ok(row)
    }
}

fn columns(names: &ByteRecord, types: &BTreeMap<String, ColumnType>) -> Result<Vec<Column>, Wrong> {
    const HELP: &str = "the first line names the columns, each once";
    if names.iter().all(<[u8]>::is_empty) {
        return Err(Wrong::file("the file has no line of column names", HELP));
    }
    let mut columns: Vec<Column> = Vec::with_capacity(names.len());
    for (place, name) in names.iter().enumerate() {
        let Ok(name) = std::str::from_utf8(name) else {
            let help = "files are UTF-8: `iconv -f LATIN1 -t UTF-8 FILE > NEW` makes them so";
            return Err(Wrong::file(format!("the name of column {} is no UTF-8", place + 1), help));
        };
        let name = name.trim();
        if name.is_empty() {
            return Err(Wrong::file(format!("column {} has no name", place + 1), HELP));
        }
        if columns.iter().any(|column| column.name == name) {
            return Err(Wrong::file(format!("two columns are named {name:?}"), HELP));
        }
        columns.push(Column { name: name.to_owned(), kind: types.get(name).copied() });
    }
    let known = |name: &String| columns.iter().any(|column| column.name == *name);
    if let Some(missing) = types.keys().find(|name| !known(name)) {
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let message = format!("`types` of `items` names a column {missing:?}, which is not there");
        return Err(Wrong::file(message, &format!("the columns are {}", names.join(", "))));
    }
    Ok(columns)
}

fn unreadable(error: &csv::Error) -> Wrong {
    match error.kind() {
        csv::ErrorKind::Io(error) if error.kind() == io::ErrorKind::FileTooLarge => Wrong::file(
            format!("the row is longer than {} MiB", LONGEST_ROW >> 20),
            "is a quote opened here and never closed? A quote inside of quotes is doubled: \"\"",
        ),
        csv::ErrorKind::Io(error) => Wrong::unreadable(error),
        _ => Wrong::file(error.to_string(), "is this really CSV?"),
    }
}

fn counted(values: usize) -> String {
    if values == 1 { "1 value".to_owned() } else { format!("{values} values") }
}

/// Takes a value for what it would be written as again.
fn guessed(text: &str) -> Value {
    match text {
        "true" => return Value::Bool(true),
        "false" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.starts_with(|first: char| first.is_ascii_digit()) || digits.len() > 24 {
        return Value::from(text);
    }
    match serde_json::from_str::<Number>(text).map(|number| (number.to_string(), number)) {
        Ok((written, number)) if written == text => Value::Number(number),
        Ok(_) | Err(_) => Value::from(text),
    }
}

/// Reads a value of a type that is said; empty ones are null, but for texts.
fn declared(text: &str, kind: ColumnType) -> Option<Value> {
    if kind == ColumnType::Text {
        return Some(Value::from(text));
    }
    let text = text.trim();
    if text.is_empty() {
        return Some(Value::Null);
    }
    match kind {
        ColumnType::Integer => text.parse::<i64>().ok().map(Value::from),
        ColumnType::Number => match text.parse::<i64>() {
            Ok(whole) => Some(Value::from(whole)),
            Err(_) => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from),
        },
        ColumnType::Boolean => match text.to_ascii_lowercase().as_str() {
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            _ => None,
        },
        ColumnType::Text => None,
    }
}

/// Finds what stands between values: what gives the first lines the same number of values, and the most of them.
fn likely_delimiter(start: &[u8]) -> u8 {
    let mut best = (0, DELIMITERS[0]);
    for delimiter in DELIMITERS {
        let mut reader =
            ReaderBuilder::new().delimiter(delimiter).flexible(true).has_headers(false).from_reader(start);
        let mut counts = Vec::new();
        let mut record = ByteRecord::new();
        while counts.len() < LOOKED_AT && reader.read_byte_record(&mut record).unwrap_or(false) {
            counts.push(record.len());
        }
        // The last record may be cut off where the buffer ends.
        if counts.len() > 1 && counts.len() < LOOKED_AT && !start.ends_with(b"\n") {
            counts.pop();
        }
        let Some(&first) = counts.first() else { continue };
        let alike = counts.iter().filter(|count| **count == first).count();
        // A name without a delimiter says nothing for it.
        let score = if first == 1 { 0 } else { alike * 1_000 / counts.len() * 1_000 + first.min(999) };
        if score > best.0 {
            best = (score, delimiter);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str, types: &[(&str, ColumnType)]) -> Vec<(u64, Result<Value, String>)> {
        let types = types.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        let input = Box::new(io::Cursor::new(text.to_owned().into_bytes()));
        let mut csv = match Csv::open(input, None, &types) {
            Ok(csv) => csv,
            Err(wrong) => return vec![(1, Err(wrong.message))],
        };
        let mut rows = Vec::new();
        while let Some((line, row)) = csv.next() {
            let ends = row.as_ref().is_err_and(|wrong| wrong.ends);
            rows.push((line, row.map(Value::Object).map_err(|wrong| wrong.message)));
            if ends {
                break;
            }
        }
        rows
    }

    fn check(text: &str, types: &[(&str, ColumnType)], expected: &[(u64, Result<Value, &str>)]) {
        let expected: Vec<_> =
            expected.iter().map(|(line, row)| (*line, row.clone().map_err(str::to_owned))).collect();
        assert_eq!(read(text, types), expected, "{text}");
    }

    #[test]
    fn every_dialect_gives_the_same_rows() {
        let rows = [(2, Ok(json!({"a": 1, "b": "x, \"y\"; |z"}))), (3, Ok(json!({"a": 2, "b": ""})))];
        check("a,b\n1,\"x, \"\"y\"\"; |z\"\n2,\n", &[], &rows);
        check("\u{feff}a;b\r\n1;\"x, \"\"y\"\"; |z\"\r\n2;\r\n", &[], &rows);
        check("a\tb\n1\t\"x, \"\"y\"\"; |z\"\n2\t", &[], &rows);
        check(" a | b\n1|\"x, \"\"y\"\"; |z\"\n2|\n", &[], &rows);
        check(
            "text\nHello; you, there\nfine\n",
            &[],
            &[(2, Err("the row has 2 values, the line of column names 1")), (3, Ok(json!({"text": "fine"})))],
        );
        check(
            "a,b\n\"1\n2\",x\n3,y\n",
            &[],
            &[(2, Ok(json!({"a": "1\n2", "b": "x"}))), (4, Ok(json!({"a": 3, "b": "y"})))],
        );
    }

    #[test]
    fn values_are_taken_for_what_would_be_written_again() {
        for (text, value) in [
            ("5", json!(5)),
            ("-5", json!(-5)),
            ("0.5", json!(0.5)),
            ("12345678901234567890", json!(12_345_678_901_234_567_890_u64)),
            ("true", json!(true)),
            ("007", json!("007")),
            ("1e5", json!("1e5")),
            ("1.10", json!("1.10")),
            ("+1", json!("+1")),
            ("-0", json!("-0")),
            (" 1", json!(" 1")),
            ("1 ", json!("1 ")),
            ("True", json!("True")),
            ("null", json!("null")),
            ("", json!("")),
            ("123456789012345678901234567890", json!("123456789012345678901234567890")),
        ] {
            assert_eq!(guessed(text), value, "{text}");
            let written = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            assert_eq!(written, text, "printed as it stands");
        }
    }

    #[test]
    fn types_that_are_said_hold_for_the_whole_column() {
        use ColumnType::{Boolean, Integer, Number, Text};
        let types = [("id", Text), ("n", Integer), ("x", Number), ("b", Boolean)];
        check(
            "id,n,x,b\n007,7,1.10,True\n8,,1e3,\n",
            &types,
            &[
                (2, Ok(json!({"id": "007", "n": 7, "x": 1.1, "b": true}))),
                (3, Ok(json!({"id": "8", "n": null, "x": 1000.0, "b": null}))),
            ],
        );
        check(
            "n\n1.5\n2\n",
            &[("n", Integer)],
            &[(2, Err("column \"n\": \"1.5\" is no integer")), (3, Ok(json!({"n": 2})))],
        );
        check(
            "n\n1\n",
            &[("m", Integer)],
            &[(1, Err("`types` of `items` names a column \"m\", which is not there"))],
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        check("", &[], &[(1, Err("the file has no line of column names"))]);
        check("a,,c\n1,2,3\n", &[], &[(1, Err("column 2 has no name"))]);
        check("a,b,a\n1,2,3\n", &[], &[(1, Err("two columns are named \"a\""))]);
        check(
            "a,b\n1,2\n3\n4,5,6\n",
            &[],
            &[
                (2, Ok(json!({"a": 1, "b": 2}))),
                (3, Err("the row has 1 value, the line of column names 2")),
                (4, Err("the row has 3 values, the line of column names 2")),
            ],
        );
        check("a,b\n1,\"x\n2,y\n", &[], &[(2, Err("a quote is opened here and never closed"))]);
        check("a,b\n1,x\0y\n", &[], &[(2, Err("column \"b\": a NUL byte: this is no text"))]);
    }

    #[test]
    fn a_quote_that_is_never_closed_takes_no_more_than_a_row_may() {
        let input = io::BufReader::new(io::repeat(b'x').take(LONGEST_ROW * 4));
        let input = io::Cursor::new(b"a,b\n1,2\n3,\"".to_vec()).chain(input);
        let mut csv = Csv::open(Box::new(io::BufReader::new(input)), None, &BTreeMap::new()).expect("named columns");
        assert!(csv.next().is_some_and(|(line, row)| line == 2 && row.is_ok()));
        let (line, row) = csv.next().expect("more");
        let wrong = row.expect_err("too long");
        assert_eq!((line, wrong.ends), (3, true));
        assert!(wrong.message.contains("longer than 16 MiB") && wrong.help.contains("never closed"), "{wrong:?}");
    }
}
