//! The words for where a run came from.

use serde::{Deserialize, Serialize};

use crate::base::Digest;

/// Where a run came from, beside the texts that it keeps itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The state of the repository that the pipeline file lies in; none outside of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
    /// Why there is none, when the file lies in a repository that cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

/// A state of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The commit's full id.
    pub id: String,
    /// Where `origin` is, without user name and password; none without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The pipeline file below the repository's root.
    pub path: String,
    /// How many files differ from the commit, those that it does not know included.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub changed: u64,
    /// The hash of what `git diff HEAD` says; none where it says nothing. Files that the commit does not know are not in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<Digest>,
    /// It was told on the command line; nobody looked at a repository.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub told: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}
