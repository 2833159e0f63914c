//! Starts one test of this binary again as a process of its own, to be killed.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};

/// Tells the process its part; the test that finds it set plays that part and does not return.
pub(super) const PART: &str = "PIPE_TEST_PART";

/// A second process and what it says on standard error, line by line.
pub(super) struct SecondProcess {
    pub(super) child: Child,
    pub(super) says: std::io::Lines<BufReader<ChildStderr>>,
}

impl SecondProcess {
    /// Runs the test `name` of module `module` again, with `part` to play.
    pub(super) fn start(module: &str, name: &str, part: &std::path::Path) -> Self {
        let inside_crate = module.split_once("::").expect("a module lies in a crate").1;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("{inside_crate}::{name}"), "--nocapture"])
            .env(PART, part)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let says = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, says }
    }

    /// Ends it by SIGKILL, wherever it is, and waits until it is gone.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
