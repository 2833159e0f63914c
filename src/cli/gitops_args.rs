//! The command line of `pipe gitops`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::value::grace;
use crate::base::Millis;
use crate::gitops::{HostKind, Protocol, StatusApi};

/// Options of `pipe gitops`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pipe gitops --repo https://git.example.org/team/experiments.git --branch main
  pipe gitops --repo git@git.example.org:team/experiments.git --path nightly --interval 5m
  pipe gitops --repo … --listen 127.0.0.1:8686            GET /status, /healthz; POST /webhook wakes
  pipe gitops --repo … --allowed-signers signers          only commits that one of these has signed
  pipe gitops --repo … --once --json                      one round, for cron and CI
  pipe gitops --repo … --statuses github                  commits show how they stand, as from CI
  pipe gitops --status                                    how the reconcilers of this home stand

Each new commit of the branch is fetched, written without hooks, filters, links and submodules, planned, and applied \
as `pipe apply` does. A commit that is wrong changes nothing: the last good one stays. Runs lie in the home, which is \
.pipe here, or PIPE_HOME: `pipe runs`, `pipe show` and `pipe results` read them.

From the environment, and never handed to a run: PIPE_GIT_TOKEN (with PIPE_GIT_USER where the host asks for one), \
PIPE_GIT_SSH_KEY (the file of a key), PIPE_GIT_KNOWN_HOSTS, PIPE_GIT_WEBHOOK_SECRET, PIPE_GIT_STATUS_TOKEN (for \
--statuses; else PIPE_GIT_TOKEN). A run is given PATH, HOME, words, \
proxies, OTEL_* without headers, and what --pass-env names: a pipeline may send any variable to any server.

Exit codes with --once: that of the apply; 3 when the commit is wrong, 4 when the repository cannot be fetched.")]
pub struct GitopsArgs {
    /// The repository: https://… or ssh://…, without user or password.
    #[arg(long, value_name = "URL", required_unless_present = "status")]
    pub repo: Option<String>,
    /// Its branch.
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub branch: String,
    /// The project's folder in it; nothing else of it is written.
    #[arg(long, value_name = "PATH", default_value = "")]
    pub path: String,
    /// How often the branch is asked for; a webhook does not wait for it.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = interval)]
    pub interval: Millis,
    /// Answer /status, /healthz and /webhook here.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Leave once the runs are those of the branch, or cannot be.
    #[arg(long)]
    pub once: bool,
    /// Only commits with a good SSH signature of somebody in this file count; as ssh-keygen reads it.
    #[arg(long, value_name = "FILE")]
    pub allowed_signers: Option<PathBuf>,
    /// Tell the host how each commit stands: pending, success, failure, error; with a token from the environment.
    #[arg(long, value_name = "HOST")]
    pub statuses: Option<HostChoice>,
    /// Where the host's API is, with its /api/v1 or the like; else it is told from the repository.
    #[arg(long, value_name = "URL", requires = "statuses")]
    pub statuses_api: Option<String>,
    /// What our statuses are called, where two follow one repository [default: pipe/gitops, with branch and path for a path].
    #[arg(long, value_name = "NAME", requires = "statuses", value_parser = context)]
    pub statuses_context: Option<String>,
    /// Where a status leads people who click on it.
    #[arg(long, value_name = "URL", requires = "statuses")]
    pub statuses_url: Option<String>,
    /// Give this variable of the environment to runs, such as a backend's key; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub pass_env: Vec<String>,
    /// Delete the runs of pipelines that are no longer there.
    #[arg(long)]
    pub prune: bool,
    /// Take a repository by a protocol that is left out otherwise; may be repeated.
    #[arg(long, value_name = "WHICH")]
    pub allow_protocol: Vec<ProtocolChoice>,
    /// Commits of the branch that are fetched.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    pub depth: u32,
    /// Largest repository and largest tree, in bytes.
    #[arg(long, value_name = "N", default_value = "536870912", value_parser = clap::value_parser!(u64).range(1..))]
    pub most_bytes: u64,
    /// Most files of a tree.
    #[arg(long, value_name = "N", default_value = "20000", value_parser = clap::value_parser!(u32).range(1..))]
    pub most_files: u32,
    /// How long a fetch, or a plan, may take.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = interval)]
    pub timeout: Millis,
    /// Say how the reconcilers of this home stand, and leave.
    #[arg(long, conflicts_with_all = ["repo", "once", "listen"])]
    pub status: bool,
    /// Print a line of JSON for each event; with --status, all of it.
    #[arg(long)]
    pub json: bool,
}

/// A protocol that has to be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProtocolChoice {
    /// Nothing about it is secret, and nobody knows who answers.
    Http,
    /// A folder of this machine.
    File,
}

impl From<ProtocolChoice> for Protocol {
    fn from(choice: ProtocolChoice) -> Self {
        match choice {
            ProtocolChoice::Http => Self::Http,
            ProtocolChoice::File => Self::File,
        }
    }
}

/// A host that can be told how commits stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HostChoice {
    /// GitHub, its Enterprise Server included.
    Github,
    /// Gitea, Forgejo.
    Gitea,
    /// GitLab.
    Gitlab,
}

impl From<HostChoice> for HostKind {
    fn from(choice: HostChoice) -> Self {
        match choice {
            HostChoice::Github => Self::Github,
            HostChoice::Gitea => Self::Gitea,
            HostChoice::Gitlab => Self::Gitlab,
        }
    }
}

/// Reads a time of a second or more.
fn interval(text: &str) -> Result<Millis, String> {
    let time = grace(text).map_err(|error| error.to_string())?;
    if time < Millis::seconds(1) { Err("write a time of 1s or more".to_owned()) } else { Ok(time) }
}

/// Reads the name of statuses.
fn context(text: &str) -> Result<String, String> {
    let is_plain = !text.trim().is_empty() && !text.chars().any(char::is_control);
    if is_plain && text.chars().count() <= StatusApi::LONGEST_CONTEXT {
        Ok(text.to_owned())
    } else {
        Err(format!("write a name of 1 to {} letters", StatusApi::LONGEST_CONTEXT))
    }
}
