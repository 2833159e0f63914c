//! Where the table of results goes, decided before the first call and written after the last.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::exit::{CommandError, Exit, with_causes};
use super::printer::Printer;
use crate::base::CaseNo;
use crate::journal::{JournalError, Reader, RunDir};
use crate::plan::{Plan, StepKind};
use crate::report::{CaseRecord, Layout, Shape, row};
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

/// Name of the file in a run's folder that lists the results files that the run has written.
const WRITTEN: &str = "written";

impl Output {
    /// Decides where rows go: `--out`, else `results.path`, else stdout when that is no terminal.
    ///
    /// # Errors
    /// A file of another run is in the way.
    pub(super) fn plan(plan: &Plan, force: bool, run: Option<&RunDir>, json: bool) -> Result<Self, CommandError> {
        let Some(results) = &plan.results else {
            let rows = !json && !io::stdout().is_terminal();
            return Ok(if rows { Self::Stdout } else { Self::Nowhere });
        };
        let path = results.path.clone();
        let ours = run.is_some_and(|run| written(run).contains(&path));
        if path.exists() && !force && !ours {
            let message = format!("{} exists and is not of this run", path.display());
            return Err(
                CommandError::new(Exit::Usage, message).help("--out FILE writes elsewhere, --force replaces it")
            );
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
                rows(&reader, &layout, &mut |line| printer.line(line))?;
                Ok(None)
            }
            Self::File(path) | Self::Plain(path) => {
                match self {
                    Self::Plain(_) => replace(&Folder::open_plain, path, &reader, &layout)?,
                    _ => replace(&Folder::open_followed, path, &reader, &layout)?,
                }
                let mut list = File::options().create(true).append(true).open(run.path.join(WRITTEN))?;
                writeln!(list, "{}", path.display())?;
                Ok(Some(path.clone()))
            }
        }
    }
}

fn written(run: &RunDir) -> Vec<PathBuf> {
    let list = std::fs::read_to_string(run.path.join(WRITTEN)).unwrap_or_default();
    list.lines().map(PathBuf::from).collect()
}

/// Returns the columns that a plan's results have.
pub(super) fn layout(plan: &Plan) -> Layout {
    let shape = |kind: &StepKind| match kind {
        StepKind::Chat(_) => Shape::Chat,
        StepKind::Dialogue(_) => Shape::Dialogue,
        StepKind::Judge(_) => Shape::Judge,
    };
    let columns = plan
        .results
        .as_ref()
        .filter(|results| !results.columns.is_empty())
        .map(|results| results.columns.iter().map(|(name, column)| (name.clone(), column.0.clone())).collect());
    Layout { steps: plan.steps.iter().map(|step| (step.name.clone(), shape(&step.kind))).collect(), columns }
}

/// Writes a file beside the old one and puts it in its place when it is whole and on disk.
///
/// # Errors
/// The journal cannot be read, or the file not be written; the old one is then still there.
pub(super) fn replace(
    open: &dyn Fn(&Path) -> io::Result<Folder>,
    path: &Path,
    reader: &Reader,
    layout: &Layout,
) -> Result<(), CommandError> {
    let told = |error: io::Error| {
        CommandError::new(Exit::GateFailed, format!("{} cannot be written: {error}", path.display()))
            .help("the run is kept; `pipe results --out FILE` writes its rows again")
    };
    let folder = open(path.parent().unwrap_or(Path::new("/"))).map_err(told)?;
    let name = path.file_name().unwrap_or_default();
    let beside = format!(".{}.{}.part", name.to_string_lossy(), std::process::id());
    let beside = OsStr::new(&beside);
    // A process of the same number may have died here.
    folder.remove(beside).map_err(told)?;
    let mut file = BufWriter::new(folder.create(beside).map_err(told)?);
    let done = rows(reader, layout, &mut |line| writeln!(file, "{line}"))
        .and_then(|()| file.into_inner().map_err(|error| told(error.into_error())))
        .and_then(|file| file.sync_all().map_err(told));
    if let Err(error) = done {
        drop(folder.remove(beside));
        return Err(error);
    }
    folder.rename(beside, name).map_err(told)
}

/// Gives each settled case's row as one line of JSON, in admission order, with flat memory.
///
/// # Errors
/// The journal cannot be read, or `write` fails.
pub(super) fn rows(
    reader: &Reader,
    layout: &Layout,
    write: &mut dyn FnMut(&str) -> io::Result<()>,
) -> Result<(), CommandError> {
    let mut trouble: Option<CommandError> = None;
    reader
        .cases(CaseNo(0), &mut |record| {
            let Some(settled) = record.settled.as_ref().filter(|_| trouble.is_none()) else { return Ok(()) };
            let number = Some(record.admitted.case);
            let texts = |digest: &crate::base::Digest| reader.text(number, digest).ok().flatten();
            let item = texts(&record.admitted.row).unwrap_or_else(|| "{}".into());
            let item: Map<String, Value> = serde_json::from_str(&item).unwrap_or_default();
            let case =
                CaseRecord { admitted: &record.admitted, item: &item, tasks: &record.tasks, status: settled.status };
            let line = row(&case, layout, &texts)
                .map_err(|error| CommandError::new(Exit::JournalUnusable, with_causes(&error)))
                .and_then(|row| write(&Value::Object(row).to_string()).map_err(CommandError::from));
            trouble = line.err();
            Ok(())
        })
        .map_err(|error: JournalError| CommandError::journal(&error))?;
    trouble.map_or(Ok(()), Err)
}
