//! Whether a vocabulary can write a text whatever way it begins.
//! Reads: the bytes of every token. Gives: yes or no. Never: which way is likely.
//! Start at [`Spelling::can_write`].

use std::collections::BTreeSet;

/// The bytes of every token that may stand in a text.
#[derive(Debug)]
pub(super) struct Spelling {
    pieces: BTreeSet<Vec<u8>>,
    longest: usize,
}

impl Spelling {
    pub(super) fn new(pieces: impl Iterator<Item = Vec<u8>>) -> Self {
        let pieces: BTreeSet<Vec<u8>> = pieces.filter(|piece| !piece.is_empty()).collect();
        let longest = pieces.iter().map(Vec::len).max().unwrap_or(0);
        Self { pieces, longest }
    }

    /// Tells whether, from every place that tokens can reach in `text`, some token leads on.
    ///
    /// A grammar keeps a model within a text, but tokens may part it anywhere, also within a character. Where no token
    /// goes on from there, the grammar forbids all of them, and llama.cpp ends the process. Cost: length × longest token.
    pub(super) fn can_write(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        let mut is_reached = vec![false; bytes.len() + 1];
        is_reached[0] = true;
        for from in 0..bytes.len() {
            if !is_reached[from] {
                continue;
            }
            let mut leads_on = false;
            for to in from + 1..=bytes.len().min(from + self.longest) {
                if self.pieces.contains(&bytes[from..to]) {
                    is_reached[to] = true;
                    leads_on = true;
                }
            }
            if !leads_on {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&[u8]], text: &str, expected: bool) {
        let spelling = Spelling::new(pieces.iter().map(|piece| piece.to_vec()));
        assert_eq!(spelling.can_write(text), expected, "{text:?} with {pieces:?}");
    }

    #[test]
    fn a_text_is_writable_only_when_no_way_into_it_ends() {
        check(&[b"a", b"b", b"ab"], "abba", true);
        check(&[b"ab"], "abab", true);
        check(&[b"ab", b"a"], "abab", false);
        check(&[b"a"], "ab", false);
        check(&[b""], "a", false);
        check(&[], "", true);
    }

    #[test]
    fn half_a_character_is_a_place_too() {
        check(&["ü".as_bytes()], "ü", true);
        check(&["ü".as_bytes(), b"\xc3"], "ü", false);
        check(&["ü".as_bytes(), b"\xc3", b"\xbc"], "ü", true);
    }
}
