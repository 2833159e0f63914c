//! Compares the tables and views of a file with those that this version lays out.
//! Never: rows; their checksums are another matter.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;

use super::samples;
use super::schema::{self, VIEWS};
use crate::event::FORMAT;

/// Returns what is wrong with a file's layout: damage there, too, keeps everybody from reading it.
///
/// What another version laid out is only opened: its tables and views may be others.
pub(super) fn wrong(path: &Path) -> Vec<String> {
    let (connection, meta) = match schema::open_to_read(path) {
        Ok(opened) => opened,
        Err(error) => return vec![error.to_string()],
    };
    let compare = || -> rusqlite::Result<Vec<String>> {
        let views: String =
            connection.query_row("select value from meta where key = 'views'", [], |row| row.get(0))?;
        if meta.format != FORMAT || views != schema::views() {
            return Ok(Vec::new());
        }
        let fresh = Connection::open_in_memory()?;
        fresh.execute_batch(include_str!("schema.sql"))?;
        fresh.execute_batch(VIEWS)?;
        fresh.execute_batch(samples::LAYOUT)?;
        let (expected, found) = (statements(&fresh)?, statements(&connection)?);
        let names = expected.keys().chain(found.keys().filter(|name| !expected.contains_key(*name)));
        let differing = names.filter(|name| expected.get(*name) != found.get(*name));
        // Where nothing was sampled there are no tables for it.
        let unmade = |name: &str| name.contains(samples::PREFIX) && !found.contains_key(name);
        let differing = differing.filter(|name| !unmade(name));
        Ok(differing.map(|name| format!("its {name} is not what this version laid out")).collect())
    };
    compare().unwrap_or_else(|error| vec![error.to_string()])
}

/// Returns how each table, index and view was made, by kind and name.
fn statements(connection: &Connection) -> rusqlite::Result<BTreeMap<String, Option<String>>> {
    // The store's own tables come and go: statistics, for one.
    let query = "select type || ' ' || name, sql from sqlite_schema where name not like 'sqlite!_%' escape '!'";
    let mut statement = connection.prepare(query)?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}
