//! What may be fetched from: which addresses, branches and folders `git` is told of at all.
//! Reads: words of a command line. Gives: [`Remote`], [`Branch`], [`Folder`]. Never: a connection.

use std::fmt;
use std::str::FromStr;

/// Longest address or name that is believed.
const LONGEST: usize = 1_024;

/// A protocol that is left out unless it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// Nothing about it is secret, and nobody knows who answers.
    Http,
    /// A folder of this machine.
    File,
}

/// How a repository is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `https://`.
    Https,
    /// `ssh://`, or `user@host:path`.
    Ssh,
    /// One of those that have to be allowed.
    Allowed(Protocol),
}

/// The address of a repository that `git` may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    url: String,
    scheme: Scheme,
}

/// Words of a command line that `git` is not told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// `git` would start a program, or ask somebody who is not known.
    #[error("{url:?} is fetched by no protocol that pipe speaks: write https://… or ssh://…")]
    Protocol {
        /// What was asked for.
        url: String,
    },
    /// A protocol that has to be allowed.
    #[error("{url:?} is fetched by {word}, which has to be allowed: --allow-protocol {word}")]
    NotAllowed {
        /// What was asked for.
        url: String,
        /// The protocol.
        word: &'static str,
    },
    /// A password where everybody sees it.
    #[error(
        "the URL of {host} has a user or password in it: leave them out, and give a token as PIPE_GIT_TOKEN (its user as \
         PIPE_GIT_USER) in the environment"
    )]
    Credentials {
        /// Whose they would be.
        host: String,
    },
    /// No host, odd characters, an option in disguise.
    #[error("{url:?} is no address of a repository: {why}")]
    Malformed {
        /// What was asked for.
        url: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A branch that git would not take, or take for an option.
    #[error("{0:?} is no name of a branch")]
    Branch(String),
    /// A folder outside of the repository, or one that is never written.
    #[error("{0:?} is no folder of a repository: write it as pipelines/nightly, without `..`")]
    Folder(String),
}

impl Protocol {
    /// Returns the word for it, which is also the beginning of its addresses.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::File => "file",
        }
    }
}

impl Remote {
    /// Checks an address; `allowed` are the protocols beside https and ssh.
    ///
    /// # Errors
    /// `git` is never told of it: another protocol, a password in it, an option in disguise.
    pub fn parse(url: &str, allowed: &[Protocol]) -> Result<Self, RemoteError> {
        let malformed = |why| RemoteError::Malformed { url: url.to_owned(), why };
        if url.is_empty() || url.len() > LONGEST {
            return Err(malformed("it is empty or too long"));
        }
        if url.starts_with('-') {
            return Err(malformed("it begins as an option"));
        }
        if url.chars().any(|letter| letter.is_control() || letter.is_whitespace()) {
            return Err(malformed("it has spaces or control characters"));
        }
        let remote = |scheme| Self { url: url.to_owned(), scheme };
        let Some((scheme, rest)) = url.split_once("://") else {
            return if is_of_ssh(url) { Ok(remote(Scheme::Ssh)) } else { Err(Self::without_scheme(url)) };
        };
        let scheme = match scheme {
            "https" => Scheme::Https,
            "ssh" => Scheme::Ssh,
            "http" => Scheme::Allowed(Protocol::Http),
            "file" => Scheme::Allowed(Protocol::File),
            _ => return Err(RemoteError::Protocol { url: url.to_owned() }),
        };
        if let Scheme::Allowed(protocol) = scheme
            && !allowed.contains(&protocol)
        {
            return Err(RemoteError::NotAllowed { url: url.to_owned(), word: protocol.word() });
        }
        if scheme == Scheme::Allowed(Protocol::File) {
            return if rest.starts_with('/') { Ok(remote(scheme)) } else { Err(malformed("write file:///folder")) };
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        match (scheme, user) {
            (Scheme::Ssh, Some(user)) if is_word(user) => {}
            (_, None) => {}
            (_, Some(_)) => return Err(RemoteError::Credentials { host: host.to_owned() }),
        }
        if !is_host(host) {
            return Err(malformed("it names no host"));
        }
        if path.is_empty() || path.contains(['?', '#']) {
            return Err(malformed("it names no repository of the host"));
        }
        Ok(remote(scheme))
    }

    fn without_scheme(url: &str) -> RemoteError {
        match url.contains("::") || !url.starts_with('/') {
            true => RemoteError::Protocol { url: url.to_owned() },
            false => RemoteError::Malformed { url: url.to_owned(), why: "write file:///folder for a folder" },
        }
    }

    /// Returns the address, which has no password in it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns how it is spoken to.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Returns scheme, host and port, for which a token is meant; none for ssh and folders.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        match self.scheme {
            Scheme::Https | Scheme::Allowed(Protocol::Http) => {
                let host = self.url.find("://")? + "://".len();
                let end = self.url[host..].find('/').map_or(self.url.len(), |slash| host + slash);
                Some(&self.url[..end])
            }
            Scheme::Ssh | Scheme::Allowed(Protocol::File) => None,
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// Tells whether this is `user@host:path`, in plain letters.
fn is_of_ssh(url: &str) -> bool {
    let Some((place, path)) = url.split_once(':') else { return false };
    let Some((user, host)) = place.split_once('@') else { return false };
    is_word(user) && is_host(host) && !path.is_empty() && !path.starts_with(['-', ':'])
}

fn is_word(text: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-');
    !text.is_empty() && !text.starts_with('-') && text.chars().all(plain)
}

/// Tells whether this is a host, an address in brackets included, with or without a port.
fn is_host(text: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-' | ':' | '[' | ']');
    text.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '[') && text.chars().all(plain)
}

/// The name of a branch that git takes and that is no option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch(String);

impl Branch {
    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Returns the full name of its reference.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("refs/heads/{}", self.0)
    }
}

impl FromStr for Branch {
    type Err = RemoteError;

    /// Reads a name by git's own rules (`git check-ref-format --branch`), and a little stricter.
    fn from_str(name: &str) -> Result<Self, RemoteError> {
        let odd = |letter: char| letter.is_control() || letter.is_whitespace() || "~^:?*[\\".contains(letter);
        let part_is_whole =
            |part: &str| !part.is_empty() && !part.starts_with('.') && !part.to_ascii_lowercase().ends_with(".lock");
        let is_whole = !name.starts_with('-')
            && name.len() <= LONGEST
            && !name.contains(odd)
            && !name.contains("..")
            && !name.contains("@{")
            && name != "@"
            && !name.ends_with('.')
            && name.split('/').all(part_is_whole);
        if is_whole { Ok(Self(name.to_owned())) } else { Err(RemoteError::Branch(name.to_owned())) }
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A folder of the repository, as `a/b`; the whole of it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folder(String);

impl Folder {
    /// Returns the path, without slashes around it.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0
    }
}

impl FromStr for Folder {
    type Err = RemoteError;

    fn from_str(path: &str) -> Result<Self, RemoteError> {
        let trimmed = path.strip_prefix("./").unwrap_or(path).trim_end_matches('/');
        if matches!(trimmed, "" | ".") && !path.starts_with('/') {
            return Ok(Self::default());
        }
        let odd = |part: &str| {
            matches!(part, "" | "." | "..") || part.contains(|letter: char| letter.is_control() || letter == '\\')
        };
        if trimmed.len() > LONGEST || trimmed.split('/').any(odd) {
            return Err(RemoteError::Folder(path.to_owned()));
        }
        Ok(Self(trimmed.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_hosts_are_taken() {
        for (url, origin) in [
            ("https://host.org/a/b.git", Some("https://host.org")),
            ("https://host.org:8443/a", Some("https://host.org:8443")),
            ("https://[::1]:8443/a", Some("https://[::1]:8443")),
            ("ssh://git@host.org/a/b.git", None),
            ("ssh://host.org:2222/a", None),
            ("git@host.org:a/b.git", None),
        ] {
            let remote = Remote::parse(url, &[]).unwrap();
            assert_eq!((remote.url(), remote.origin()), (url, origin));
        }
        let allowed = [Protocol::Http, Protocol::File];
        assert!(Remote::parse("http://127.0.0.1:8000/a.git", &allowed).is_ok());
        assert!(Remote::parse("file:///srv/a.git", &allowed).is_ok());
    }

    #[test]
    fn what_starts_programs_or_tells_passwords_is_not_handed_on() {
        for url in [
            "ext::sh -c id",
            "ext::sh%20-c%20id",
            "fd::7",
            "transport::address",
            "git://host.org/a",
            "ftp://host.org/a",
            "HTTPS://host.org/a",
            "--upload-pack=touch /tmp/x",
            "-oProxyCommand=id@host:a",
            "ssh://-oProxyCommand=id/a",
            "ssh://git@-oProxyCommand=id/a",
            "git@-oProxyCommand=id:a",
            "host:a",
            "/srv/a.git",
            "../a.git",
            "https:///a",
            "https://host.org",
            "https://host.org/",
            "https://host.org/a?b=c",
            "https://host.org/a\nb",
            "http://host.org/a",
            "file:///srv/a.git",
            "",
        ] {
            assert!(Remote::parse(url, &[]).is_err(), "{url}");
        }
        assert!(Remote::parse("file://host/a", &[Protocol::File]).is_err());
        for url in ["https://me:secret@host.org/a", "https://token@host.org/a", "ssh://me:secret@host.org/a"] {
            let error = Remote::parse(url, &[]).unwrap_err();
            assert!(matches!(error, RemoteError::Credentials { .. }), "{url}");
            let said = error.to_string();
            assert!(
                !said.contains("secret") && !said.contains("token@") && said.contains("PIPE_GIT_TOKEN"),
                "{said}"
            );
        }
    }

    #[test]
    fn names_of_branches_are_gits() {
        for name in ["main", "release/1.2", "feature-x", "ünïcode"] {
            assert!(name.parse::<Branch>().is_ok(), "{name}");
        }
        let odd = [
            "",
            "-x",
            "--upload-pack=x",
            "a..b",
            "a b",
            "a:b",
            "a^",
            "a~1",
            "a*",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.lock",
            "a.",
            "@",
            "a@{1}",
            "a\\b",
            "a\nb",
        ];
        for name in odd {
            assert!(name.parse::<Branch>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn folders_stay_inside() {
        for (path, expected) in [("", ""), (".", ""), ("./", ""), ("a/b/", "a/b"), ("./a", "a")] {
            assert_eq!(path.parse::<Folder>().unwrap().path(), expected);
        }
        for path in ["/", "/etc", "..", "a/../b", "a//b", "a/./b", "a\0b"] {
            assert!(path.parse::<Folder>().is_err(), "{path:?}");
        }
    }
}
