//! `pipe journal sql`: questions to a journal.

use serde_json::{Map, Value, json};

use super::args::SqlArgs;
use super::exit::{CommandError, Exit};
use super::printer::{DIM, Printer, inert, paint};
use super::show;
use super::table::Table;
use crate::journal::{Cell, Home, Query, QueryError};

/// Rows up to which columns are made as wide as what stands in them: a table is held in memory.
const TABLED: usize = 1_000;
/// Characters of a value that a table shows.
const WIDEST: usize = 60;

/// What there is to ask: views and tables, each with its columns.
const LISTED: &str = "\
    select type, name, (select group_concat(name, ', ') from pragma_table_info(of.name)) as columns
    from sqlite_schema as of where type in ('view', 'table') and name not like 'sqlite_%' order by type desc, name";

/// Asks.
///
/// # Errors
/// No such run, or a question that has no answer.
pub(super) fn sql(args: &SqlArgs, home: &Home, printer: &mut Printer) -> Result<Exit, CommandError> {
    let dir = show::find(home, &args.run)?;
    let query = Query::open(&dir.journal_path()).map_err(|error| CommandError::journal(&error))?;
    let question = args.query.as_deref().unwrap_or(LISTED);
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut count = 0_usize;
    let mut begun = false;
    let columns = query.ask(question, &mut |columns, cells| {
        count += 1;
        if args.json {
            let row: Map<String, Value> = columns.iter().cloned().zip(cells.iter().map(value)).collect();
            return printer.line(&Value::Object(row).to_string());
        }
        if args.csv {
            if !begun {
                begun = true;
                printer.line(&line(columns.iter().map(String::as_str)))?;
            }
            let cells: Vec<String> = cells.iter().map(text).collect();
            return printer.line(&line(cells.iter().map(String::as_str)));
        }
        if rows.len() < TABLED {
            rows.push(cells.iter().map(text).collect());
        }
        Ok(())
    });
    let columns = columns.map_err(|error| match error {
        QueryError::Output(error) => CommandError::from(error),
        other => CommandError::new(Exit::Usage, other.to_string())
            .help("`pipe journal sql RUN` lists the views and their columns"),
    })?;
    if args.csv && !begun {
        printer.line(&line(columns.iter().map(String::as_str)))?;
    }
    if args.json || args.csv {
        return Ok(Exit::Done);
    }
    let mut table = Table::new(
        &columns.iter().map(|name| inert(name)).collect::<Vec<_>>().iter().map(|name| &**name).collect::<Vec<_>>(),
    );
    for row in &rows {
        let is_list = args.query.is_none();
        let shown: Vec<String> = row.iter().map(|cell| if is_list { cell.clone() } else { short(cell) }).collect();
        table.add(&shown.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let width = printer.out().width();
    printer.data(&table.render(width, |head| paint(DIM, head)))?;
    if count > rows.len() {
        printer.say(&format!("… and {} more rows: --json or --csv print all", count - rows.len()));
    }
    Ok(Exit::Done)
}

fn value(cell: &Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Integer(number) => json!(number),
        Cell::Real(number) => json!(number),
        Cell::Text(text) | Cell::Bytes(text) => json!(text),
    }
}

fn text(cell: &Cell) -> String {
    match cell {
        Cell::Null => String::new(),
        Cell::Integer(number) => number.to_string(),
        Cell::Real(number) => number.to_string(),
        Cell::Text(text) | Cell::Bytes(text) => text.clone(),
    }
}

/// Returns the start of a value, on one line and without escapes.
fn short(cell: &str) -> String {
    let plain = inert(cell).replace(['\n', '\t'], " ");
    match plain.char_indices().nth(WIDEST) {
        Some((end, _)) => format!("{}…", &plain[..end]),
        None => plain,
    }
}

fn line<'a>(cells: impl Iterator<Item = &'a str>) -> String {
    let quoted = |cell: &str| {
        let plain = !cell.contains(['"', ',', '\n', '\r']);
        if plain { cell.to_owned() } else { format!("\"{}\"", cell.replace('"', "\"\"")) }
    };
    cells.map(quoted).collect::<Vec<_>>().join(",")
}
