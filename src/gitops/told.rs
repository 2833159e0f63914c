//! What a reconciler is told at its beginning, and what it tells as it goes.

use std::path::PathBuf;

use super::commit::Commit;
use super::executor::Entry;
use super::git::{Credentials, GitError};
use super::process::Limits;
use super::remote::{Branch, Folder, Remote};
use super::signature::AllowedSigners;
use super::statuses::Statuses;
use crate::base::{Millis, Timestamp};

/// What is to be the truth, and how it is fetched.
#[derive(Clone)]
pub struct Settings {
    /// The repository.
    pub remote: Remote,
    /// Its branch.
    pub branch: Branch,
    /// The project's folder in it.
    pub folder: Folder,
    /// Who asks for it.
    pub credentials: Credentials,
    /// How much is fetched.
    pub limits: Limits,
    /// How often the branch is asked for.
    pub interval: Millis,
    /// Whose commits count; everybody's without a list.
    pub signers: Option<AllowedSigners>,
    /// Where the host is told how commits stand; nowhere unless it is asked for.
    pub statuses: Option<Statuses>,
    /// Whether to leave once the runs are those of the branch.
    pub once: bool,
}

/// A reconciler cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another one does the same.
    #[error("{repository} ({branch}) is reconciled into {home} already, by {}", who(*.pid))]
    Held {
        /// The repository.
        repository: String,
        /// The branch.
        branch: String,
        /// Where runs are kept.
        home: PathBuf,
        /// Which process; none when it has not told.
        pid: Option<u32>,
    },
    /// There is no git, or it does not work here.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A git that would put a token where everybody sees it.
    #[error("git {found} is too old: 2.31 or newer is needed")]
    OldGit {
        /// What it says of itself.
        found: String,
    },
    /// The disk does not take it.
    #[error("cannot use {path}")]
    File {
        /// Which folder or file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

fn who(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// What happens, as it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The branch is at another commit than before.
    Fetched {
        /// The commit.
        commit: Commit,
    },
    /// The branch cannot be fetched.
    Unreachable {
        /// What is wrong, and what helps.
        why: String,
        /// When it is tried again.
        again: Timestamp,
    },
    /// The branch can be fetched again, and is at this commit.
    Reachable {
        /// The commit.
        commit: Commit,
    },
    /// What of a commit is left out.
    LeftOut {
        /// What, and why.
        note: String,
    },
    /// A commit was planned for the first time, or there is something to do for it again.
    Planned {
        /// The commit.
        commit: Commit,
        /// Its pipelines.
        entries: Vec<Entry>,
    },
    /// The runs are those of a commit already.
    InSync {
        /// The commit.
        commit: Commit,
        /// Its pipelines.
        entries: Vec<Entry>,
    },
    /// A commit is wrong, or could not be looked at.
    NotPlanned {
        /// The commit.
        commit: Commit,
        /// What was being done: `signature`, `tree` or `plan`.
        doing: String,
        /// What is wrong, and what helps.
        why: String,
        /// Whether it stays so, whatever is tried again.
        is_refused: bool,
        /// The commit that stays.
        stays: Option<Commit>,
    },
    /// An apply begins.
    Applying {
        /// The commit.
        commit: Commit,
    },
    /// An apply is asked to leave, for a newer commit or for good.
    Stopping {
        /// The commit.
        commit: Commit,
    },
    /// An apply came to an end.
    Applied {
        /// The commit.
        commit: Commit,
        /// Its exit code; none when a signal ended it.
        exit: Option<i32>,
        /// Its pipelines.
        entries: Vec<Entry>,
        /// What is wrong.
        why: Option<String>,
        /// When it is tried again; none when it is not.
        again: Option<Timestamp>,
    },
    /// The host was told how a commit stands.
    Told {
        /// The commit.
        commit: Commit,
        /// How it stands, in the host's word.
        state: &'static str,
        /// In a line; empty when it stands otherwise by now.
        description: String,
    },
    /// The host could not be told how a commit stands.
    Untold {
        /// The commit.
        commit: Commit,
        /// How it stands, in the host's word.
        state: &'static str,
        /// What is wrong, and what helps.
        why: String,
        /// When it is told again; none when it never is.
        again: Option<Timestamp>,
    },
}

/// How a reconciler left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Told,
    /// The runs are those of the branch: once was enough. With the exit code of the apply, if there was one.
    Once(Option<i32>),
    /// The commit is wrong.
    Refused,
    /// The repository cannot be fetched.
    Unreachable,
    /// It cannot be told whether the commit is good.
    Unknown,
}
