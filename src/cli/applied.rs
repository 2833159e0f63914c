//! What `pipe apply` did in a home: which runs it began for which pipelines of which project.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::exit::{CommandError, Exit, with_causes};
use crate::base::{Digest, RunId, Timestamp};
use crate::journal::{LockError, RunLock, replace_file};

/// Name of the file in the home.
const FILE: &str = "applied.json";
/// Name of the lock in the home.
const LOCK: &str = "apply.lock";

/// What was applied, by project and by the name of the pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Applied {
    version: u32,
    projects: BTreeMap<String, BTreeMap<String, Record>>,
}

/// What was applied of one pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Its file, as found from the project.
    pub(super) file: String,
    /// The runs that were begun for it, in the order in which they came to stand for it: the last one does now.
    pub(super) runs: Vec<Begun>,
    /// When it was applied last, in microseconds since the Unix epoch.
    #[serde(rename = "at_us")]
    pub(super) at: Timestamp,
    /// The commit that it was applied from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) commit: Option<String>,
}

/// A run that was begun, and of what: so that it is found without a look into all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Begun {
    pub(super) run: RunId,
    /// The hash of its plan.
    pub(super) plan: Digest,
    /// The hash of its rows.
    pub(super) rows: Digest,
}

impl Applied {
    /// Reads what a home says.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub(super) fn read(home: &Path) -> Result<Self, CommandError> {
        let path = home.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            text => text?,
        };
        serde_json::from_str(&text).map_err(|error| {
            let message = format!("{} cannot be read: {}", path.display(), with_causes(&error));
            CommandError::new(Exit::JournalUnusable, message)
                .help("move it away: it only tells what was removed from projects, and which runs are too many")
        })
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// The home cannot be written.
    pub(super) fn write(&mut self, home: &Path) -> Result<(), CommandError> {
        self.version = 1;
        let text = serde_json::to_string_pretty(self).map_err(std::io::Error::from)?;
        Ok(replace_file(&home.join(FILE), (text + "\n").as_bytes())?)
    }

    /// Returns the pipelines of a project that were applied.
    pub(super) fn of(&self, project: &str) -> impl Iterator<Item = (&str, &Record)> {
        self.projects.get(project).into_iter().flatten().map(|(name, record)| (name.as_str(), record))
    }

    /// Returns what is kept of a pipeline, to change it.
    pub(super) fn record(&mut self, project: &str, name: &str) -> &mut Record {
        let none = || Record { file: String::new(), runs: Vec::new(), at: Timestamp(0), commit: None };
        self.projects.entry(project.to_owned()).or_default().entry(name.to_owned()).or_insert_with(none)
    }

    /// Forgets a pipeline.
    pub(super) fn forget(&mut self, project: &str, name: &str) {
        if let Some(entries) = self.projects.get_mut(project) {
            entries.remove(name);
        }
    }
}

/// Takes the right to apply anything in a home.
///
/// # Errors
/// Another process has it.
pub(super) fn lock(home: &Path) -> Result<RunLock, CommandError> {
    std::fs::create_dir_all(home)?;
    let path: PathBuf = home.join(LOCK);
    RunLock::take(&path).map_err(|error| match error {
        LockError::Held { pid, .. } => {
            let who = pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
            CommandError::new(Exit::Usage, format!("{who} applies something in {} already", home.display()))
                .help("wait for it; `pipe runs` tells how far it is")
        }
        error @ LockError::File { .. } => CommandError::new(Exit::JournalUnusable, with_causes(&error)),
    })
}
