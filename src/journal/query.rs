//! Questions of people to a journal, in SQL: read-only, beside a writer or not.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::{JournalError, schema};

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
        connection
            .pragma_update(None, "query_only", true)
            .map_err(|source| JournalError::store(path, "open", source))?;
        Ok(Self { connection })
    }

    /// Asks one question and calls `visit` with the names of the columns and each row.
    ///
    /// # Errors
    /// What the store says of the question, or what `visit` returns as text.
    pub fn ask(
        &self,
        question: &str,
        visit: &mut dyn FnMut(&[String], Vec<Cell>) -> std::io::Result<()>,
    ) -> Result<Vec<String>, QueryError> {
        let mut statement = self.connection.prepare(question).map_err(QueryError::Question)?;
        if !statement.readonly() {
            return Err(QueryError::Writes);
        }
        let columns: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
        let mut rows = statement.query([]).map_err(QueryError::Question)?;
        while let Some(row) = rows.next().map_err(QueryError::Question)? {
            let cells = (0..columns.len()).map(|place| row.get_ref(place).map(Cell::of));
            let cells = cells.collect::<Result<Vec<Cell>, _>>().map_err(QueryError::Question)?;
            visit(&columns, cells).map_err(QueryError::Output)?;
        }
        Ok(columns)
    }
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

impl Cell {
    fn of(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Integer(number),
            ValueRef::Real(number) => Self::Real(number),
            ValueRef::Text(text) => Self::Text(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Blob(bytes) => Self::Bytes(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        }
    }
}
