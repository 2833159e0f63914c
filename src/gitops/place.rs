//! Where a reconciler keeps what is its own, and whether git is of use there.

use std::path::{Path, PathBuf};

use super::git::Git;
use super::told::{OpenError, Settings};
use crate::base::Hasher;

/// The first git that takes settings from the environment, which keeps a token off command lines.
const OLDEST_GIT: (u32, u32) = (2, 31);

/// Returns the folder of what is reconciled: by repository, branch and folder of it.
pub(super) fn folder_of(home: &Path, settings: &Settings) -> PathBuf {
    let Settings { remote, branch, folder, .. } = settings;
    let parts = [remote.url(), branch.name(), folder.path()];
    let key = parts.iter().fold(Hasher::new("gitops"), |hasher, part| hasher.field(part.as_bytes())).finish();
    let last =
        remote.url().trim_end_matches('/').trim_end_matches(".git").rsplit(['/', ':']).next().unwrap_or_default();
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    let name: String = last.chars().take(40).map(plain).collect();
    home.join("gitops").join(format!("{}-{}", name.trim_matches('-'), key.short()))
}

/// Checks that git keeps a token off command lines.
///
/// # Errors
/// It does not start, or is too old.
pub(super) fn new_enough(git: &Git) -> Result<(), OpenError> {
    let mut command = git.anywhere();
    command.arg("--version");
    let said = String::from_utf8_lossy(&git.ask(command, "--version")?).trim().to_owned();
    let found = said.strip_prefix("git version ").unwrap_or(&said).to_owned();
    let mut numbers = found.split('.').map_while(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) >= OLDEST_GIT => Ok(()),
        _ => Err(OpenError::OldGit { found }),
    }
}
