//! Where a repository is in the API of its host, as its address tells, or as somebody says.
//! Reads: a [`Remote`], an address. Gives: [`Place`], [`StatusApiError`]. Never: a question to a host.

use http::Uri;

use super::super::remote::{Protocol, Remote, Scheme};
use super::api::HostKind;

/// Longest address that is given to a host.
const LONGEST_URL: usize = 2_000;

/// Statuses that cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatusApiError {
    /// A folder of this machine.
    #[error("--statuses: {url} has no host that could be told; it is for repositories by https or ssh")]
    NoHost {
        /// The repository.
        url: String,
    },
    /// The host could not find it.
    #[error("--statuses {}: {path:?} is no {} of a {}", kind.name().to_lowercase(), form(*kind), kind.name())]
    NoProject {
        /// Which API.
        kind: HostKind,
        /// The path of the repository.
        path: String,
    },
    /// No address of an API.
    #[error("{option} {text:?} is no address: write one such as https://git.example.org/{example}")]
    Address {
        /// Where it was given.
        option: &'static str,
        /// What was given.
        text: String,
        /// The end of an example.
        example: &'static str,
    },
    /// A token would be sent where everybody reads it.
    #[error(
        "statuses would be told to {address} by http, where everybody reads the token; it has to be allowed: \
         --allow-protocol http"
    )]
    NotAllowed {
        /// Where to.
        address: String,
    },
    /// Nobody may say anything there without one.
    #[error("--statuses needs a token: PIPE_GIT_STATUS_TOKEN, or else PIPE_GIT_TOKEN, in the environment")]
    NoToken,
    /// No header takes it.
    #[error("the token of --statuses has characters that no token has")]
    OddToken,
}

const fn form(kind: HostKind) -> &'static str {
    match kind {
        HostKind::Github | HostKind::Gitea => "owner/name",
        HostKind::Gitlab => "group/project",
    }
}

/// Where a repository is, as its address tells.
pub(super) struct Place {
    /// Scheme, host and port of its pages.
    origin: String,
    host: String,
    /// Without slashes around it and without `.git`.
    pub(super) path: String,
}

impl Place {
    /// Reads the address of a repository; none of a folder.
    pub(super) fn of(remote: &Remote) -> Option<Self> {
        let url = remote.url();
        let (scheme, authority, path) = match (remote.scheme(), url.split_once("://")) {
            (Scheme::Allowed(Protocol::File), _) => return None,
            (_, Some((scheme, rest))) => {
                let (authority, path) = rest.split_once('/')?;
                (scheme, authority, path)
            }
            (_, None) => {
                let (authority, path) = url.split_once(':')?;
                ("ssh", authority, path)
            }
        };
        let authority = authority.rsplit('@').next().unwrap_or(authority).to_ascii_lowercase();
        let host = without_port(&authority).to_owned();
        // The port of ssh is not that of its pages.
        let (scheme, authority) = if scheme == "ssh" { ("https", host.clone()) } else { (scheme, authority) };
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path).trim_end_matches('/').to_owned();
        Some(Self { origin: format!("{scheme}://{authority}"), host, path })
    }

    /// Returns the API and the repository in it.
    pub(super) fn found(&self, kind: HostKind) -> (String, Option<String>) {
        match (kind, self.host.as_str()) {
            (HostKind::Github, "github.com" | "ssh.github.com") => {
                ("https://api.github.com".to_owned(), self.project(kind, ""))
            }
            (HostKind::Github, host) if host.ends_with(".ghe.com") => {
                (format!("https://api.{host}"), self.project(kind, ""))
            }
            (HostKind::Gitlab, "altssh.gitlab.com") => {
                ("https://gitlab.com/api/v4".to_owned(), self.project(kind, ""))
            }
            (HostKind::Gitea, _) => {
                // It may live in a folder of its host; its repositories have two names, whatever stands before them.
                let mut parts: Vec<&str> = self.path.split('/').collect();
                parts.truncate(parts.len().saturating_sub(2));
                let before: String = parts.iter().flat_map(|part| ["/", part]).collect();
                (format!("{}{before}{}", self.origin, kind.ending()), self.project(kind, &before))
            }
            _ => (format!("{}{}", self.origin, kind.ending()), self.project(kind, "")),
        }
    }

    /// Returns the repository's name below a folder of its host; none when it cannot be one.
    pub(super) fn project(&self, kind: HostKind, before: &str) -> Option<String> {
        let path = self.path.strip_prefix(&format!("{}/", before.trim_matches('/'))).unwrap_or(&self.path);
        let is_plain = |part: &str| {
            let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-' | '+');
            !matches!(part, "" | "." | "..") && part.chars().all(plain)
        };
        let parts: Vec<&str> = path.split('/').collect();
        let is_one = match kind {
            HostKind::Github | HostKind::Gitea => parts.len() == 2,
            HostKind::Gitlab => parts.len() >= 2,
        };
        (is_one && parts.iter().all(|part| is_plain(part))).then(|| parts.join("/"))
    }
}

/// Returns the folder of a host that an API lies in.
pub(super) fn prefix(base: &str, kind: HostKind) -> &str {
    let after_scheme = base.find("://").map_or(0, |at| at + "://".len());
    let path = base[after_scheme..].find('/').map_or("", |slash| &base[after_scheme + slash..]);
    path.strip_suffix(kind.ending()).unwrap_or("")
}

fn without_port(authority: &str) -> &str {
    match authority.rfind(']') {
        Some(end) => &authority[..=end],
        None => authority.split(':').next().unwrap_or(authority),
    }
}

/// Reads an address that a request, or people, can go to; without a slash at its end.
pub(super) fn address(option: &'static str, text: &str, example: &'static str) -> Result<String, StatusApiError> {
    let example = example.trim_start_matches('/');
    // A password in it would stand in every status.
    let shown = if text.contains('@') { "…@…" } else { text };
    let refuse = || StatusApiError::Address { option, text: shown.to_owned(), example };
    let uri: Uri = text.trim().parse().map_err(|_| refuse())?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    let is_odd = text.contains(['@', '#']) || text.len() > LONGEST_URL;
    let is_api = option == "--statuses-api";
    if !is_http || is_odd || uri.host().is_none_or(str::is_empty) || is_api && uri.query().is_some() {
        return Err(refuse());
    }
    Ok(if is_api { text.trim().trim_end_matches('/').to_owned() } else { text.trim().to_owned() })
}
