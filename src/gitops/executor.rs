//! `pipe plan` and `pipe apply` of a tree, as processes of their own: what a pipeline means is known there alone.
//! Gives: [`Executor`]. Never: our environment, beyond what a list names: a pipeline may send any variable anywhere.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio_util::sync::CancellationToken;

use super::commit::Commit;
use super::git::Credentials;
use super::process::{Group, Limits, Stopped, end_orphans, kept, watched};
use super::reconcile::{Applied, Planned};
use super::remote::Remote;
use super::statuses::StatusApi;
use super::webhook::Secret;
use crate::base::{Timestamp, with_causes};

/// What a run is given of our environment: where programs, words and the time zone are, the way out, a collector.
/// Headers for a collector hold keys, so they are not among these.
const GIVEN: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "TMPDIR",
    "TZ",
    "LANG",
    "LANGUAGE",
    "http_proxy",
    "https_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CUDA_VISIBLE_DEVICES",
    "RUST_BACKTRACE",
];
/// Beginnings of more names.
const GIVEN_STARTS: &[&str] = &["LC_", "OTEL_"];
/// Most that a plan may print, in bytes.
const LONGEST_PLAN: usize = 64 << 20;
/// Most that is kept of the end of what an apply prints, in bytes: its last line lists every entry.
const LONGEST_END: usize = 4 << 20;
/// How long an apply that was asked to leave may take; calls in flight may end within 30 s of it.
const LEAVES_WITHIN: Duration = Duration::from_secs(60);
/// How long it may take when it was asked again.
const HURRIES_WITHIN: Duration = Duration::from_secs(20);
/// Mistakes that a message names.
const NAMED: usize = 5;

/// The variables that a run is given.
#[derive(Clone, Debug)]
pub struct Surroundings {
    variables: Vec<(OsString, OsString)>,
}

/// A variable that no run is given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SurroundingsError {
    /// It is ours.
    #[error("--pass-env {0}: that is between pipe and the repository's host, and no run is given it")]
    Ours(String),
    /// It is not there.
    #[error("--pass-env {0}: there is no such variable in the environment")]
    Missing(String),
}

impl Surroundings {
    /// Takes the variables that are given to every run, and those of a list.
    ///
    /// # Errors
    /// One of the list is ours, or not there.
    pub fn passing(
        names: &[String],
        all: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, SurroundingsError> {
        let all: Vec<(OsString, OsString)> = all.collect();
        for name in names {
            if Credentials::VARIABLES.contains(&name.as_str())
                || [Secret::VARIABLE, StatusApi::VARIABLE].contains(&&**name)
            {
                return Err(SurroundingsError::Ours(name.clone()));
            }
            if !all.iter().any(|(there, _)| there == name.as_str()) {
                return Err(SurroundingsError::Missing(name.clone()));
            }
        }
        let is_given = |name: &str| {
            let by_start = GIVEN_STARTS.iter().any(|start| name.starts_with(start)) && !name.ends_with("_HEADERS");
            GIVEN.contains(&name) || by_start || names.iter().any(|passed| passed == name)
        };
        let variables = all.into_iter().filter(|(name, _)| name.to_str().is_some_and(is_given));
        Ok(Self { variables: variables.collect() })
    }
}

/// One pipeline of a project, as plan and apply tell of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The name of its runs.
    pub name: String,
    /// How it stands: `new`, `changed`, `unchanged`, …
    pub state: String,
    /// The run that stands for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// When its schedule asks for the next run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_us: Option<i64>,
    /// How its run ended, as an exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i64>,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A plan that was made.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) planned: Planned,
    pub(super) entries: Vec<Entry>,
}

/// A plan that was not.
#[derive(Debug)]
pub(super) enum Unplanned {
    /// The pipelines are wrong.
    Wrong(String),
    /// It cannot be told whether they are.
    Unknown(String),
}

/// How an apply ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) applied: Applied,
    /// Its exit code; none when a signal ended it.
    pub(super) exit: Option<i32>,
    pub(super) entries: Vec<Entry>,
    /// What is wrong, in its words.
    pub(super) why: Option<String>,
}

/// Starts plans and applies.
#[derive(Clone, Debug)]
pub struct Executor {
    /// The program: our own.
    pub program: PathBuf,
    /// Where runs are kept.
    pub home: PathBuf,
    /// What a run is given of the environment.
    pub surroundings: Surroundings,
    /// Whether runs of pipelines that are no longer there are deleted.
    pub prune: bool,
}

impl Executor {
    fn command(&self, word: &str, tree: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(word).arg(tree).arg("--json").current_dir(tree).env_clear().stdin(Stdio::null());
        command.envs(self.surroundings.variables.iter().map(|(name, value)| (name, value)));
        command.env("PIPE_HOME", &self.home);
        command
    }

    /// Finds out what is to be done for a tree.
    ///
    /// # Cancel safety
    /// Dropped, it ends the process: it has changed nothing.
    pub(super) async fn plan(&self, tree: &Path, remote: &Remote, limits: Limits) -> Result<Plan, Unplanned> {
        let mut command = self.command("plan", tree);
        // What was removed is told by what the repository had applied before.
        command.args(["--repository", remote.url()]);
        let ended = watched(command, None, limits, LONGEST_PLAN).await;
        let ended = ended.map_err(|stopped| Unplanned::Unknown(format!("pipe plan: {}", told(&stopped))))?;
        let unknown = |why: String| Unplanned::Unknown(format!("pipe plan: {why}"));
        match ended.status.code() {
            Some(0) => {
                let plan: Value =
                    serde_json::from_slice(&ended.stdout).map_err(|error| unknown(error.to_string()))?;
                let entries = entries(&plan).ok_or_else(|| unknown("it lists no entries".to_owned()))?;
                let planned = planned(&entries, self.prune);
                Ok(Plan { planned, entries })
            }
            // A project without a pipeline is a wrong command line there; here it is a wrong commit.
            Some(2 | 3) => Err(Unplanned::Wrong(complaint(&ended.stdout, &ended.stderr, tree))),
            _ => Err(unknown(format!("{}: {}", ended.status, complaint(&ended.stdout, &ended.stderr, tree)))),
        }
    }

    /// Makes the runs those of a tree; `leave` has it leave in order, `hurry` at once.
    ///
    /// # Cancel safety
    /// Dropped, it kills the process: its runs can be resumed.
    pub(super) async fn apply(
        &self,
        tree: &Path,
        commit: &Commit,
        remote: &Remote,
        leave: &CancellationToken,
        hurry: &CancellationToken,
    ) -> Ended {
        let mut command = self.command("apply", tree);
        command.args(["--commit", commit.id(), "--repository", remote.url()]);
        if self.prune {
            command.args(["--prune", "--yes"]);
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let failed =
            |why: String| Ended { applied: Applied::Unfinished, exit: None, entries: Vec::new(), why: Some(why) };
        // We have the lock: whoever applies a tree of ours now was left by a process that was killed.
        if let Some(trees) = tree.parent() {
            end_orphans(trees, LEAVES_WITHIN).await;
        }
        let mut group = match Group::start(command) {
            Ok(group) => group,
            Err(stopped) => return failed(told(&stopped)),
        };
        tracing::info!(process = group.id(), %commit, "applying");
        let (stdout, stderr) = group.outputs();
        let mut reading = std::pin::pin!(async { tokio::join!(last_line(stdout), kept(stderr, 64 << 10)) });
        let mut read = None;
        let status = {
            let escalation = async {
                leave.cancelled().await;
                group.ask_to_leave();
                tokio::select! { () = tokio::time::sleep(LEAVES_WITHIN) => {} () = hurry.cancelled() => {} }
                group.ask_to_leave();
                tokio::time::sleep(HURRIES_WITHIN).await;
                group.kill();
                std::future::pending::<()>().await;
            };
            // Its output ends when it does, and who reads it to its end never blocks it.
            tokio::select! { done = &mut reading => read = Some(done), () = escalation => {} }
            group.ended().await
        };
        let status = match status {
            Ok(status) => status,
            Err(error) => return failed(error.to_string()),
        };
        let (line, said) = read.unwrap_or_default();
        let report: Option<Value> = serde_json::from_slice(&line).ok();
        let entries = report.as_ref().and_then(entries).unwrap_or_default();
        let applied = match status.code() {
            Some(0) => Applied::Done,
            // Failed cases or a gate; a budget: asked again, it would end the same.
            Some(1 | 6) => Applied::Failed,
            Some(3) => Applied::Wrong,
            _ => Applied::Unfinished,
        };
        let why = (applied != Applied::Done).then(|| match &entries[..] {
            [] => complaint(&line, &said, tree),
            entries => bad_entries(entries).unwrap_or_else(|| complaint(&line, &said, tree)),
        });
        Ended { applied, exit: status.code(), entries, why }
    }
}

/// Names the entries that did not end well.
fn bad_entries(entries: &[Entry]) -> Option<String> {
    let bad = entries.iter().filter(|entry| entry.exit.is_some_and(|exit| exit != 0));
    let bad: Vec<String> = bad
        .map(|entry| match &entry.message {
            Some(message) => format!("{}: {message}", entry.name),
            None => format!("{} ended with exit code {}", entry.name, entry.exit.unwrap_or_default()),
        })
        .take(NAMED)
        .collect();
    (!bad.is_empty()).then(|| bad.join(", "))
}

fn entries(report: &Value) -> Option<Vec<Entry>> {
    Vec::deserialize(report.get("entries")?).ok()
}

/// Says what the states of entries ask for.
fn planned(entries: &[Entry], prune: bool) -> Planned {
    let is_pending = |entry: &Entry| match entry.state.as_str() {
        "unchanged" | "due" => false,
        "removed" => prune,
        // `running` too: what runs may be of an older commit, and is stopped with its apply.
        _ => true,
    };
    Planned {
        is_pending: entries.iter().any(is_pending),
        is_due: entries.iter().any(|entry| entry.state == "due"),
        next: entries.iter().filter_map(|entry| entry.next_us).min().map(Timestamp),
    }
}

/// Returns what a program says is wrong, without the path of the tree that nobody knows.
fn complaint(stdout: &[u8], stderr: &[u8], tree: &Path) -> String {
    let report = serde_json::from_slice::<Value>(stdout).ok();
    let of_report = report.as_ref().and_then(|report| wrong(report.get("error")?));
    let text = String::from_utf8_lossy(stderr);
    let of_text = || {
        let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
        lines()
            .find(|line| line.starts_with("error"))
            .or_else(|| lines().next_back())
            .map(|line| line.strip_prefix("error: ").unwrap_or(line).to_owned())
    };
    let said = of_report.or_else(of_text).unwrap_or_else(|| "it does not say why".to_owned());
    let tree = tree.display().to_string();
    said.replace(&format!("{tree}/"), "").replace(&tree, "the repository")
}

/// Returns the mistakes that `pipe --json` names, else its message.
fn wrong(error: &Value) -> Option<String> {
    let files = error.get("files").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut mistakes = Vec::new();
    for file in files {
        for diagnostic in file.get("diagnostics")?.as_array()? {
            if diagnostic.get("severity")?.as_str() != Some("error") {
                continue;
            }
            let place = diagnostic.get("file").or_else(|| file.get("file"))?.as_str()?;
            let line =
                diagnostic.get("line").and_then(Value::as_u64).map(|line| format!(":{line}")).unwrap_or_default();
            let help = diagnostic.get("help").and_then(|help| help.get(0)?.as_str()).map(|help| format!(" ({help})"));
            let help = help.unwrap_or_default();
            mistakes.push(format!("{place}{line}: {}{help}", diagnostic.get("message")?.as_str()?));
        }
        for item in file.get("items").and_then(Value::as_array).into_iter().flatten() {
            mistakes.push(format!("{}: {}", item.get("place")?.as_str()?, item.get("message")?.as_str()?));
        }
    }
    if mistakes.is_empty() {
        let help = error.get("help").and_then(Value::as_str).map(|help| format!(" ({help})")).unwrap_or_default();
        return Some(format!("{}{help}", error.get("message")?.as_str()?));
    }
    let more = mistakes.len().saturating_sub(NAMED);
    mistakes.truncate(NAMED);
    if more > 0 {
        mistakes.push(format!("and {more} more"));
    }
    Some(mistakes.join("; "))
}

fn told(stopped: &Stopped) -> String {
    with_causes(stopped)
}

/// Reads a stream to its end and returns its last line that is not empty.
async fn last_line(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut end: Vec<u8> = Vec::new();
    let Some(mut stream) = stream else { return end };
    let mut piece = vec![0; 64 << 10];
    while let Ok(read @ 1..) = stream.read(&mut piece).await {
        end.extend_from_slice(&piece[..read]);
        if end.len() > 2 * LONGEST_END {
            end.drain(..end.len() - LONGEST_END);
        }
    }
    let trimmed = end.trim_ascii_end();
    let start = trimmed.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    trimmed[start..].to_vec()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::gitops::remote::Remote;

    const LIMITS: Limits = Limits { bytes: 1 << 20, files: 1, time: Duration::from_secs(60), depth: 1 };

    fn environment(pairs: &[(&str, &str)]) -> impl Iterator<Item = (OsString, OsString)> {
        pairs
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)))
            .collect::<Vec<_>>()
            .into_iter()
    }

    fn remote() -> Remote {
        Remote::parse("https://host.org/a", &[]).unwrap()
    }

    /// A script in the place of `pipe`.
    fn executor(folder: &Path, script: &str) -> Executor {
        let program = folder.join("pipe");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        let all = environment(&[
            ("PATH", "/usr/bin:/bin"),
            ("PIPE_GIT_TOKEN", "s3cret"),
            ("OPENAI_API_KEY", "k"),
            ("OTEL_SERVICE_NAME", "x"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=s3cret"),
            ("MINE", "yes"),
        ]);
        let surroundings = Surroundings::passing(&["MINE".to_owned()], all).unwrap();
        Executor { program, home: folder.join("home"), surroundings, prune: false }
    }

    #[tokio::test]
    async fn a_plan_is_read_and_the_environment_is_ours_to_give() {
        let folder = tempfile::tempdir().unwrap();
        let script = r#"env > env.txt
            echo '{"entries": [{"name": "a", "state": "unchanged", "run": "a-1", "next_us": 7}, {"name": "b", "state": "new", "run": null}]}'"#;
        let plan = executor(folder.path(), script).plan(folder.path(), &remote(), LIMITS).await.unwrap();
        assert_eq!(plan.planned, Planned { is_pending: true, is_due: false, next: Some(Timestamp(7)) });
        assert_eq!(plan.entries.len(), 2);
        let seen = std::fs::read_to_string(folder.path().join("env.txt")).unwrap();
        let mut names: Vec<&str> = seen.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        names.retain(|name| !matches!(*name, "PWD" | "SHLVL" | "_" | "OLDPWD"));
        names.sort_unstable();
        assert_eq!(names, ["MINE", "OTEL_SERVICE_NAME", "PATH", "PIPE_HOME"]);
    }

    #[tokio::test]
    async fn what_is_wrong_is_told_apart_from_what_is_away() {
        let folder = tempfile::tempdir().unwrap();
        let script = r#"echo '{"error": {"exit": 3, "message": "m", "files": [{"file": "x", "diagnostics": [{"severity": "error", "file": "'$2'/a.yaml", "line": 4, "message": "no such step"}]}]}}'; exit 3"#;
        let wrong = executor(folder.path(), script).plan(folder.path(), &remote(), LIMITS).await;
        assert!(matches!(&wrong, Err(Unplanned::Wrong(why)) if why == "a.yaml:4: no such step"), "{wrong:?}");
        let wrong = executor(folder.path(), "echo 'error: no pipeline in '$2 >&2; exit 2")
            .plan(folder.path(), &remote(), LIMITS)
            .await;
        assert!(matches!(&wrong, Err(Unplanned::Wrong(why)) if why == "no pipeline in the repository"), "{wrong:?}");
        for script in ["exit 5", "kill -9 $$", "echo nonsense"] {
            let away = executor(folder.path(), script).plan(folder.path(), &remote(), LIMITS).await;
            assert!(matches!(away, Err(Unplanned::Unknown(_))), "{script}: {away:?}");
        }
    }

    #[tokio::test]
    async fn an_apply_ends_as_its_exit_code_says_or_leaves_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let remote = remote();
        let commit = Commit::of(&"a".repeat(40));
        let (leave, hurry) = (CancellationToken::new(), CancellationToken::new());
        for (script, applied, exit) in [
            ("echo '{\"entries\": []}'", Applied::Done, Some(0)),
            ("echo row; exit 1", Applied::Failed, Some(1)),
            ("exit 3", Applied::Wrong, Some(3)),
            ("exit 4", Applied::Unfinished, Some(4)),
            ("exit 6", Applied::Failed, Some(6)),
            ("kill -9 $$", Applied::Unfinished, None),
        ] {
            let executor = executor(folder.path(), script);
            let ended = executor.apply(folder.path(), &commit, &remote, &leave, &hurry).await;
            assert_eq!((ended.applied, ended.exit), (applied, exit), "{script}");
        }
        let script = "trap 'echo \"$@\" >&2; exit 143' TERM; echo begun > begun; while :; do sleep 0.05; done";
        let executor = executor(folder.path(), script);
        let begun = folder.path().join("begun");
        let ask = async {
            while !begun.exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            leave.cancel();
        };
        let (ended, ()) = tokio::join!(executor.apply(folder.path(), &commit, &remote, &leave, &hurry), ask);
        assert_eq!((ended.applied, ended.exit), (Applied::Unfinished, Some(143)));
        let why = ended.why.unwrap();
        assert!(why.contains(&format!("--commit {commit} --repository https://host.org/a")), "{why}");
    }

    #[test]
    fn secrets_are_not_passed_on_and_what_is_named_must_be_there() {
        let pass = |name: &str| Surroundings::passing(&[name.to_owned()], environment(&[("MINE", "x")]));
        assert!(pass("MINE").is_ok());
        assert_eq!(pass("YOURS").unwrap_err(), SurroundingsError::Missing("YOURS".to_owned()));
        for name in ["PIPE_GIT_TOKEN", "PIPE_GIT_SSH_KEY", "PIPE_GIT_WEBHOOK_SECRET", "PIPE_GIT_STATUS_TOKEN"] {
            assert_eq!(pass(name).unwrap_err(), SurroundingsError::Ours(name.to_owned()));
        }
    }
}
