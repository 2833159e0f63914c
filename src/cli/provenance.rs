//! Which state of which repository a pipeline file lies in, as `git` tells it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::exit::{CommandError, Exit};
use super::printer::inert;
use crate::base::Digest;
use crate::event::{Commit, Provenance};

/// Changed files that a refusal names.
const NAMED: usize = 5;

/// Looks at the repository around a file, off the runtime's threads: a large one takes its time. Takes some
/// milliseconds inside of one, and starts no process outside.
///
/// # Errors
/// Only where a clean state is required: there is no repository, it cannot be read, or files in it differ from its
/// commit.
///
/// # Cancel safety
/// May be dropped at any time.
async fn look(file: &Path, require_clean: bool) -> Result<Provenance, CommandError> {
    let file = file.to_path_buf();
    let found = tokio::task::spawn_blocking(move || root_around(&file).map(|root| commit(&root, &file))).await;
    let found = found.map_err(|error| CommandError::new(Exit::Bug, error.to_string()))?;
    let refuse = |message: String| CommandError::new(Exit::GateFailed, format!("--require-clean: {message}"));
    match found {
        Some(Ok((commit, changed))) if require_clean && !changed.is_empty() => {
            Err(refuse(differing(&commit, &changed)).help("commit them, or name what is made here in .gitignore"))
        }
        Some(Ok((commit, _))) => Ok(Provenance { commit: Some(commit), unknown: None }),
        Some(Err(why)) if require_clean => Err(refuse(format!("the repository cannot be read: {why}"))),
        None if require_clean => Err(refuse("the pipeline file lies in no git repository".to_owned())),
        Some(Err(why)) => Ok(Provenance { commit: None, unknown: Some(why) }),
        None => Ok(Provenance { commit: None, unknown: None }),
    }
}

/// What is known of where a pipeline file comes from before anybody looks.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// Nothing: the repository around it is looked at, and may have to be as its commit.
    Around {
        /// Refuse what no commit has.
        require_clean: bool,
    },
    /// Where it is, and whoever began the run says so.
    Told(Commit),
}

impl Origin {
    /// Finds out the rest.
    ///
    /// # Errors
    /// See [`look`].
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub(super) async fn find(self, file: &Path) -> Result<Provenance, CommandError> {
        match self {
            Self::Around { require_clean } => look(file, require_clean).await,
            Self::Told(commit) => Ok(Provenance { commit: Some(commit), unknown: None }),
        }
    }
}

/// Looks again for a process that goes on with a run; none where its file is gone, and where its commit was told as it
/// began and is not now: nobody has looked at a repository then, and one around it would be another one.
///
/// # Errors
/// As [`Origin::find`].
///
/// # Cancel safety
/// May be dropped at any time.
pub(super) async fn again(
    origin: Origin,
    before: Option<&Provenance>,
    file: &Path,
) -> Result<Option<Provenance>, CommandError> {
    let was_told = before.and_then(|before| before.commit.as_ref()).is_some_and(|commit| commit.told);
    match origin {
        Origin::Around { .. } if was_told || !file.exists() => Ok(None),
        origin => origin.find(file).await.map(Some),
    }
}

/// Returns a commit that was told, for a file of its repository.
pub(super) fn told(id: &str, repository: &str, path: &str) -> Origin {
    Origin::Told(Commit {
        id: id.to_owned(),
        repository: Some(without_password(repository)),
        path: path.to_owned(),
        changed: 0,
        diff: None,
        told: true,
    })
}

/// Names files that differ from a commit.
fn differing(commit: &Commit, changed: &[String]) -> String {
    let names = changed.iter().take(NAMED).map(|name| inert(name).into_owned());
    let mut names: Vec<String> = names.collect();
    if changed.len() > NAMED {
        names.push(format!("and {} more", changed.len() - NAMED));
    }
    let short = commit.id.get(..10).unwrap_or(&commit.id);
    let files = if changed.len() == 1 { "a file differs" } else { "files differ" };
    format!("{files} from commit {short}: {}", names.join(", "))
}

/// Returns the folder with `.git` that a file lies in.
fn root_around(file: &Path) -> Option<PathBuf> {
    let file = file.canonicalize().ok()?;
    file.ancestors().skip(1).find(|folder| folder.join(".git").exists()).map(Path::to_path_buf)
}

/// Asks for the commit and for what differs from it.
fn commit(root: &Path, file: &Path) -> Result<(Commit, Vec<String>), String> {
    let id = text(&git(root, &["rev-parse", "--verify", "HEAD^{commit}"])?);
    let status = git(root, &["status", "--porcelain=v1", "-z", "--untracked-files=normal", "--ignore-submodules"])?;
    let changed = changed(&String::from_utf8_lossy(&status));
    let diff = match changed.is_empty() {
        true => Vec::new(),
        false => git(root, &["diff", "HEAD", "--binary", "--no-ext-diff", "--no-textconv", "--ignore-submodules"])?,
    };
    // No `origin` is no mistake.
    let repository =
        git(root, &["config", "--get", "remote.origin.url"]).ok().map(|url| without_password(&text(&url)));
    let whole = file.canonicalize().unwrap_or_else(|_| file.to_path_buf());
    let path = whole.strip_prefix(root).unwrap_or(&whole).display().to_string();
    let commit = Commit {
        id,
        repository,
        path,
        changed: changed.len() as u64,
        diff: (!diff.is_empty()).then(|| Digest::of(&diff)),
        told: false,
    };
    Ok((commit, changed))
}

/// Runs `git`, which only reads: no lock is taken, no hook or monitor of the repository started.
fn git(root: &Path, arguments: &[&str]) -> Result<Vec<u8>, String> {
    let mut command = Command::new("git");
    command.arg("-C").arg(root).args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"]);
    command.args(arguments).env("GIT_OPTIONAL_LOCKS", "0").env("LC_ALL", "C");
    // Of a process that a hook started, these name another repository.
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(variable);
    }
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("git cannot be started: {error}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing");
    Err(format!("git {}: {}", arguments[0], said.trim_start_matches("fatal: ")))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// Reads the names in a status whose entries end with a zero byte; a rename has a second entry, the old name.
fn changed(status: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut entries = status.split('\0').filter(|entry| !entry.is_empty());
    while let Some(entry) = entries.next() {
        let (state, name) = entry.split_at_checked(3).unwrap_or(("", entry));
        names.push(name.to_owned());
        if state.starts_with(['R', 'C']) {
            entries.next();
        }
    }
    names
}

/// Removes a user name and password from a URL; `git@host:path` has none.
pub(super) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (host, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_a_status() {
        assert_eq!(changed(" M a b.yaml\0R  new\0old\0?? rows/\0"), ["a b.yaml", "new", "rows/"]);
        assert!(changed("").is_empty());
    }

    #[test]
    fn a_url_is_told_without_its_password() {
        assert_eq!(without_password("https://me:secret@host.org:8443/a/b.git"), "https://host.org:8443/a/b.git");
        assert_eq!(without_password("https://host.org/a@b.git"), "https://host.org/a@b.git");
        assert_eq!(without_password("git@host.org:a/b.git"), "git@host.org:a/b.git");
        assert_eq!(without_password("/srv/a.git"), "/srv/a.git");
    }
}
