//! Programs that are started and held to limits: in a group of their own, which is ended as a whole.
//! Gives: [`Limits`], [`watched`], [`Group`]. Never: a program that outlives who started it in order.

use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command as AsyncCommand};
use tokio::time::{Instant, MissedTickBehavior};

/// How often the size of what is fetched is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Most that is kept of what a program says on its stderr, in bytes.
const SAID: usize = 64 << 10;

/// How much may be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a repository as git keeps it, and of a tree of files.
    pub bytes: u64,
    /// Files of a tree.
    pub files: usize,
    /// How long one fetch may take.
    pub time: Duration,
    /// How many commits of the branch are fetched.
    pub depth: u32,
}

/// How a program ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

/// Why a program did not get to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stopped {
    #[error("cannot start {program}")]
    Start {
        program: String,
        #[source]
        source: std::io::Error,
    },
    #[error("it took longer than {} s", .0.as_secs())]
    Late(Duration),
    #[error("it is larger than {0} bytes")]
    Large(u64),
}

/// A program and all that it started; killed as a whole when this is dropped before its end.
pub(super) struct Group {
    child: Child,
    /// None once it has ended: the number may be somebody else's by then.
    id: Option<Pid>,
}

impl Group {
    /// Starts a program in a group of its own, so that a Ctrl-C of the terminal does not reach it.
    pub(super) fn start(command: Command) -> Result<Self, Stopped> {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut command = AsyncCommand::from(command);
        let child = command.process_group(0).kill_on_drop(true).spawn();
        let child = child.map_err(|source| Stopped::Start { program, source })?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Self { child, id })
    }

    /// Waits for the end.
    ///
    /// # Cancel safety
    /// May be dropped and called again.
    pub(super) async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.id = None;
        Ok(status)
    }

    /// Returns the number of the program, while it lives.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Asks the program itself, not what it started, to leave in order.
    pub(super) fn ask_to_leave(&self) {
        if let Some(id) = self.id
            && let Err(error) = rustix::process::kill_process(id, Signal::TERM)
        {
            tracing::debug!(%error, "the process has left already");
        }
    }

    /// Ends everything of the group at once.
    pub(super) fn kill(&self) {
        if let Some(id) = self.id
            && let Err(error) = kill_process_group(id, Signal::KILL)
        {
            tracing::debug!(%error, "the process has ended already");
        }
    }

    /// Takes the program's stdout and stderr, if they are pipes.
    pub(super) fn outputs(&mut self) -> (Option<tokio::process::ChildStdout>, Option<tokio::process::ChildStderr>) {
        (self.child.stdout.take(), self.child.stderr.take())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a program to its end, unless it takes longer, says more or makes a folder larger than it may.
///
/// # Cancel safety
/// Dropped, it ends the program and all that this started.
pub(super) async fn watched(
    mut command: Command,
    folder: Option<&Path>,
    limits: Limits,
    most_said: usize,
) -> Result<Ended, Stopped> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut group = Group::start(command)?;
    let (stdout, stderr) = group.outputs();
    let deadline = Instant::now() + limits.time;
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reading = std::pin::pin!(async { tokio::join!(kept(stdout, most_said + 1), kept(stderr, SAID)) });
    let (stdout, stderr) = loop {
        tokio::select! {
            read = &mut reading => break read,
            () = tokio::time::sleep_until(deadline) => return Err(Stopped::Late(limits.time)),
            _ = look.tick() => {
                let Some(folder) = folder.map(Path::to_owned) else { continue };
                let size = tokio::task::spawn_blocking(move || size_of(&folder)).await.unwrap_or_default();
                if size > limits.bytes {
                    return Err(Stopped::Large(limits.bytes));
                }
            }
        }
    };
    if stdout.len() > most_said {
        return Err(Stopped::Large(most_said as u64));
    }
    let status = tokio::select! {
        status = group.ended() => status,
        () = tokio::time::sleep_until(deadline) => return Err(Stopped::Late(limits.time)),
    };
    let status = status.map_err(|source| Stopped::Start { program: "git".to_owned(), source })?;
    Ok(Ended { status, stdout, stderr })
}

/// Asks applies of an earlier process that was killed to leave, and waits until they have: those whose command line
/// names a folder that only the holder of our lock uses. Where there is no `/proc` none is found, and a lock in the home
/// keeps two applies apart.
///
/// # Cancel safety
/// May be dropped at any time.
pub(super) async fn end_orphans(folder: &Path, patience: Duration) {
    let began = Instant::now();
    let mut is_asked = false;
    loop {
        let folder = folder.to_owned();
        let found = tokio::task::spawn_blocking(move || orphans(&folder)).await.unwrap_or_default();
        if found.is_empty() {
            return;
        }
        let is_late = began.elapsed() > patience;
        if is_late || !is_asked {
            let signal = if is_late { Signal::KILL } else { Signal::TERM };
            for id in found {
                tracing::warn!(process = id.as_raw_nonzero(), "an apply that an earlier process left is ended");
                if let Err(error) = rustix::process::kill_process(id, signal) {
                    tracing::debug!(%error, "it has left already");
                }
            }
        }
        is_asked = true;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn orphans(folder: &Path) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let names = folder.as_os_str().as_encoded_bytes();
    let is_one = |id: Pid| {
        let line = std::fs::read(format!("/proc/{}/cmdline", id.as_raw_nonzero())).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        words.any(|word| word == b"apply") && words.any(|word| word.starts_with(names))
    };
    let ids = entries.flatten().filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    ids.filter(|id| is_one(*id)).collect()
}

/// Reads a stream to its end and keeps the start of it.
pub(super) async fn kept(stream: Option<impl AsyncRead + Unpin>, most: usize) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut stream) = stream else { return kept };
    let mut piece = vec![0; 16 << 10];
    loop {
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return kept,
            Ok(read) => {
                let room = most.saturating_sub(kept.len()).min(read);
                kept.extend_from_slice(&piece[..room]);
            }
        }
    }
}

/// Returns how many bytes lie in a folder; what vanishes while it is looked at counts nothing.
pub(super) fn size_of(folder: &Path) -> u64 {
    let mut size = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                Ok(metadata) => size += metadata.len(),
                Err(_) => {}
            }
        }
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(time: Duration) -> Limits {
        Limits { bytes: 1 << 16, files: 10, time, depth: 1 }
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_program_that_takes_too_long_ends_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let lock = folder.path().join("lock");
        // The grandchild holds a lock for as long as it lives.
        let script = format!("flock {} sleep 600 & echo $!; wait", lock.display());
        let ended = watched(shell(&script), None, limits(Duration::from_millis(300)), 100).await;
        assert!(matches!(ended, Err(Stopped::Late(_))), "{ended:?}");
        // Waits until nobody has it; for ever if the grandchild lives on.
        let file = std::fs::File::create(&lock).unwrap();
        tokio::task::spawn_blocking(move || file.lock()).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn what_an_earlier_process_left_is_ended_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let start = |word: &str, path: &Path| {
            let mut command = shell("read line; exit 7");
            command.arg(word).arg(path).stdin(Stdio::piped()).spawn().unwrap()
        };
        let mut orphan = start("apply", &folder.path().join("trees/abc"));
        let mut others = [start("plan", &folder.path().join("trees/abc")), start("apply", Path::new("/elsewhere"))];
        // Waiting would close it.
        let input = orphan.stdin.take();
        // Somebody reaps it, as `init` does for an orphan.
        let reaped = std::thread::spawn(move || orphan.wait().unwrap());
        end_orphans(folder.path(), Duration::from_secs(60)).await;
        assert_eq!(reaped.join().unwrap().code(), None, "a signal ended it");
        drop(input);
        for other in &mut others {
            drop(other.stdin.take());
            assert_eq!(other.wait().unwrap().code(), Some(7), "it lives until its input ends");
        }
    }

    #[tokio::test]
    async fn a_folder_that_grows_too_large_ends_what_fills_it() {
        let folder = tempfile::tempdir().unwrap();
        let script = format!("head -c 200000 /dev/zero > {}/pack; sleep 600", folder.path().display());
        let ended = watched(shell(&script), Some(folder.path()), limits(Duration::from_secs(60)), 100).await;
        assert!(matches!(ended, Err(Stopped::Large(_))), "{ended:?}");
    }

    #[tokio::test]
    async fn what_it_says_is_kept_up_to_a_limit() {
        let ended =
            watched(shell("echo out; echo err >&2; exit 3"), None, limits(Duration::from_secs(60)), 100).await;
        let ended = ended.unwrap();
        assert_eq!(
            (ended.status.code(), &ended.stdout[..], &ended.stderr[..]),
            (Some(3), &b"out\n"[..], &b"err\n"[..])
        );
        let ended = watched(shell("yes | head -n 1000"), None, limits(Duration::from_secs(60)), 100).await;
        assert!(matches!(ended, Err(Stopped::Large(100))), "{ended:?}");
    }
}
