//! The tasks of a reconciler: fetch a branch, write a commit and have it planned.
//! Gives: [`Done`]. Never: what is to be done next (see `reconcile`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::commit::Commit;
use super::executor::{self, Entry, Executor, Plan, Unplanned};
use super::mirror::{FetchError, Mirror};
use super::status::Trouble;
use super::told::Settings;
use super::tree::{TreeError, Trees};
use crate::base::with_causes;
use crate::journal::Reader;

/// What came of a task.
pub(super) enum Done {
    Fetched(Result<Commit, FetchError>),
    Planned(Commit, Result<Ready, Trouble>, Verdict),
    Applied(Commit, executor::Ended),
}

/// A commit that is good.
pub(super) struct Ready {
    pub(super) plan: Plan,
    pub(super) notes: Vec<String>,
}

/// Whether a commit that could not be planned is wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    Wrong,
    Unknown,
}

/// What tasks need.
pub(super) struct Means {
    pub(super) mirror: Mirror,
    pub(super) trees: Trees,
    pub(super) executor: Executor,
    pub(super) settings: Settings,
    pub(super) home: PathBuf,
}

impl Means {
    /// Asks where the branch is, and fetches that unless it is here.
    pub(super) async fn fetch(self: Arc<Self>) -> Result<Commit, FetchError> {
        let told = self.mirror.ask().await?;
        let means = Arc::clone(&self);
        let asked = told.clone();
        let is_here = tokio::task::spawn_blocking(move || means.mirror.has(&asked)).await.unwrap_or(false);
        if is_here { Ok(told) } else { self.mirror.fetch(&told).await }
    }

    /// Writes a commit and has it planned.
    pub(super) async fn plan(self: Arc<Self>, commit: Commit) -> Done {
        let means = Arc::clone(&self);
        let of = commit.clone();
        let written = tokio::task::spawn_blocking(move || means.write(&of)).await;
        let trouble = |doing: &str, message: String| Trouble {
            doing: doing.to_owned(),
            commit: Some(commit.clone()),
            message,
            since_us: 0,
        };
        let (tree, notes) = match written {
            Ok(Ok(written)) => written,
            Ok(Err((doing, why, verdict))) => {
                return Done::Planned(commit.clone(), Err(trouble(doing, why)), verdict);
            }
            Err(error) => {
                return Done::Planned(commit.clone(), Err(trouble("tree", error.to_string())), Verdict::Unknown);
            }
        };
        match self.executor.plan(&tree, self.mirror.git().remote(), self.settings.limits).await {
            Ok(plan) => Done::Planned(commit, Ok(Ready { plan, notes }), Verdict::Good),
            Err(Unplanned::Wrong(why)) => Done::Planned(commit.clone(), Err(trouble("plan", why)), Verdict::Wrong),
            Err(Unplanned::Unknown(why)) => {
                Done::Planned(commit.clone(), Err(trouble("plan", why)), Verdict::Unknown)
            }
        }
    }

    /// Checks who signed a commit and writes its files. Blocks.
    fn write(&self, commit: &Commit) -> Result<(PathBuf, Vec<String>), (&'static str, String, Verdict)> {
        let repository = self.mirror.repository();
        if !self.mirror.has(commit) {
            let path = self.trees.path(commit);
            // The last good commit stays, though the branch has been somewhere else since. Who signed it can no longer
            // be checked, so with a list it has to be fetched first.
            if self.settings.signers.is_none() && path.is_dir() {
                return Ok((path, Vec::new()));
            }
            let why = format!("commit {} is not here any more; it is fetched again", commit.short());
            return Err(("tree", why, Verdict::Unknown));
        }
        if let Some(signers) = &self.settings.signers {
            let checked = signers.check(self.mirror.git(), &repository, commit);
            checked.map_err(|unsigned| ("signature", unsigned.to_string(), Verdict::Wrong))?;
        }
        let written = self.trees.write(self.mirror.git(), &repository, commit, &self.settings.folder);
        let tree = written.map_err(|error| {
            let verdict = match &error {
                TreeError::NoFolder { .. } | TreeError::Hostile { .. } | TreeError::TooLarge { .. } => Verdict::Wrong,
                TreeError::Git(_) | TreeError::File { .. } => Verdict::Unknown,
            };
            ("tree", with_causes(&error), verdict)
        })?;
        Ok((tree.path, tree.notes))
    }

    /// Returns the commits whose files unfinished runs began with: a resume reads their rows again.
    pub(super) fn in_use(&self, entries: &[Entry]) -> Vec<Commit> {
        let runs = entries.iter().filter(|entry| entry.state != "unchanged").filter_map(|entry| entry.run.as_deref());
        let of_run = |run: &str| {
            let journal = self.home.join("runs").join(Path::new(run).file_name()?).join("journal.db");
            let (_, started) = Reader::open(&journal).ok()?.run_started().ok()?;
            let mut parts = Path::new(&started.file).components().map(|part| part.as_os_str().to_string_lossy());
            parts.find(|part| super::git::is_object_id(part)).map(|id| Commit::of(&id))
        };
        runs.filter_map(of_run).collect()
    }
}
