//! Items: rows in the file, or the path of a file with rows.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::Compiler;
use crate::diag::{Diagnostic, Span, code};
use crate::plan::Items;
use crate::spec::{self, Kind, Literal, Node, Spanned, Style};

impl Compiler<'_> {
    /// Returns the source of cases. None when something is missing.
    pub(super) fn items(&mut self) -> Option<Items> {
        let spec = self.spec;
        let Some(items) = &spec.items else { return Some(Items::One) };
        let id = items.id.as_ref();
        if let Some(path) = &items.path {
            return self.files(items, path).map(Items::Files);
        }
        self.refuse_file_keys(items);
        let Some(spec::Rows(nodes)) = &items.values else { return None };
        let rows: Vec<Option<Map<String, Value>>> = nodes.iter().map(|node| self.row(node)).collect();
        if let Some(id) = id {
            self.check_ids(id, nodes, &rows);
        }
        let rows = rows.into_iter().collect::<Option<Vec<_>>>();
        rows.map(|rows| Items::Inline { rows, id: id.map(|id| id.value.clone()) })
    }

    /// Returns the columns of rows that are written out.
    pub(super) fn inline_columns(&self) -> BTreeSet<&str> {
        let rows = self.spec.items.iter().filter_map(|items| items.values.as_ref()).flat_map(|rows| &rows.0);
        let mut columns = BTreeSet::new();
        for row in rows {
            if let Kind::Map(entries) = &row.kind {
                columns.extend(entries.iter().map(|(name, _)| name.value.as_str()));
            }
        }
        columns
    }

    /// Returns an absolute path; reports one that lies where it may not.
    pub(super) fn resolve(&mut self, what: &str, path: &str, span: &Span) -> Option<std::path::PathBuf> {
        match (self.around.resolve)(path) {
            Ok(path) => Some(path),
            Err(reason) => {
                let message = format!("{what} cannot be at {path:?}");
                self.report.push(
                    Diagnostic::error(code::FILE, message).at(span, reason).help(super::scope::WHERE_FILES_ARE),
                );
                None
            }
        }
    }

    fn row(&mut self, node: &Node) -> Option<Map<String, Value>> {
        match self.json(node)? {
            Value::Object(row) => Some(row),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
        }
    }

    /// Returns a value as JSON, the environment put in; reports what JSON does not have.
    pub(super) fn json(&mut self, node: &Node) -> Option<Value> {
        match &node.kind {
            Kind::Invalid => None,
            Kind::List(entries) => {
                let values: Vec<Option<Value>> = entries.iter().map(|entry| self.json(entry)).collect();
                values.into_iter().collect::<Option<Vec<_>>>().map(Value::Array)
            }
            Kind::Map(entries) => {
                let mut map = Map::new();
                let mut whole = true;
                for (name, value) in entries {
                    match self.json(value) {
                        Some(value) => {
                            map.insert(name.value.clone(), value);
                        }
                        None => whole = false,
                    }
                }
                whole.then_some(Value::Object(map))
            }
            Kind::Scalar(text) => {
                let literal = if text.value.contains("${") {
                    let value = self.environment(text)?;
                    if text.style == Style::Plain { Literal::of_plain(&value) } else { Literal::Text(value) }
                } else {
                    text.literal()
                };
                let value = literal.to_json();
                if value.is_none() {
                    self.report.push(
                        Diagnostic::error(code::OUT_OF_RANGE, "this number is too large")
                            .at(&text.span, "more than 64 bits")
                            .help("quotes make it text"),
                    );
                }
                value
            }
        }
    }

    fn check_ids(&mut self, id: &Spanned<String>, nodes: &[Node], rows: &[Option<Map<String, Value>>]) {
        let mut seen: BTreeMap<String, Span> = BTreeMap::new();
        for (node, row) in nodes.iter().zip(rows) {
            let Some(row) = row else { continue };
            let Some(value) = row.get(&id.value) else {
                self.report.push(
                    Diagnostic::error(
                        code::ITEMS,
                        format!("a row has no `{}`, the column that identifies it", id.value),
                    )
                    .at(&node.span, "this row")
                    .at(&id.span, "named here")
                    .suggest(&id.value, row.keys().map(String::as_str)),
                );
                continue;
            };
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                    self.report.push(
                        Diagnostic::error(
                            code::ITEMS,
                            format!("`{}` must be text or a number to identify a row", id.value),
                        )
                        .at(&node.span, "in this row it is not"),
                    );
                    continue;
                }
            };
            if let Some(first) = seen.get(&text) {
                self.report.push(
                    Diagnostic::error(code::ITEMS, format!("two rows have the id {text:?}"))
                        .at(&node.span, "again here")
                        .at(first, "first here")
                        .help("without `id` rows are told apart by their content"),
                );
                continue;
            }
            seen.insert(text, node.span.clone());
        }
    }
}
