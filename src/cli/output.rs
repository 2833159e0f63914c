//! Where the table of results goes, decided before the first call and written after the last.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::exit::{CommandError, Exit, with_causes};
use super::kept::Kept;
use super::printer::Printer;
use crate::base::{CaseNo, Digest, Hashing, RunId, TableFormat};
use crate::journal::{Home, JournalError, Reader, RunDir};
use crate::plan::{Plan, StepKind, Wanted};
use crate::report::{CaseRecord, Layout, Rows, Shape, TableColumns, TableWriter, standard_columns};
use crate::run::Folder;

/// Where rows go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// Nowhere: a terminal shows the talk and the summary, `pipe results` has the rows.
    Nowhere,
    /// To stdout, which is no terminal.
    Stdout,
    /// To a file, replaced as a whole when the run is complete.
    File(PathBuf),
    /// To a file that the pipeline names: links that appear on the way are not followed.
    Plain(PathBuf),
}

/// Name of the file in a run's folder that lists the results files that the run has written: a line each, the digest of
/// the content and the path.
const WRITTEN: &str = "written";
/// Name of the file in a run's folder that says that the results have to be written again.
const OWED: &str = "owed";

impl Output {
    /// Decides where rows go: `--out`, else `results.path`, else stdout when that is no terminal; nowhere for a run that
    /// is made to be compared.
    ///
    /// What a run of this project wrote, and nobody has changed since, is replaced without asking: its rows are in the
    /// journal of that run, so nothing is lost, and an edited pipeline can be run again and again.
    ///
    /// # Errors
    /// A file is in the way that nobody could write again.
    pub(super) fn plan(
        plan: &Plan,
        kept: &Kept,
        run: Option<&RunDir>,
        home: &Home,
        prints_rows: bool,
        printer: &mut Printer,
    ) -> Result<Self, CommandError> {
        if kept.overrides.aside {
            return Ok(Self::Nowhere);
        }
        let Some(results) = &plan.results else {
            let rows = prints_rows && !io::stdout().is_terminal();
            return Ok(if rows { Self::Stdout } else { Self::Nowhere });
        };
        let path = results.path.clone();
        let ours = run.is_some_and(|run| written(run).iter().any(|(_, written)| *written == path));
        if path.exists() && !kept.force && !ours {
            let Some(author) = author(home, &path) else {
                let message =
                    format!("{} exists, and no run that is kept here wrote what stands in it", shown(&path));
                return Err(
                    CommandError::new(Exit::Usage, message).help("--out FILE writes elsewhere, --force replaces it")
                );
            };
            let path = shown(&path);
            printer.say(&format!("{path} will be replaced; `pipe results {author}` still gives what stands in it"));
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) {
            let message = format!("there is no folder {} for the results", folder.display());
            return Err(CommandError::new(Exit::Usage, message).help("make it, or give another --out"));
        }
        Ok(if results.by_option { Self::File(path) } else { Self::Plain(path) })
    }

    /// Writes the rows of a run and returns the file, when there is one.
    ///
    /// # Errors
    /// The journal cannot be read, or the output not be written; the run itself is kept.
    pub(super) fn write(
        &self,
        run: &RunDir,
        plan: &Plan,
        printer: &mut Printer,
    ) -> Result<Option<PathBuf>, CommandError> {
        let reader = Reader::open(&run.journal_path()).map_err(|error| CommandError::journal(&error))?;
        let layout = layout(plan);
        match self {
            Self::Nowhere => Ok(None),
            Self::Stdout => {
                let out = BufWriter::new(ToStdout(printer));
                let mut out = table(&reader, &layout, TableFormat::JsonLines, out, &CommandError::from)?;
                out.flush()?;
                Ok(None)
            }
            Self::File(path) | Self::Plain(path) => {
                let open = if matches!(self, Self::Plain(_)) { Folder::open_plain } else { Folder::open_followed };
                let note = |digest: Digest| note_written(&run.path, digest, path);
                let beside = beside(path, run);
                let new = Replacement { path, format: format_of(path), open: &open, beside: &beside, note: &note };
                new.write(&reader, &layout)?;
                match std::fs::remove_file(run.path.join(OWED)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                    Ok(()) | Err(_) => {}
                }
                Ok(Some(path.clone()))
            }
        }
    }
}

/// Says that the results of a run, though written, will be others: until they are written again they are owed.
///
/// # Errors
/// The run's folder cannot be written.
pub(super) fn owe(run: &RunDir) -> Result<(), CommandError> {
    File::create(run.path.join(OWED))?.sync_all()?;
    Ok(Folder::open_followed(&run.path)?.sync()?)
}

/// Returns true when a run that is complete was killed before its results were in place.
pub(super) fn is_owed(plan: &Plan, run: &RunDir) -> bool {
    let is_gone_on_with = run.path.join(OWED).exists();
    let owed = |path: &PathBuf| {
        is_gone_on_with
            || !written(run).iter().any(|(_, written)| written == path)
            || path.with_file_name(beside(path, run)).exists()
    };
    plan.results.as_ref().is_some_and(|results| owed(&results.path))
}

/// Names the file that a run's results are written to before they take their place.
///
/// By the run, which has one writer: what a killed process leaves is the next one's to replace.
fn beside(path: &Path, run: &RunDir) -> String {
    format!(".{}.{}.part", path.file_name().unwrap_or_default().to_string_lossy(), run.id)
}

/// Notes what a run is about to put into a place, so that it is known whose file that is.
///
/// In one write, on a line of its own even after one that a kill cut off; on disk before the file is in its place, else
/// a power cut leaves a file that nobody seems to have written, and no resume would replace it.
fn note_written(folder: &Path, digest: Digest, path: &Path) -> io::Result<()> {
    let mut list = File::options().create(true).append(true).open(folder.join(WRITTEN))?;
    list.write_all(format!("\n{digest} {}\n", path.display()).as_bytes())?;
    list.sync_all()?;
    Folder::open_followed(folder)?.sync()
}

/// Returns what a run has written, and what stood in it.
fn written(run: &RunDir) -> Vec<(Digest, PathBuf)> {
    written_in(&run.path)
}

fn written_in(folder: &Path) -> Vec<(Digest, PathBuf)> {
    let list = std::fs::read_to_string(folder.join(WRITTEN)).unwrap_or_default();
    let entry = |line: &str| {
        let (digest, path) = line.split_once(' ')?;
        Some((digest.parse().ok()?, PathBuf::from(path)))
    };
    list.lines().filter_map(entry).collect()
}

/// Returns the run of this project that wrote a file as it is now.
fn author(home: &Home, path: &Path) -> Option<RunId> {
    let authors = || home.runs().unwrap_or_default().into_iter();
    let mut candidates = authors().filter(|run| written(run).iter().any(|(_, written)| written == path)).peekable();
    // The file is read only when somebody may have written it.
    candidates.peek()?;
    let now = Digest::of_reader(&mut File::open(path).ok()?).ok()?;
    candidates
        .find(|run| written(run).iter().any(|(digest, written)| *digest == now && written == path))
        .map(|run| run.id)
}

/// Returns a path as short as it can be said here.
fn shown(path: &Path) -> std::path::Display<'_> {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).map_or_else(|_| path.display(), Path::display)
}

/// Returns the columns that a plan's results have.
pub(super) fn layout(plan: &Plan) -> Layout {
    let shape = |kind: &StepKind| match kind {
        StepKind::Chat(chat) if chat.form.is_some() => Shape::Value,
        StepKind::Chat(_) => Shape::Chat,
        StepKind::Dialogue(_) => Shape::Dialogue,
        StepKind::Judge(judge) => match (&judge.wanted, judge.explain) {
            (Wanted::Choose(_) | Wanted::Pairwise(_), false) => Shape::Judge,
            (Wanted::Choose(_) | Wanted::Pairwise(_), true) => Shape::Explained,
            (Wanted::Score(_), false) => Shape::Score,
            (Wanted::Score(_), true) => Shape::ExplainedScore,
            (Wanted::Rank(_), _) => Shape::Ranking,
            (Wanted::Schema(_), _) => Shape::Value,
        },
        StepKind::Transform(_) => Shape::Transform,
        StepKind::Assert(_) => Shape::Assert,
        StepKind::Aggregate(_) => unreachable!("rows are of cases, and an aggregate is of none"),
    };
    let columns = plan
        .results
        .as_ref()
        .filter(|results| !results.columns.is_empty())
        .map(|results| results.columns.iter().map(|(name, column)| (name.clone(), column.0.clone())).collect());
    let matrix = plan.all_cells().flat_map(|(_, cell)| cell.matrix.keys().cloned());
    let matrix: indexmap::IndexSet<String> = matrix.collect();
    Layout {
        matrix: matrix.into_iter().collect(),
        steps: plan.steps.iter().map(|step| (step.name.clone(), shape(&step.kind))).collect(),
        columns,
    }
}

/// A file of rows on its way into the place of an older one.
pub(super) struct Replacement<'a> {
    /// What is replaced.
    pub(super) path: &'a Path,
    /// How rows are written.
    pub(super) format: TableFormat,
    /// How its folder is opened.
    pub(super) open: &'a dyn Fn(&Path) -> io::Result<Folder>,
    /// The name that it has in that folder until it is whole.
    pub(super) beside: &'a str,
    /// Called with the digest of its content when it is whole and on disk, before it takes its place.
    pub(super) note: &'a dyn Fn(Digest) -> io::Result<()>,
}

impl Replacement<'_> {
    /// Writes a file beside the old one and puts it in its place when it is whole and on disk.
    ///
    /// # Errors
    /// The journal cannot be read, or the file not be written; the old one is then still there.
    pub(super) fn write(&self, reader: &Reader, layout: &Layout) -> Result<(), CommandError> {
        let told = |error: io::Error| {
            CommandError::new(Exit::GateFailed, format!("{} cannot be written: {error}", self.path.display()))
                .help("the run is kept; `pipe results --out FILE` writes its rows again")
        };
        let folder = (self.open)(self.path.parent().unwrap_or(Path::new("/"))).map_err(told)?;
        let beside = OsStr::new(self.beside);
        // Whoever wrote it is dead.
        folder.remove(beside).map_err(told)?;
        let start = || folder.create(beside).map(|file| BufWriter::new(Hashing::new(file))).map_err(told);
        let fill = || {
            let file = if let Some(file) = table_at_once(reader, layout, self.format, start()?, &told)? {
                file
            } else {
                folder.remove(beside).map_err(told)?;
                table(reader, layout, self.format, start()?, &told)?
            };
            let (file, digest) = file.into_inner().map_err(|error| told(error.into_error()))?.into_parts();
            file.sync_all().and_then(|()| folder.sync()).and_then(|()| (self.note)(digest)).map_err(told)
        };
        if let Err(error) = fill() {
            drop(folder.remove(beside));
            return Err(error);
        }
        folder.rename(beside, self.path.file_name().unwrap_or_default()).map_err(told)?;
        folder.sync().map_err(told)
    }
}

/// Returns how rows are written to a file: as its ending says, else as JSON Lines.
pub(super) fn format_of(path: &Path) -> TableFormat {
    TableFormat::of_path(&path.to_string_lossy()).unwrap_or(TableFormat::JsonLines)
}

/// Writes each settled case's row, in admission order; every row has the columns of all.
///
/// Memory: one row; for Parquet 32 MiB of rows. The cases are read twice: which columns there are, and for Parquet what
/// stands in them, is known only when all have been seen.
///
/// # Errors
/// The journal cannot be read, or `out` does not take a row: that is told by `told`.
pub(super) fn table<W: Write + Send>(
    reader: &Reader,
    layout: &Layout,
    format: TableFormat,
    out: W,
    told: &dyn Fn(io::Error) -> CommandError,
) -> Result<W, CommandError> {
    // Cases that settle meanwhile would have columns that were not seen.
    reader.hold().map_err(|error| CommandError::journal(&error))?;
    let columns = columns(reader, layout, format)?;
    let mut writer = TableWriter::start(format, columns, out).map_err(told)?;
    rows(reader, layout, false, &mut |row| writer.write(&row).map_err(told).map(ControlFlow::Continue))?;
    reader.release().map_err(|error| CommandError::journal(&error))?;
    writer.finish().map_err(told)
}

/// Writes a table as [`table`] does, and reads the cases once: the first has the columns of all.
///
/// Returns none where another one has more; what is written is then of no use.
///
/// # Errors
/// As [`table`].
fn table_at_once<W: Write + Send>(
    reader: &Reader,
    layout: &Layout,
    format: TableFormat,
    out: W,
    told: &dyn Fn(io::Error) -> CommandError,
) -> Result<Option<W>, CommandError> {
    if format == TableFormat::Parquet {
        return Ok(None);
    }
    // One state of the journal for all rows, as in `table`.
    reader.hold().map_err(|error| CommandError::journal(&error))?;
    let mut waiting = Some(out);
    let mut begun = None;
    let mut fits = true;
    rows(reader, layout, false, &mut |row| {
        if let Some(out) = waiting.take() {
            let mut columns = TableColumns::default();
            columns.add(&row);
            begun = Some((columns.clone(), TableWriter::start(format, columns, out).map_err(told)?));
        }
        let Some((columns, writer)) = &mut begun else { return Ok(ControlFlow::Break(())) };
        fits = columns.hold(&row);
        if !fits {
            return Ok(ControlFlow::Break(()));
        }
        writer.write(&row).map_err(told).map(ControlFlow::Continue)
    })?;
    reader.release().map_err(|error| CommandError::journal(&error))?;
    match begun {
        Some((_, writer)) if fits => writer.finish().map_err(told).map(Some),
        Some(_) | None => Ok(None),
    }
}

/// Returns the columns of a table.
fn columns(reader: &Reader, layout: &Layout, format: TableFormat) -> Result<TableColumns, CommandError> {
    let mut columns = TableColumns::default();
    if let Some(names) = &layout.columns {
        columns = TableColumns::of(names.iter().map(|(name, _)| name.clone()));
        if format != TableFormat::Parquet {
            return Ok(columns);
        }
    }
    let mut rows_seen = false;
    rows(reader, layout, format != TableFormat::Parquet, &mut |row| {
        rows_seen = true;
        columns.add(&row);
        Ok(ControlFlow::Continue(()))
    })?;
    if rows_seen || layout.columns.is_some() {
        return Ok(columns);
    }
    Ok(TableColumns::of(standard_columns(layout)))
}

/// Gives each settled case's row, in admission order, with flat memory, until `visit` has seen enough; without its texts
/// where only its columns count.
fn rows(
    reader: &Reader,
    layout: &Layout,
    without_texts: bool,
    visit: &mut dyn FnMut(Map<String, Value>) -> Result<ControlFlow<()>, CommandError>,
) -> Result<(), CommandError> {
    let mut ended: Option<Result<(), CommandError>> = None;
    let empty: Arc<str> = Arc::from("");
    let made = Rows::of(layout);
    let counted = reader.that_count().map_err(|error| CommandError::journal(&error))?;
    let read = reader.cases(CaseNo(0), &mut |record| {
        let counts = counted.counts(record.admitted.case);
        let Some(settled) = record.settled.as_ref().filter(|_| counts) else { return Ok(()) };
        let no = Some(record.admitted.case);
        // A damaged text is told as that, not as one that is missing.
        let damage = Cell::new(None);
        let texts = |digest: &Digest| match without_texts {
            true => Some(Arc::clone(&empty)),
            false => reader.text(no, digest).unwrap_or_else(|error| {
                damage.set(Some(error));
                None
            }),
        };
        let item = reader.needed_text(record.admitted.case, &record.admitted.row)?;
        let item: Map<String, Value> = serde_json::from_str(&item).unwrap_or_default();
        let case =
            CaseRecord { admitted: &record.admitted, item: &item, tasks: &record.tasks, status: settled.status };
        let row = made.row(&case, &texts).map_err(|error| match damage.take() {
            Some(damage) => CommandError::journal(&damage),
            None => CommandError::new(Exit::JournalUnusable, with_causes(&error)),
        });
        match row.and_then(&mut *visit) {
            Ok(ControlFlow::Continue(())) => Ok(()),
            Ok(ControlFlow::Break(())) => stop(&mut ended, Ok(())),
            Err(error) => stop(&mut ended, Err(error)),
        }
    });
    ended.unwrap_or_else(|| read.map_err(|error| CommandError::journal(&error)))
}

/// Ends the reading of cases: how it ended stands in `ended`, and its own error is looked at by nobody.
fn stop(ended: &mut Option<Result<(), CommandError>>, how: Result<(), CommandError>) -> Result<(), JournalError> {
    *ended = Some(how);
    Err(JournalError::Stopped)
}

/// Stdout as a writer of text.
pub(super) struct ToStdout<'p>(pub(super) &'p mut Printer);

impl Write for ToStdout<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Writers above hand over pieces that may end within a character.
        let whole = match std::str::from_utf8(bytes) {
            Ok(_) => bytes.len(),
            Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
            Err(_) => return Err(io::Error::from(io::ErrorKind::InvalidData)),
        };
        self.0.data(&String::from_utf8_lossy(&bytes[..whole]))?;
        Ok(whole)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_known_after_a_line_that_was_cut_off() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let digest = Digest::of(b"rows");
        std::fs::write(folder.path().join(WRITTEN), &digest.to_string()[..9]).expect("written");
        assert_eq!(written_in(folder.path()), []);
        for name in ["/a/rows.jsonl", "/a b/rows.csv"] {
            note_written(folder.path(), digest, Path::new(name)).expect("noted");
        }
        let expected = ["/a/rows.jsonl", "/a b/rows.csv"].map(|name| (digest, PathBuf::from(name)));
        assert_eq!(written_in(folder.path()), expected);
    }
}
