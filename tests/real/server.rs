//! Servers that live as long as a test.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A server that prints `READY URL` and dies with the test.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
}

impl Server {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let url = loop {
            let line = lines.next().expect("the server said READY before it ended").expect("text");
            if let Some(url) = line.strip_prefix("READY ") {
                break url.to_owned();
            }
        };
        // The rest is read on, so that the server never waits for a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
