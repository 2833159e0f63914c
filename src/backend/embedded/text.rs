//! From token bytes to text that may be shown.
//! Reads: bytes in pieces cut anywhere. Gives: whole characters, nothing of a stop string. Never: tokens.
//! Start at [`AnswerText::push`].

/// The text of an answer as it grows.
///
/// Held back until it is decided: bytes of an unfinished character, and a tail that could be the start of a stop string.
#[derive(Debug, Default)]
pub(super) struct AnswerText {
    stops: Vec<String>,
    partial: Vec<u8>,
    text: String,
    /// Everything before this may be shown and will not change.
    settled: usize,
    /// Everything before this has been taken.
    taken: usize,
}

impl AnswerText {
    /// Starts an answer that ends before the first of `stops`; empty ones are no stops.
    pub(super) fn new(stops: &[String]) -> Self {
        Self { stops: stops.iter().filter(|stop| !stop.is_empty()).cloned().collect(), ..Self::default() }
    }

    /// Adds a token's bytes; returns true when a stop string is complete, which ends the answer before it.
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        self.partial.extend_from_slice(bytes);
        self.decode();
        if let Some(end) = self.earliest_stop() {
            self.text.truncate(end);
            self.partial.clear();
            self.settled = end;
            return true;
        }
        self.settled = self.text.len() - self.undecided();
        false
    }

    /// Ends the answer: what was held back is part of it after all, but for an unfinished character.
    pub(super) fn finish(&mut self) {
        self.partial.clear();
        self.settled = self.text.len();
    }

    /// Returns the text that may be shown since the last call.
    pub(super) fn take_new(&mut self) -> &str {
        let from = std::mem::replace(&mut self.taken, self.settled);
        &self.text[from..self.settled]
    }

    /// Returns all of it, what is held back included.
    pub(super) fn whole(&self) -> &str {
        &self.text
    }

    fn decode(&mut self) {
        loop {
            let Err(error) = std::str::from_utf8(&self.partial) else {
                self.move_valid(self.partial.len(), 0);
                return;
            };
            let Some(invalid) = error.error_len() else {
                self.move_valid(error.valid_up_to(), 0);
                return;
            };
            self.move_valid(error.valid_up_to(), invalid);
            self.text.push(char::REPLACEMENT_CHARACTER);
        }
    }

    fn move_valid(&mut self, valid: usize, skip: usize) {
        self.text.push_str(&String::from_utf8_lossy(&self.partial[..valid]));
        self.partial.drain(..valid + skip);
    }

    // No stop begins before `settled`: whatever could have begun one was held back.
    fn earliest_stop(&self) -> Option<usize> {
        let open = &self.text[self.settled..];
        self.stops.iter().filter_map(|stop| open.find(stop.as_str())).min().map(|at| self.settled + at)
    }

    fn undecided(&self) -> usize {
        let open = &self.text[self.settled..];
        let begins_a_stop = |tail: &str| self.stops.iter().any(|stop| stop.starts_with(tail));
        open.char_indices().map(|(at, _)| &open[at..]).find(|tail| begins_a_stop(tail)).map_or(0, str::len)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn show(stops: &[&str], pieces: &[&[u8]]) -> (Vec<String>, String, bool) {
        let stops: Vec<String> = stops.iter().map(|&stop| stop.to_owned()).collect();
        let mut answer = AnswerText::new(&stops);
        let mut shown = Vec::new();
        let mut stopped = false;
        for piece in pieces {
            stopped = answer.push(piece);
            shown.push(answer.take_new().to_owned());
            if stopped {
                break;
            }
        }
        answer.finish();
        shown.push(answer.take_new().to_owned());
        (shown, answer.whole().to_owned(), stopped)
    }

    #[test]
    fn a_character_cut_in_two_is_shown_whole() {
        let (shown, whole, _) = show(&[], &[b"gr\xc3", b"\xbc", b"n"]);
        assert_eq!(shown, ["gr", "ü", "n", ""]);
        assert_eq!(whole, "grün");
    }

    #[test]
    fn an_unfinished_character_at_the_end_is_dropped_and_a_wrong_byte_is_replaced() {
        let (_, whole, _) = show(&[], &[b"a\xffb\xe2\x82"]);
        assert_eq!(whole, "a\u{fffd}b");
    }

    #[test]
    fn a_stop_string_is_never_shown_even_in_pieces() {
        let (shown, whole, stopped) = show(&["END", ""], &[b"the E", b"N", b"Dless"]);
        assert_eq!(shown, ["the ", "", "", ""]);
        assert_eq!((whole.as_str(), stopped), ("the ", true));
    }

    #[test]
    fn what_only_looked_like_a_stop_is_shown_later() {
        let (shown, whole, stopped) = show(&["END"], &[b"the E", b"N", b"emy E"]);
        assert_eq!(shown, ["the ", "", "ENemy ", "E"]);
        assert_eq!((whole.as_str(), stopped), ("the ENemy E", false));
    }

    proptest! {
        #[test]
        fn the_pieces_make_no_difference(text in "[aü\u{1F600}xy]{0,24}", cut in 1usize..5, stop in "[axy]{1,3}") {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(cut).collect();
            let (shown, whole, stopped) = show(&[stop.as_str()], &pieces);
            let expected = text.find(stop.as_str()).map_or(text.as_str(), |at| &text[..at]);
            prop_assert_eq!(&whole, expected);
            prop_assert_eq!(shown.concat(), expected);
            prop_assert_eq!(stopped, text.contains(stop.as_str()));
        }
    }
}
