//! `pipe gitops` beside a test: what it tells, what it is asked, and how it is woken.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

/// What webhooks are signed with.
pub(crate) const SECRET: &str = "a webhook's secret";

/// A reconciler that only a webhook wakes, and what it tells.
pub(crate) struct Follower {
    pub(crate) child: Child,
    pub(crate) lines: BufReader<ChildStdout>,
    pub(crate) address: String,
}

impl Follower {
    /// Starts one, which has to be told to give its events as JSON.
    pub(crate) fn of(mut command: Command) -> Self {
        command.args(["--interval", "1h", "--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("pipe starts");
        let lines = BufReader::new(child.stdout.take().expect("asked for"));
        let mut follower = Self { child, lines, address: String::new() };
        let started = follower.next("started");
        follower.address = started["listen"].as_str().expect("an address").replace("http://", "");
        follower
    }

    /// Reads the next event.
    pub(crate) fn event(&mut self) -> Value {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line).expect("readable");
        assert!(read > 0, "it left");
        serde_json::from_str(&line).expect("a line of JSON")
    }

    /// Reads on until an event of a name.
    pub(crate) fn next(&mut self, name: &str) -> Value {
        loop {
            let event = self.event();
            if event["event"] == name {
                return event;
            }
            let is_trouble = ["refused", "not_planned", "unreachable"].iter().any(|word| event["event"] == *word);
            assert!(!is_trouble, "{event} before {name:?}");
        }
    }

    /// Waits until a commit is applied, and returns how its entry ended.
    pub(crate) fn applied(&mut self, commit: &str) -> Value {
        loop {
            let event = self.next("applied");
            if event["commit"] == commit {
                assert_eq!(event["exit"], 0, "{event}");
                return event["entries"][0].clone();
            }
        }
    }

    /// The answer to a request, all of it.
    pub(crate) fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.write_all(request.as_bytes()).expect("taken");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        answer
    }

    /// The answer to a GET.
    pub(crate) fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
    }

    /// The answer to a webhook.
    pub(crate) fn webhook(&self, headers: &str, body: &str) -> String {
        let length = body.len();
        self.ask(&format!(
            "POST /webhook HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        ))
    }

    /// Wakes it by a webhook.
    pub(crate) fn wake(&self) {
        let answer = self.webhook(&format!("x-gitlab-token: {SECRET}\r\n"), "{}");
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    }

    /// How it stands, as it says itself.
    pub(crate) fn status(&self) -> Value {
        let answer = self.get("/status");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        serde_json::from_str(body).expect("JSON")
    }

    /// Asks it to leave, and returns its exit code.
    pub(crate) fn leave(mut self) -> Option<i32> {
        signal(self.child.id(), "TERM");
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).expect("readable");
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // Only where a test fails before it left.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Sends a signal, such as `TERM`.
pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().expect("kill starts");
    assert!(status.success());
}
