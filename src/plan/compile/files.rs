//! Files with rows: which they are, and how they are read.

use std::collections::BTreeMap;

use super::Compiler;
use super::scope::WHERE_FILES_ARE;
use crate::base::TableFormat;
use crate::diag::{Diagnostic, Span, code};
use crate::plan::{ColumnType, FileItems, RowsFile};
use crate::spec::{self, ColumnTypes, Delimiter, ParamType, RowsPath, Setting, Spanned};

impl Compiler<'_> {
    pub(super) fn files(&mut self, items: &spec::Items, path: &Setting<RowsPath>) -> Option<FileItems> {
        let format = self.optional("`format` of `items`", items.format.as_ref());
        let delimiter = self.optional("`delimiter` of `items`", items.delimiter.as_ref());
        let Spanned { value: RowsPath(written), span } = self.setting("`path` of `items`", path)?;
        let written = if written == "-" { written } else { self.relative(&span, &written) };
        let paths = if written == "-" { Vec::new() } else { self.rows_files(&written, &span, format)? };
        let has = |wanted: &[TableFormat]| match paths.as_slice() {
            [] => wanted.contains(&format.unwrap_or(TableFormat::JsonLines)),
            files => files.iter().any(|file| wanted.contains(&file.format)),
        };
        if let Some(setting) = items.delimiter.as_ref().filter(|_| !has(&[TableFormat::Csv])) {
            self.not_of_this_format("delimiter", setting.span(), &span);
        }
        let types = items.types.as_ref().map_or_else(BTreeMap::new, column_types);
        if let Some(ColumnTypes(types)) = items.types.as_ref().filter(|_| !has(&[TableFormat::Csv, TableFormat::Tsv]))
            && let Some((column, _)) = types.first()
        {
            self.not_of_this_format("types", &column.span, &span);
        }
        let id = items.id.as_ref().map(|id| id.value.clone());
        Some(FileItems { written, format, paths, id, delimiter: delimiter.map(|Delimiter(one)| one), types })
    }

    /// Reports keys that only files have.
    pub(super) fn refuse_file_keys(&mut self, items: &spec::Items) {
        let types = items.types.as_ref().and_then(|ColumnTypes(types)| types.first());
        let keys = [
            ("format", items.format.as_ref().map(Setting::span)),
            ("delimiter", items.delimiter.as_ref().map(Setting::span)),
            ("types", types.map(|(column, _)| &column.span)),
        ];
        let values = items.values.as_ref().and_then(spec::Rows::span);
        for (key, span) in keys {
            let Some(span) = span else { continue };
            let told = Diagnostic::error(code::ITEMS, format!("`{key}` is about a file of rows, and there is none"));
            let told = told.at(span, "has no effect");
            let told = values.iter().fold(told, |told, values| told.at(values, "rows stand here"));
            self.report.push(told.help(format!("remove `{key}`; YAML has types and needs no format")));
        }
    }

    fn not_of_this_format(&mut self, key: &str, at: &Span, path: &Span) {
        self.report.push(
            Diagnostic::error(code::ITEMS, format!("`{key}` is about CSV, and no file of these is that"))
                .at(at, "has no effect")
                .at(path, "the ending tells the format")
                .help(format!("remove `{key}`, or say `format: csv`")),
        );
    }

    fn rows_files(&mut self, path: &str, span: &Span, format: Option<TableFormat>) -> Option<Vec<RowsFile>> {
        let found = if path.contains(['*', '?', '[']) {
            (self.around.list)(path)
        } else {
            (self.around.resolve)(path).map(|path| vec![path])
        };
        let found = match found {
            Ok(found) => found,
            Err(reason) => {
                let message = format!("the items cannot be at {path:?}");
                self.report.push(Diagnostic::error(code::FILE, message).at(span, reason).help(WHERE_FILES_ARE));
                return None;
            }
        };
        let mut files = Vec::with_capacity(found.len());
        for path in found {
            let Some(format) = format.or_else(|| TableFormat::of_path(&path.to_string_lossy())) else {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                self.report.push(
                    Diagnostic::error(code::ITEMS, format!("nothing tells how rows stand in {name:?}"))
                        .at(span, "its ending says nothing")
                        .help("name a .jsonl, .csv, .tsv or .parquet file, or say `format: csv`"),
                );
                return None;
            };
            files.push(RowsFile { path, format });
        }
        Some(files)
    }
}

fn column_types(ColumnTypes(types): &ColumnTypes) -> BTreeMap<String, ColumnType> {
    let kind = |kind: ParamType| match kind {
        ParamType::Integer => ColumnType::Integer,
        ParamType::Number => ColumnType::Number,
        ParamType::String => ColumnType::Text,
        ParamType::Boolean => ColumnType::Boolean,
    };
    types.iter().map(|(column, found)| (column.value.clone(), kind(found.value))).collect()
}
