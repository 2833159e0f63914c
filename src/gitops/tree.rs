//! The files of one commit, written by ourselves: no filter, hook, attribute or link of the repository acts.
//! Reads: `git ls-tree`, `git cat-file`. Gives: a folder that bears a commit's name when all of it is there and synced.
//! Never: `git checkout`, a link, a submodule, anything outside of the folder.
//! Start at [`Trees::write`].

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};

use super::commit::Commit;
use super::git::{Git, GitError, is_object_id};
use super::process::Limits;
use super::remote::Folder;

/// Longest name of a file or folder, in bytes: more no file system takes.
const LONGEST_NAME: usize = 255;
/// Longest path within the tree, in bytes.
const LONGEST_PATH: usize = 1_024;
/// Notes that are kept; more of them say nothing new.
const MOST_NOTES: usize = 20;
/// What stands at the start of a file that Git LFS keeps elsewhere.
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";
/// How many trees stay beside those that are named: a run of an older one may be looked at.
const KEPT: usize = 3;

/// A tree of files cannot be made of a commit.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The commit has no such folder.
    #[error("commit {commit} has no folder {folder}: --path names a folder of the repository")]
    NoFolder {
        /// The commit, short.
        commit: String,
        /// What was asked for.
        folder: String,
    },
    /// A name that no honest repository has.
    #[error("commit {commit} has a file {name:?}, which leads elsewhere: nothing of it is written")]
    Hostile {
        /// The commit, short.
        commit: String,
        /// The name.
        name: String,
    },
    /// More than is taken.
    #[error("commit {commit} has more than {what}: {option} takes more")]
    TooLarge {
        /// The commit, short.
        commit: String,
        /// Which limit.
        what: String,
        /// What lifts it.
        option: &'static str,
    },
    /// `git` does not give what it listed.
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
        source: io::Error,
    },
}

/// A tree that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Where.
    pub path: PathBuf,
    /// What of the commit is not there, and why.
    pub notes: Vec<String>,
}

/// One file of a commit, as git lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    path: String,
    object: String,
    size: u64,
}

/// What a commit has, and what of it is left out.
#[derive(Debug, Default, PartialEq, Eq)]
struct Listing {
    files: Vec<Entry>,
    notes: Vec<String>,
}

/// The folder that trees lie in.
pub struct Trees {
    folder: PathBuf,
    limits: Limits,
}

impl Trees {
    /// Names the folder; touches nothing.
    #[must_use]
    pub fn new(folder: &Path, limits: Limits) -> Self {
        Self { folder: folder.join("trees"), limits }
    }

    /// Returns where the tree of a commit is, or will be.
    #[must_use]
    pub fn path(&self, commit: &Commit) -> PathBuf {
        self.folder.join(commit.id())
    }

    /// Writes what a commit has below a folder of the repository; one that is there already is taken as it is. Blocks.
    ///
    /// # Errors
    /// Nothing bears the commit's name then.
    pub fn write(&self, git: &Git, repository: &Path, commit: &Commit, folder: &Folder) -> Result<Tree, TreeError> {
        let path = self.path(commit);
        let listing = self.list(git, repository, commit, folder)?;
        if path.is_dir() {
            return Ok(Tree { path, notes: listing.notes });
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(failed("create", &self.folder))?;
        let part = self.folder.join(format!(".part-{}", commit.id()));
        remove(&part)?;
        DirBuilder::new().mode(0o700).create(&part).map_err(failed("create", &part))?;
        // Marks the root of the project: a pipeline in it names no file above.
        let mark = part.join(".pipe");
        DirBuilder::new().mode(0o700).create(&mark).map_err(failed("create", &mark))?;
        let mut notes = listing.notes;
        let mut objects = Objects::open(git, repository)?;
        for entry in &listing.files {
            let target = part.join(&entry.path);
            if let Some(parent) = target.parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(failed("create", parent))?;
            }
            // Never one that is there: two names that are one would else be a mix.
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&target);
            let mut file = file.map_err(failed("create", &target))?;
            if objects.copy(entry, &mut file, &target)? {
                note(&mut notes, format!("{} is a pointer of Git LFS: what it points to is not fetched", entry.path));
            }
        }
        objects.close()?;
        sync(&part)?;
        fs::rename(&part, &path).map_err(failed("rename", &part))?;
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(failed("sync", &self.folder))?;
        Ok(Tree { path, notes })
    }

    fn list(&self, git: &Git, repository: &Path, commit: &Commit, folder: &Folder) -> Result<Listing, TreeError> {
        let mut command = git.within(repository);
        command.args(["ls-tree", "-r", "-z", "--long", "--full-tree", "--end-of-options"]);
        command.arg(format!("{}:{}", commit.id(), folder.path()));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(GitError::Start)?;
        let mut stdout = BufReader::new(child.stdout.take().expect("it was asked for"));
        let listed = listed(&mut stdout, commit, self.limits);
        if listed.is_err() {
            // It may want to say more than is read.
            child.kill().map_err(GitError::Start)?;
        }
        let output = child.wait_with_output().map_err(GitError::Start)?;
        let listing = listed?;
        if !output.status.success() {
            let error = git.failed("ls-tree", &output.stderr, output.status.code());
            return Err(match error {
                GitError::Failed { .. } if !folder.path().is_empty() => {
                    TreeError::NoFolder { commit: commit.short().to_owned(), folder: folder.path().to_owned() }
                }
                error => error.into(),
            });
        }
        Ok(listing)
    }

    /// Removes trees that nobody needs, and what was left half written.
    ///
    /// # Errors
    /// The folder cannot be read or written; nothing depends on it.
    pub fn sweep(&self, needed: &[&Commit]) -> io::Result<()> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut old = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !is_object_id(&name) {
                fs::remove_dir_all(entry.path())?;
            } else if !needed.iter().any(|commit| commit.id() == name) {
                old.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        old.sort();
        let surplus = old.len().saturating_sub(KEPT);
        for (_, path) in old.into_iter().take(surplus) {
            fs::remove_dir_all(path)?;
        }
        Ok(())
    }
}

/// Reads what `git ls-tree -r -z --long` prints.
fn listed(output: &mut dyn io::BufRead, commit: &Commit, limits: Limits) -> Result<Listing, TreeError> {
    let unread = |source| GitError::Odd { word: "ls-tree", said: io::Error::to_string(&source) };
    let mut listing = Listing::default();
    let mut total: u64 = 0;
    let too_large = |what: String, option| TreeError::TooLarge { commit: commit.short().to_owned(), what, option };
    let mut seen = 0;
    loop {
        let mut record = Vec::new();
        // A name may be of any length: only so much is read of it.
        let most = (LONGEST_PATH * 4) as u64;
        let read = output.take(most).read_until(0, &mut record).map_err(unread)?;
        if read == 0 {
            return Ok(listing);
        }
        seen += 1;
        if seen > limits.files.saturating_mul(4) {
            return Err(too_large(format!("{} files", limits.files), "--most-files"));
        }
        if record.pop() != Some(0) {
            let name = String::from_utf8_lossy(&record[record.len().saturating_sub(40)..]).into_owned();
            return Err(TreeError::Hostile { commit: commit.short().to_owned(), name });
        }
        match entry(&record, commit)? {
            Seen::File(entry) => {
                total = total.saturating_add(entry.size);
                listing.files.push(entry);
            }
            Seen::Left(why) => note(&mut listing.notes, why),
            Seen::Gits => {}
        }
        if listing.files.len() > limits.files {
            return Err(too_large(format!("{} files", limits.files), "--most-files"));
        }
        if total > limits.bytes {
            return Err(too_large(format!("{} bytes of files", limits.bytes), "--most-bytes"));
        }
    }
}

/// What is to be done with one line of a listing.
enum Seen {
    File(Entry),
    /// Not written, and told.
    Left(String),
    /// Git's own files: of no use here, and nothing to tell.
    Gits,
}

/// Reads `mode type object size\tpath`.
fn entry(record: &[u8], commit: &Commit) -> Result<Seen, TreeError> {
    let odd = || GitError::Odd { word: "ls-tree", said: String::from_utf8_lossy(record).chars().take(80).collect() };
    let hostile =
        |name: &str| TreeError::Hostile { commit: commit.short().to_owned(), name: name.chars().take(80).collect() };
    let tab = record.iter().position(|byte| *byte == b'\t').ok_or_else(odd)?;
    let fields = std::str::from_utf8(&record[..tab]).map_err(|_| odd())?;
    let [mode, kind, object, size] = fields.split_ascii_whitespace().collect::<Vec<_>>()[..] else {
        return Err(odd().into());
    };
    let name = &record[tab + 1..];
    let Ok(path) = std::str::from_utf8(name) else {
        return Ok(Seen::Left(format!("{} is left out: its name is not UTF-8", String::from_utf8_lossy(name))));
    };
    let parts: Vec<&str> = path.split('/').collect();
    if path.len() > LONGEST_PATH || parts.iter().any(|part| part.len() > LONGEST_NAME) {
        return Err(hostile(path));
    }
    if path.contains('\0') || parts.iter().any(|part| matches!(*part, "" | "." | "..") || is_git(part)) {
        return Err(hostile(path));
    }
    if parts.iter().any(|part| part.to_ascii_lowercase().starts_with(".git")) {
        return Ok(Seen::Gits);
    }
    let left = |why: &str| Ok(Seen::Left(format!("{path} is left out: {why}")));
    if parts.iter().any(|part| part.eq_ignore_ascii_case(".pipe")) {
        return left("the folder .pipe is the reconciler's own");
    }
    if path.contains(|letter: char| letter.is_control() || letter == '\\') {
        return left("its name has control characters or backslashes");
    }
    match (mode, kind) {
        ("100644" | "100755" | "100664", "blob") => {}
        ("120000", _) => return left("it is a link"),
        ("160000", _) => return left("it is a submodule"),
        _ => return left("it is no file"),
    }
    if !is_object_id(object) {
        return Err(odd().into());
    }
    let size = size.parse().map_err(|_| odd())?;
    Ok(Seen::File(Entry { path: path.to_owned(), object: object.to_owned(), size }))
}

/// Tells whether a name is `.git` to some file system.
fn is_git(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let name = name.trim_end_matches([' ', '.']);
    name == ".git" || name == "git~1"
}

fn note(notes: &mut Vec<String>, text: String) {
    match notes.len() {
        len if len < MOST_NOTES => notes.push(text),
        MOST_NOTES => notes.push("more is left out".to_owned()),
        _ => {}
    }
}

/// `git cat-file --batch`: asked for one object after the other.
struct Objects {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Objects {
    fn open(git: &Git, repository: &Path) -> Result<Self, TreeError> {
        let mut command = git.within(repository);
        command.args(["cat-file", "--batch"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(GitError::Start)?;
        let answers = BufReader::new(child.stdout.take().expect("it was asked for"));
        Ok(Self { child, answers })
    }

    /// Writes an object to a file; returns true for a pointer of Git LFS.
    fn copy(&mut self, entry: &Entry, file: &mut File, target: &Path) -> Result<bool, TreeError> {
        let odd = |said: String| TreeError::Git(GitError::Odd { word: "cat-file", said });
        let unread = |error: io::Error| odd(error.to_string());
        let requests = self.child.stdin.as_mut().expect("it was asked for");
        requests
            .write_all(format!("{}\n", entry.object).as_bytes())
            .and_then(|()| requests.flush())
            .map_err(unread)?;
        let mut header = String::new();
        self.answers.by_ref().take(200).read_line(&mut header).map_err(unread)?;
        let expected = format!("{} blob {}", entry.object, entry.size);
        if header.trim_end() != expected {
            return Err(odd(header));
        }
        let mut start = Vec::new();
        let start_size = entry.size.min(POINTER.len() as u64);
        self.answers.by_ref().take(start_size).read_to_end(&mut start).map_err(unread)?;
        file.write_all(&start).map_err(failed("write", target))?;
        let rest = entry.size - start_size;
        let copied = io::copy(&mut self.answers.by_ref().take(rest), file).map_err(failed("write", target))?;
        let mut end = [0];
        self.answers.read_exact(&mut end).map_err(unread)?;
        if copied != rest || start.len() as u64 != start_size || end != *b"\n" {
            return Err(odd(format!("{} is cut off", entry.object)));
        }
        Ok(start == POINTER)
    }

    fn close(mut self) -> Result<(), TreeError> {
        drop(self.child.stdin.take());
        let status = self.child.wait().map_err(GitError::Start)?;
        match status.success() {
            true => Ok(()),
            false => Err(GitError::Odd { word: "cat-file", said: status.to_string() }.into()),
        }
    }
}

/// Makes a tree and the names in it durable.
fn sync(folder: &Path) -> Result<(), TreeError> {
    let open = File::open(folder).map_err(failed("open", folder))?;
    // One call for all of them: a sync of each file takes milliseconds.
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(&open).map_err(io::Error::from).map_err(failed("sync", folder))?;
    #[cfg(not(target_os = "linux"))]
    rustix::fs::sync();
    open.sync_all().map_err(failed("sync", folder))
}

fn remove(folder: &Path) -> Result<(), TreeError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", folder)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TreeError {
    let path = path.to_owned();
    move |source| TreeError::File { doing, path, source }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const OBJECT: &str = "0123456789012345678901234567890123456789";
    const LIMITS: Limits = Limits { bytes: 1_000, files: 3, time: Duration::from_secs(1), depth: 1 };

    fn list(lines: &[&str]) -> Result<Listing, TreeError> {
        let text: String = lines.iter().flat_map(|line| [line.replace('@', OBJECT), "\0".to_owned()]).collect();
        listed(&mut text.as_bytes(), &Commit::of(OBJECT), LIMITS)
    }

    #[test]
    fn files_are_listed_and_everything_else_is_left_out_and_told() {
        let listing = list(&[
            "100644 blob @      12\ta/b c.yaml",
            "100755 blob @       7\trun.sh",
            "120000 blob @      11\tlink",
            "160000 commit @       -\tsub",
            "100644 blob @       1\t.gitignore",
            "100644 blob @       1\ta/.GitHub/x.yaml",
            "100644 blob @       1\t.pipe/runs/x",
            "100644 blob @       1\ta/.Pipe",
            "100644 blob @       1\ta\\b",
            "100644 blob @       1\ta\nb",
        ])
        .unwrap();
        let paths: Vec<&str> = listing.files.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(paths, ["a/b c.yaml", "run.sh"]);
        let what = ["link", "sub", ".pipe/runs/x", "a/.Pipe", "a\\b", "a\nb"];
        assert_eq!(listing.notes.len(), what.len(), "{:?}", listing.notes);
        for (note, what) in listing.notes.iter().zip(what) {
            assert!(note.starts_with(&format!("{what} is left out: ")), "{note}");
        }
    }

    #[test]
    fn names_that_lead_elsewhere_refuse_the_commit() {
        for name in
            ["../a", "a/../b", "/etc/passwd", "a//b", "./a", ".git/hooks/x", "a/.GIT/config", "git~1/x", ".git. "]
        {
            let listed = list(&[&format!("100644 blob @ 1\t{name}")]);
            assert!(matches!(listed, Err(TreeError::Hostile { .. })), "{name}: {listed:?}");
        }
        for name in ["x".repeat(256), "x/".repeat(600) + "x", "x".repeat(10_000)] {
            assert!(matches!(list(&[&format!("100644 blob @ 1\t{name}")]), Err(TreeError::Hostile { .. })));
        }
    }

    #[test]
    fn more_than_the_limits_is_refused() {
        let many: Vec<String> = (0..4).map(|at| format!("100644 blob @ 1\t{at}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(list(&many[..3]).is_ok());
        assert!(list(&many).is_err_and(|error| error.to_string().contains("--most-files")));
        let large = ["100644 blob @ 600\ta", "100644 blob @ 600\tb"];
        assert!(list(&large).is_err_and(|error| error.to_string().contains("--most-bytes")));
        assert!(list(&["100644 blob @ 18446744073709551615\ta"]).is_err());
        // Links cost nothing to write, but to read of.
        let links: Vec<String> = (0..100).map(|at| format!("120000 blob @ 1\t{at}")).collect();
        assert!(list(&links.iter().map(String::as_str).collect::<Vec<_>>()).is_err());
    }

    #[test]
    fn what_git_never_says_is_an_error() {
        for line in ["", "100644 blob @ 1", "100644 blob x 1\ta", "100644 blob @ -\ta", "100644 blob @\ta"] {
            assert!(list(&[line]).is_err(), "{line}");
        }
    }

    #[test]
    fn old_trees_go_and_needed_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let trees = Trees::new(folder.path(), LIMITS);
        let commits: Vec<Commit> = (0..6).map(|at| Commit::of(&OBJECT.replacen('0', &at.to_string(), 1))).collect();
        for (at, commit) in commits.iter().enumerate() {
            fs::create_dir_all(trees.path(commit).join("a")).unwrap();
            let time = std::time::UNIX_EPOCH + Duration::from_secs(1_000 + at as u64);
            File::open(trees.path(commit)).unwrap().set_modified(time).unwrap();
        }
        fs::create_dir_all(folder.path().join("trees/.part-x/y")).unwrap();
        trees.sweep(&[&commits[0]]).unwrap();
        let there: Vec<bool> = commits.iter().map(|commit| trees.path(commit).is_dir()).collect();
        assert_eq!(there, [true, false, false, true, true, true]);
        assert!(!folder.path().join("trees/.part-x").exists());
    }
}
