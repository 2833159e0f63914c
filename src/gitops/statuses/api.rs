//! Where a host of repositories is told how a commit stands: the request that says it, as data.
//! Reads: a remote, a kind of host, a [`CommitStatus`]. Gives: a [`StatusRequest`]. Never: a connection, a redirect.
//! Start at [`StatusApi::of`].

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::remote::{Protocol, Remote};
use super::address::{Place, StatusApiError, address, prefix};
use super::commit_status::{CommitState, CommitStatus};
use crate::base::Digest;

/// The version of GitHub's API that is asked for; without one it may change at any time.
const GITHUB_VERSION: &str = "2022-11-28";

/// Which API is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostKind {
    /// GitHub, its Enterprise Server included.
    Github,
    /// Gitea, and Forgejo, which has the same.
    Gitea,
    /// GitLab.
    Gitlab,
}

impl HostKind {
    /// Returns its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Github => "GitHub",
            Self::Gitea => "Gitea",
            Self::Gitlab => "GitLab",
        }
    }

    /// Returns its word for a state.
    #[must_use]
    pub const fn word(self, state: CommitState) -> &'static str {
        match (self, state) {
            (Self::Gitlab, CommitState::Running) => "running",
            (_, CommitState::Pending | CommitState::Running) => "pending",
            (_, CommitState::Success) => "success",
            (Self::Gitlab, CommitState::Failure | CommitState::Error) => "failed",
            (Self::Gitlab, CommitState::Superseded) => "canceled",
            (_, CommitState::Failure) => "failure",
            (_, CommitState::Error | CommitState::Superseded) => "error",
        }
    }

    /// Returns how many characters of a description it takes; Gitea takes any number.
    const fn longest_description(self) -> usize {
        match self {
            Self::Github => 140,
            Self::Gitea | Self::Gitlab => 255,
        }
    }

    /// Returns what the path of its API ends with; that of github.com has no such end.
    pub(super) const fn ending(self) -> &'static str {
        match self {
            Self::Github => "/api/v3",
            Self::Gitea => "/api/v1",
            Self::Gitlab => "/api/v4",
        }
    }

    /// Returns what a token has to be allowed.
    pub(super) const fn scope(self) -> &'static str {
        match self {
            Self::Github => "`repo:status`, or for a fine-grained one `Commit statuses: write`",
            Self::Gitea => "`write:repository`, of somebody who may write to it",
            Self::Gitlab => "`api`, of a Developer or more, who may push to the branch if it is protected",
        }
    }
}

/// Words of a command line about statuses.
#[derive(Clone, Copy, Debug)]
pub struct StatusWords<'a> {
    /// Which API.
    pub kind: HostKind,
    /// Where it is; else it is told from the repository.
    pub api: Option<&'a str>,
    /// What people are shown who ask for more.
    pub target: Option<&'a str>,
    /// The name under which it is told; else it is made of the folder.
    pub context: Option<&'a str>,
    /// The branch.
    pub branch: &'a str,
    /// The project's folder in the repository; empty for all of it.
    pub folder: &'a str,
    /// Protocols that are left out unless they are asked for.
    pub allowed: &'a [Protocol],
}

/// One repository in the API of its host, and who asks.
#[derive(Clone)]
pub struct StatusApi {
    kind: HostKind,
    /// Without a slash at its end.
    base: String,
    /// `owner/name`, or GitLab's `group/…/project`.
    project: String,
    context: String,
    branch: String,
    target: Option<String>,
    token: (HeaderName, HeaderValue),
}

/// A request that is sent once, to nobody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusRequest {
    /// Where to post it.
    pub uri: Uri,
    /// With the token, marked as sensitive.
    pub headers: HeaderMap,
    /// JSON.
    pub body: Bytes,
}

impl StatusApi {
    /// The variable of a token that may tell statuses alone, which no run is ever given.
    pub const VARIABLE: &'static str = "PIPE_GIT_STATUS_TOKEN";
    /// Most letters of a context: GitLab keeps no more of a name.
    pub const LONGEST_CONTEXT: usize = 255;

    /// Finds a repository in the API of its host.
    ///
    /// # Errors
    /// The repository has no such host, an address is none, or the token would be readable on its way.
    pub fn of(remote: &Remote, words: StatusWords<'_>, token: Option<&str>) -> Result<Self, StatusApiError> {
        let StatusWords { kind, api, target, context, branch, folder, allowed } = words;
        let place = Place::of(remote).ok_or_else(|| StatusApiError::NoHost { url: remote.url().to_owned() })?;
        let (base, project) = match api {
            Some(api) => {
                let base = address("--statuses-api", api, kind.ending())?;
                let project = place.project(kind, prefix(&base, kind));
                (base, project)
            }
            None => place.found(kind),
        };
        let path = || StatusApiError::NoProject { kind, path: place.path.clone() };
        let project = project.ok_or_else(path)?;
        if base.starts_with("http://") && !allowed.contains(&Protocol::Http) {
            return Err(StatusApiError::NotAllowed { address: base });
        }
        let target = target.map(|text| address("--statuses-url", text, "runs")).transpose()?;
        let token = token.filter(|token| !token.is_empty()).ok_or(StatusApiError::NoToken)?;
        let context = context.map_or_else(|| usual_context(branch, folder), str::to_owned);
        let token = header(kind, token)?;
        Ok(Self { kind, base, project, context, branch: branch.to_owned(), target, token })
    }

    /// Returns which API is spoken.
    #[must_use]
    pub const fn kind(&self) -> HostKind {
        self.kind
    }

    /// Returns the name under which it is told, one for each branch and folder of it.
    #[must_use]
    pub fn context(&self) -> &str {
        &self.context
    }

    /// Returns the address of the API.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Returns the repository in its API, for people.
    #[must_use]
    pub fn repository(&self) -> String {
        format!("{} at {}", self.project, self.base)
    }

    /// Removes the token from words of the host.
    pub(super) fn scrub(&self, text: &str) -> String {
        let token = self.token.1.to_str().unwrap_or_default();
        let token = token.rsplit(' ').next().unwrap_or_default();
        if token.is_empty() { text.to_owned() } else { text.replace(token, "…") }
    }

    /// Returns the request that tells a status of a commit.
    #[must_use]
    pub(super) fn request(&self, status: &CommitStatus) -> StatusRequest {
        let Self { kind, base, project, context, .. } = self;
        let commit = status.commit.id();
        let path = match kind {
            HostKind::Github | HostKind::Gitea => format!("{base}/repos/{project}/statuses/{commit}"),
            HostKind::Gitlab => format!("{base}/projects/{}/statuses/{commit}", project.replace('/', "%2F")),
        };
        let mut body = json!({
            "state": kind.word(status.state),
            "context": context,
            "description": cut(&status.description, kind.longest_description()),
        });
        if *kind == HostKind::Gitlab {
            // A commit of several branches has a pipeline for each.
            body["ref"] = self.branch.clone().into();
        }
        if let Some(target) = &self.target {
            body["target_url"] = target.clone().into();
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(self.token.0.clone(), self.token.1.clone());
        if *kind == HostKind::Github {
            headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
            headers.insert("x-github-api-version", HeaderValue::from_static(GITHUB_VERSION));
        } else {
            headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        }
        let uri = path.parse().expect("the address was read as one, and plain segments were added to it");
        StatusRequest { uri, headers, body: Bytes::from(body.to_string()) }
    }
}

/// Returns the name of our statuses; two reconcilers of one repository do not take each other's.
fn usual_context(branch: &str, folder: &str) -> String {
    let name = if folder.is_empty() { "pipe/gitops".to_owned() } else { format!("pipe/gitops {branch}:{folder}") };
    if name.chars().count() <= StatusApi::LONGEST_CONTEXT {
        return name;
    }
    let digest = Digest::of(name.as_bytes()).short();
    let start: String = name.chars().take(StatusApi::LONGEST_CONTEXT - digest.len() - 1).collect();
    format!("{start} {digest}")
}

/// Returns the header that a host looks for a token in.
fn header(kind: HostKind, token: &str) -> Result<(HeaderName, HeaderValue), StatusApiError> {
    let (name, value) = match kind {
        HostKind::Github => (AUTHORIZATION, format!("Bearer {token}")),
        HostKind::Gitea => (AUTHORIZATION, format!("token {token}")),
        HostKind::Gitlab => (HeaderName::from_static("private-token"), token.to_owned()),
    };
    let is_word = token.chars().all(|letter| letter.is_ascii_graphic());
    let mut value = HeaderValue::try_from(value).map_err(|_| StatusApiError::OddToken)?;
    value.set_sensitive(true);
    if is_word { Ok((name, value)) } else { Err(StatusApiError::OddToken) }
}

/// Returns as much of a text as there is room for, in plain letters.
pub(super) fn cut(text: &str, most: usize) -> String {
    let plain: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if plain.chars().count() <= most {
        return plain;
    }
    plain.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
#[path = "api_tests.rs"]
mod tests;
