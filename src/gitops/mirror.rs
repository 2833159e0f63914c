//! The local copy of one branch: fetched by `git`, without files, whole or not there.
//! Reads: a remote. Gives: the commit that a branch is at, and a repository that has it. Never: a file of the tree.
//! Start at [`Mirror`].

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::commit::Commit;
use super::git::{Git, GitError, is_object_id, path};
use super::process::{Ended, Limits, Stopped, size_of, watched};
use super::remote::Branch;

/// The reference that the newest fetched commit bears; nothing else does.
const HEAD: &str = "refs/pipe/head";
/// How long a server may take to say where a branch is.
const ASKING: Duration = Duration::from_secs(60);
/// Most that it may say about it, in bytes.
const ANSWER: usize = 64 << 10;
/// The exit code of `git ls-remote --exit-code` when there is no such reference.
const NO_SUCH_REFERENCE: i32 = 2;

/// A branch cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server has no such branch.
    #[error("{remote} has no branch {branch}: name another by --branch, or push it")]
    NoBranch {
        /// Where was asked.
        remote: String,
        /// For what.
        branch: String,
    },
    /// It cannot be asked, or does not give.
    #[error("{remote} cannot be fetched: {why}{}", advice(.why))]
    Remote {
        /// Where was asked.
        remote: String,
        /// What it, or git, says.
        why: String,
    },
    /// It gives more than is taken.
    #[error("{remote} is larger than {bytes} bytes as git keeps it: --most-bytes takes more")]
    TooLarge {
        /// Where was asked.
        remote: String,
        /// The limit.
        bytes: u64,
    },
    /// It gives too slowly.
    #[error("{remote} was not fetched within {seconds} s: --timeout waits longer")]
    TooSlow {
        /// Where was asked.
        remote: String,
        /// The limit.
        seconds: u64,
    },
    /// There is no git, or it does not work here.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The disk does not take it.
    #[error("cannot {doing} {path}")]
    File {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Returns what helps where credentials are missing or not taken.
fn advice(why: &str) -> &'static str {
    let is_about = |words: &[&str]| words.iter().any(|word| why.contains(word));
    if is_about(&["Authentication failed", "could not read Username", "401", "403"]) {
        "; give a token that may read it as PIPE_GIT_TOKEN in the environment"
    } else if is_about(&["Permission denied", "publickey"]) {
        "; give the file of a key that may read it as PIPE_GIT_SSH_KEY in the environment"
    } else if is_about(&["Host key verification failed"]) {
        "; put its host key into ~/.ssh/known_hosts, or name a file that has it by PIPE_GIT_KNOWN_HOSTS"
    } else {
        ""
    }
}

/// The copy, in a folder of the reconciler that has the lock.
pub struct Mirror {
    git: Git,
    branch: Branch,
    folder: PathBuf,
    limits: Limits,
}

impl Mirror {
    /// Names a copy below a folder; touches nothing.
    #[must_use]
    pub fn new(git: Git, branch: Branch, folder: &Path, limits: Limits) -> Self {
        Self { git, branch, folder: folder.to_owned(), limits }
    }

    /// Returns where the repository is, once it is whole.
    #[must_use]
    pub fn repository(&self) -> PathBuf {
        self.folder.join("mirror.git")
    }

    /// Returns what makes commands for it.
    #[must_use]
    pub const fn git(&self) -> &Git {
        &self.git
    }

    /// Asks the server at which commit the branch is; fetches nothing.
    ///
    /// # Errors
    /// It is away, does not let us in, or has no such branch.
    ///
    /// # Cancel safety
    /// Dropped, it ends git.
    pub async fn ask(&self) -> Result<Commit, FetchError> {
        let mut command = self.git.anywhere();
        command.args(["ls-remote", "--exit-code", "--quiet", "--", self.git.remote().url()]);
        command.arg(self.branch.reference());
        let limits = Limits { time: ASKING.min(self.limits.time), ..self.limits };
        let ended = watched(command, None, limits, ANSWER).await.map_err(|stopped| self.stopped(stopped))?;
        match ended.status.code() {
            Some(0) => {}
            Some(NO_SUCH_REFERENCE) => {
                return Err(FetchError::NoBranch {
                    remote: self.git.remote().to_string(),
                    branch: self.branch.to_string(),
                });
            }
            _ => return Err(self.refused("ls-remote", &ended)),
        }
        let answer = String::from_utf8_lossy(&ended.stdout);
        let reference = self.branch.reference();
        // A pattern fits `refs/x/refs/heads/main` too.
        let of_branch = |line: &str| {
            let (id, name) = line.split_once('\t')?;
            (name == reference && is_object_id(id)).then(|| Commit::of(id))
        };
        answer.lines().find_map(of_branch).ok_or_else(|| FetchError::NoBranch {
            remote: self.git.remote().to_string(),
            branch: self.branch.to_string(),
        })
    }

    /// Fetches the commit that the branch is at, and returns it: it may be a newer one than was just told.
    ///
    /// A copy that cannot be gone on with is thrown away and made anew, aside, and takes its name when it is whole.
    ///
    /// # Errors
    /// As [`Self::ask`]; or it is too much, too slow, or damaged where it comes from.
    ///
    /// # Cancel safety
    /// Dropped, it ends git; what is half made is thrown away by the next.
    pub async fn fetch(&self, told: &Commit) -> Result<Commit, FetchError> {
        let repository = self.repository();
        let is_small = size_of(&repository) < self.limits.bytes / 2;
        if repository.join("pipe-whole").is_file() && is_small {
            match self.fetch_into(&repository).await {
                Ok(commit) => return Ok(commit),
                // Of these a new copy would tell the same.
                Err(error @ (FetchError::TooSlow { .. } | FetchError::TooLarge { .. })) => return Err(error),
                Err(error) => tracing::warn!(%error, "the copy of the repository is made anew"),
            }
        }
        self.make(told).await
    }

    /// Makes the copy aside and gives it its name when it is whole.
    async fn make(&self, told: &Commit) -> Result<Commit, FetchError> {
        let part = self.folder.join("mirror.part");
        remove(&part)?;
        fs::create_dir_all(&part).map_err(failed("create", &part))?;
        let mut command = self.git.anywhere();
        let format = if told.id().len() == 64 { "sha256" } else { "sha1" };
        command.args(["init", "--quiet", "--bare", "--template=", "--initial-branch=none"]);
        command.arg(format!("--object-format={format}")).arg("--").arg(path(&part));
        let made = watched(command, None, self.limits, ANSWER).await.map_err(|stopped| self.stopped(stopped))?;
        if !made.status.success() {
            return Err(self.git.failed("init", &made.stderr, made.status.code()).into());
        }
        let commit = self.fetch_into(&part).await?;
        let mark = part.join("pipe-whole");
        fs::write(&mark, "").map_err(failed("write", &mark))?;
        let repository = self.repository();
        remove(&repository)?;
        fs::rename(&part, &repository).map_err(failed("rename", &part))?;
        Ok(commit)
    }

    /// Fetches the branch into a repository, whose objects are checked on the way, and again on the disk.
    async fn fetch_into(&self, repository: &Path) -> Result<Commit, FetchError> {
        let mut command = self.git.within(repository);
        command.args(["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--force"]);
        command.args(["--no-recurse-submodules"]).arg(format!("--depth={}", self.limits.depth));
        command.args(["--", self.git.remote().url()]).arg(format!("+{}:{HEAD}", self.branch.reference()));
        let fetched = watched(command, Some(repository), self.limits, ANSWER).await;
        let fetched = fetched.map_err(|stopped| self.stopped(stopped))?;
        if !fetched.status.success() {
            return Err(self.refused("fetch", &fetched));
        }
        if size_of(repository) > self.limits.bytes {
            return Err(self.stopped(Stopped::Large(self.limits.bytes)));
        }
        let mut command = self.git.within(repository);
        command.args(["rev-parse", "--verify", "--quiet", "--end-of-options"]).arg(format!("{HEAD}^{{commit}}"));
        let ended = watched(command, None, self.limits, ANSWER).await.map_err(|stopped| self.stopped(stopped))?;
        let id = String::from_utf8_lossy(&ended.stdout).trim().to_owned();
        if !ended.status.success() || !is_object_id(&id) {
            return Err(GitError::Odd { word: "rev-parse", said: id }.into());
        }
        // What came by an earlier fetch is read again: a disk, or a process that was killed, may have damaged it.
        let mut command = self.git.within(repository);
        command.args(["fsck", "--no-dangling", "--no-reflogs", "--no-progress", &id]);
        let checked = watched(command, None, self.limits, ANSWER).await.map_err(|stopped| self.stopped(stopped))?;
        if !checked.status.success() {
            return Err(self.git.failed("fsck", &checked.stderr, checked.status.code()).into());
        }
        Ok(Commit::of(&id))
    }

    /// Tells whether a commit is in the copy.
    #[must_use]
    pub fn has(&self, commit: &Commit) -> bool {
        let mut command = self.git.within(&self.repository());
        command.args(["cat-file", "-e"]).arg(format!("{}^{{tree}}", commit.id()));
        self.repository().join("pipe-whole").is_file() && self.git.ask(command, "cat-file").is_ok()
    }

    fn stopped(&self, stopped: Stopped) -> FetchError {
        let remote = self.git.remote().to_string();
        match stopped {
            Stopped::Start { source, .. } => FetchError::Git(GitError::Start(source)),
            Stopped::Late(limit) => FetchError::TooSlow { remote, seconds: limit.as_secs() },
            Stopped::Large(bytes) => FetchError::TooLarge { remote, bytes },
        }
    }

    fn refused(&self, word: &str, ended: &Ended) -> FetchError {
        let why = match self.git.failed(word, &ended.stderr, ended.status.code()) {
            GitError::Failed { said, .. } => said,
            other => other.to_string(),
        };
        FetchError::Remote { remote: self.git.remote().to_string(), why }
    }
}

/// Removes a folder, if it is there.
pub(super) fn remove(folder: &Path) -> Result<(), FetchError> {
    match fs::remove_dir_all(folder) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(failed("remove", folder)(source)),
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> FetchError {
    let path = path.to_owned();
    move |source| FetchError::File { doing, path, source }
}
