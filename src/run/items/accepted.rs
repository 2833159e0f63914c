//! Rows with their ids, those that `where` leaves out passed over.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::file::Raw;
use super::problem::{At, Wrong};
use super::{ItemProblem, Row};
use crate::base::{Digest, ItemId};
use crate::plan::{Items, Plan};

/// Every row that may be taken. Memory: 40 bytes a row where rows are known by their content, to tell equal ones apart.
pub(super) struct Accepted<'p> {
    plan: &'p Plan,
    raw: Raw<'p>,
    id: Option<&'p str>,
    /// What `where` sees; its `item` is put in row by row.
    context: Map<String, Value>,
    twins: BTreeMap<u128, u32>,
    /// Columns that were seen, up to a number that nobody looks through.
    pub(super) columns: Option<std::collections::BTreeSet<String>>,
}

/// Most columns that are remembered by name.
const MOST_COLUMNS: usize = 10_000;

impl<'p> Accepted<'p> {
    pub(super) fn of(plan: &'p Plan) -> Self {
        let id = match &plan.items {
            Items::One => None,
            Items::Inline { id, .. } => id.as_deref(),
            Items::Files(files) => files.id.as_deref(),
        };
        let context = Map::from_iter([("params".to_owned(), Value::Object(plan.params.clone()))]);
        Self { plan, raw: Raw::of(plan), id, context, twins: BTreeMap::new(), columns: None }
    }

    /// Returns true when rows have ids of their own, which may be repeated.
    pub(super) const fn has_ids(&self) -> bool {
        self.id.is_some()
    }

    pub(super) fn next(&mut self) -> Option<(At, Result<Row, ItemProblem>)> {
        loop {
            let (at, found) = self.raw.next()?;
            let row = found.and_then(|row| self.kept(row));
            let row = match row {
                Ok(Some(row)) => row,
                Ok(None) => continue,
                Err(wrong) => {
                    let problem = wrong.at(&at);
                    return Some((at, Err(problem)));
                }
            };
            if let Some(columns) = self.columns.as_mut().filter(|columns| columns.len() < MOST_COLUMNS) {
                for name in row.keys().filter(|name| !columns.contains(*name)).cloned().collect::<Vec<_>>() {
                    columns.insert(name);
                }
            }
            let item = self.identify(&row).map_err(|wrong| wrong.at(&at));
            return Some((at, item.map(|item| Row { item, json: Value::Object(row).to_string() })));
        }
    }

    /// Asks `where`.
    fn kept(&mut self, row: Map<String, Value>) -> Result<Option<Map<String, Value>>, Wrong> {
        const HELP: &str =
            "`where` of `items` compares, such as item.score > 3; `is defined` asks whether a column is there";
        let Some(filter) = self.plan.pick.filter else { return Ok(Some(row)) };
        self.context.insert("item".to_owned(), Value::Object(row));
        let held = self.plan.templates.evaluate(filter, &self.context);
        let Some(Value::Object(row)) = self.context.remove("item") else { return Ok(None) };
        match held {
            Ok(Value::Bool(true)) => Ok(Some(row)),
            Ok(Value::Bool(false) | Value::Null) => Ok(None),
            Ok(other) => {
                let mut shown: String = other.to_string().chars().take(40).collect();
                if shown.len() < other.to_string().len() {
                    shown.push('…');
                }
                Err(Wrong::row(format!("`where` gives {shown} for it, neither true nor false"), HELP))
            }
            Err(error) => Err(Wrong::row(format!("`where` fails for it: {}", error.message), HELP)),
        }
    }

    fn identify(&mut self, row: &Map<String, Value>) -> Result<ItemId, Wrong> {
        let Some(column) = self.id else {
            let sorted: BTreeMap<&String, &Value> = row.iter().collect();
            let digest = Digest::of(serde_json::to_string(&sorted).unwrap_or_default().as_bytes());
            let twins = self.twins.entry(short(&digest)).or_insert(0);
            *twins += 1;
            let text = &digest.to_string()[..12];
            return Ok(match *twins {
                1 => ItemId::from(text),
                twin => ItemId::from(format!("{text}#{twin}")),
            });
        };
        match row.get(column) {
            Some(Value::String(text)) if !text.is_empty() => Ok(ItemId::from(text.as_str())),
            Some(Value::Number(number)) => Ok(ItemId::from(number.to_string())),
            Some(_) => {
                Err(Wrong::row(format!("its id {column:?} is no text or number"), "an id is a text or a number"))
            }
            None => Err(Wrong::row(
                format!("it has no {column:?}, which items.id names as its id"),
                "add the field, or leave items.id out: then rows are known by their content",
            )),
        }
    }
}

/// Returns half of a digest: enough to tell more rows apart than anybody has.
pub(super) fn short(digest: &Digest) -> u128 {
    let bytes = digest.as_bytes();
    bytes[..16].iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}
