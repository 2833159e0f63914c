//! A scalar as it was written, and the way back from its characters to the file's.

use std::ops::Range;
use std::sync::Arc;

use super::Literal;
use crate::diag::Span;

/// The text of a scalar.
#[derive(Clone, Debug)]
pub struct Text {
    /// The text, unescaped and unfolded.
    pub value: String,
    /// Where it is written, quotes included.
    pub span: Span,
    /// How.
    pub style: Style,
    /// The bytes under `span`.
    raw: Arc<str>,
}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes: may be a number.
    Plain,
    /// `'…'`
    SingleQuoted,
    /// `"…"`
    DoubleQuoted,
    /// `|` or `>`
    Block,
    /// The text of a file of its own.
    File,
}

impl Text {
    pub(super) fn new(value: String, span: Span, style: Style, raw: &str) -> Self {
        Self { value, span, style, raw: Arc::from(raw) }
    }

    /// Takes the text of another file, named as the user named it.
    #[must_use]
    pub fn of_file(file: &Arc<str>, value: String) -> Self {
        let raw = Arc::from(value.as_str());
        Self { span: Span::new(file, 0..value.len()), value, style: Style::File, raw }
    }

    /// Returns a piece of it as a text of its own, which knows its place.
    #[must_use]
    pub fn narrowed(&self, piece: &str) -> Self {
        let start = self.value.find(piece).unwrap_or(0);
        let span = self.place(start..start + piece.len());
        let raw = self.raw.get(span.start - self.span.start..span.end - self.span.start).unwrap_or(piece);
        Self { value: piece.to_owned(), raw: Arc::from(raw), span, style: Style::Plain }
    }

    /// Resolves the type: unquoted scalars may be numbers.
    #[must_use]
    pub fn literal(&self) -> Literal {
        match self.style {
            Style::Plain => Literal::of_plain(&self.value),
            Style::SingleQuoted | Style::DoubleQuoted | Style::Block | Style::File => {
                Literal::Text(self.value.clone())
            }
        }
    }

    /// Returns where a piece of the value stands in the file.
    ///
    /// Follows escapes, folded lines and indentation; the whole scalar when it loses its way.
    #[must_use]
    pub fn place(&self, range: Range<usize>) -> Span {
        self.places(&[range]).pop().unwrap_or_else(|| self.span.clone())
    }

    /// Returns where several pieces of the value stand in the file; follows the text once.
    #[must_use]
    pub fn places(&self, ranges: &[Range<usize>]) -> Vec<Span> {
        let Some(map) = self.align() else { return vec![self.span.clone(); ranges.len()] };
        ranges.iter().map(|range| self.mapped(&map, range)).collect()
    }

    fn mapped(&self, map: &[usize], range: &Range<usize>) -> Span {
        let start = map.get(range.start).copied().unwrap_or(self.raw.len());
        let end = match range.end.checked_sub(1).filter(|last| *last >= range.start) {
            // The end of the last byte, not the start of the next one: a line break may lie between.
            // A parser may point behind the last letter, where a quote is not closed.
            Some(last) => map.get(last).map_or(self.raw.len(), |at| at + 1),
            None => start,
        };
        let end = end.max(start).min(self.raw.len());
        Span { start: self.span.start + start, end: self.span.start + end, ..self.span.clone() }
    }

    /// Returns for each byte of the value its byte in `raw`.
    fn align(&self) -> Option<Vec<usize>> {
        let raw = self.raw.as_bytes();
        let quoted = matches!(self.style, Style::SingleQuoted | Style::DoubleQuoted);
        let mut at = usize::from(quoted);
        let mut map = Vec::with_capacity(self.value.len());
        for letter in self.value.chars() {
            let length = letter.len_utf8();
            if letter.is_whitespace() && !(self.style == Style::DoubleQuoted && raw.get(at) == Some(&b'\\')) {
                map.extend(std::iter::repeat_n(at.min(raw.len()), length));
                at += usize::from(raw.get(at).is_some_and(u8::is_ascii_whitespace));
                continue;
            }
            while raw.get(at).is_some_and(u8::is_ascii_whitespace) {
                at += 1;
            }
            if self.style == Style::DoubleQuoted {
                skip_escaped_breaks(raw, &mut at);
            }
            let width = match (self.style, raw.get(at)?) {
                (Style::DoubleQuoted, b'\\') => escape_width(*raw.get(at + 1)?),
                (Style::SingleQuoted, b'\'') => 2,
                _ if self.raw.get(at..)?.starts_with(letter) => {
                    map.extend(at..at + length);
                    at += length;
                    continue;
                }
                _ => return None,
            };
            map.extend(std::iter::repeat_n(at, length));
            at += width;
        }
        Some(map)
    }
}

/// Steps over a backslash at the end of a line and the indentation after it.
fn skip_escaped_breaks(raw: &[u8], at: &mut usize) {
    while raw.get(*at) == Some(&b'\\') && matches!(raw.get(*at + 1), Some(b'\n' | b'\r')) {
        *at += 2;
        while raw.get(*at).is_some_and(u8::is_ascii_whitespace) {
            *at += 1;
        }
    }
}

/// Returns how many bytes an escape takes, by the byte after the backslash.
const fn escape_width(kind: u8) -> usize {
    match kind {
        b'x' => 4,
        b'u' => 6,
        b'U' => 10,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(style: Style, raw: &str, value: &str, piece: &str, expected: &str) {
        let span = Span::new(&Arc::from("f"), 0..raw.len());
        let text = Text::new(value.to_owned(), span, style, raw);
        let start = value.find(piece).expect("the piece is in the value");
        let place = text.place(start..start + piece.len());
        assert_eq!(&raw[place.start..place.end], expected, "{raw:?}");
    }

    #[test]
    fn finds_its_way_back_through_every_style() {
        check(Style::Plain, "a {{ x }} b", "a {{ x }} b", "{{ x }}", "{{ x }}");
        check(Style::Plain, "a\n   {{ x }}", "a {{ x }}", "{{ x }}", "{{ x }}");
        check(Style::SingleQuoted, "'it''s {{ x }}'", "it's {{ x }}", "x", "x");
        check(Style::DoubleQuoted, r#""a\n\u00e9 {{ x }}""#, "a\né {{ x }}", "x", "x");
        check(Style::DoubleQuoted, "\"a \\\n   bc\"", "a bc", "bc", "bc");
        check(Style::Block, "one\n    two {{ é }}\n\n    three\n", "one\ntwo {{ é }}\n\nthree\n", "é }}", "é }}");
        check(Style::Block, "one\n    two\n", "one two\n", "two", "two");
    }

    #[test]
    fn stays_within_the_scalar_whatever_is_asked() {
        let scalars = [
            (Style::Plain, "each > 1'", "each > 1'"),
            (Style::SingleQuoted, "'it''s'", "it's"),
            (Style::DoubleQuoted, r#""a\n\u00e9""#, "a\né"),
            (Style::Block, "one\n    two", "one\ntwo\n"),
            (Style::Block, "one", "one\n\n"),
        ];
        for (style, raw, value) in scalars {
            let text = Text::new(value.to_owned(), Span::new(&Arc::from("f"), 3..3 + raw.len()), style, raw);
            for (start, end) in
                (0..value.len() + 3).flat_map(|start| (0..value.len() + 3).map(move |end| (start, end)))
            {
                let place = text.place(start..end);
                let scalar = 3..=3 + raw.len();
                assert!(place.start <= place.end, "{raw:?} {start}..{end}");
                assert!(scalar.contains(&place.start) && scalar.contains(&place.end), "{raw:?} {start}..{end}");
            }
        }
    }
}
