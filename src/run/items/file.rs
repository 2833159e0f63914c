//! The rows of all sources, one after the other, as they stand there.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;

use super::Object;
use super::csv::Csv;
use super::lines::Lines;
use super::parquet::Parquet;
use super::problem::{At, Wrong};
use crate::base::TableFormat;
use crate::plan::{FileItems, Items, Plan, RowsFile};
use crate::run::open_plain;

/// Bytes read from a file at once.
const BUFFER: usize = 256 << 10;

/// Every row of a plan's items.
pub(super) struct Raw<'p> {
    plan: &'p Plan,
    waiting: VecDeque<(Arc<str>, &'p RowsFile)>,
    open: Option<(Arc<str>, Open<'p>)>,
}

enum Open<'p> {
    Values(std::slice::Iter<'p, Object>, u64),
    Lines(Lines),
    Csv(Csv),
    Parquet(Parquet),
    /// Could not be opened.
    Not(Option<Wrong>),
}

/// A place with what stands there.
pub(super) type Found = (At, Result<Object, Wrong>);

impl<'p> Raw<'p> {
    pub(super) fn of(plan: &'p Plan) -> Self {
        let values = |name: &str, rows: &'p [Object]| Some((Arc::from(name), Open::Values(rows.iter(), 0)));
        let (waiting, open) = match &plan.items {
            Items::One => (VecDeque::new(), Some((Arc::from("items"), Open::Values(one_empty().iter(), 0)))),
            Items::Inline { rows, .. } => (VecDeque::new(), values("items.values", rows)),
            Items::Files(files) if files.paths.is_empty() => {
                let wrong =
                    Wrong::file("rows come in on stdin, and there are none here", "pipe run FILE < rows.jsonl");
                (VecDeque::new(), Some((Arc::from("stdin"), Open::Not(Some(wrong)))))
            }
            Items::Files(files) => (named(files), None),
        };
        Self { plan, waiting, open }
    }

    /// Returns the next row, or what is wrong with it.
    pub(super) fn next(&mut self) -> Option<Found> {
        loop {
            if self.open.is_none() {
                let (name, file) = self.waiting.pop_front()?;
                self.open = Some((name, self.open_file(file)));
            }
            let (name, open) = self.open.as_mut()?;
            let (found, is_row) = match open {
                Open::Values(rows, row) => {
                    *row += 1;
                    (rows.next().map(|found| (*row, Ok(found.clone()))), true)
                }
                Open::Lines(lines) => (lines.next(), false),
                Open::Csv(csv) => (csv.next(), false),
                Open::Parquet(rows) => (rows.next(), true),
                Open::Not(wrong) => (wrong.take().map(|wrong| (1, Err(wrong))), false),
            };
            let Some((number, row)) = found else {
                self.open = None;
                continue;
            };
            let at = At { name: Arc::clone(name), number, is_row };
            if row.as_ref().is_err_and(|wrong| wrong.ends) {
                self.open = None;
            }
            return Some((at, row));
        }
    }

    fn open_file(&self, file: &RowsFile) -> Open<'p> {
        let Items::Files(files) = &self.plan.items else { return Open::Not(None) };
        opened(files, file).unwrap_or_else(|wrong| Open::Not(Some(wrong)))
    }
}

fn opened<'p>(files: &FileItems, RowsFile { path, format }: &RowsFile) -> Result<Open<'p>, Wrong> {
    let file = open_plain(path).map_err(|error| {
        Wrong::file(format!("cannot be opened: {error}"), "check items.path; it is relative to the pipeline file")
    })?;
    Ok(match format {
        TableFormat::JsonLines => Open::Lines(Lines::new(text(path, file))),
        TableFormat::Csv => Open::Csv(Csv::open(text(path, file), files.delimiter, &files.types)?),
        TableFormat::Tsv => Open::Csv(Csv::open(text(path, file), Some(b'\t'), &files.types)?),
        TableFormat::Parquet => Open::Parquet(Parquet::open(file)?),
    })
}

fn text(path: &Path, file: File) -> Box<dyn BufRead> {
    let plain = BufReader::with_capacity(BUFFER, file);
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz")) {
        Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(plain)))
    } else {
        Box::new(plain)
    }
}

/// Gives files names for people: without the folders that all of them are in.
fn named(files: &FileItems) -> VecDeque<(Arc<str>, &RowsFile)> {
    let mut common: PathBuf =
        files.paths.first().and_then(|file| file.path.parent()).map(Path::to_path_buf).unwrap_or_default();
    while !files.paths.iter().all(|file| file.path.starts_with(&common)) && common.pop() {}
    let name = |file: &RowsFile| {
        let name = file.path.strip_prefix(&common).unwrap_or(&file.path);
        Arc::from(if files.is_stdin() { "stdin".to_owned() } else { name.display().to_string() })
    };
    files.paths.iter().map(|file| (name(file), file)).collect()
}

fn one_empty() -> &'static [Object] {
    static ONE: std::sync::LazyLock<[Object; 1]> = std::sync::LazyLock::new(|| [Object::new()]);
    ONE.as_slice()
}
