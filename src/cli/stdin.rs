//! Rows that come in on stdin: kept in a file first, so that they can be read twice, and again by a resume.
//!
//! The file stands beside the runs until its run begins, and in the run's folder from then on. So a resume needs
//! nothing on its stdin, and what comes in is read to its end before the first call.

use std::io::{self, IsTerminal};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::exit::{CommandError, Exit};
use crate::base::TableFormat;
use crate::journal::{Home, RunDir};
use crate::plan::{Items, Plan, RowsFile};

/// The file while no run has it; removed when it is dropped.
#[derive(Debug)]
pub(super) struct Spool(Option<PathBuf>);

impl Drop for Spool {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Nothing is lost: the next run reads its own stdin.
            drop(std::fs::remove_file(path));
        }
    }
}

/// Reads stdin to its end when a plan's rows come in there.
///
/// # Errors
/// Stdin is a terminal, or the rows cannot be kept.
pub(super) fn take(plan: &mut Arc<Plan>, home: &Home) -> Result<Spool, CommandError> {
    if !wants(plan) {
        return Ok(Spool(None));
    }
    if io::stdin().is_terminal() {
        let message = "`items` come in on stdin, and that is a terminal";
        return Err(CommandError::new(Exit::Usage, message).help("pipe run FILE < rows.jsonl"));
    }
    std::fs::create_dir_all(home.path())?;
    let path = home.path().canonicalize()?.join(format!("stdin-{}", std::process::id()));
    let spool = Spool(Some(path.clone()));
    // A process of the same number may have died here; rows are for their owner alone.
    drop(std::fs::remove_file(&path));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    io::copy(&mut io::stdin().lock(), &mut file)?;
    file.sync_all()?;
    point(plan, path)?;
    Ok(spool)
}

/// Moves the rows into the folder of their run.
///
/// # Errors
/// The folder cannot take them.
pub(super) fn settle(plan: &mut Arc<Plan>, dir: &RunDir) -> Result<(), CommandError> {
    let Some(from) = kept(plan) else { return Ok(()) };
    let to = dir.path.canonicalize()?.join(NAME);
    // Linked, not moved: it may be in the folder of the run that this one takes over from.
    if std::fs::hard_link(&from, &to).is_err() {
        std::fs::copy(&from, &to)?;
    }
    point(plan, to)
}

/// Points a plan to the rows that a run keeps.
///
/// # Errors
/// The plan cannot be changed any more: a bug.
pub(super) fn again(plan: &mut Arc<Plan>, dir: &RunDir) -> Result<(), CommandError> {
    if wants(plan) { point(plan, dir.path.canonicalize()?.join(NAME)) } else { Ok(()) }
}

/// Returns true when rows come in on stdin and are not there yet.
pub(super) fn wants(plan: &Plan) -> bool {
    matches!(&plan.items, Items::Files(files) if files.is_stdin() && files.paths.is_empty())
}

/// Name of the file in a run's folder.
const NAME: &str = "stdin";

fn kept(plan: &Plan) -> Option<PathBuf> {
    match &plan.items {
        Items::Files(files) if files.is_stdin() => files.paths.first().map(|file| file.path.clone()),
        Items::Files(_) | Items::One | Items::Inline { .. } => None,
    }
}

fn point(plan: &mut Arc<Plan>, path: impl AsRef<Path>) -> Result<(), CommandError> {
    let plan = Arc::get_mut(plan)
        .ok_or_else(|| CommandError::new(Exit::Bug, "bug: the plan is in use before its rows are there"))?;
    if let Items::Files(files) = &mut plan.items {
        let format = files.format.unwrap_or(TableFormat::JsonLines);
        files.paths = vec![RowsFile { path: path.as_ref().to_owned(), format }];
    }
    Ok(())
}
