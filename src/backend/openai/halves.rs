//! Halves of surrogate pairs: JSON writes a character beyond the first 65,536 as two escapes, and servers that cut a text
//! between them send one half each.
//! Start at [`marked`].

use std::borrow::Cow;

/// Where halves stand until they are joined: a part of the last private plane, which no text uses.
const FIRST_MARK: u32 = 0x0010_F000;
const FIRST_HALF: u32 = 0xD800;
const FIRST_LOW: u32 = 0xDC00;
const LAST_HALF: u32 = 0xDFFF;

/// Returns a JSON text in which each escape of a half that stands alone is a mark; none when there is no such escape.
pub(super) fn marked(json: &str) -> Option<String> {
    let bytes = json.as_bytes();
    let half = |at: usize| {
        let escape = json.get(at..at + 6)?.strip_prefix("\\u")?;
        let code = u32::from_str_radix(escape, 16).ok()?;
        (FIRST_HALF..=LAST_HALF).contains(&code).then_some(code)
    };
    let mut text = String::new();
    let (mut from, mut at) = (0, 0);
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            at += 1;
            continue;
        }
        let Some(code) = half(at) else {
            // Whatever is escaped here, its second byte begins no escape.
            at += 2;
            continue;
        };
        let is_pair = code < FIRST_LOW && half(at + 6).is_some_and(|next| next >= FIRST_LOW);
        if is_pair {
            at += 12;
            continue;
        }
        text.push_str(&json[from..at]);
        text.extend(char::from_u32(FIRST_MARK + code - FIRST_HALF));
        at += 6;
        from = at;
    }
    if from == 0 {
        return None;
    }
    text.push_str(&json[from..]);
    Some(text)
}

/// Joins marks to characters over all pieces of a text.
#[derive(Default)]
pub(super) struct Halves {
    /// The first half of a pair, at the end of the last piece.
    held: Option<u32>,
}

impl Halves {
    /// Returns a piece with its halves joined; a first half at its very end is kept for the next piece.
    ///
    /// `is_marked` says whether the piece comes from a text that [`marked`] has changed.
    pub(super) fn join<'a>(&mut self, piece: Cow<'a, str>, is_marked: bool) -> Cow<'a, str> {
        if self.held.is_none() && !is_marked || piece.is_empty() {
            return piece;
        }
        let mut joined = String::with_capacity(piece.len() + 4);
        for character in piece.chars() {
            let code = u32::from(character).wrapping_sub(FIRST_MARK);
            let half = (is_marked && code <= LAST_HALF - FIRST_HALF).then_some(code);
            match (self.held.take(), half) {
                (held, None) => {
                    joined.extend(held.map(|_| char::REPLACEMENT_CHARACTER));
                    joined.push(character);
                }
                (Some(high), Some(low)) if low >= FIRST_LOW - FIRST_HALF => {
                    let pair = 0x1_0000 + (high << 10) + (low - (FIRST_LOW - FIRST_HALF));
                    joined.push(char::from_u32(pair).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                (held, Some(half)) => {
                    joined.extend(held.map(|_| char::REPLACEMENT_CHARACTER));
                    if half < FIRST_LOW - FIRST_HALF {
                        self.held = Some(half);
                    } else {
                        joined.push(char::REPLACEMENT_CHARACTER);
                    }
                }
            }
        }
        Cow::Owned(joined)
    }

    /// Returns what stands for a half that has found no other.
    pub(super) fn last(&mut self) -> &'static str {
        if self.held.take().is_some() { "\u{fffd}" } else { "" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads JSON texts as the pieces of one text.
    fn check(pieces: &[&str], expected: &str) {
        let mut halves = Halves::default();
        let mut text = String::new();
        for piece in pieces {
            let changed = marked(piece);
            let read: String = serde_json::from_str(changed.as_deref().unwrap_or(piece)).expect("JSON");
            text.push_str(&halves.join(Cow::Owned(read), changed.is_some()));
        }
        text.push_str(halves.last());
        assert_eq!(text, expected, "{pieces:?}");
    }

    #[test]
    fn halves_are_joined_over_pieces_and_what_stays_alone_is_replaced() {
        check(&[r#""Hi \ud83d""#, r#""\ude00 there""#], "Hi 😀 there");
        check(&[r#""Hi \ud83d\ude00""#], "Hi 😀");
        check(&[r#""Hi \ud83d there""#], "Hi \u{fffd} there");
        check(&[r#""Hi \ud83d""#], "Hi \u{fffd}");
        check(&[r#""Hi \ud83d""#, r#"" there""#], "Hi \u{fffd} there");
        check(&[r#""\ude00\ud83d""#, r#""\ud83d""#, r#""\ude00""#], "\u{fffd}\u{fffd}😀");
        check(&[r#""Hi \uD83D""#, r#""""#, r#""\uDE00""#], "Hi 😀");
    }

    #[test]
    fn a_backslash_that_is_escaped_begins_no_escape() {
        assert_eq!(marked(r#""\\ud83d \n é""#), None);
        check(&[r#""\\ud83d \" \ud83d""#, r#""\ude00""#], "\\ud83d \" 😀");
    }
}
