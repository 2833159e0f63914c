//! Where a server's OpenAI-compatible API begins.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::Uri;

use super::query::Query;
use crate::event::{Failure, FailureKind, Feature, Features};

/// What people paste behind a base URL: the address of one call.
const ENDPOINTS: [&str; 5] = ["/chat/completions", "/completions", "/responses", "/models", "/embeddings"];
/// The version that is added to a path without one.
const VERSION: &str = "/v1";

/// A base URL such as `http://127.0.0.1:8080/v1`: http or https, a host, a path without a trailing slash, a query.
///
/// A path with a part that looks like a version (`v1`, `v1beta`, `v4`) is used as it is. Any other path is ambiguous:
/// the API may begin there, or at `/v1` below, which is tried first, so that `http://127.0.0.1:8080` and
/// `http://127.0.0.1:8080/v1/` are the same server. Without a list of models at `/v1`, a path that somebody wrote
/// is tried as it is written first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    origin: String,
    host: String,
    path: String,
    choice: Choice,
    query: Query,
}

/// Which of two paths the API is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// There is only one.
    Settled,
    /// Two are possible: `/v1` below the path is tried first.
    VersionedFirst,
    /// Two are possible: the path as it is written is tried first.
    PlainFirst,
}

/// A text that is no base URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not a URL at all, or one without a host.
    #[error("{0:?} is not a base URL; write one such as \"http://127.0.0.1:8080/v1\"")]
    NotAUrl(String),
    /// Neither http nor https.
    #[error("{0:?} is neither http nor https; write one such as \"http://127.0.0.1:8080/v1\"")]
    Scheme(String),
    /// `user:password@host`; the text is not repeated, for it holds a secret.
    #[error("the base URL of {host:?} holds a user name or password; put the key under `api_key` instead")]
    Credentials {
        /// The host alone.
        host: String,
    },
}

impl BaseUrl {
    /// Reads a base URL.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        // A fragment never reaches a server.
        let text = text.split_once('#').map_or(text, |(before, _)| before);
        let uri: Uri = text.parse().map_err(|_| not_a_url(text))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(not_a_url(text));
        };
        if authority.as_str().contains('@') {
            return Err(UrlError::Credentials { host: authority.host().to_owned() });
        }
        if !matches!(scheme, "http" | "https") {
            return Err(UrlError::Scheme(text.split('?').next().unwrap_or_default().to_owned()));
        }
        if authority.host().is_empty() {
            return Err(not_a_url(text));
        }
        let written = uri.path().trim_end_matches('/');
        let path = ENDPOINTS.iter().find_map(|endpoint| written.strip_suffix(endpoint)).unwrap_or(written);
        let is_pasted = path.len() < written.len();
        let path = path.trim_end_matches('/').to_owned();
        let choice = if path.split('/').any(is_version) {
            Choice::Settled
        } else if is_pasted {
            // The endpoint itself was pasted: its path is known to the letter.
            Choice::PlainFirst
        } else {
            Choice::VersionedFirst
        };
        let query = Query::read(uri.query().unwrap_or_default());
        Ok(Self { origin: format!("{scheme}://{authority}"), host: authority.host().to_owned(), path, choice, query })
    }

    /// Returns the address of something in the API: `api("/models", …)` is `http://127.0.0.1:8080/v1/models`.
    ///
    /// `lacks` decides between two possible paths; when it has neither or both of them, the first one is used.
    pub(crate) fn api(&self, rest: &str, lacks: Features) -> Uri {
        self.join(&self.api_path(lacks), rest, &self.query)
    }

    /// Returns the address of something beside the API: `beside("/props")` is `http://127.0.0.1:8080/props`.
    pub(crate) fn beside(&self, rest: &str) -> Uri {
        let above = match self.path.rsplit_once('/') {
            Some((above, last)) if is_version(last) => above,
            Some(_) | None => &self.path,
        };
        self.join(above, rest, &Query::default())
    }

    /// Returns which of two possible paths is used; none when there is only one.
    pub(crate) fn path_in_use(&self, lacks: Features) -> Option<Feature> {
        let first = match self.choice {
            Choice::Settled => return None,
            Choice::VersionedFirst => Feature::VersionedPath,
            Choice::PlainFirst => Feature::PlainPath,
        };
        let other = other(first);
        Some(if lacks.has(first) && !lacks.has(other) { other } else { first })
    }

    /// Returns the URL for a server that has no list of models at the first path: a path that somebody wrote, such as
    /// `/inference`, is then tried as it is written first. Gateways refuse pages that they do not have in many ways.
    pub(crate) fn unlisted(self) -> Self {
        if self.path.is_empty() || self.choice == Choice::Settled {
            return self;
        }
        Self { choice: Choice::PlainFirst, ..self }
    }

    /// Returns the URL with a path that is known to be right: the one that is used without `lacks`.
    pub(crate) fn settled(self, lacks: Features) -> Self {
        let path = self.api_path(lacks).into_owned();
        Self { path, choice: Choice::Settled, ..self }
    }

    /// Judges a refusal of a call: a missing page where two paths are possible says that the other one may be right.
    ///
    /// Each path is tried once. When both are refused, the refusal of the first one counts.
    pub(crate) fn judge(&self, failure: Failure, lacks: Features) -> Failure {
        let is_missing = failure.kind == FailureKind::Refused && matches!(failure.status, Some(404 | 405));
        match self.path_in_use(lacks) {
            Some(path) if is_missing && !lacks.has(path) => {
                // What to do about it is settled: the other path is tried.
                let said = failure.detail.trim_end_matches("; is the base URL right?").to_owned();
                Failure { kind: FailureKind::Unsupported(path), detail: said, ..failure }
            }
            Some(_) | None => failure,
        }
    }

    /// Returns the values in the query that are secrets, by their names: they must never be shown.
    pub(crate) fn secrets(&self) -> Vec<Arc<str>> {
        self.query.secrets()
    }

    /// Returns the URL with the secrets in its query, to be read again by [`Self::parse`]; never to be shown.
    pub(crate) fn with_secrets(&self) -> String {
        format!("{}{}{}", self.origin, self.api_path(Features::NONE), self.query.written())
    }

    /// Returns the URL without the API's version and the query, for people: `http://127.0.0.1:8080`.
    #[must_use]
    pub fn short(&self) -> String {
        format!("{}{}", self.origin, self.path.strip_suffix(VERSION).unwrap_or(&self.path))
    }

    /// Returns the host: a name, or an address (IPv6 in brackets).
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns true when the host is this machine by name or address.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }

    /// Returns true for https.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.origin.starts_with("https:")
    }

    fn api_path(&self, lacks: Features) -> Cow<'_, str> {
        match self.path_in_use(lacks) {
            Some(Feature::VersionedPath) => Cow::Owned(format!("{}{VERSION}", self.path)),
            Some(_) | None => Cow::Borrowed(&self.path),
        }
    }

    fn join(&self, path: &str, rest: &str, query: &Query) -> Uri {
        let text = format!("{}{path}{rest}{}", self.origin, query.written());
        text.parse().expect("an origin, a path and a query that have been parsed, joined")
    }
}

/// Writes the URL with the path that is used first; secrets in its query are replaced.
impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.origin, self.api_path(Features::NONE), self.query)
    }
}

/// Returns the other one of two possible paths.
const fn other(path: Feature) -> Feature {
    match path {
        Feature::PlainPath => Feature::VersionedPath,
        _ => Feature::PlainPath,
    }
}

/// Returns true when a host is this machine by name or address.
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return address.is_loopback();
    }
    let name = bare.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

fn is_version(part: &str) -> bool {
    part.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn not_a_url(text: &str) -> UrlError {
    // What stands before an @ may be a password, and so may a query: nothing of such a text is repeated.
    let shown = if text.contains('@') { "(not shown: it holds an @)" } else { text };
    UrlError::NotAUrl(shown.split('?').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
#[path = "base_url_tests.rs"]
mod tests;
