//! The usual YAML traps, each with one clear message instead of the parser's.

use super::node::Source;
use crate::diag::{Diagnostic, Span, code};

/// Deepest nesting of lists and maps.
pub(super) const DEEPEST: usize = 64;

/// Turns a syntax error into a message; looks for the mistakes that people make with templates first.
pub(super) fn explain(source: &Source, text: &str, at: usize, reason: &str) -> Diagnostic {
    let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    // The parser may stop at the start of the line after the mistake.
    let from = if text[line_start..at].trim().is_empty() {
        text[..line_start.saturating_sub(1)].rfind('\n').map_or(0, |newline| newline + 1)
    } else {
        line_start
    };
    let to = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    let mut start = from;
    for line in text[from..to].split_inclusive('\n') {
        if let Some(found) = opened(line, "{{") {
            return unquoted_template(source, start + found, start + line.trim_end().len());
        }
        if let Some(found) = opened(line, "${") {
            return unquoted_variable(source, start + found, start + found + variable_length(&line[found..]));
        }
        start += line.len();
    }
    let width = text[at..].chars().next().filter(|letter| *letter != '\n').map_or(0, char::len_utf8);
    let place = source.span(at, at + width);
    if reason.contains("recursion") || reason.contains("depth") {
        return too_deep(&place);
    }
    let trimmed = text[line_start..].trim_start();
    let (here, help) = if reason.contains("mapping values are not allowed") {
        if text[line_start..at].contains(": ") && trimmed.contains(": ") {
            (
                "YAML takes this for the end of a second key",
                "text with a `: ` in it needs quotes, or a block after `|`",
            )
        } else {
            ("no key can end here", "is the indentation of this line that of its neighbours?")
        }
    } else if reason.contains("tabs") {
        ("a tab", "YAML is indented with spaces")
    } else if reason.contains("unknown anchor") {
        (
            "no value above has an anchor of this name",
            "an alias `*name` needs an anchor `&name` before it; quotes make a text that starts with `*`",
        )
    } else if reason.contains("unexpected character") {
        (reason, "a text that starts with this character needs quotes")
    } else if reason.contains("trailing content") {
        (reason, "quotes go around the whole value")
    } else if reason.contains("quoted scalar") {
        ("the text that starts here does not end", "the closing quote is missing")
    } else if reason.contains("flow") || reason.contains("bracket") {
        (reason, "is a `]`, a `}` or a comma missing or too many?")
    } else {
        (reason, "is the indentation of this line that of its neighbours?")
    };
    Diagnostic::error(code::SYNTAX, "not valid YAML").at(&place, here).help(help)
}

/// Lists and maps that nest deeper than we go, or than the parser does.
pub(super) fn too_deep(place: &Span) -> Diagnostic {
    Diagnostic::error(code::TOO_LARGE, format!("lists and maps nest more than {DEEPEST} deep"))
        .at(place, "here")
        .help("a pipeline needs ten levels or so; is a bracket missing?")
}

/// A map as the key of a map: what an unquoted `{{ … }}` looks like to YAML.
pub(super) fn complex_key(source: &Source, text: &str, key: &Span) -> Diagnostic {
    let at = key.start.saturating_sub(source.offset);
    if at > 0 && text[..at].ends_with('{') && text[at..].starts_with('{') {
        let end = text[at..].find("}}").map_or(at + 1, |close| at + close + 2);
        return unquoted_template(source, at - 1, end);
    }
    Diagnostic::error(code::LEFT_OUT, "a list or a map cannot be a key").at(key, "")
}

fn unquoted_template(source: &Source, start: usize, end: usize) -> Diagnostic {
    Diagnostic::error(code::NEEDS_QUOTES, "a value that starts with `{{` needs quotes")
        .at(&source.span(start, end), "YAML takes an unquoted `{` for the start of a map")
        .help("write \"{{ … }}\", or put the text into a block after `|`")
}

fn unquoted_variable(source: &Source, start: usize, end: usize) -> Diagnostic {
    Diagnostic::error(code::NEEDS_QUOTES, "`${…}` inside `{ }` or `[ ]` needs quotes")
        .at(&source.span(start, end), "YAML takes the `{` for the start of a map")
        .help("write \"${…}\"")
}

fn variable_length(text: &str) -> usize {
    text.find('}').map_or(2, |close| close + 1)
}

/// Finds an unquoted `{{` or `${` at the start of a value: after `: `, `- `, `[`, `{` or `,`.
fn opened(line: &str, opening: &str) -> Option<usize> {
    let mut quote = None;
    let bytes = line.as_bytes();
    let mut flow = 0_u32;
    for at in 0..bytes.len() {
        match (quote, bytes[at]) {
            (Some(open), byte) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'#') if at == 0 || bytes[at - 1].is_ascii_whitespace() => return None,
            (None, byte @ (b'"' | b'\'')) if starts_value(&line[..at]) => quote = Some(byte),
            (None, _) => {
                let inside = opening == "{{" || flow > 0;
                if inside && bytes[at..].starts_with(opening.as_bytes()) && starts_value(&line[..at]) {
                    return Some(at);
                }
                match bytes[at] {
                    b'{' | b'[' => flow += 1,
                    b'}' | b']' => flow = flow.saturating_sub(1),
                    _ => {}
                }
            }
        }
    }
    None
}

fn starts_value(before: &str) -> bool {
    let trimmed = before.trim_end();
    let spaced = trimmed.len() < before.len();
    match trimmed.chars().last() {
        None => false,
        Some(':' | '-') => spaced,
        Some(last) => matches!(last, '[' | '{' | ','),
    }
}
