//! A host of repositories: real ones, served over HTTP by `git http-backend` behind a bridge of a few lines.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use crate::web::{Request, hang, serve};

/// What the host does with a request instead of answering it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Answers.
    Serves,
    /// Nobody is in.
    Away,
    /// Sends elsewhere.
    Redirects(String),
    /// Ends each answer that carries objects in its middle.
    CutsOff,
    /// Takes the request and says nothing, for as long as the client waits.
    Hangs,
}

/// A bare repository with a working copy of somebody who pushes, and the host that serves it.
pub(crate) struct Host {
    folder: TempDir,
    address: String,
    shared: Arc<Shared>,
}

struct Shared {
    root: PathBuf,
    /// What `Authorization` has to be.
    wanted: Mutex<Option<String>>,
    mood: Mutex<Mood>,
    requests: Mutex<Vec<String>>,
    /// What is done once, before the next answer that carries objects.
    before: Mutex<VecDeque<Box<dyn FnOnce() + Send>>>,
}

impl Host {
    /// Begins with an empty repository, `project.git`, and a working copy on the branch `main`.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().join("hosted");
        fs::create_dir(&root).expect("a folder");
        let shared = Arc::new(Shared {
            root,
            wanted: Mutex::default(),
            mood: Mutex::new(Mood::Serves),
            requests: Mutex::default(),
            before: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        let address = serve(move |reader, stream| serving.answer(reader, stream));
        let host = Self { folder, address, shared };
        well(&host.path(""), &["init", "--quiet", "--bare", "--initial-branch=main", "hosted/project.git"]);
        well(&host.path(""), &["init", "--quiet", "--initial-branch=main", "copy"]);
        host
    }

    pub(crate) fn url(&self) -> String {
        format!("{}/project.git", self.address)
    }

    /// The same repository below a folder, as hosts have it: `team/project.git`.
    pub(crate) fn url_in(&self, folder: &str) -> String {
        let link = self.path("hosted").join(folder);
        if !link.is_dir() {
            std::os::unix::fs::symlink(".", link).expect("a link");
        }
        format!("{}/{folder}/project.git", self.address)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn folder_path(&self) -> &Path {
        self.folder.path()
    }

    /// The bare repository.
    pub(crate) fn bare(&self) -> PathBuf {
        self.path("hosted/project.git")
    }

    /// From now on only who shows this `Authorization` is let in.
    pub(crate) fn wants(&self, authorization: &str) {
        *self.shared.wanted.lock().expect("whole") = Some(authorization.to_owned());
    }

    pub(crate) fn mood(&self, mood: Mood) {
        *self.shared.mood.lock().expect("whole") = mood;
    }

    /// Does something right before the next objects are sent.
    pub(crate) fn before_objects(&self, what: impl FnOnce() + Send + 'static) {
        self.shared.before.lock().expect("whole").push_back(Box::new(what));
    }

    /// The requests so far, `GET /path`.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().expect("whole").clone()
    }

    /// Runs git in the working copy; it must end well.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        well(&self.path("copy"), arguments)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path("copy").join(name);
        fs::create_dir_all(path.parent().expect("inside")).expect("a folder");
        fs::write(path, text).expect("written");
    }

    /// Commits all there is in the working copy, pushes it as `main`, whatever that was, and returns the commit.
    pub(crate) fn push(&self) -> String {
        self.git(&["add", "--all", "--force"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", "x"]);
        self.push_head()
    }

    /// Pushes what the working copy is at.
    pub(crate) fn push_head(&self) -> String {
        let bare = self.bare();
        self.git(&["push", "--quiet", "--force", &bare.to_string_lossy(), "HEAD:refs/heads/main"]);
        self.git(&["rev-parse", "HEAD"])
    }
}

/// Runs git, which must end well, and returns what it prints.
pub(crate) fn well(folder: &Path, arguments: &[&str]) -> String {
    let output = git(folder, arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "git {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Runs git as somebody, away from the files of whoever runs the tests.
pub(crate) fn git(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("git");
    command.args(arguments).current_dir(folder).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", folder).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    for (name, value) in [("NAME", "Ann"), ("EMAIL", "ann@example.org")] {
        command.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
    }
    command.output().expect("git starts")
}

impl Shared {
    fn answer(&self, mut reader: BufReader<TcpStream>, mut stream: TcpStream) {
        let Some(request) = Request::read(&mut reader) else { return };
        let Request { method, target, .. } = &request;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        self.requests.lock().expect("whole").push(format!("{method} {path}"));
        let mood = self.mood.lock().expect("whole").clone();
        let carries_objects = path.ends_with("/git-upload-pack");
        let mut refuse =
            |head: &str| stream.write_all(format!("{head}\r\nconnection: close\r\n\r\n").as_bytes()).ok();
        match mood {
            Mood::Away => {
                refuse("HTTP/1.1 503 Service Unavailable");
                return;
            }
            Mood::Redirects(to) => {
                refuse(&format!("HTTP/1.1 302 Found\r\nlocation: {to}{path}?{query}"));
                return;
            }
            Mood::Hangs => return hang(reader),
            Mood::Serves | Mood::CutsOff => {}
        }
        if let Some(wanted) = self.wanted.lock().expect("whole").as_ref()
            && request.header("authorization") != Some(wanted.as_str())
        {
            refuse("HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic realm=\"x\"");
            return;
        }
        let before = if carries_objects { self.before.lock().expect("whole").pop_front() } else { None };
        if let Some(before) = before {
            before();
        }
        let answered = self.backend(&request, path, query);
        let split = answered.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let (head, rest) = answered.split_at(split + 4);
        let head = String::from_utf8_lossy(head).into_owned();
        let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
        let length = rest.len();
        let is_cut = mood == Mood::CutsOff && carries_objects;
        let told = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{head}");
        let rest = if is_cut { &rest[..length / 2] } else { rest };
        // A client that has left is no failure of the host.
        stream.write_all(told.as_bytes()).and_then(|()| stream.write_all(rest)).ok();
    }

    /// Asks `git http-backend`, by the protocol of CGI.
    fn backend(&self, request: &Request, path: &str, query: &str) -> Vec<u8> {
        let mut command = Command::new("git");
        command.arg("http-backend").env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("GIT_PROJECT_ROOT", &self.root).env("GIT_HTTP_EXPORT_ALL", "1").env("GIT_CONFIG_NOSYSTEM", "1");
        command
            .env("HOME", &self.root)
            .env("REQUEST_METHOD", &request.method)
            .env("PATH_INFO", path)
            .env("QUERY_STRING", query);
        command.env("CONTENT_LENGTH", request.body.len().to_string()).env("REMOTE_ADDR", "127.0.0.1");
        for (name, variable) in [
            ("content-type", "CONTENT_TYPE"),
            ("content-encoding", "HTTP_CONTENT_ENCODING"),
            ("git-protocol", "HTTP_GIT_PROTOCOL"),
        ] {
            if let Some(value) = request.header(name) {
                command.env(variable, value);
            }
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("git http-backend starts");
        let mut stdin = child.stdin.take().expect("asked for");
        stdin.write_all(&request.body).expect("taken");
        drop(stdin);
        child.wait_with_output().expect("it ends").stdout
    }
}
