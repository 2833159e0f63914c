//! What may be shown of a server's words: no key, one line, not long.

use std::fmt::Display;
use std::sync::Arc;

use crate::event::Failure;

/// Longest [`Failure::detail`], in characters.
const DETAIL_LIMIT: usize = 400;
/// How much of a useless answer is kept, and how much of a body is looked at for an excerpt, in bytes.
const EVIDENCE: usize = 2 << 10;
/// Shorter keys are placeholders such as `x`; replacing them would only spoil messages.
const SHORTEST_SECRET: usize = 4;

/// Removes a backend's secrets by value, and everything that would break a line or a terminal.
#[derive(Clone, Default)]
pub(crate) struct Scrub {
    /// The longest first: one may be a part of another.
    secrets: Arc<[Arc<str>]>,
}

impl Scrub {
    /// Takes what must never be shown: a key, values of headers, parts of a query.
    pub(crate) fn new(secrets: impl IntoIterator<Item = Arc<str>>) -> Self {
        let mut secrets: Vec<Arc<str>> =
            secrets.into_iter().filter(|secret| secret.len() >= SHORTEST_SECRET).collect();
        secrets.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        secrets.dedup();
        Self { secrets: secrets.into() }
    }

    /// Returns the start of a body on one line, the key replaced before anything is cut.
    pub(crate) fn excerpt(&self, body: &[u8], characters: usize) -> String {
        let window = &body[..body.len().min(EVIDENCE)];
        cut(&self.line(&String::from_utf8_lossy(window)), characters)
    }

    /// Returns the start of what a server answered, as it came but for the key: at most 2 KiB.
    pub(crate) fn evidence(&self, head: &[u8]) -> String {
        let mut text = self.redacted(&String::from_utf8_lossy(head));
        // What has come may end in the middle of a secret.
        let half = |secret: &Arc<str>| {
            let ends = (SHORTEST_SECRET..secret.len()).rev();
            ends.into_iter().find(|&end| secret.get(..end).is_some_and(|half| text.ends_with(half)))
        };
        let longest = self.secrets.iter().filter_map(half).max();
        text.truncate(text.len() - longest.unwrap_or(0));
        let end = (0..=EVIDENCE.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
        text.truncate(end.unwrap_or(0));
        text
    }

    /// Returns a text on one line without the key.
    pub(crate) fn line(&self, text: &str) -> String {
        let redacted = self.redacted(text);
        let mut line = String::with_capacity(redacted.len());
        for word in redacted.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        line
    }

    fn redacted(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(&**secret, "***"))
    }

    /// Makes what a failure says fit to be recorded and shown, after the name of `place`.
    pub(crate) fn failure(&self, place: &dyn Display, failure: Failure) -> Failure {
        let Failure { kind, status, retry_after_ms, detail, evidence } = failure;
        let detail = cut(&self.line(&format!("{place}: {detail}")), DETAIL_LIMIT);
        Failure { kind, status, retry_after_ms, detail, evidence }
    }
}

fn cut(line: &str, characters: usize) -> String {
    if line.chars().count() <= characters {
        return line.to_owned();
    }
    let mut short: String = line.chars().take(characters.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::FailureKind;

    #[test]
    fn a_detail_is_one_short_line_without_the_key() {
        let scrub = Scrub::new(Some("sk-secret".into()));
        let long = format!("bad key\n\tsk-secret \u{1b}[31m {}", "é".repeat(1_000));
        let failure = scrub.failure(&"here", Failure::new(FailureKind::Refused, long));
        assert!(failure.detail.starts_with("here: bad key *** [31m é"), "{}", failure.detail);
        assert_eq!(failure.detail.chars().count(), 400);
        assert!(failure.detail.ends_with('…'));
    }

    #[test]
    fn evidence_is_short_and_holds_no_part_of_the_key() {
        let scrub = Scrub::new(Some("sk-secret".into()));
        assert_eq!(scrub.evidence(b"one\ntwo sk-secret three sk-sec"), "one\ntwo *** three ");
        let edge = format!("{}sk-secret", "é".repeat((EVIDENCE - 5) / 2));
        assert_eq!(scrub.evidence(edge.as_bytes()).len(), EVIDENCE - 3, "the key is seen whole before the cut");
        assert!(scrub.evidence("é".repeat(EVIDENCE).as_bytes()).len() <= EVIDENCE);
        assert_eq!(scrub.evidence(b"\xff\x00"), "\u{fffd}\0");
    }

    #[test]
    fn every_secret_is_replaced_the_longest_first() {
        let scrub = Scrub::new(["team".into(), "team-key-1".into(), "x".into()]);
        assert_eq!(scrub.line("team-key-1 of team x"), "*** of *** x");
        assert_eq!(scrub.evidence(b"team-key-1 tea team-k"), "*** tea ***-k");
    }

    #[test]
    fn a_key_at_the_edge_of_an_excerpt_is_not_half_shown() {
        let scrub = Scrub::new(Some("sk-secret-of-some-length".into()));
        assert_eq!(scrub.excerpt(b"12345678 sk-secret-of-some-length tail", 14), "12345678 *** …");
    }
}
