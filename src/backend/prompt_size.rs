//! How many tokens a prompt has, as far as its text says so without the model's own vocabulary.

use crate::prompt::Message;

/// Shortest prompt that is judged, in bytes: below, templates and roles count for too much.
const JUDGED: u64 = 4_096;
/// Bytes of a token in common text, over languages and vocabularies.
const USUAL: u64 = 4;
/// Weight of a token in text that is as dense as text gets: long English words come to 5 or 6 letters.
const DENSEST: u64 = 7;

/// The length of a prompt in two measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PromptSize {
    /// Of the texts, in UTF-8.
    bytes: u64,
    /// Letters, those that stand for a syllable or a word two and a half times; what repeats one letter counts once. A
    /// token never holds much of it: vocabularies have tokens for long runs of blanks, and for two or three of the latter.
    weight: u64,
}

impl PromptSize {
    /// Measures the texts of a request.
    pub(super) fn of(messages: &[Message]) -> Self {
        let mut size = Self { bytes: 0, weight: 0 };
        let mut halves = 0;
        for message in messages {
            size.bytes += message.content.len() as u64;
            let mut before = None;
            for letter in message.content.chars() {
                let letter = if letter.is_whitespace() { ' ' } else { letter };
                if before.replace(letter) != Some(letter) {
                    halves += if is_dense(letter) { 5 } else { 2 };
                }
            }
        }
        size.weight = halves / 2;
        size
    }

    /// Returns true when a text of this length may well have more tokens.
    pub(super) const fn may_be_longer_than(&self, tokens: u64) -> bool {
        // Three bytes a token, and a tenth to spare; what repeats one letter counts for less.
        self.bytes * 10 > tokens * 27 && self.weight * 2 > tokens * 3
    }

    /// Returns true when no text of this length has so few tokens.
    pub(super) const fn is_longer_than(&self, tokens: u64) -> bool {
        self.bytes >= JUDGED && self.weight > tokens * DENSEST
    }

    /// Returns the usual number of tokens of a text of this length.
    pub(super) const fn about(&self) -> u64 {
        self.bytes / USUAL
    }

    /// The same, with two digits and zeros: it is no more exact than that.
    pub(super) const fn about_round(&self) -> u64 {
        let mut step = 1;
        while self.about() / step >= 100 {
            step *= 10;
        }
        self.about() / step * step
    }
}

/// Returns true for the letters of Chinese, Japanese and Korean.
const fn is_dense(letter: char) -> bool {
    matches!(letter, '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::Role;

    fn size(text: &str) -> PromptSize {
        PromptSize::of(&[Message { role: Role::User, content: text.into() }])
    }

    /// Holds texts against the tokens that real vocabularies make of them; the numbers are those of dense ones.
    #[test]
    fn what_was_read_whole_raises_no_doubt() {
        let english = "The committee considered the international agreement in considerable detail before voting. ";
        let code = "        if (value == null) {\n            return defaultValue;\n        }\n";
        let hindi = "सरकार ने नई नीति की घोषणा की और लोगों ने उसका स्वागत किया। ";
        for (text, times, tokens) in [
            ("Why is the sky blue?", 1, 27),
            (english, 200, 200 * 14),
            (code, 300, 300 * 20),
            ("这个城市的历史可以追溯到两千多年前。", 400, 400 * 8),
            (hindi, 300, 300 * 16),
            ("Правительство объявило о новой политике. ", 300, 300 * 8),
            (" ", 60_000, 500),
            ("\n\n\n\n    \t", 5_000, 600),
            ("=", 40_000, 400),
            ("a ", 10_000, 10_000),
            ("0123456789", 1_000, 4_000),
        ] {
            assert!(!size(&text.repeat(times)).is_longer_than(tokens), "{text:?}");
        }
    }

    #[test]
    fn what_was_cut_raises_one() {
        let fox = "The quick brown fox jumps over the lazy dog. ";
        let recorded = size(&fox.repeat(900));
        assert!(recorded.may_be_longer_than(4_096) && !recorded.may_be_longer_than(40_000));
        assert!(recorded.is_longer_than(4_096));
        assert!(!recorded.is_longer_than(9_020), "as many as it has");
        assert_eq!((recorded.about(), recorded.about_round()), (10_125, 10_000));
        assert!(size(&"这个城市的历史可以追溯到两千多年前。".repeat(1_500)).is_longer_than(4_096));
        assert!(!size(&fox.repeat(50)).is_longer_than(10), "too short to say");
    }
}
