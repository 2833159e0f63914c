//! Where a server's OpenAI-compatible API begins.

use std::fmt;
use std::net::IpAddr;

use http::Uri;

/// A base URL such as `http://127.0.0.1:8080/v1`: http or https, a host, a path without a trailing slash.
///
/// A path in which no part looks like a version (`v1`, `v1beta`, `v4`) is given `/v1` at its end, so that
/// `http://127.0.0.1:8080` and `http://127.0.0.1:8080/v1/` are the same server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    origin: String,
    host: String,
    path: String,
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
    /// `?…` at its end.
    #[error("{0:?} has a query; a base URL ends with its path, such as \"/v1\"")]
    Query(String),
}

impl BaseUrl {
    /// Reads a base URL.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        let uri: Uri = text.parse().map_err(|_| not_a_url(text))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(not_a_url(text));
        };
        if authority.as_str().contains('@') {
            return Err(UrlError::Credentials { host: authority.host().to_owned() });
        }
        if !matches!(scheme, "http" | "https") {
            return Err(UrlError::Scheme(text.to_owned()));
        }
        if uri.query().is_some() {
            return Err(UrlError::Query(text.to_owned()));
        }
        if authority.host().is_empty() {
            return Err(not_a_url(text));
        }
        let mut path = uri.path().trim_end_matches('/').to_owned();
        if !path.split('/').any(is_version) {
            path.push_str("/v1");
        }
        Ok(Self { origin: format!("{scheme}://{authority}"), host: authority.host().to_owned(), path })
    }

    /// Returns the address of something in the API: `api("/models")` is `http://127.0.0.1:8080/v1/models`.
    pub(crate) fn api(&self, rest: &str) -> Uri {
        self.join(&self.path, rest)
    }

    /// Returns the address of something beside the API: `beside("/props")` is `http://127.0.0.1:8080/props`.
    pub(crate) fn beside(&self, rest: &str) -> Uri {
        let above = match self.path.rsplit_once('/') {
            Some((above, last)) if is_version(last) => above,
            Some(_) | None => &self.path,
        };
        self.join(above, rest)
    }

    /// Returns the URL without the API's path, for people: `http://127.0.0.1:8080`.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string().trim_end_matches("/v1").to_owned()
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

    fn join(&self, path: &str, rest: &str) -> Uri {
        format!("{}{path}{rest}", self.origin).parse().expect("an origin and a path that have been parsed, joined")
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path)
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
    // What stands before an @ may be a password, so nothing of such a text is repeated.
    let shown = if text.contains('@') { "(not shown: it holds an @)" } else { text };
    UrlError::NotAUrl(shown.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let got = match BaseUrl::parse(text) {
            Ok(url) => format!("{url} | {} | {}", url.api("/models"), url.beside("/props")),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, expected, "{text:?}");
    }

    #[test]
    fn reads_base_urls_with_and_without_a_version() {
        check("http://h:1", "http://h:1/v1 | http://h:1/v1/models | http://h:1/props");
        check("http://h:1/v1/", "http://h:1/v1 | http://h:1/v1/models | http://h:1/props");
        check("https://h/api", "https://h/api/v1 | https://h/api/v1/models | https://h/api/props");
        check(
            "https://h/v1beta/openai",
            "https://h/v1beta/openai | https://h/v1beta/openai/models | https://h/v1beta/openai/props",
        );
        check("http://[::1]:8080", "http://[::1]:8080/v1 | http://[::1]:8080/v1/models | http://[::1]:8080/props");
    }

    #[test]
    fn refuses_what_is_no_base_url_and_repeats_no_password() {
        check(
            "localhost:8080/v1",
            r#""localhost:8080/v1" is not a base URL; write one such as "http://127.0.0.1:8080/v1""#,
        );
        check(
            "ftp://h/v1",
            r#""ftp://h/v1" is neither http nor https; write one such as "http://127.0.0.1:8080/v1""#,
        );
        check("http://h/v1?a=b", r#""http://h/v1?a=b" has a query; a base URL ends with its path, such as "/v1""#);
        check(
            "http://me:hunter2@h/v1",
            r#"the base URL of "h" holds a user name or password; put the key under `api_key` instead"#,
        );
        let broken = BaseUrl::parse("http://me:hunter 2@h").map_err(|error| error.to_string());
        assert!(broken.is_err_and(|message| !message.contains("hunter")));
    }

    #[test]
    fn knows_this_machine() {
        for (host, expected) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("[::1]", true),
            ("LocalHost", true),
            ("a.localhost", true),
            ("10.0.0.1", false),
            ("localhost.example", false),
        ] {
            assert_eq!(is_loopback(host), expected, "{host}");
        }
    }
}
