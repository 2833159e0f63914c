//! JSON Lines: one object a line.

use std::io::{BufRead, Read as _};

use serde_json::Value;

use super::problem::{Wrong, no_text, other_encoding};
use super::{LONGEST_ROW, Numbered, Object};

/// A file with one JSON object a line. Memory: one line.
pub(super) struct Lines {
    input: Box<dyn BufRead>,
    line: u64,
}

impl Lines {
    pub(super) fn new(input: Box<dyn BufRead>) -> Self {
        Self { input, line: 0 }
    }

    /// Returns the number of the next line that is not blank, and what stands there.
    pub(super) fn next(&mut self) -> Option<Numbered> {
        loop {
            self.line += 1;
            let mut line = Vec::new();
            match self.input.by_ref().take(LONGEST_ROW).read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => return Some((self.line, Err(Wrong::unreadable(&error)))),
            }
            if line.len() as u64 == LONGEST_ROW && line.last() != Some(&b'\n') {
                let message = format!("the line is longer than {} MiB", LONGEST_ROW >> 20);
                let wrong = Wrong::row(message, "one JSON object a line; is this really JSON Lines?");
                let passed = self.pass_over();
                return Some((self.line, Err(passed.map_or_else(|error| Wrong::unreadable(&error), |()| wrong))));
            }
            if self.line == 1
                && let Some(wrong) = other_encoding(&line)
            {
                return Some((1, Err(wrong)));
            }
            let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line);
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            return Some((self.line, object(line)));
        }
    }

    /// Passes over the rest of a line.
    fn pass_over(&mut self) -> std::io::Result<()> {
        loop {
            let part = self.input.fill_buf()?;
            let (length, ends) = match part.iter().position(|byte| *byte == b'\n') {
                Some(place) => (place + 1, true),
                None => (part.len(), part.is_empty()),
            };
            self.input.consume(length);
            if ends {
                return Ok(());
            }
        }
    }
}

fn object(line: &[u8]) -> Result<Object, Wrong> {
    const HELP: &str = "one JSON object a line, such as {\"motion\": \"…\"}";
    if line.contains(&0) {
        return Err(Wrong::row("the line has NUL bytes: it is no text", HELP));
    }
    if let Some(wrong) = no_text(line) {
        return Err(wrong);
    }
    let mut deserializer = serde_json::Deserializer::from_slice(line);
    match serde::Deserialize::deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value)) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Wrong::row("the line is JSON, but no object", HELP)),
        Err(error) => {
            let reason = error.to_string();
            let reason = reason.split(" at line ").next().unwrap_or_default();
            let wrong = Wrong::row(format!("the line is no JSON: {reason}"), HELP);
            Err(Wrong { column: Some(error.column()), ..wrong })
        }
    }
}
