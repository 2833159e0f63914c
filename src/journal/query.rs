//! Questions of people to a journal, in SQL: read-only, beside a writer or not.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};

use super::{JournalError, Reader, schema};
use crate::base::CaseNo;

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing.
    Null,
    /// A whole number.
    Integer(i64),
    /// A number.
    Real(f64),
    /// A text.
    Text(String),
    /// Bytes, as lower-case hexadecimal digits.
    Bytes(String),
}

/// A journal open for questions.
pub struct Query {
    connection: Connection,
}

impl Query {
    /// Opens a journal.
    ///
    /// # Errors
    /// No journal there, a newer format, damage: each by name.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let (connection, _) = schema::open_to_read(path)?;
        let failed = |source| JournalError::store(path, "open", source);
        // A function may not ask its own connection.
        let reader = Mutex::new(Reader::open(path)?);
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
        connection
            .create_scalar_function("pipe_text", 2, flags, move |context| text_of(context, &reader))
            .map_err(failed)?;
        connection.execute_batch(&schema::views_with_texts()).map_err(failed)?;
        connection.pragma_update(None, "query_only", true).map_err(failed)?;
        Ok(Self { connection })
    }

    /// Asks one question and calls `visit` with the names of the columns and each row.
    ///
    /// # Errors
    /// What the store says of the question, or what `visit` returns as text.
    pub fn ask(&self, question: &str, visit: &mut RowVisit<'_>) -> Result<Vec<String>, QueryError> {
        let mut statement = self.connection.prepare(question).map_err(QueryError::Question)?;
        if !statement.readonly() {
            return Err(QueryError::Writes);
        }
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut rows = statement.query([]).map_err(QueryError::Question)?;
        while let Some(row) = rows.next().map_err(QueryError::Question)? {
            let cells = (0..columns.len()).map(|place| row.get_ref(place).map(Cell::of));
            let cells = cells.collect::<Result<Vec<Cell>, _>>().map_err(QueryError::Question)?;
            visit(&columns, cells).map_err(QueryError::Output)?;
        }
        Ok(columns)
    }
}

/// The function `pipe_text(case_no, body)`: the text of a body in the table `texts`.
fn text_of(context: &Context<'_>, reader: &Mutex<Reader>) -> rusqlite::Result<Value> {
    let ValueRef::Blob(packed) = context.get_raw(1) else { return context.get(1) };
    let case = context.get::<Option<i64>>(0)?.and_then(|case| u64::try_from(case).ok()).map(CaseNo);
    let reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
    let text = reader.unpacked(case, packed).map_err(|error| rusqlite::Error::UserFunctionError(error.into()))?;
    Ok(Value::Text(text.to_string()))
}

/// A question that has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// What the store says.
    #[error("{0}")]
    Question(rusqlite::Error),
    /// It is no question.
    #[error("a journal is only read here: nothing but pipe may write in it")]
    Writes,
    /// The answer cannot be written.
    #[error(transparent)]
    Output(std::io::Error),
}

/// Gets the names of the columns, and a row.
pub(super) type RowVisit<'a> = dyn FnMut(&[String], Vec<Cell>) -> std::io::Result<()> + 'a;

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
        text.extend([digit(byte >> 4), digit(byte & 15)]);
    }
    text
}

impl Cell {
    fn of(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Integer(number),
            ValueRef::Real(number) => Self::Real(number),
            ValueRef::Text(text) => Self::Text(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Blob(bytes) => Self::Bytes(hexadecimal(bytes)),
        }
    }
}
