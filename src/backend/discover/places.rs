//! Where `auto` looks, in order.

use std::fmt;
use std::path::Path;

use crate::backend::http::BaseUrl;

/// Reads an environment variable.
pub type Env<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

/// Usual ports of model servers on a machine, in the order in which they are preferred.
const PORTS: [(u16, &str); 5] =
    [(11434, "Ollama"), (8080, "llama.cpp"), (8000, "vLLM"), (1234, "LM Studio"), (30000, "SGLang")];

/// An address to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The base URL, or what is wrong with the text that should be one.
    pub url: Result<BaseUrl, String>,
    /// What speaks for it.
    pub why: Why,
}

/// What speaks for an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// This variable names it.
    Variable(&'static str),
    /// Servers of this name usually listen there.
    UsualPort(&'static str),
}

impl Why {
    /// Returns true when the user named this very address for a client, so that a key may go there.
    /// `OLLAMA_HOST` says where a server listens, not whom to trust.
    #[must_use]
    pub const fn is_explicit(&self) -> bool {
        match self {
            Self::Variable(name) => !matches!(name.as_bytes(), b"OLLAMA_HOST"),
            Self::UsualPort(_) => false,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "from {name}"),
            Self::UsualPort(server) => write!(f, "usual port of {server}"),
        }
    }
}

/// Lists the places in rounds: variables, then this machine's usual ports, then those of the machine around a container.
pub(super) fn rounds(env: Env<'_>, root: &Path) -> [Vec<Place>; 3] {
    let mut named: Vec<Place> = Vec::new();
    for name in ["PIPE_BASE_URL", "OPENAI_BASE_URL"] {
        let value = env(name).map(|value| value.trim().to_owned());
        // `auto`, `sim` and `embedded` are words of our own for the same variable, and no address.
        let value =
            value.filter(|value| !matches!(value.as_str(), "" | "auto" | "embedded") && !value.starts_with("sim"));
        named.extend(value.map(|value| place(&value, Why::Variable(name))));
    }
    let ollama = env("OLLAMA_HOST").filter(|value| !value.trim().is_empty());
    named.extend(ollama.map(|value| place(&ollama_url(value.trim()), Why::Variable("OLLAMA_HOST"))));
    let ports =
        |host: &str| PORTS.map(|(port, server)| place(&format!("http://{host}:{port}/v1"), Why::UsualPort(server)));
    let around = hosts_around(env, root).iter().flat_map(|host| ports(host)).collect();
    let mut rounds = [named, ports("127.0.0.1").to_vec(), around];
    // A bare host and the same with `/v1` are one address.
    let mut seen: Vec<Result<String, String>> = Vec::new();
    for round in &mut rounds {
        round.retain(|place| {
            let address = place.url.as_ref().map(ToString::to_string).map_err(Clone::clone);
            let is_new = !seen.contains(&address);
            seen.push(address);
            is_new
        });
    }
    rounds
}

fn place(url: &str, why: Why) -> Place {
    Place { url: BaseUrl::parse(url).map_err(|error| error.to_string()), why }
}

/// Reads `OLLAMA_HOST` as Ollama does: scheme and port may be left out, and "every interface" is this machine.
fn ollama_url(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let rest = rest.trim_end_matches('/');
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') && !port.is_empty() => (host, port),
        Some(_) | None if text.contains("://") => (rest, if scheme == "https" { "443" } else { "80" }),
        Some(_) | None => (rest, "11434"),
    };
    let host = match host {
        "" | "0.0.0.0" => "127.0.0.1",
        "[::]" => "[::1]",
        host => host,
    };
    format!("{scheme}://{host}:{port}/v1")
}

/// Names the machine around us when we are in a container or in WSL2, whose own loopback is not the user's.
fn hosts_around(env: Env<'_>, root: &Path) -> Vec<String> {
    let is_there = |path: &str| root.join(path).exists();
    let is_set = |name: &str| env(name).is_some_and(|value| !value.is_empty());
    if is_there("run/.containerenv") {
        return vec!["host.containers.internal".to_owned()];
    }
    if is_there(".dockerenv") || is_set("container") {
        return vec!["host.docker.internal".to_owned()];
    }
    let kernel = std::fs::read_to_string(root.join("proc/sys/kernel/osrelease")).unwrap_or_default();
    if is_set("WSL_DISTRO_NAME") || kernel.to_lowercase().contains("microsoft") {
        let routes = std::fs::read_to_string(root.join("proc/net/route")).unwrap_or_default();
        return gateway(&routes).into_iter().collect();
    }
    Vec::new()
}

/// Reads the default gateway out of Linux's table of routes: hexadecimal, least significant byte first.
fn gateway(routes: &str) -> Option<String> {
    let default = routes.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let gateway = default.into_iter().find_map(|fields| match fields[..] {
        [_, "00000000", gateway, ..] => u32::from_str_radix(gateway, 16).ok(),
        _ => None,
    })?;
    Some(std::net::Ipv4Addr::from(gateway.to_le_bytes()).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(env: &[(&str, &str)], files: &[(&str, &str)], expected: &[&str]) {
        let root = tempfile::tempdir().expect("a temporary folder");
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a path in a folder")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        }
        let env = |name: &str| env.iter().find(|(have, _)| *have == name).map(|(_, value)| (*value).to_owned());
        let got: Vec<String> = rounds(&env, root.path())
            .into_iter()
            .flatten()
            .map(|place| format!("{} {}", place.url.map_or_else(|error| error, |url| url.to_string()), place.why))
            .collect();
        assert_eq!(got[..got.len().min(expected.len())], *expected);
        if files.is_empty() {
            assert_eq!(got.last().map(String::as_str), Some("http://127.0.0.1:30000/v1 usual port of SGLang"));
        }
    }

    #[test]
    fn variables_come_first_and_addresses_once() {
        check(
            &[
                ("PIPE_BASE_URL", "http://h:1"),
                ("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1"),
                ("OLLAMA_HOST", "0.0.0.0"),
            ],
            &[],
            &[
                "http://h:1/v1 from PIPE_BASE_URL",
                "http://127.0.0.1:8080/v1 from OPENAI_BASE_URL",
                "http://127.0.0.1:11434/v1 from OLLAMA_HOST",
                "http://127.0.0.1:8000/v1 usual port of vLLM",
            ],
        );
        check(
            &[("PIPE_BASE_URL", "auto"), ("OPENAI_BASE_URL", "nonsense")],
            &[],
            &[
                r#""nonsense" is not a base URL; write one such as "http://127.0.0.1:8080/v1" from OPENAI_BASE_URL"#,
                "http://127.0.0.1:11434/v1 usual port of Ollama",
            ],
        );
    }

    #[test]
    fn a_container_and_wsl_look_at_the_machine_around() {
        let this = PORTS.map(|(port, server)| format!("http://127.0.0.1:{port}/v1 usual port of {server}"));
        let around = |host: &str| {
            let mut all: Vec<String> = this.to_vec();
            all.extend(PORTS.map(|(port, server)| format!("http://{host}:{port}/v1 usual port of {server}")));
            all
        };
        let docker = around("host.docker.internal");
        check(&[], &[(".dockerenv", "")], &docker.iter().map(String::as_str).collect::<Vec<_>>());
        let wsl = around("172.28.64.1");
        check(
            &[],
            &[
                ("proc/sys/kernel/osrelease", "5.15.90.1-microsoft-standard-WSL2\n"),
                ("proc/net/route", "Iface\tDestination\tGateway\tFlags\neth0\t00000000\t01401CAC\t0003\n"),
            ],
            &wsl.iter().map(String::as_str).collect::<Vec<_>>(),
        );
    }

    #[test]
    fn ollamas_variable_is_read_as_ollama_reads_it() {
        for (text, expected) in [
            ("127.0.0.1", "http://127.0.0.1:11434/v1"),
            (":5000", "http://127.0.0.1:5000/v1"),
            ("0.0.0.0:5000", "http://127.0.0.1:5000/v1"),
            ("https://h", "https://h:443/v1"),
            ("http://h/", "http://h:80/v1"),
            ("[::]:5000", "http://[::1]:5000/v1"),
            ("[::1]", "http://[::1]:11434/v1"),
        ] {
            assert_eq!(ollama_url(text), expected, "{text}");
        }
    }
}
