//! Repositories and hosts that mean harm, or are damaged: nothing of them runs, and nothing half is taken for whole.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use pipe::gitops::{
    AllowedSigners, Commit, Credentials, FetchError, Folder, Git, Limits, Mirror, Protocol, Remote, Tree, TreeError,
    Trees,
};

use crate::git_server::{Host, Mood, git, well};

const LIMITS: Limits = Limits { bytes: 64 << 20, files: 1_000, time: Duration::from_secs(120), depth: 1 };

/// A mirror and trees of a host's repository.
struct Copy {
    folder: tempfile::TempDir,
    mirror: Mirror,
    trees: Trees,
    runtime: tokio::runtime::Runtime,
}

impl Copy {
    fn of(url: &str, credentials: Credentials, limits: Limits) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let remote = Remote::parse(url, &[Protocol::Http, Protocol::File]).expect("an address");
        let git = Git::new(remote, credentials);
        let mirror = Mirror::new(git, "main".parse().expect("a branch"), folder.path(), limits);
        let trees = Trees::new(folder.path(), limits);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        Self { folder, mirror, trees, runtime }
    }

    fn from(host: &Host) -> Self {
        Self::of(&host.url(), Credentials::default(), LIMITS)
    }

    fn fetch(&self) -> Result<Commit, FetchError> {
        self.runtime.block_on(async { self.mirror.fetch(&self.mirror.ask().await?).await })
    }

    fn tree(&self, commit: &Commit) -> Result<Tree, TreeError> {
        let folder = Folder::default();
        self.trees.write(self.mirror.git(), &self.mirror.repository(), commit, &folder)
    }

    fn fetched_tree(&self) -> Tree {
        let commit = self.fetch().expect("fetched");
        self.tree(&commit).expect("written")
    }
}

/// Every path below a folder, sorted.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("readable") {
            let entry = entry.expect("readable");
            if entry.file_type().expect("known").is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(folder).expect("inside").display().to_string());
            }
        }
    }
    found.sort();
    found
}

fn executable(path: &Path, script: &str) {
    fs::write(path, format!("#!/bin/sh\n{script}\n")).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("set");
}

#[test]
fn what_a_repository_would_run_or_link_to_is_not_there() {
    let host = Host::start();
    let touched = host.path("touched");
    let touch = format!("touch {}", touched.display());
    host.write("a.yaml", "hello\n");
    host.write("pipelines/b.yaml", "one\n$Id$\n");
    // Filters, ends of lines, a driver for differences: all by attributes.
    host.write(".gitattributes", "* filter=evil text eol=crlf ident diff=evil export-ignore\n");
    host.write(".gitconfig", &format!("[filter \"evil\"]\nsmudge = {touch}\nclean = cat\n"));
    host.write(".pipe/runs/fake/journal.db", "x");
    host.write("run.sh", &touch);
    symlink("/etc/passwd", host.path("copy/passwd")).expect("linked");
    symlink("..", host.path("copy/up")).expect("linked");
    fs::create_dir_all(host.path("copy/.githooks")).expect("a folder");
    executable(&host.path("copy/.githooks/post-checkout"), &touch);
    let inner = host.push();
    // A submodule, with a remote that would start a program.
    host.write(".gitmodules", "[submodule \"sub\"]\npath = sub\nurl = https://example.org/x\n");
    host.git(&["add", "--all"]);
    host.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{inner},sub")]);
    host.git(&["commit", "--quiet", "--message", "a submodule"]);
    host.push_head();
    // Hooks on the host's side that a local clone would copy from a template.
    for hook in ["post-checkout", "post-merge", "reference-transaction", "fsmonitor-watchman", "post-index-change"] {
        executable(&host.bare().join("hooks").join(hook), &touch);
    }
    fs::remove_file(host.bare().join("hooks/reference-transaction")).expect("only on our side");

    let copy = Copy::from(&host);
    // The same in the home of whoever runs pipe, and in a mirror that somebody got at.
    let tree = copy.fetched_tree();
    for hook in ["post-checkout", "reference-transaction", "post-index-change"] {
        fs::create_dir_all(copy.mirror.repository().join("hooks")).expect("a folder");
        executable(&copy.mirror.repository().join("hooks").join(hook), &touch);
    }
    host.write("c.yaml", "new\n");
    host.push();
    let newer = copy.fetched_tree();
    assert!(!touched.exists(), "something ran");
    assert_eq!(files(&tree.path), ["a.yaml", "pipelines/b.yaml", "run.sh"]);
    assert_eq!(files(&newer.path), ["a.yaml", "c.yaml", "pipelines/b.yaml", "run.sh"]);
    assert_eq!(fs::read(tree.path.join("pipelines/b.yaml")).expect("there"), b"one\n$Id$\n", "as committed");
    let mode = fs::metadata(tree.path.join("run.sh")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "nothing can be executed");
    assert!(tree.path.join(".pipe").is_dir(), "the root of the project");
    for what in ["passwd is left out", "up is left out", ".pipe/runs/fake/journal.db is left out", "sub is left out"]
    {
        assert!(tree.notes.iter().any(|note| note.starts_with(what)), "{what}: {:?}", tree.notes);
    }
}

#[test]
fn a_tree_whose_names_lead_outside_is_not_written() {
    let host = Host::start();
    host.write("a.yaml", "x");
    host.push();
    let blob = host.git(&["rev-parse", "HEAD:a.yaml"]);
    let bare = host.bare();
    host.git(&["config", "core.protectHFS", "false"]);
    for name in ["..", ".git", "."] {
        // `git mktree` takes what `git add` would not: written by hand, as somebody who means harm would.
        let line = format!("100644 blob {blob}\t{name}\n");
        let tree = {
            let mut child = Command::new("git")
                .args(["mktree", "--missing"])
                .current_dir(host.path("copy"))
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .expect("git starts");
            std::io::Write::write_all(&mut child.stdin.take().expect("asked for"), line.as_bytes()).expect("taken");
            let output = child.wait_with_output().expect("it ends");
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        let outer = format!("100644 blob {blob}\ta.yaml\n040000 tree {tree}\tsub\n");
        let mut child = Command::new("git")
            .args(["mktree", "--missing"])
            .current_dir(host.path("copy"))
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("git starts");
        std::io::Write::write_all(&mut child.stdin.take().expect("asked for"), outer.as_bytes()).expect("taken");
        let outer = String::from_utf8_lossy(&child.wait_with_output().expect("it ends").stdout).trim().to_owned();
        let commit = host.git(&["commit-tree", &outer, "-m", "x"]);
        host.git(&["push", "--quiet", "--force", &bare.to_string_lossy(), &format!("{commit}:refs/heads/main")]);
        let copy = Copy::from(&host);
        // Git's own check refuses it first.
        let refused = copy.fetch().expect_err("refused by fsck");
        assert!(refused.to_string().contains("cannot be fetched"), "{name}: {refused}");
        assert!(!copy.mirror.repository().exists());
        // And if it did not, ours does.
        let id = Commit::of(&commit);
        let folder = Folder::default();
        let written = copy.trees.write(copy.mirror.git(), &host.path("copy/.git"), &id, &folder);
        assert!(matches!(written, Err(TreeError::Hostile { .. })), "{name}: {written:?}");
        assert!(!copy.trees.path(&id).exists());
    }
}

#[test]
fn a_mirror_that_is_half_made_or_damaged_is_made_anew() {
    let host = Host::start();
    host.write("a.yaml", "one");
    let first = host.push();
    let copy = Copy::from(&host);

    // Killed while it was made: what is there bears another name.
    host.mood(Mood::CutsOff);
    assert!(copy.fetch().is_err());
    assert!(!copy.mirror.repository().exists(), "half of it has no name");
    // Killed otherwise: the name is there, and what it promises is not.
    fs::create_dir_all(copy.mirror.repository().join("objects")).expect("a folder");
    fs::write(copy.mirror.repository().join("HEAD"), "ref: refs/heads/none\n").expect("written");
    host.mood(Mood::Serves);
    assert_eq!(copy.fetch().expect("made anew").id(), first);

    let damage: [&dyn Fn(&Path); 4] = [
        // A pack of zeros, where a disk lost it.
        &|mirror| {
            for name in
                files(mirror).iter().filter(|name| Path::new(name).extension().is_some_and(|end| end == "pack"))
            {
                let path = mirror.join(name);
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
                let length = fs::metadata(&path).expect("there").len();
                fs::write(&path, vec![0; usize::try_from(length).expect("small")]).expect("written");
            }
        },
        // Locks of a git that was killed.
        &|mirror| {
            for name in ["shallow.lock", "config.lock", "packed-refs.lock", "refs/pipe/head.lock"] {
                fs::write(mirror.join(name), "").expect("written");
            }
        },
        &|mirror| fs::remove_dir_all(mirror.join("refs")).expect("removed"),
        &|mirror| fs::write(mirror.join("config"), "[core\n").expect("written"),
    ];
    for (at, damage) in damage.iter().enumerate() {
        damage(&copy.mirror.repository());
        host.write("a.yaml", &format!("after {at}"));
        let pushed = host.push();
        let commit = copy.fetch().expect("made anew");
        assert_eq!(commit.id(), pushed);
        let tree = copy.tree(&commit).expect("written");
        assert_eq!(fs::read_to_string(tree.path.join("a.yaml")).expect("there"), format!("after {at}"));
    }
}

#[test]
fn a_half_written_tree_is_written_again() {
    let host = Host::start();
    host.write("a.yaml", "one");
    host.write("b.yaml", "two");
    let copy = Copy::from(&host);
    let commit = Commit::of(&host.push());
    let part = copy.folder.path().join(format!("trees/.part-{commit}"));
    fs::create_dir_all(&part).expect("a folder");
    fs::write(part.join("a.yaml"), "on").expect("written");
    let tree = copy.fetched_tree();
    assert_eq!(fs::read_to_string(tree.path.join("a.yaml")).expect("there"), "one");
    assert!(!part.exists());
}

#[test]
fn a_branch_that_is_forced_elsewhere_while_it_is_fetched_is_one_commit_or_the_other() {
    let host = Host::start();
    host.write("a.yaml", "first");
    host.write("b.yaml", "first");
    let first = host.push();
    let copy = Copy::from(&host);
    let told = copy.runtime.block_on(copy.mirror.ask()).expect("asked");
    assert_eq!(told.id(), first);
    // Between the question and the objects the branch is thrown away, and with it everything that led there.
    host.git(&["checkout", "--quiet", "--orphan", "other"]);
    host.write("a.yaml", "second");
    host.write("b.yaml", "second");
    host.git(&["add", "--all"]);
    host.git(&["commit", "--quiet", "--message", "y"]);
    let (folder, bare) = (host.path("copy"), host.bare());
    host.before_objects(move || {
        git(&folder, &["push", "--quiet", "--force", &bare.to_string_lossy(), "HEAD:refs/heads/main"]);
        git(&bare, &["reflog", "expire", "--expire=now", "--all"]);
        git(&bare, &["gc", "--quiet", "--prune=now"]);
    });
    let mut fetched = copy.runtime.block_on(copy.mirror.fetch(&told));
    if fetched.is_err() {
        // The host has told of a commit that it no longer has: that is an error, and the next round is well.
        fetched = copy.fetch();
    }
    let commit = fetched.expect("fetched");
    let tree = copy.tree(&commit).expect("written");
    let read = |name: &str| fs::read_to_string(tree.path.join(name)).expect("there");
    assert_eq!(read("a.yaml"), read("b.yaml"), "never a mix");
    let expected = if commit.id() == first { "first" } else { "second" };
    assert_eq!(read("a.yaml"), expected);
}

#[test]
fn hosts_that_redirect_hang_or_give_too_much_are_left() {
    let host = Host::start();
    let other = Host::start();
    for host in [&host, &other] {
        host.write("a.yaml", "x");
        host.push();
    }
    let copy = Copy::from(&host);
    host.mood(Mood::Redirects(other.url().trim_end_matches("/project.git").to_owned()));
    assert!(copy.fetch().is_err());
    assert_eq!(other.requests(), Vec::<String>::new(), "nobody else is asked");

    host.mood(Mood::Hangs);
    let hurried = Copy::of(&host.url(), Credentials::default(), Limits { time: Duration::from_secs(1), ..LIMITS });
    assert!(matches!(hurried.fetch(), Err(FetchError::TooSlow { .. })));

    host.mood(Mood::Serves);
    // What does not compress.
    let noise: String = (0..200_000_u64).map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_string()).collect();
    host.write("large.txt", &noise);
    host.push();
    let small = Copy::of(&host.url(), Credentials::default(), Limits { bytes: 200_000, ..LIMITS });
    let refused = small.fetch().expect_err("too large");
    assert!(
        matches!(refused, FetchError::TooLarge { .. }) && refused.to_string().contains("--most-bytes"),
        "{refused}"
    );
    assert!(!small.mirror.repository().exists());

    host.git(&["push", "--quiet", &host.bare().to_string_lossy(), "HEAD:refs/heads/elsewhere"]);
    well(&host.bare(), &["update-ref", "-d", "refs/heads/main"]);
    let gone = copy.fetch().expect_err("gone");
    assert!(matches!(gone, FetchError::NoBranch { .. }) && gone.to_string().contains("no branch main"), "{gone}");
}

#[test]
fn a_private_repository_is_read_with_a_token_and_its_absence_is_told() {
    let host = Host::start();
    host.write("a.yaml", "x");
    let pushed = host.push();
    // base64 of `x-access-token:s3cret`.
    host.wants("Basic eC1hY2Nlc3MtdG9rZW46czNjcmV0");
    let refused = Copy::from(&host).fetch().expect_err("not let in");
    assert!(refused.to_string().contains("PIPE_GIT_TOKEN"), "{refused}");
    let credentials = Credentials { token: Some("s3cret".to_owned()), ..Credentials::default() };
    let copy = Copy::of(&host.url(), credentials, LIMITS);
    assert_eq!(copy.fetch().expect("let in").id(), pushed);
    for file in files(copy.folder.path()) {
        let bytes = fs::read(copy.folder.path().join(&file)).expect("readable");
        assert!(!bytes.windows(6).any(|window| window == b"s3cret"), "{file} has the token");
    }
}

/// Makes a pair of keys and returns the path of the private one.
fn key(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    let made =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&path).status();
    assert!(made.expect("ssh-keygen starts").success());
    path
}

#[test]
fn only_commits_of_those_on_the_list_count() {
    let host = Host::start();
    let (ann, eve) = (key(host.folder_path(), "ann"), key(host.folder_path(), "eve"));
    let list = host.path("signers");
    let public = fs::read_to_string(ann.with_extension("pub")).expect("there");
    fs::write(&list, format!("ann@example.org namespaces=\"git\" {public}")).expect("written");
    let signers = AllowedSigners::read(&list).expect("readable");
    let copy = Copy::from(&host);
    let signed_by = |key: Option<&Path>, text: &str| {
        host.write("a.yaml", text);
        host.git(&["add", "--all"]);
        let commit = |more: &[&str]| host.git(&[&["-c", "gpg.format=ssh"], more, &["--message", text]].concat());
        match key {
            Some(key) => commit(&["-c", &format!("user.signingkey={}", key.display()), "commit", "--quiet", "-S"]),
            None => commit(&["commit", "--quiet"]),
        };
        host.push_head();
        let commit = copy.fetch().expect("fetched");
        signers.check(copy.mirror.git(), &copy.mirror.repository(), &commit)
    };
    assert!(signed_by(Some(&ann), "one").is_ok());
    let refused = signed_by(None, "two").expect_err("nobody's");
    assert!(refused.to_string().contains("signers"), "{refused}");
    assert!(signed_by(Some(&eve), "three").is_err(), "somebody else's");
    // A signature that was good for another commit.
    host.git(&["reset", "--quiet", "--hard", "HEAD~2"]);
    let raw = host.git(&["cat-file", "commit", "HEAD"]);
    let forged = host.path("forged");
    fs::write(&forged, raw.replacen("one", "two", 1) + "\n").expect("written");
    let forged = host.git(&["hash-object", "-t", "commit", "-w", &forged.to_string_lossy()]);
    host.git(&["reset", "--quiet", "--hard", &forged]);
    host.push_head();
    let commit = copy.fetch().expect("fetched");
    assert_eq!(commit.id(), forged);
    assert!(signers.check(copy.mirror.git(), &copy.mirror.repository(), &commit).is_err(), "another text");
}

#[test]
fn pointers_of_lfs_are_named_and_nothing_is_fetched_for_them() {
    let host = Host::start();
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 7\n", "0".repeat(64));
    host.write("rows.jsonl", &pointer);
    host.write(".lfsconfig", &format!("[lfs]\nurl = {}/lfs\n", host.url()));
    host.push();
    let copy = Copy::from(&host);
    let tree = copy.fetched_tree();
    assert_eq!(fs::read_to_string(tree.path.join("rows.jsonl")).expect("there"), pointer);
    assert!(tree.notes.iter().any(|note| note.starts_with("rows.jsonl is a pointer of Git LFS")), "{:?}", tree.notes);
    assert!(host.requests().iter().all(|request| !request.contains("lfs")), "{:?}", host.requests());
}

#[test]
fn a_folder_of_the_repository_is_all_that_is_written() {
    let host = Host::start();
    host.write("secret.txt", "x");
    host.write("deep/er/a.yaml", "y");
    let commit = Commit::of(&host.push());
    let copy = Copy::from(&host);
    copy.fetch().expect("fetched");
    let repository = copy.mirror.repository();
    let write =
        |path: &str| copy.trees.write(copy.mirror.git(), &repository, &commit, &path.parse().expect("a folder"));
    let missing = write("deep/nowhere").expect_err("no such folder");
    assert!(matches!(missing, TreeError::NoFolder { .. }), "{missing}");
    assert!(matches!(write("secret.txt"), Err(TreeError::NoFolder { .. })), "a file is none");
    let tree = write("deep").expect("written");
    assert_eq!(files(&tree.path), ["er/a.yaml"]);
}
