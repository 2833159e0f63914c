//! Diagnostics for people, as compilers show them, and for programs, as JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::{Value, json};

use super::printer::inert;
use crate::diag::{Diagnostic, Label, Severity, Span, code};

/// Most diagnostics that are drawn: nobody reads more, and each costs a look through its whole file.
const MOST_DRAWN: usize = 100;

/// Returns the text that a file name in a [`Span`] stands for.
pub type SourceOf<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Draws every diagnostic with its source lines, and counts them in a last line.
///
/// Control characters, in texts and file names alike, become their pictures.
#[must_use]
pub fn render(diagnostics: &[Diagnostic], source_of: SourceOf<'_>, colour: bool) -> String {
    let renderer = if colour { Renderer::styled().hyperlink(false) } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Ascii).term_width(120);
    let mut out = String::new();
    for diagnostic in diagnostics.iter().take(MOST_DRAWN) {
        let harmless = harmless(diagnostic);
        out.push_str(&renderer.render(&[group(diagnostic, &harmless, source_of)]));
        out.push_str("\n\n");
    }
    if let Some(summary) = summary(diagnostics) {
        out.push_str(&summary);
        out.push('\n');
    }
    out
}

/// Returns the diagnostics for programs: lines and columns count from 1, columns in characters.
///
/// The place to look at stands in the diagnostic itself, all places in its labels.
#[must_use]
pub fn to_json(diagnostics: &[Diagnostic], source_of: SourceOf<'_>) -> Value {
    let mut sources = Sources { source_of, read: BTreeMap::new() };
    Value::Array(diagnostics.iter().map(|diagnostic| one_as_json(diagnostic, &mut sources)).collect())
}

/// Returns one line for each diagnostic, as GitHub's runners take them for annotations.
#[must_use]
pub fn to_annotations(diagnostics: &[Diagnostic], source_of: SourceOf<'_>) -> Vec<String> {
    let mut sources = Sources { source_of, read: BTreeMap::new() };
    diagnostics.iter().map(|diagnostic| annotation(diagnostic, &mut sources)).collect()
}

fn annotation(diagnostic: &Diagnostic, sources: &mut Sources<'_>) -> String {
    let mut place = String::new();
    if let Some(label) = diagnostic.labels.first().filter(|label| !label.span.file.starts_with('-')) {
        let ([line, column], [end_line, end_column]) = sources.place(&label.span);
        let file = escaped(&label.span.file).replace(':', "%3A").replace(',', "%2C");
        place = format!("file={file},line={line},col={column},endLine={end_line},endColumn={end_column},");
    }
    let reason = diagnostic.labels.first().map(|label| label.text.as_str()).filter(|text| !text.is_empty());
    let texts: Vec<&str> = reason.into_iter().chain(diagnostic.help.iter().map(String::as_str)).collect();
    let message = [diagnostic.message.as_str()].into_iter().chain(texts).collect::<Vec<_>>().join("\n");
    format!("::{} {place}title={}::{}", severity(diagnostic.severity), diagnostic.code, escaped(&message))
}

/// Escapes what a runner would read as the end of a command.
pub(super) fn escaped(text: &str) -> String {
    inert(text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn one_as_json(diagnostic: &Diagnostic, sources: &mut Sources<'_>) -> Value {
    let labels: Vec<Value> = diagnostic
        .labels
        .iter()
        .map(|label| {
            let ([line, column], [end_line, end_column]) = sources.place(&label.span);
            json!({
                "file": &*label.span.file, "line": line, "column": column, "end_line": end_line,
                "end_column": end_column, "text": label.text,
            })
        })
        .collect();
    let first = |key: &str| labels.first().map_or(Value::Null, |label| label[key].clone());
    json!({
        "code": diagnostic.code,
        "severity": severity(diagnostic.severity),
        "message": diagnostic.message,
        "file": first("file"), "line": first("line"), "column": first("column"),
        "end_line": first("end_line"), "end_column": first("end_column"),
        "help": diagnostic.help,
        "labels": labels,
    })
}

const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// Every text that diagnostics point into, read once, with the starts of its lines.
struct Sources<'a> {
    source_of: SourceOf<'a>,
    read: BTreeMap<Arc<str>, (String, Vec<usize>)>,
}

impl Sources<'_> {
    /// Returns line and column of a span's start and end.
    fn place(&mut self, span: &Span) -> ([usize; 2], [usize; 2]) {
        if !self.read.contains_key(&span.file) {
            let text = source(span, self.source_of).unwrap_or_default();
            let starts = [0].into_iter().chain(text.match_indices('\n').map(|(newline, _)| newline + 1)).collect();
            self.read.insert(Arc::clone(&span.file), (text, starts));
        }
        let Some((text, starts)) = self.read.get(&span.file) else { return ([1, 1], [1, 1]) };
        let at = |byte: usize| {
            let byte = floor(text, byte);
            let line = starts.partition_point(|start| *start <= byte);
            [line, text[starts[line - 1]..byte].chars().count() + 1]
        };
        (at(span.start), at(span.end))
    }
}

/// Returns a diagnostic whose words do nothing to a terminal; its places stay.
fn harmless(diagnostic: &Diagnostic) -> Diagnostic {
    let word = |text: &String| inert(text).into_owned();
    let labels = diagnostic.labels.iter().map(|label| Label { span: label.span.clone(), text: word(&label.text) });
    Diagnostic {
        code: diagnostic.code,
        severity: diagnostic.severity,
        message: word(&diagnostic.message),
        labels: labels.collect(),
        help: diagnostic.help.iter().map(word).collect(),
    }
}

fn group<'a>(original: &Diagnostic, diagnostic: &'a Diagnostic, source_of: SourceOf<'_>) -> Group<'a> {
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
            group = group.element(Level::NOTE.message(format!("in {}: {}", inert(file), label.text)));
            continue;
        };
        let path = if file.starts_with('-') { Cow::Borrowed("command line") } else { inert(file) };
        let here = diagnostic.labels.iter().filter(|other| *other.span.file == *file);
        let mut snippet = Snippet::source(tame(&masked(original, &text))).path(path).fold(true);
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

/// Takes out the control characters that the renderer lets through; a dot of as many bytes, so that no place moves.
fn tame(text: &str) -> String {
    text.replace(|letter: char| ('\u{80}'..='\u{9f}').contains(&letter), "·")
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

/// Counts what there is, and says where a code is explained.
fn summary(diagnostics: &[Diagnostic]) -> Option<String> {
    let first = diagnostics.first()?;
    let count = |severity| diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count();
    let parts: Vec<String> = [(count(Severity::Error), "error"), (count(Severity::Warning), "warning")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}{}", if count == 1 { "" } else { "s" }))
        .collect();
    let hidden = diagnostics.len().saturating_sub(MOST_DRAWN);
    let hidden = if hidden > 0 { format!(", {hidden} of them not shown") } else { String::new() };
    let one = if diagnostics.iter().all(|other| other.code == first.code) { "this" } else { "a code" };
    Some(format!("{}{hidden}; more about {one}: pipe explain {}", parts.join(", "), first.code))
}

#[cfg(test)]
mod tests {
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

            2 errors; more about a code: pipe explain P0113
        "]]
        .assert_eq(&render(&diagnostics, &source_of, false));
    }

    #[test]
    fn counts_columns_in_characters() {
        let diagnostics = [Diagnostic::warning("P0505", "unused, 100%").at(&span(3, 5), "é").help("drop it")];
        let json = to_json(&diagnostics, &source_of);
        assert_eq!([&json[0]["line"], &json[0]["column"], &json[0]["end_column"]], [1, 4, 5]);
        assert_eq!(json[0]["labels"][0]["text"], "é");
        assert_eq!(json[0]["severity"], "warning");
        assert_eq!(
            to_annotations(&diagnostics, &source_of),
            ["::warning file=f.yaml,line=1,col=4,endLine=1,endColumn=5,title=P0505::unused, 100%25%0Aé%0Adrop it"]
        );
    }

    #[test]
    fn nothing_in_a_file_or_its_name_reaches_the_terminal_alive() {
        let file: Arc<str> = Arc::from("\u{1b}[2Jf.yaml");
        let text = "a: \u{1b}]0;title\u{7}\u{9b}31m x";
        let at = Span::new(&file, 3..text.len());
        let diagnostics =
            [Diagnostic::error("P0110", "no \u{1b}[31mkey").at(&at, "\u{1b}c").help("did you mean \u{8}?")];
        let shown = render(&diagnostics, &|_| Some(text.to_owned()), false);
        assert!(!shown.contains(|letter: char| letter.is_control() && letter != '\n'), "{shown:?}");
    }

    #[test]
    fn thousands_of_mistakes_are_counted_and_a_hundred_drawn() {
        let diagnostics = vec![Diagnostic::error("P0110", "unknown").at(&span(0, 1), ""); 5_000];
        let shown = render(&diagnostics, &source_of, false);
        assert_eq!(shown.matches("error[P0110]").count(), 100);
        assert!(
            shown.ends_with("5000 errors, 4900 of them not shown; more about this: pipe explain P0110\n"),
            "{shown}"
        );
    }
}
