//! Pages for people where an answer should be.

use crate::backend::http::Scrub;

/// Longest part of a page that is shown, in characters.
const EXCERPT: usize = 120;
/// How far into a page its title stands, in bytes.
const HEAD: usize = 16 << 10;

/// Returns true when a body is a page: no answer begins with `<`.
pub(super) fn is_page(body: &[u8]) -> bool {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start().first() == Some(&b'<')
}

/// Returns the title of a page; its first heading, or its start, where it has none.
pub(super) fn title(body: &[u8], scrub: &Scrub) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(HEAD)]).into_owned();
    let small = text.to_ascii_lowercase();
    let inside = |tag: &str| {
        let from = small.find(&format!("<{tag}"))?;
        let from = from + small[from..].find('>')? + 1;
        let to = from + small[from..].find("</")?;
        let words = text[from..to].trim();
        (!words.is_empty()).then(|| words.to_owned())
    };
    let shown = inside("title").or_else(|| inside("h1")).unwrap_or(text);
    scrub.excerpt(shown.as_bytes(), EXCERPT)
}

/// Describes an answer that is not the protocol: how it came, where it starts, and what to do.
pub(super) fn no_answer(status: u16, content_type: &str, body: &[u8], scrub: &Scrub) -> String {
    let what = match content_type {
        _ if is_page(body) => "a page",
        "" => "something else",
        content_type => content_type,
    };
    let shown = scrub.excerpt(body, EXCERPT);
    format!("answered {status} with {what}, not JSON: is this an OpenAI-compatible server? (starts with {shown:?})")
}

/// Describes JSON that is no chat completion.
pub(super) fn no_completion(status: u16, body: &[u8], scrub: &Scrub) -> String {
    let shown = scrub.excerpt(body, EXCERPT);
    format!("answered {status} without choices: is this an OpenAI-compatible server? (starts with {shown:?})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_named_by_its_title() {
        let scrub = Scrub::default();
        let check = |page: &str, expected: &str| {
            assert!(is_page(page.as_bytes()), "{page}");
            assert_eq!(title(page.as_bytes(), &scrub), expected);
        };
        check("<!DOCTYPE html>\n<html><head><TITLE lang=en>Just a\nmoment...</title>", "Just a moment...");
        check("\u{feff} <html><h1>502 Bad Gateway</h1>", "502 Bad Gateway");
        check("<p>nothing</p>", "<p>nothing</p>");
        assert!(!is_page(b"{\"a\":\"<\"}"));
    }
}
