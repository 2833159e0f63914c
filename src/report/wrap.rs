//! Texts in lines of a given width, whole or as they arrive.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Returns how many columns of a terminal a line takes.
#[must_use]
pub fn columns(text: &str) -> usize {
    text.width()
}

/// Shortens one line to `width` columns; what was cut shows as `…`.
#[must_use]
pub fn cut(line: &str, width: usize) -> String {
    if columns(line) <= width {
        return line.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for letter in line.chars() {
        used += letter.width().unwrap_or(0);
        if used >= width {
            break;
        }
        kept.push(letter);
    }
    kept.truncate(kept.trim_end().len());
    kept.push('…');
    kept
}

/// Wraps a whole text, every line behind `indent` spaces; ends without a line break.
#[must_use]
pub fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let mut wrapper = Wrapper::new(width, indent);
    let mut lines = wrapper.push(text.trim_end());
    lines.push_str(&wrapper.finish());
    lines
}

/// Breaks a text that comes in pieces into lines between words.
///
/// A word is given out when the next one begins, so what was given out never has to be taken back. Line breaks of
/// the text stay. Wide letters (Chinese, Japanese) may be parted anywhere except before closing punctuation.
/// Lines that stay empty get no indent. Whatever the pieces, the lines are the same.
#[derive(Clone, Debug)]
pub struct Wrapper {
    width: usize,
    indent: usize,
    /// True when the indent of the present line is out.
    opened: bool,
    column: usize,
    gap: usize,
    word: String,
    word_columns: usize,
}

impl Wrapper {
    /// Starts at the beginning of a line. `width` counts the indent; at least ten columns are left for the text.
    #[must_use]
    pub fn new(width: usize, indent: usize) -> Self {
        let width = width.saturating_sub(indent).max(10);
        Self { width, indent, opened: false, column: 0, gap: 0, word: String::new(), word_columns: 0 }
    }

    /// Takes the next piece and returns what is certain to stand next.
    pub fn push(&mut self, piece: &str) -> String {
        let mut out = String::new();
        for letter in piece.chars() {
            match letter {
                '\n' => self.break_line(&mut out),
                letter if letter.is_whitespace() && letter != '\u{a0}' => {
                    self.place_word(&mut out);
                    self.gap += if letter == '\t' { 4 } else { usize::from(letter != '\r') };
                }
                letter => self.take(letter, &mut out),
            }
        }
        out
    }

    /// Returns what was still held back.
    pub fn finish(&mut self) -> String {
        let mut out = String::new();
        self.place_word(&mut out);
        out
    }

    /// Returns true when nothing stands on the present line.
    #[must_use]
    pub const fn is_at_line_start(&self) -> bool {
        self.column == 0 && self.word.is_empty()
    }

    fn take(&mut self, letter: char, out: &mut String) {
        let wide = letter.width().unwrap_or(0);
        let parts = self.word.chars().next_back().is_some_and(|last| may_part(last, letter));
        if parts || self.word_columns + wide > self.width {
            self.place_word(out);
        }
        self.word.push(letter);
        self.word_columns += wide;
    }

    fn place_word(&mut self, out: &mut String) {
        if self.word.is_empty() {
            return;
        }
        // A gap so wide that no word could follow it is no indentation of the author's.
        let gap = self.gap.min(self.width / 2);
        if self.column > 0 && self.column + gap + self.word_columns > self.width {
            self.close_line(out);
        } else if self.column > 0 || gap + self.word_columns <= self.width {
            self.open_line(out);
            out.extend(std::iter::repeat_n(' ', gap));
            self.column += gap;
        }
        self.open_line(out);
        out.push_str(&self.word);
        self.column += self.word_columns;
        self.gap = 0;
        self.word.clear();
        self.word_columns = 0;
    }

    fn open_line(&mut self, out: &mut String) {
        if !self.opened {
            out.extend(std::iter::repeat_n(' ', self.indent));
            self.opened = true;
        }
    }

    fn close_line(&mut self, out: &mut String) {
        out.push('\n');
        self.opened = false;
        self.column = 0;
    }

    fn break_line(&mut self, out: &mut String) {
        self.place_word(out);
        self.close_line(out);
        self.gap = 0;
    }
}

/// Tells whether a line may end between two letters that no space parts.
fn may_part(last: char, next: char) -> bool {
    const CLOSING: &str = "、。，．！？：；）］｝」』】〉》〕ー…・";
    const OPENING: &str = "（［｛「『【〈《〔";
    let is_wide = |letter: char| letter.width() == Some(2);
    (is_wide(last) || is_wide(next)) && !CLOSING.contains(next) && !OPENING.contains(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, width: usize, indent: usize, expected: &str) {
        assert_eq!(wrapped(text, width, indent), expected);
    }

    #[test]
    fn breaks_between_words() {
        check("one two three", 10, 0, "one two\nthree");
        check("one two three", 15, 2, "  one two three");
        check("a\n\nb", 12, 2, "  a\n\n  b");
        check("- list\n    deep", 20, 2, "  - list\n      deep");
        check("abcdefghijklmno", 10, 0, "abcdefghij\nklmno");
        check("", 10, 2, "");
    }

    #[test]
    fn wide_letters_part_but_keep_their_punctuation() {
        check("我们应该支，因为", 10, 0, "我们应该\n支，因为");
        check("日本語。", 10, 0, "日本語。");
    }

    #[test]
    fn cutting_shows() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("too long", 5), "too…");
    }

    proptest! {
        #[test]
        fn no_line_is_too_long_and_no_letter_is_lost(text in "[a-z 我、\n]{0,120}", width in 12usize..40) {
            let lines = wrapped(&text, width, 2);
            for line in lines.lines() {
                // Closing punctuation keeps to its letter: a run of it may hang over.
                prop_assert!(columns(line) <= width || text.contains("、、"), "{line:?}");
            }
            let letters = |text: &str| text.chars().filter(|letter| !letter.is_whitespace()).collect::<String>();
            prop_assert_eq!(letters(&lines), letters(&text));
        }

        #[test]
        fn pieces_make_no_difference(text in "[a-z 我、\n]{0,80}", cuts in prop::collection::vec(0usize..80, 0..6)) {
            let letters: Vec<char> = text.chars().collect();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(letters.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Wrapper::new(20, 2);
            let (mut out, mut start) = (String::new(), 0);
            for end in cuts.into_iter().chain([letters.len()]) {
                out.push_str(&pieces.push(&letters[start..end].iter().collect::<String>()));
                start = end;
            }
            out.push_str(&pieces.finish());
            let mut whole = Wrapper::new(20, 2);
            let mut expected = whole.push(&text);
            expected.push_str(&whole.finish());
            prop_assert_eq!(out, expected);
        }
    }
}
