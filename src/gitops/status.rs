//! How a reconciler stands, for people and programs: a file that is replaced as a whole.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::commit::Commit;
use super::executor::Entry;
use super::statuses::Telling;
use crate::base::Timestamp;
use crate::journal::replace_file;

/// The file's name in a reconciler's folder.
const FILE: &str = "status.json";

/// What a reconciler is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It has begun, and knows nothing yet.
    Starting,
    /// A commit is fetched, written or planned.
    Planning,
    /// Runs are being made those of a commit.
    Applying,
    /// An apply was asked to leave.
    Stopping,
    /// The runs are those of the branch.
    InSync,
    /// The newest commit is wrong; the last good one stays.
    Refused,
    /// The last apply came to its end, and not all was well.
    Failed,
    /// The repository cannot be fetched; the last good commit stays.
    Unreachable,
    /// Something is to be done again later.
    Waiting,
    /// It has left.
    Left,
}

impl Stage {
    /// Returns the word for it, as in the file.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Planning => "planning",
            Self::Applying => "applying",
            Self::Stopping => "stopping",
            Self::InSync => "in_sync",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unreachable => "unreachable",
            Self::Waiting => "waiting",
            Self::Left => "left",
        }
    }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What was being done: `fetch`, `signature`, `tree`, `plan` or `apply`.
    pub doing: String,
    /// The commit that it was done for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
    /// What is wrong, and what helps.
    pub message: String,
    /// Since when.
    pub since_us: i64,
}

/// The contents of the file; moments are microseconds since 1970, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The form of this file.
    pub version: u32,
    /// Where is fetched from.
    pub repository: String,
    /// Which branch.
    pub branch: String,
    /// Which folder of it; empty for all of it.
    pub path: String,
    /// The process.
    pub pid: u32,
    /// What it is doing.
    pub state: Stage,
    /// Since when.
    pub since_us: i64,
    /// Where the branch was last.
    pub seen: Option<Commit>,
    /// The newest commit that was found good.
    pub good: Option<Commit>,
    /// The newest commit whose apply came to its end.
    pub applied: Option<Commit>,
    /// The commit that runs are being made of now.
    pub applying: Option<Commit>,
    /// What is wrong.
    pub error: Option<Trouble>,
    /// What of the commit is left out, and why.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The pipelines of the good commit.
    #[serde(default)]
    pub entries: Vec<Entry>,
    /// When the branch was last asked for.
    pub fetched_us: Option<i64>,
    /// When it is asked for next, at the latest.
    pub next_fetch_us: Option<i64>,
    /// When something is applied next, as far as is known.
    pub next_apply_us: Option<i64>,
    /// How the last apply ended, as an exit code.
    pub last_exit: Option<i32>,
    /// What the repository's host was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statuses: Option<Telling>,
}

impl Status {
    /// Begins.
    #[must_use]
    pub fn new(repository: &str, branch: &str, path: &str, now: Timestamp) -> Self {
        Self {
            version: 1,
            repository: repository.to_owned(),
            branch: branch.to_owned(),
            path: path.to_owned(),
            pid: std::process::id(),
            state: Stage::Starting,
            since_us: now.0,
            seen: None,
            good: None,
            applied: None,
            applying: None,
            error: None,
            notes: Vec::new(),
            entries: Vec::new(),
            fetched_us: None,
            next_fetch_us: None,
            next_apply_us: None,
            last_exit: None,
            statuses: None,
        }
    }

    /// Reads the file of a reconciler's folder; none when there is none, or it cannot be understood.
    #[must_use]
    pub fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(FILE)).ok()?).ok()
    }

    /// Reads those of all reconcilers of a home, by name.
    #[must_use]
    pub fn all(home: &Path) -> Vec<(PathBuf, Self)> {
        let Ok(entries) = fs::read_dir(home.join("gitops")) else { return Vec::new() };
        let folders = entries.flatten().map(|entry| entry.path());
        let mut found: Vec<(PathBuf, Self)> =
            folders.filter_map(|folder| Self::read(&folder).map(|status| (folder, status))).collect();
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        found
    }

    /// Replaces the file: whoever reads it sees the old one or the new one.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        replace_file(&folder.join(FILE), text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_as_it_was_written_and_damage_is_none() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("gitops/a");
        fs::create_dir_all(&folder).unwrap();
        let mut status = Status::new("https://host.org/a", "main", "", Timestamp(7));
        status.good = Some(Commit::of(&"a".repeat(40)));
        status.write(&folder).unwrap();
        assert_eq!(Status::read(&folder), Some(status.clone()));
        assert_eq!(Status::all(home.path()), [(folder.clone(), status)]);
        fs::write(folder.join(FILE), "{").unwrap();
        assert_eq!(Status::read(&folder), None);
    }

    #[test]
    fn words_are_those_of_the_file() {
        for stage in [Stage::Starting, Stage::InSync, Stage::Unreachable] {
            assert_eq!(serde_json::to_value(stage).unwrap(), stage.word());
        }
    }
}
