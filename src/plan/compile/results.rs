//! Where the table of results goes, and what its columns show.

use std::path::PathBuf;

use indexmap::IndexMap;

use super::Compiler;
use super::scope::{fields_of, is_for_each};
use crate::diag::{Diagnostic, Span, code};
use crate::plan::{Column, Items, ResultsPlan};
use crate::spec::{Spanned, Table};

impl Compiler<'_> {
    pub(super) fn results(&mut self, items: Option<&Items>) -> Option<ResultsPlan> {
        let spec = self.spec.results.as_ref();
        let mut columns = IndexMap::new();
        for (name, source) in spec.and_then(|results| results.columns.as_ref()).iter().flat_map(|columns| &columns.0)
        {
            if let Some(column) = self.column(source, items) {
                columns.insert(name.value.clone(), column);
            }
        }
        if self.overrides.aside {
            return None;
        }
        let (path, said) = if let Some(out) = &self.overrides.out {
            self.check_ending(out);
            (PathBuf::from(out), Span::of_option(&format!("--out {out}"), out))
        } else {
            let declared = spec.and_then(|results| results.path.as_ref())?;
            let path = self.setting("`path` of `results`", declared)?;
            let written = self.relative(&path.span, &path.value.0);
            (self.resolve("the results", &written, &path.span)?, path.span)
        };
        Some(ResultsPlan { path, said, by_option: self.overrides.out.is_some(), columns })
    }

    fn check_ending(&mut self, out: &str) {
        let ending = [".tsv", ".json", ".xlsx", ".gz"].into_iter().find(|ending| out.ends_with(ending));
        if let Some(ending) = ending {
            self.report.push(
                Diagnostic::error(code::OUT_OF_RANGE, format!("results cannot be written as {ending}"))
                    .at(&Span::of_option(&format!("--out {out}"), out), "another format")
                    .help("name a .jsonl, .csv or .parquet file"),
            );
        }
    }

    fn column(&mut self, source: &Spanned<String>, items: Option<&Items>) -> Option<Column> {
        let path: Vec<&str> = source.value.trim().split('.').collect();
        let refuse = |message: String| Diagnostic::error(code::COLUMN, message);
        let diagnostic = match path.as_slice() {
            ["id" | "repeat" | "status" | "error"] => None,
            ["matrix", name] => self.matrix_column(name, source),
            ["item", column] => self.item_column(column, source, items),
            ["steps", step, field] => {
                let spec = self.spec;
                let names: Vec<&str> = spec.steps.iter().flat_map(Table::names).collect();
                let entry = spec.steps.as_ref().and_then(|steps| steps.get(step));
                match entry.map(|entry| entry.value.as_ref().and_then(fields_of)) {
                    None => {
                        Some(refuse(format!("there is no step `{step}`")).at(&source.span, "").suggest(step, names))
                    }
                    Some(Some(_))
                        if *field == "keys" && is_for_each(entry.and_then(|entry| entry.value.as_ref())) =>
                    {
                        None
                    }
                    Some(Some((kind, fields))) if !fields.contains(field) => Some(
                        refuse(format!("step `{step}` has no field `{field}`"))
                            .at(&source.span, format!("it is a {kind}: {}", fields.join(", ")))
                            .suggest(field, fields.iter().copied()),
                    ),
                    Some(_) => None,
                }
            }
            _ => Some(
                refuse(format!("`{}` is no source of a column", source.value))
                    .at(&source.span, "unknown source")
                    .help("there is: id, item.<column>, repeat, matrix.<name>, steps.<step>.<field>, status, error"),
            ),
        };
        match diagnostic {
            Some(diagnostic) => {
                self.report.push(diagnostic);
                None
            }
            None => Some(Column(path.into_iter().map(str::to_owned).collect())),
        }
    }

    fn matrix_column(&self, name: &str, source: &Spanned<String>) -> Option<Diagnostic> {
        (!self.names.contains(&name)).then(|| {
            Diagnostic::error(code::COLUMN, format!("the matrix has no `{name}`"))
                .at(&source.span, "nothing to show")
                .suggest(name, self.names.iter().copied())
        })
    }

    fn item_column(&self, column: &str, source: &Spanned<String>, items: Option<&Items>) -> Option<Diagnostic> {
        match items? {
            Items::Files(_) => None,
            Items::One => Some(
                Diagnostic::error(code::COLUMN, format!("`{}` has no source: there are no items", source.value))
                    .at(&source.span, "nothing to show"),
            ),
            Items::Inline { .. } => {
                let columns = self.inline_columns();
                (!columns.contains(column)).then(|| {
                    Diagnostic::error(code::COLUMN, format!("no item has a column `{column}`"))
                        .at(&source.span, "nothing to show")
                        .suggest(column, columns)
                })
            }
        }
    }
}
