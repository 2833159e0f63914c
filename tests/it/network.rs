//! Between a run and its backend: TLS with authorities of one's own, and proxies from the environment.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Output, Stdio};
use std::sync::mpsc;

use crate::backend_faults::{FaultServer, KEY};
use crate::project::{Project, python, text};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fault_server/tls").join(name)
}

/// Runs one question against a server, with these variables.
fn ask(url: &str, variables: &[(&str, &str)]) -> Output {
    let project = Project::new();
    let file = format!(
        "version: 1\nname: ask\nbackends: {{ far: {{ base_url: '{url}', api_key: '${{FAULT_KEY}}' }} }}\n\
         models: {{ m: {{ backend: far, model: fault-model }} }}\nactors: {{ a: {{ model: m }} }}\n\
         steps: {{ say: {{ chat: {{ actor: a, prompt: 'Well?' }} }} }}\n"
    );
    project.write("ask.yaml", &file);
    let mut command = project.pipe(&["run", "ask.yaml"]);
    command.env("FAULT_KEY", KEY).envs(variables.iter().copied()).output().expect("pipe starts")
}

#[test]
fn a_server_with_a_certificate_of_ones_own_is_trusted_when_the_environment_says_so() {
    let server = FaultServer::start_tls(&fixture("server.pem"));
    assert!(server.url.starts_with("https://"), "{}", server.url);
    let authority = fixture("authority.pem").display().to_string();

    let trusted = ask(&server.url, &[("SSL_CERT_FILE", &authority)]);
    assert!(trusted.status.success(), "{}", text(&trusted.stderr));
    assert_eq!(server.asked().len(), 1);

    let unknown = ask(&server.url, &[]);
    let talk = text(&unknown.stderr);
    assert_eq!(unknown.status.code(), Some(4), "{talk}");
    assert!(talk.contains("certificate is not trusted") && talk.contains("SSL_CERT_FILE"), "{talk}");

    let server_only = fixture("server.pem").display().to_string();
    for (file, says) in [("/nowhere.pem", "cannot be read"), (&*server_only, "certificate is not trusted")] {
        let wrong = ask(&server.url, &[("SSL_CERT_FILE", file)]);
        let talk = text(&wrong.stderr);
        assert_eq!(wrong.status.code(), Some(4), "{talk}");
        assert!(talk.contains(says) && talk.contains("SSL_CERT_FILE"), "{talk}");
    }
    assert_eq!(server.asked().len(), 1, "nobody else asked anything");
}

/// A proxy that takes every host for one server of this machine.
struct Proxy {
    child: Child,
    port: String,
    lines: mpsc::Receiver<String>,
}

impl Proxy {
    fn start(server: &FaultServer) -> Self {
        let port = server.url.rsplit(':').next().expect("a port");
        let mut command = python("python3", "tests/fault_server/proxy.py");
        let mut child =
            command.arg(port).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the proxy starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let port = lines.next().expect("it prints its port").expect("in UTF-8");
        let (heard, told) = mpsc::sync_channel(64);
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| heard.send(line).unwrap_or(())));
        Self { child, port, lines: told }
    }

    /// The requests that it has told of so far.
    fn heard(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn a_proxy_from_the_environment_carries_plain_http_and_its_password_goes_no_further() {
    let server = FaultServer::start();
    let proxy = Proxy::start(&server);
    let address = format!("http://me:word@127.0.0.1:{}", proxy.port);

    let through = ask("http://models.invalid/v1", &[("HTTP_PROXY", &address)]);
    let talk = text(&through.stderr);
    assert!(through.status.success(), "{talk}");
    assert!(!talk.contains("word@") && !talk.contains(KEY), "{talk}");
    assert_eq!(server.asked().len(), 1);
    let heard = proxy.heard();
    assert!(
        !heard.is_empty() && heard.iter().all(|line| line == "FORWARD models.invalid Basic bWU6d29yZA=="),
        "{heard:?}"
    );

    // Names that are excepted, and this machine, are reached straight.
    let excepted = ask("http://models.invalid/v1", &[("HTTP_PROXY", &address), ("NO_PROXY", "models.invalid")]);
    assert_eq!(excepted.status.code(), Some(4), "that name leads nowhere: {}", text(&excepted.stderr));
    let local = ask(&server.url, &[("HTTP_PROXY", &address)]);
    assert!(local.status.success(), "{}", text(&local.stderr));
    assert_eq!((server.asked().len(), proxy.heard()), (2, vec![]));
}

#[test]
fn a_proxy_tunnels_tls_and_sees_no_key() {
    let server = FaultServer::start_tls(&fixture("server.pem"));
    let proxy = Proxy::start(&server);
    let address = format!("http://me:word@127.0.0.1:{}", proxy.port);
    let authority = fixture("authority.pem").display().to_string();
    let variables = [("HTTPS_PROXY", &*address), ("SSL_CERT_FILE", &*authority)];
    let through = ask("https://models.invalid/v1", &variables);
    assert!(through.status.success(), "{}", text(&through.stderr));
    assert_eq!(server.asked().len(), 1);
    let heard = proxy.heard();
    let expected = "CONNECT models.invalid:443 Basic bWU6d29yZA==";
    assert!(!heard.is_empty() && heard.iter().all(|line| line == expected), "{heard:?}");
}

#[test]
fn a_proxy_that_is_not_there_is_named_as_what_is_missing() {
    let gone = ask("http://models.invalid/v1", &[("HTTP_PROXY", "http://127.0.0.1:1")]);
    let talk = text(&gone.stderr);
    assert_eq!(gone.status.code(), Some(4), "{talk}");
    assert!(talk.contains("connection refused"), "{talk}");
}
