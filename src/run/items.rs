//! Rows of the input, one at a time, with their ids.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde_json::{Map, Value};

use super::open_plain;
use crate::base::{Digest, Hasher, ItemId};
use crate::plan::{Items, Plan};

/// Longest line of an input file, in bytes.
const LONGEST_LINE: u64 = 16 << 20;
/// Problems named before the rest is only counted.
const NAMED_PROBLEMS: usize = 20;

/// One row of the input.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) item: ItemId,
    pub(super) json: String,
}

/// Something wrong with one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemProblem {
    /// `motions.jsonl:17`, or `items.values, row 3`.
    pub place: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// What an input comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Rows, `--limit` applied.
    pub items: u64,
    /// Rows × cells × repeats.
    pub cases: u64,
    /// Hash over ids and rows, in order.
    pub digest: Digest,
}

/// Reads the whole input once and tells everything that is wrong with it, before any call is made.
///
/// Memory: 24 bytes a row, for finding rows with the same id.
///
/// # Errors
/// At most 20 problems by name, and how many more there are.
pub fn survey(plan: &Plan) -> Result<Survey, Vec<ItemProblem>> {
    let mut problems = Vec::new();
    let mut hidden = 0_u64;
    let mut rows = 0_u64;
    let mut seen = BTreeMap::new();
    let mut digest = Hasher::new("pipe input 1").finish();
    let mut source = match RowSource::open(plan) {
        Ok(source) => source,
        Err(problem) => return Err(vec![problem]),
    };
    loop {
        let place = source.place();
        let problem = match source.next_row() {
            None => break,
            Some(Ok(row)) => {
                rows += 1;
                digest = Hasher::new("pipe input 1")
                    .field(digest.as_bytes())
                    .field(row.item.as_str().as_bytes())
                    .field(row.json.as_bytes())
                    .finish();
                match seen.insert(Digest::of(row.item.as_str().as_bytes()), source.line) {
                    None => continue,
                    Some(earlier) => ItemProblem {
                        place,
                        message: format!("id {:?} is taken by row {earlier} already", row.item.as_str()),
                        help: "give each row its own id; equal rows without an id are told apart by themselves"
                            .to_owned(),
                    },
                }
            }
            Some(Err(problem)) => problem,
        };
        match problems.len() < NAMED_PROBLEMS {
            true => problems.push(problem),
            false => hidden += 1,
        }
        if source.broken {
            break;
        }
    }
    if hidden > 0 {
        problems.push(ItemProblem {
            place: source.name.clone(),
            message: format!("{hidden} more rows are wrong"),
            help: "mend the rows above first".to_owned(),
        });
    }
    if problems.is_empty() {
        return Ok(Survey { items: rows, cases: rows * plan.cases_of_item(), digest });
    }
    Err(problems)
}

/// Reads rows in order.
pub(super) struct RowSource {
    rows: Rows,
    id: Option<String>,
    left: u64,
    /// Rows taken so far, counted from 1: the line in a file.
    line: u64,
    name: String,
    twins: BTreeMap<Digest, u32>,
    broken: bool,
}

enum Rows {
    Values(std::vec::IntoIter<Map<String, Value>>),
    Lines(BufReader<File>),
}

impl RowSource {
    pub(super) fn open(plan: &Plan) -> Result<Self, ItemProblem> {
        let (rows, id, name) = match &plan.items {
            Items::One => (Rows::Values(vec![Map::new()].into_iter()), None, "items".to_owned()),
            Items::Inline { rows, id } => {
                (Rows::Values(rows.clone().into_iter()), id.clone(), "items.values".to_owned())
            }
            Items::JsonLines { path, id } => {
                let file = open(path)?;
                (Rows::Lines(BufReader::with_capacity(256 << 10, file)), id.clone(), shown(path))
            }
        };
        let left = plan.limit.unwrap_or(u64::MAX);
        Ok(Self { rows, id, left, line: 0, name, twins: BTreeMap::new(), broken: false })
    }

    fn place(&self) -> String {
        match self.rows {
            Rows::Values(_) => format!("{}, row {}", self.name, self.line + 1),
            Rows::Lines(_) => format!("{}:{}", self.name, self.line + 1),
        }
    }

    /// Returns the next row; blank lines are passed over.
    pub(super) fn next_row(&mut self) -> Option<Result<Row, ItemProblem>> {
        if self.left == 0 || self.broken {
            return None;
        }
        let object = match self.next_object()? {
            Ok(object) => object,
            Err(problem) => return Some(Err(problem)),
        };
        self.left -= 1;
        let row = self.identify(&object).map(|item| Row { item, json: Value::Object(object).to_string() });
        Some(row)
    }

    fn next_object(&mut self) -> Option<Result<Map<String, Value>, ItemProblem>> {
        loop {
            let place = self.place();
            self.line += 1;
            let lines = match &mut self.rows {
                Rows::Values(rows) => return rows.next().map(Ok),
                Rows::Lines(lines) => lines,
            };
            let mut line = Vec::new();
            match lines.take(LONGEST_LINE).read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => {
                    self.broken = true;
                    return Some(Err(problem(
                        place,
                        format!("cannot be read: {error}"),
                        "check the file and its disk",
                    )));
                }
            }
            if line.len() as u64 == LONGEST_LINE {
                self.broken = true;
                let message = format!("the line is longer than {} MiB", LONGEST_LINE >> 20);
                return Some(Err(problem(place, message, "one JSON object a line; is this really JSON Lines?")));
            }
            let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line);
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            return Some(
                object(line).map_err(|message| {
                    problem(place, message, "one JSON object a line, such as {\"motion\": \"…\"}")
                }),
            );
        }
    }

    fn identify(&mut self, row: &Map<String, Value>) -> Result<ItemId, ItemProblem> {
        let here = |message: String, help: &str| {
            let place = match self.rows {
                Rows::Values(_) => format!("{}, row {}", self.name, self.line),
                Rows::Lines(_) => format!("{}:{}", self.name, self.line),
            };
            problem(place, message, help)
        };
        let Some(column) = &self.id else {
            let sorted: BTreeMap<&String, &Value> = row.iter().collect();
            let digest = Digest::of(serde_json::to_string(&sorted).unwrap_or_default().as_bytes());
            let twins = self.twins.entry(digest).or_insert(0);
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
            Some(_) => Err(here(format!("its id {column:?} is no text or number"), "an id is a text or a number")),
            None => Err(here(
                format!("it has no {column:?}, which items.id names as its id"),
                "add the field, or leave items.id out: then rows are known by their content",
            )),
        }
    }
}

fn open(path: &Path) -> Result<File, ItemProblem> {
    open_plain(path).map_err(|error| {
        problem(
            shown(path),
            format!("cannot be opened: {error}"),
            "check items.path; it is relative to the pipeline file",
        )
    })
}

fn shown(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

fn object(line: &[u8]) -> Result<Map<String, Value>, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(line);
    match serde::Deserialize::deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value)) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("the line is JSON, but no object".to_owned()),
        Err(error) => {
            let reason = error.to_string();
            let reason = reason.split(" at line ").next().unwrap_or_default();
            if line.contains(&0) {
                return Err("the line has NUL bytes: it is no text".to_owned());
            }
            Err(format!("the line is no JSON: {reason} (column {})", error.column()))
        }
    }
}

fn problem(place: String, message: impl Into<String>, help: &str) -> ItemProblem {
    ItemProblem { place, message: message.into(), help: help.to_owned() }
}
