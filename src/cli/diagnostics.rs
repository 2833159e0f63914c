//! Diagnostics for people, as compilers show them, and for programs, as JSON.

use std::borrow::Cow;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::{Value, json};

use crate::diag::{Diagnostic, Label, Severity, Span, code};

/// Returns the text that a file name in a [`Span`] stands for.
pub type SourceOf<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Draws every diagnostic with its source lines, and counts them in a last line.
#[must_use]
pub fn render(diagnostics: &[Diagnostic], source_of: SourceOf<'_>, colour: bool) -> String {
    let renderer = if colour { Renderer::styled().hyperlink(false) } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Ascii).term_width(120);
    let mut out = String::new();
    for diagnostic in diagnostics {
        out.push_str(&renderer.render(&[group(diagnostic, source_of)]));
        out.push_str("\n\n");
    }
    if let Some(summary) = summary(diagnostics) {
        out.push_str(&summary);
        out.push('\n');
    }
    out
}

/// Returns the diagnostics for programs: lines and columns count from 1, columns in characters.
#[must_use]
pub fn to_json(diagnostics: &[Diagnostic], source_of: SourceOf<'_>) -> Value {
    let label = |label: &Label| {
        let source = source(&label.span, source_of).unwrap_or_default();
        let (line, column) = line_column(&source, label.span.start);
        let (end_line, end_column) = line_column(&source, label.span.end);
        json!({
            "file": &*label.span.file, "line": line, "column": column, "end_line": end_line,
            "end_column": end_column, "text": label.text,
        })
    };
    let diagnostic = |diagnostic: &Diagnostic| {
        json!({
            "code": diagnostic.code,
            "severity": match diagnostic.severity { Severity::Error => "error", Severity::Warning => "warning" },
            "message": diagnostic.message,
            "labels": diagnostic.labels.iter().map(label).collect::<Vec<_>>(),
            "help": diagnostic.help,
        })
    };
    Value::Array(diagnostics.iter().map(diagnostic).collect())
}

fn group<'a>(diagnostic: &'a Diagnostic, source_of: SourceOf<'_>) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(diagnostic.message.as_str()).id(diagnostic.code));
    let mut shown: Vec<&str> = Vec::new();
    for label in &diagnostic.labels {
        let file = &*label.span.file;
        if shown.contains(&file) {
            continue;
        }
        shown.push(file);
        let Some(text) = source(&label.span, source_of) else {
            group = group.element(Level::NOTE.message(format!("in {file}: {}", label.text)));
            continue;
        };
        let path = if file.starts_with('-') { "command line" } else { file };
        let here = diagnostic.labels.iter().filter(|other| *other.span.file == *file);
        let mut snippet = Snippet::source(masked(diagnostic, &text)).path(path).fold(true);
        for other in here {
            let kind = if std::ptr::eq(other, &raw const diagnostic.labels[0]) {
                AnnotationKind::Primary
            } else {
                AnnotationKind::Context
            };
            snippet = snippet.annotation(kind.span(first_line(&text, &other.span)).label(other.text.as_str()));
        }
        group = group.element(snippet);
    }
    diagnostic.help.iter().fold(group, |group, help| group.element(Level::HELP.message(help.as_str())))
}

/// A name that starts with `-` is a command-line option and its own source.
fn source(span: &Span, source_of: SourceOf<'_>) -> Option<String> {
    if span.file.starts_with('-') { Some(span.file.to_string()) } else { source_of(&span.file) }
}

/// Hides a secret that stands in the file: the message about it must not spread it.
fn masked(diagnostic: &Diagnostic, text: &str) -> String {
    let Some(label) = diagnostic.labels.first().filter(|_| diagnostic.code == code::LITERAL_SECRET) else {
        return text.to_owned();
    };
    let (start, end) = (floor(text, label.span.start), floor(text, label.span.end));
    // One star for each byte, so that no place moves.
    let hidden: String =
        text[start..end.max(start)].bytes().map(|byte| if byte == b'\n' { '\n' } else { '*' }).collect();
    [&text[..start], &hidden, &text[end.max(start)..]].concat()
}

/// Cuts a place to its first line: a whole block underlined says less than its start.
fn first_line(text: &str, span: &Span) -> std::ops::Range<usize> {
    let start = floor(text, span.start);
    let end = floor(text, span.end).max(start);
    let line = text[start..end].find('\n').map_or(end, |newline| start + newline);
    let visible = text[start..line].trim_end().len();
    start..start + visible
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|place| text.is_char_boundary(*place)).unwrap_or_default()
}

fn line_column(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..floor(text, at)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

fn summary(diagnostics: &[Diagnostic]) -> Option<String> {
    let count = |severity| diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count();
    let parts: Vec<Cow<'static, str>> = [(count(Severity::Error), "error"), (count(Severity::Warning), "warning")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| Cow::Owned(format!("{count} {word}{}", if count == 1 { "" } else { "s" })))
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use expect_test::expect;

    use super::*;

    const TEXT: &str = "a: é\nb:\n  x: sk-123\n";

    fn source_of(file: &str) -> Option<String> {
        (file == "f.yaml").then(|| TEXT.to_owned())
    }

    fn span(start: usize, end: usize) -> Span {
        Span::new(&Arc::from("f.yaml"), start..end)
    }

    #[test]
    fn shows_place_reason_and_remedy() {
        let option = Span::of_option("-p rounds=30", "30");
        let diagnostics = [
            Diagnostic::error("P0113", "too much").at(&span(6, 20), "here").at(&option, "from here").help("less"),
            Diagnostic::error(code::LITERAL_SECRET, "no secrets").at(&span(14, 20), "seen by others"),
        ];
        expect![[r"
            error[P0113]: too much
             --> f.yaml:2:1
              |
            2 | b:
              | ^^ here
              |
             ::: command line:1:11
              |
            1 | -p rounds=30
              |           -- from here
              |
              = help: less

            error[P0203]: no secrets
             --> f.yaml:3:6
              |
            3 |   x: ******
              |      ^^^^^^ seen by others

            2 errors
        "]]
        .assert_eq(&render(&diagnostics, &source_of, false));
    }

    #[test]
    fn counts_columns_in_characters() {
        assert_eq!(line_column(TEXT, 5), (1, 5));
        let json = to_json(&[Diagnostic::warning("P0505", "unused").at(&span(6, 7), "")], &source_of);
        assert_eq!(json[0]["labels"][0]["line"], 2);
        assert_eq!(json[0]["severity"], "warning");
    }
}
