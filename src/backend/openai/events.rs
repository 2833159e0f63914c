//! Server-sent events out of pieces of bytes, however those are cut.

/// Longest line, and longest event, in bytes. A chunk of an answer is some 300.
const LIMIT: usize = 1 << 20;
/// Longest JSON outside of events, in bytes: only errors come so.
const STRAY_LIMIT: usize = 64 << 10;

/// Splits a stream into events (WHATWG HTML, section 9.2.6): lines end with LF, CR or CRLF, an empty line ends an
/// event, lines that begin with a colon are comments. JSON that stands outside of them, on one line or several, is an
/// event as well: so some servers send the error that ends their stream.
#[derive(Default)]
pub(super) struct Events {
    buffer: Vec<u8>,
    start: usize,
    /// How much after `start` is known to hold no end of a line.
    scanned: usize,
    data: Option<Vec<u8>>,
    is_error: bool,
    /// JSON outside of events, while it is not yet whole.
    stray: Vec<u8>,
    /// The last line ended with CR at the very end of a piece: a LF that comes next belongs to it.
    skips_newline: bool,
    has_begun: bool,
}

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// Its data lines, joined.
    pub(super) data: Vec<u8>,
    /// True when its name, or the name of its field, is `error`.
    pub(super) is_error: bool,
}

/// A line or an event longer than 1 MiB.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Events {
    /// Takes the next piece of the stream.
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(piece);
    }

    /// Returns the next whole event; none until more has been pushed.
    pub(super) fn next(&mut self) -> Result<Option<Event>, TooLong> {
        loop {
            if self.skips_newline && self.start < self.buffer.len() {
                self.start += usize::from(self.buffer[self.start] == b'\n');
                self.skips_newline = false;
            }
            let rest = &self.buffer[self.start..];
            let end = rest[self.scanned..].iter().position(|&byte| byte == b'\n' || byte == b'\r');
            let Some(length) = end.map(|end| self.scanned + end) else {
                self.scanned = rest.len();
                return if rest.len() > LIMIT { Err(TooLong) } else { Ok(None) };
            };
            if length > LIMIT {
                return Err(TooLong);
            }
            self.scanned = 0;
            let line = self.start..self.start + length;
            self.skips_newline = self.buffer[line.end] == b'\r';
            self.start = line.end + 1;
            if line.is_empty() {
                if let Some(event) = self.take() {
                    return Ok(Some(event));
                }
                continue;
            }
            if let Some(event) = self.line(line)? {
                return Ok(Some(event));
            }
        }
    }

    /// Returns the event that the end of the stream has left without its empty line.
    pub(super) fn last(&mut self) -> Option<Event> {
        let line = self.start..self.buffer.len();
        self.start = line.end;
        if line.is_empty() {
            return self.take();
        }
        match self.line(line) {
            Err(TooLong) => None,
            Ok(Some(event)) => Some(event),
            Ok(None) => self.take(),
        }
    }

    fn take(&mut self) -> Option<Event> {
        let is_error = std::mem::take(&mut self.is_error);
        self.data.take().map(|data| Event { data, is_error })
    }

    /// Takes a line; returns the JSON outside of events that it completes.
    fn line(&mut self, line: std::ops::Range<usize>) -> Result<Option<Event>, TooLong> {
        let mut line = &self.buffer[line];
        if !std::mem::replace(&mut self.has_begun, true) {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        let is_data = line.starts_with(b"data:");
        let start = if self.data.is_some() { line } else { line.trim_ascii_start() };
        if !is_data && (!self.stray.is_empty() || matches!(start.first(), Some(b'{' | b'['))) {
            self.stray.extend_from_slice(line);
            self.stray.push(b'\n');
            if self.stray.len() > STRAY_LIMIT {
                return Err(TooLong);
            }
            let is_whole = serde_json::from_slice::<serde::de::IgnoredAny>(&self.stray).is_ok();
            return Ok(is_whole.then(|| Event { data: std::mem::take(&mut self.stray), is_error: false }));
        }
        if is_data {
            // What was begun outside of an event is not completed by one.
            self.stray.clear();
        }
        let (field, value) = match line.iter().position(|&byte| byte == b':') {
            Some(colon) => (&line[..colon], line[colon + 1..].strip_prefix(b" ").unwrap_or(&line[colon + 1..])),
            None => (line, &b""[..]),
        };
        match field {
            b"event" => self.is_error = value == b"error",
            // `error` is no field of the standard; older llama.cpp servers write their errors under it.
            b"data" | b"error" => {
                self.is_error |= field == b"error";
                match &mut self.data {
                    None => self.data = Some(value.to_vec()),
                    Some(data) if data.len() + value.len() > LIMIT => return Err(TooLong),
                    Some(data) => {
                        data.push(b'\n');
                        data.extend_from_slice(value);
                    }
                }
            }
            // A data field that is spread over lines without naming it in each.
            _ => match &mut self.data {
                Some(data) if matches!(line.first(), Some(b' ' | b'\t' | b'"' | b'}' | b']')) => {
                    if data.len() + line.len() > LIMIT {
                        return Err(TooLong);
                    }
                    data.push(b'\n');
                    data.extend_from_slice(line);
                }
                Some(_) | None => {}
            },
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]]) -> Vec<String> {
        let mut events = Events::default();
        let mut read = Vec::new();
        for piece in pieces {
            events.push(piece);
            while let Some(event) = events.next().expect("nothing here is long") {
                read.push(event);
            }
        }
        read.extend(events.last());
        read.into_iter()
            .map(|event| format!("{}{}", if event.is_error { "!" } else { "" }, String::from_utf8_lossy(&event.data)))
            .collect()
    }

    const STREAM: &str = "\u{feff}data: {\"a\":\"é\"}\r\n\r\n: keep alive\n\ndata:two\rdata: lines\r\revent: error\nid: 7\ndata: x\n\nerror: y\n\ndata\n\ndata: [DONE]";

    #[test]
    fn reads_every_kind_of_line() {
        let expected = ["{\"a\":\"é\"}", "two\nlines", "!x", "!y", "", "[DONE]"];
        assert_eq!(read(&[STREAM.as_bytes()]), expected);
    }

    proptest! {
        #[test]
        fn the_cuts_between_pieces_do_not_matter(mut cuts in prop::collection::vec(0..STREAM.len(), 0..20)) {
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&STREAM.as_bytes()[from..cut]);
                from = cut;
            }
            pieces.push(&STREAM.as_bytes()[from..]);
            prop_assert_eq!(read(&pieces), read(&[STREAM.as_bytes()]));
        }
    }

    #[test]
    fn json_outside_of_events_is_an_event() {
        let error = r#"{"error":{"message":"upstream"}}"#;
        assert_eq!(read(&[error.as_bytes()]), [error.to_owned() + "\n"]);
        let mixed = format!("data: one\n\n{error}\n\ndata: two\n\n");
        assert_eq!(read(&[mixed.as_bytes()]), ["one".to_owned(), error.to_owned() + "\n", "two".to_owned()]);
        let lines = "{\n \"error\": {\n\n  \"code\": 500\n }\n}\n";
        assert_eq!(read(&[lines.as_bytes()]), ["{\n \"error\": {\n  \"code\": 500\n }\n}\n"]);
        assert_eq!(read(&[b"{\"half\": \ndata: one\n\n"]), ["one"]);
        assert_eq!(read(&[b"data: {\n \"error\": 1\n}\n\n"]), ["{\n \"error\": 1\n}"]);
        assert_eq!(read(&[b"data: {}\nx-field: 1\n\n"]), ["{}"]);
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut events = Events::default();
        events.push(&vec![b'x'; LIMIT + 1]);
        assert_eq!(events.next(), Err(TooLong));
        let mut events = Events::default();
        events.push(&b"data: y\n".repeat(LIMIT));
        assert_eq!(events.next(), Err(TooLong));
    }
}
