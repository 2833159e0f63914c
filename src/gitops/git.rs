//! How the system's `git` is started: with nothing of the caller's surroundings, and nothing that runs code.
//! Gives: [`Git`], a maker of commands, and [`GitError`]. Never: a shell, a password on a command line.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use data_encoding::BASE64;

use super::remote::Remote;

/// What of the environment `git` is left: finding itself, people's names for their ssh hosts, proxies, authorities.
const LEFT: &[&str] = &[
    "PATH",
    "HOME",
    "TMPDIR",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
];
/// What is set whatever files say: no program of anybody's, no other protocol, no other server, checked objects.
const SET: &[(&str, &str)] = &[
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.attributesFile", "/dev/null"),
    ("core.excludesFile", "/dev/null"),
    ("credential.helper", ""),
    ("protocol.allow", "never"),
    ("protocol.https.allow", "always"),
    ("protocol.ssh.allow", "always"),
    ("http.followRedirects", "false"),
    ("http.sslVerify", "true"),
    ("transfer.fsckObjects", "true"),
    ("fetch.fsckObjects", "true"),
    ("fetch.recurseSubmodules", "false"),
    ("submodule.recurse", "false"),
    ("transfer.bundleURI", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("advice.detachedHead", "false"),
    // A server that stops to talk is left, whatever the whole may take.
    ("http.lowSpeedLimit", "1"),
    ("http.lowSpeedTime", "60"),
];

/// Who asks, as the environment tells. Never printed, and never handed to a run.
#[derive(Clone, Default)]
pub struct Credentials {
    /// For servers that speak HTTP: `PIPE_GIT_TOKEN`.
    pub token: Option<String>,
    /// Whose token it is: `PIPE_GIT_USER`; most servers do not look at it.
    pub user: Option<String>,
    /// The file of a key for ssh: `PIPE_GIT_SSH_KEY`.
    pub ssh_key: Option<PathBuf>,
    /// The file of hosts that ssh knows: `PIPE_GIT_KNOWN_HOSTS`.
    pub known_hosts: Option<PathBuf>,
}

impl Credentials {
    /// The variables that they are read from, which no run is ever given.
    pub const VARIABLES: [&'static str; 4] =
        ["PIPE_GIT_TOKEN", "PIPE_GIT_USER", "PIPE_GIT_SSH_KEY", "PIPE_GIT_KNOWN_HOSTS"];

    /// Reads what the environment says.
    #[must_use]
    pub fn of(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let said = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        Self {
            token: said("PIPE_GIT_TOKEN"),
            user: said("PIPE_GIT_USER"),
            ssh_key: said("PIPE_GIT_SSH_KEY").map(PathBuf::from),
            known_hosts: said("PIPE_GIT_KNOWN_HOSTS").map(PathBuf::from),
        }
    }

    /// Removes the token from a text, wherever it came from.
    #[must_use]
    pub fn scrub(&self, text: &str) -> String {
        match &self.token {
            Some(token) => {
                text.replace(token.as_str(), "…").replace(&BASE64.encode(self.basic(token).as_bytes()), "…")
            }
            None => text.to_owned(),
        }
    }

    fn basic(&self, token: &str) -> String {
        format!("{}:{token}", self.user.as_deref().unwrap_or("x-access-token"))
    }
}

/// `git` did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is none.
    #[error("git cannot be started: is it installed?")]
    Start(#[source] std::io::Error),
    /// It says why.
    #[error("git {word}: {said}")]
    Failed {
        /// What it was to do.
        word: String,
        /// Its first line about it.
        said: String,
        /// Its exit code; none when a signal ended it.
        code: Option<i32>,
    },
    /// What it answered cannot be.
    #[error("git {word} answered what it never answers: {said}")]
    Odd {
        /// What it was to do.
        word: &'static str,
        /// Its answer.
        said: String,
    },
}

/// Makes commands for one remote.
#[derive(Clone)]
pub struct Git {
    remote: Remote,
    credentials: Credentials,
    settings: Vec<(String, String)>,
}

impl Git {
    /// Prepares to speak to a remote.
    #[must_use]
    pub fn new(remote: Remote, credentials: Credentials) -> Self {
        let mut settings: Vec<(String, String)> =
            SET.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        if let super::remote::Scheme::Allowed(protocol) = remote.scheme() {
            settings.push((format!("protocol.{}.allow", protocol.word()), "always".to_owned()));
        }
        if let (Some(origin), Some(token)) = (remote.origin(), &credentials.token) {
            // Of this origin alone: a redirect, a bundle or a submodule elsewhere never sees it.
            let basic = BASE64.encode(credentials.basic(token).as_bytes());
            settings.push((format!("http.{origin}/.extraHeader"), format!("Authorization: Basic {basic}")));
        }
        Self { remote, credentials, settings }
    }

    /// Returns where is fetched from.
    #[must_use]
    pub const fn remote(&self) -> &Remote {
        &self.remote
    }

    /// Adds a setting to those of every command.
    #[must_use]
    pub fn setting(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Returns a command that works in a repository without files; nothing is read on its input.
    #[must_use]
    pub fn within(&self, repository: &Path) -> Command {
        let mut command = self.anywhere();
        command.arg("--git-dir").arg(repository).current_dir(repository);
        command
    }

    /// Returns a command that works in no repository.
    #[must_use]
    pub fn anywhere(&self) -> Command {
        let mut command = Command::new("git");
        command.env_clear().stdin(Stdio::null());
        for name in LEFT {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        let fixed = [
            ("LC_ALL", "C"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ASKPASS", "true"),
            ("SSH_ASKPASS", "true"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_PROTOCOL_FROM_USER", "0"),
            ("GIT_CEILING_DIRECTORIES", "/"),
            ("GIT_SSH_VARIANT", "ssh"),
        ];
        command.envs(fixed).env("GIT_SSH_COMMAND", self.ssh());
        if self.credentials.ssh_key.is_none()
            && let Some(agent) = std::env::var_os("SSH_AUTH_SOCK")
        {
            command.env("SSH_AUTH_SOCK", agent);
        }
        // By the environment, not by `-c`: a header with a token would stand in every list of processes.
        command.env("GIT_CONFIG_COUNT", self.settings.len().to_string());
        for (at, (key, value)) in self.settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{at}"), key).env(format!("GIT_CONFIG_VALUE_{at}"), value);
        }
        command
    }

    /// Returns the command line that git starts ssh by: no configuration, no question, known hosts alone.
    fn ssh(&self) -> String {
        let mut line = "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=yes -o ForwardAgent=no \
                        -o ConnectTimeout=30 -o ServerAliveInterval=15"
            .to_owned();
        if let Some(key) = &self.credentials.ssh_key {
            line.push_str(" -o IdentitiesOnly=yes -o IdentityAgent=none -i ");
            line.push_str(&quoted(key));
        }
        if let Some(hosts) = &self.credentials.known_hosts {
            line.push_str(" -o UserKnownHostsFile=");
            line.push_str(&quoted(hosts));
        }
        line
    }

    /// Runs a command to its end and returns what it printed. Blocks.
    ///
    /// # Errors
    /// It cannot be started, or it says no.
    pub fn ask(&self, mut command: Command, word: &str) -> Result<Vec<u8>, GitError> {
        let output = command.output().map_err(GitError::Start)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(self.failed(word, &output.stderr, output.status.code()))
    }

    /// Returns the error of a command that ended badly, in the first words that it has for it.
    pub(super) fn failed(&self, word: &str, stderr: &[u8], code: Option<i32>) -> GitError {
        let text = String::from_utf8_lossy(stderr);
        let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
        let weighty = |line: &&str| ["fatal: ", "error: ", "remote: "].iter().any(|start| line.starts_with(start));
        let line = lines().find(weighty).or_else(|| lines().next()).unwrap_or("it says nothing");
        let line = ["fatal: ", "error: "].iter().find_map(|start| line.strip_prefix(start)).unwrap_or(line);
        GitError::Failed { word: word.to_owned(), said: self.credentials.scrub(line), code }
    }
}

/// Returns a path as one word for the shell that git hands the command line of ssh to.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"))
}

/// Tells whether a text is the id of an object: hexadecimal digits, of SHA-1 or SHA-256.
#[must_use]
pub(super) fn is_object_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Returns an argument that is a path.
pub(super) fn path(path: &Path) -> &OsStr {
    path.as_os_str()
}

#[cfg(test)]
mod tests {
    use super::super::remote::Protocol;
    use super::*;

    fn command(url: &str, credentials: Credentials) -> (Vec<String>, Vec<(String, String)>) {
        let remote = Remote::parse(url, &[Protocol::Http]).unwrap();
        let command = Git::new(remote, credentials).anywhere();
        let arguments = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        let variables = command.get_envs().filter_map(|(name, value)| {
            Some((name.to_string_lossy().into_owned(), value?.to_string_lossy().into_owned()))
        });
        (arguments, variables.collect())
    }

    #[test]
    fn a_token_is_for_its_origin_and_on_no_command_line() {
        let credentials = Credentials { token: Some("s3cret".to_owned()), ..Credentials::default() };
        let (arguments, variables) = command("https://host.org:8443/a/b.git", credentials.clone());
        assert!(!arguments.concat().contains("s3cret"));
        let (header, _) =
            variables.iter().find(|(_, value)| value == "http.https://host.org:8443/.extraHeader").unwrap();
        let value = header.replace("KEY", "VALUE");
        let (_, value) = variables.iter().find(|(name, _)| *name == value).unwrap();
        assert_eq!(*value, format!("Authorization: Basic {}", BASE64.encode(b"x-access-token:s3cret")));
        let (_, variables) = command("git@host.org:a/b.git", credentials.clone());
        assert!(variables.iter().all(|(_, value)| !value.contains("Authorization")), "ssh has no use for it");
        let told = credentials.scrub(&format!("a s3cret {}", BASE64.encode(b"x-access-token:s3cret")));
        assert_eq!(told, "a … …");
    }

    #[test]
    fn a_key_for_ssh_is_the_only_one_tried() {
        let ssh_key = Some(PathBuf::from("/keys/it's mine"));
        let (_, variables) = command("git@host.org:a", Credentials { ssh_key, ..Credentials::default() });
        let (_, line) = variables.iter().find(|(name, _)| name == "GIT_SSH_COMMAND").unwrap();
        assert!(line.contains("IdentitiesOnly=yes") && line.ends_with("-i '/keys/it'\\''s mine'"), "{line}");
        assert!(line.contains("-F /dev/null") && line.contains("BatchMode=yes"), "{line}");
        assert!(variables.iter().all(|(name, _)| name != "SSH_AUTH_SOCK"));
    }

    #[test]
    fn protocols_are_closed_but_the_one_asked_for() {
        let set = |url: &str| {
            let (_, variables) = command(url, Credentials::default());
            let mut keys: Vec<String> = variables
                .into_iter()
                .map(|(_, value)| value)
                .filter(|value| value.starts_with("protocol."))
                .collect();
            keys.sort();
            keys
        };
        assert_eq!(set("https://h.org/a"), ["protocol.allow", "protocol.https.allow", "protocol.ssh.allow"]);
        assert!(set("http://h.org/a").contains(&"protocol.http.allow".to_owned()));
    }

    #[test]
    fn the_words_of_git_are_told_without_its_prefixes() {
        let git = Git::new(Remote::parse("https://h.org/a", &[]).unwrap(), Credentials::default());
        let error = git.failed("fetch", b"warning: x\nfatal: repository 'a' not found\n", Some(128));
        assert_eq!(error.to_string(), "git fetch: repository 'a' not found");
    }
}
