//! The folder of one run.

use std::path::{Path, PathBuf};

use super::control::Spool;
use super::lock::{LockError, RunLock};
use crate::base::RunId;

/// A run's folder. Deleting the folder deletes the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir {
    /// Its name: `<pipeline>-<time>-<short id>`.
    pub id: RunId,
    /// Where it is.
    pub path: PathBuf,
}

impl RunDir {
    /// Returns the run that lies in a folder; none when no run does.
    #[must_use]
    pub fn at(folder: &Path) -> Option<Self> {
        let path = folder.canonicalize().ok()?;
        let id = RunId::from(path.file_name()?.to_str()?);
        let run = Self { id, path };
        run.journal_path().is_file().then_some(run)
    }

    /// Returns the name that its folder begins with: that of its pipeline, without what a path cannot have.
    #[must_use]
    pub fn name(&self) -> &str {
        let id = self.id.as_str();
        let end = super::home::began(id).map_or(0, |began| began.len() + 1);
        &id[..id.len() - end]
    }

    pub(super) fn of(path: PathBuf, name: &str) -> Self {
        Self { id: RunId::from(name), path }
    }

    /// Returns the home that it lies in; none for a run that was moved out of one.
    #[must_use]
    pub fn home(&self) -> Option<&Path> {
        self.path.parent().filter(|runs| runs.ends_with("runs"))?.parent()
    }

    /// Returns where the journal is, or will be.
    #[must_use]
    pub fn journal_path(&self) -> PathBuf {
        self.path.join("journal.db")
    }

    /// Returns where orders to the process that works on this run are left.
    #[must_use]
    pub fn spool(&self) -> Spool {
        Spool::of(&self.path)
    }

    /// Takes the right to write to this run; at once, or within a second the answer who has it.
    ///
    /// # Errors
    /// [`LockError::Held`] by another process, or by this one.
    pub fn lock(&self) -> Result<RunLock, LockError> {
        RunLock::take(&self.path.join("lock"))
    }

    /// Tells whether a process works on this run, without being in its way.
    #[must_use]
    pub fn is_held(&self) -> bool {
        RunLock::is_held(&self.path.join("lock"))
    }
}
