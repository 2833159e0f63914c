//! A thought whose opening mark a template has swallowed: whether a closing mark ends it, or is only spoken of.
//! Start at [`closes`].

use super::marks::Read;

/// What stands before or after a mark that is quoted.
const QUOTES: &[char] = &['"', '\'', '`', '“', '”', '‘', '’', '«', '»', '(', ')'];
/// What ends a sentence, or what stands at its end.
const ENDS: &[char] = &['.', '!', '?', '…', '。', '！', '？', '*', '}', ']', '"', '”', ')'];

/// Returns true when the mark at `start..end` closes what stands before it; none while too little has come.
///
/// An answer about such marks has them in quotes or in the middle of a sentence, and a thought is closed where a sentence
/// ends, with a new beginning after it.
pub(super) fn closes(text: &str, start: usize, end: usize, is_all: bool) -> Read<bool> {
    let (before, after) = (&text[..start], &text[end..]);
    if is_quoted_before(before) || before.trim_start().starts_with('{') {
        return Read::Found(false);
    }
    let Some(next) = after.chars().next() else {
        return if is_all { Read::Found(closes_line(before, true)) } else { Read::Partial };
    };
    if QUOTES.contains(&next) || matches!(next, ',' | ';' | '.' | ':' | '?') {
        return Read::Found(false);
    }
    let rest = after.trim_start_matches([' ', '\t', '\r']);
    match rest.chars().next() {
        None if is_all => Read::Found(closes_line(before, true)),
        None => Read::Partial,
        Some('\n') => {
            let below = &rest[1..];
            match below.chars().next() {
                None if !is_all => Read::Partial,
                below => Read::Found(closes_line(before, matches!(below, Some('\n' | '\r')))),
            }
        }
        Some(first) => Read::Found(begins_anew(first) && (closes_sentence(before) || is_glued(before, next))),
    }
}

/// Returns true when the mark is in quotes or code: it is spoken of.
pub(super) fn is_quoted_before(before: &str) -> bool {
    let line = before.rsplit('\n').next().unwrap_or(before);
    let is_odd = |mark: &str, text: &str| text.matches(mark).count() % 2 == 1;
    is_odd("```", before)
        || is_odd("`", line)
        || is_odd("\"", line)
        || before.chars().next_back().is_some_and(|last| matches!(last, '"' | '\'' | '`' | '“' | '‘' | '«' | '('))
}

/// Returns true when a mark at the end of its line, with or without an empty line below, closes what is before it.
fn closes_line(before: &str, is_set_off: bool) -> bool {
    let line = before.rsplit('\n').next().unwrap_or(before);
    let is_alone = line.trim().is_empty();
    if is_alone {
        return !announces(before);
    }
    if announces(before) {
        return false;
    }
    closes_sentence(before) || line.trim_end().len() == line.len() || is_set_off && !is_last(line)
}

/// Returns true when a line ends in words that lead to what they name.
fn is_last(line: &str) -> bool {
    let word = line.trim_end().rsplit(' ').next().unwrap_or_default().to_lowercase();
    matches!(
        word.as_str(),
        "is" | "with" | "by" | "tag" | "mark" | "as" | "a" | "the" | "and" | "or" | "of" | "to" | "in"
    )
}

/// Returns true when what stands before leads to what is to be named.
fn announces(before: &str) -> bool {
    before.trim_end().ends_with([':', ',', '：', '='])
}

fn closes_sentence(before: &str) -> bool {
    let before = before.trim_end();
    before.is_empty() || before.ends_with(ENDS)
}

fn is_glued(before: &str, next: char) -> bool {
    !before.ends_with(char::is_whitespace) && !next.is_whitespace() && !announces(before)
}

fn begins_anew(first: char) -> bool {
    first.is_uppercase()
        || first.is_numeric()
        || !first.is_ascii()
        || matches!(first, '{' | '[' | '*' | '#' | '"' | '-' | '<' | '`')
}
