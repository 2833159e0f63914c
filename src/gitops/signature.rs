//! Whose commits count: those with a good SSH signature of somebody on a list.

use std::path::{Path, PathBuf};

use super::commit::Commit;
use super::git::{Git, GitError};

/// The list of those whose commits count, in the form of `ssh-keygen` (`man ssh-keygen`, "ALLOWED SIGNERS").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedSigners {
    path: PathBuf,
}

/// A commit that does not count.
#[derive(Debug, thiserror::Error)]
#[error("commit {commit} is not signed by anybody in {}: {said}", signers.display())]
pub struct Unsigned {
    /// The commit, short.
    pub commit: String,
    /// The list.
    pub signers: PathBuf,
    /// What git says.
    pub said: String,
}

impl AllowedSigners {
    /// Takes a file for the list.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(path: &Path) -> std::io::Result<Self> {
        let path = std::path::absolute(path)?;
        std::fs::File::open(&path)?;
        Ok(Self { path })
    }

    /// Checks the signature of a commit. Blocks.
    ///
    /// # Errors
    /// It has none, one of another form, a wrong one, or somebody's who is not on the list.
    pub fn check(&self, git: &Git, repository: &Path, commit: &Commit) -> Result<(), Unsigned> {
        let unsigned =
            |said: String| Unsigned { commit: commit.short().to_owned(), signers: self.path.clone(), said };
        let git = git
            .clone()
            .setting("gpg.format", "ssh")
            .setting("gpg.ssh.allowedSignersFile", &self.path.to_string_lossy())
            // Who may sign by OpenPGP or X.509 is not on this list, whatever keys this machine has.
            .setting("gpg.openpgp.program", "false")
            .setting("gpg.x509.program", "false")
            .setting("gpg.minTrustLevel", "fully");
        let mut command = git.within(repository);
        command.args(["verify-commit", "--raw", "--end-of-options", commit.id()]);
        git.ask(command, "verify-commit").map(drop).map_err(|error| match error {
            GitError::Failed { said, .. } if said == "it says nothing" => unsigned("it has no signature".to_owned()),
            GitError::Failed { said, .. } => unsigned(said),
            other => unsigned(other.to_string()),
        })
    }
}
