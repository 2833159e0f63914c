//! A sealed folder to run `pipe` in, and servers beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// Two steps over two rows, of which the second reads the first.
pub(crate) const CHAT: &str = "\
version: 1
name: hello
actors:
  anna: { system: You are Anna., max_tokens: 20 }
items:
  values: [ { who: Bob }, { who: Cid } ]
steps:
  greet: { chat: { actor: anna, prompt: \"Greet {{ item.who }}.\" } }
  again: { chat: { actor: anna, prompt: \"Say it again: {{ steps.greet.text }}\" } }
";

/// A project of its own: own folder, own HOME, no variables of the caller but PATH.
pub(crate) struct Project {
    folder: TempDir,
}

impl Project {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("pipe.yaml"), "").expect("a project root");
        fs::create_dir(folder.path().join("home")).expect("a home");
        Self { folder }
    }

    /// A project with a copy of the shipped pipelines.
    pub(crate) fn with_pipelines() -> Self {
        let project = Self::new();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
        copy(&shipped, &project.path("pipelines"));
        project
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("the folder takes files");
        path
    }

    /// The command, not started yet.
    pub(crate) fn pipe(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipe"));
        command.args(arguments).current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.path("home"));
        command
    }

    /// Changes a file.
    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let path = self.path(name);
        let text = fs::read_to_string(&path).expect("the file is there");
        assert!(text.contains(from), "{name} has {from:?}");
        fs::write(path, text.replace(from, to)).expect("written");
    }

    /// Runs the command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.pipe(arguments).output().expect("pipe starts")
    }

    /// Runs the command, which must end well, and returns its stdout.
    pub(crate) fn stdout(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "pipe {arguments:?}: {}\n{}", output.status, text(&output.stderr));
        text(&output.stdout)
    }

    /// How many cases of the only run are settled; 0 while there is none.
    pub(crate) fn settled(&self) -> u64 {
        let settled = || {
            let mut runs = fs::read_dir(self.path(".pipe/runs")).ok()?;
            let journal = runs.next()?.ok()?.path().join("journal.db");
            Some(pipe::journal::Reader::open(&journal).ok()?.case_counts().ok()?.settled())
        };
        settled().unwrap_or(0)
    }

    /// The folder of the only run.
    pub(crate) fn run_folder(&self) -> PathBuf {
        let runs: Vec<PathBuf> = fs::read_dir(self.path(".pipe/runs"))
            .expect("there are runs")
            .map(|entry| entry.expect("readable").path())
            .collect();
        assert_eq!(runs.len(), 1, "{runs:?}");
        runs[0].clone()
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("the folder is there") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("known").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// A Python program of this repository.
pub(crate) fn python(interpreter: &str, script: &str) -> Command {
    let mut command = Command::new(interpreter);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script)).env("PYTHONUNBUFFERED", "1");
    command
}
