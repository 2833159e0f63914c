//! YAML text → [`Node`]: syntax, duplicate keys, aliases, the limits on size.

use std::collections::BTreeMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span as Marks, StrInput};

use super::node::{Kind, Node, Source, Spanned};
use super::traps;
use super::{Style, Text};
use crate::diag::{Diagnostic, Span, code};

/// Longest file, in bytes.
const LONGEST: usize = 1 << 20;
/// Most nodes that aliases may add; the size of the largest sensible file.
const MOST_COPIED: usize = 100_000;

/// Reads one document. `offset` is where `text` starts in what `file` names.
pub(super) fn load(file: &Arc<str>, offset: usize, text: &str) -> Result<(Node, Vec<Diagnostic>), Diagnostic> {
    let source = Source { file: Arc::clone(file), offset };
    if text.len() > LONGEST {
        let message = format!("the file is longer than {} MiB", LONGEST >> 20);
        return Err(Diagnostic::error(code::TOO_LARGE, message)
            .at(&source.span(0, 0), "")
            .help("put long prompts into files of their own (`file://…`) and many items into a `.jsonl` file"));
    }
    let mut loader = Loader {
        events: Parser::new_from_str(text),
        text,
        source,
        places: Places::of(text),
        anchors: BTreeMap::new(),
        copied: 0,
        nodes: 0,
        diagnostics: Vec::new(),
    };
    let node = loader.document()?;
    Ok((node, loader.diagnostics))
}

/// Most values and keys of a file: some 60 MiB once they know their places, and 10,000 steps.
pub(super) const MOST_NODES: usize = 200_000;

struct Loader<'t> {
    events: Parser<'t, StrInput<'t>>,
    text: &'t str,
    source: Source,
    places: Places,
    anchors: BTreeMap<usize, Node>,
    copied: usize,
    nodes: usize,
    diagnostics: Vec<Diagnostic>,
}

/// Where each character starts: the parser counts characters, we count bytes.
enum Places {
    Ascii,
    Starts(Vec<usize>),
}

impl Places {
    fn of(text: &str) -> Self {
        if text.is_ascii() {
            return Self::Ascii;
        }
        Self::Starts(text.char_indices().map(|(start, _)| start).chain([text.len()]).collect())
    }

    fn byte(&self, character: usize, text: &str) -> usize {
        match self {
            Self::Ascii => character.min(text.len()),
            Self::Starts(starts) => starts.get(character).copied().unwrap_or(text.len()),
        }
    }
}

impl Loader<'_> {
    fn document(&mut self) -> Result<Node, Diagnostic> {
        let mut root = None;
        while let Some((event, marks)) = self.next()? {
            match event {
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
                Event::DocumentStart(_) => {
                    if root.is_some() {
                        let at = self.span(marks);
                        return Err(Diagnostic::error(code::LEFT_OUT, "a second document starts here")
                            .at(&at, "one file holds one pipeline")
                            .help("put the second pipeline into a file of its own"));
                    }
                }
                event => root = Some(self.node(event, marks, 0)?),
            }
        }
        Ok(root.unwrap_or(Node { span: self.source.span(0, 0), kind: Kind::Scalar(self.empty(0)) }))
    }

    fn next(&mut self) -> Result<Option<(Event<'static>, Marks)>, Diagnostic> {
        match self.events.next_event() {
            None => Ok(None),
            Some(Ok((event, marks))) => Ok(Some((owned(event), marks))),
            Some(Err(error)) => {
                let at = self.places.byte(error.marker().index(), self.text);
                Err(traps::explain(&self.source, self.text, at, error.info()))
            }
        }
    }

    fn node(&mut self, event: Event<'static>, marks: Marks, depth: usize) -> Result<Node, Diagnostic> {
        if depth > traps::DEEPEST {
            return Err(traps::too_deep(&self.span(marks)));
        }
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            return Err(Diagnostic::error(code::TOO_LARGE, format!("the file has more than {MOST_NODES} values"))
                .at(&self.span(marks), "here at the latest")
                .help("many items belong into a `.jsonl` file, which is read row by row"));
        }
        let (anchor, tag, node) = match event {
            Event::Scalar(value, style, anchor, tag) => {
                let text = self.scalar(value.into_owned(), style, marks, anchor > 0 || tag.is_some());
                (anchor, tag, Node { span: text.span.clone(), kind: Kind::Scalar(text) })
            }
            Event::SequenceStart(anchor, tag) => (anchor, tag, self.list(marks, depth)?),
            Event::MappingStart(anchor, tag) => (anchor, tag, self.map(marks, depth)?),
            Event::Alias(anchor) => return self.alias(anchor, marks),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => {
                return Err(Diagnostic::error(code::SYNTAX, "a value is missing").at(&self.span(marks), "here"));
            }
        };
        if tag.is_some() {
            let at = Span { end: node.span.end, ..self.span(marks) };
            self.diagnostics.push(
                Diagnostic::error(code::LEFT_OUT, "tags such as `!!str` are not part of this language")
                    .at(&at, "")
                    .help("write the value alone; quotes make it text"),
            );
        }
        if anchor > 0 {
            // Anchors within anchors would keep each part of the document many times.
            self.grow(node.size(), marks)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, start: Marks, depth: usize) -> Result<Node, Diagnostic> {
        let mut entries = Vec::new();
        loop {
            match self.next()? {
                Some((Event::SequenceEnd, end)) => {
                    return Ok(Node { span: self.between(start, end), kind: Kind::List(entries) });
                }
                Some((event, marks)) => entries.push(self.node(event, marks, depth + 1)?),
                None => return Err(self.ended(start)),
            }
        }
    }

    fn map(&mut self, start: Marks, depth: usize) -> Result<Node, Diagnostic> {
        let mut entries: Vec<(Spanned<String>, Node)> = Vec::new();
        let mut seen: BTreeMap<String, Span> = BTreeMap::new();
        let mut template = false;
        loop {
            let key = match self.next()? {
                Some((Event::MappingEnd, end)) => {
                    let kind = if template { Kind::Invalid } else { Kind::Map(entries) };
                    return Ok(Node { span: self.between(start, end), kind });
                }
                Some((event, marks)) => self.node(event, marks, depth + 1)?,
                None => return Err(self.ended(start)),
            };
            let Some((event, marks)) = self.next()? else { return Err(self.ended(start)) };
            let value = self.node(event, marks, depth + 1)?;
            let key = match key.kind {
                Kind::Scalar(text) => Spanned::new(text.value, text.span),
                Kind::List(_) | Kind::Map(_) | Kind::Invalid => {
                    template = true;
                    self.diagnostics.push(traps::complex_key(&self.source, self.text, &key.span));
                    continue;
                }
            };
            if key.value == "<<" {
                self.diagnostics.push(
                    Diagnostic::error(code::LEFT_OUT, "merge keys are not part of this language")
                        .at(&key.span, "`<<` merges maps in other YAML dialects")
                        .help("repeat the keys, or give whole values an anchor (`&name`) and use them by alias (`*name`)"),
                );
                continue;
            }
            if let Some(first) = seen.get(&key.value) {
                self.diagnostics.push(
                    Diagnostic::error(code::DUPLICATE_KEY, format!("`{}` stands twice in the same map", key.value))
                        .at(&key.span, "again here")
                        .at(first, "first here")
                        .help("keep one of them"),
                );
                continue;
            }
            seen.insert(key.value.clone(), key.span.clone());
            entries.push((key, value));
        }
    }

    fn alias(&mut self, anchor: usize, marks: Marks) -> Result<Node, Diagnostic> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return Err(Diagnostic::error(code::SYNTAX, "an alias refers to a value that contains it")
                .at(&self.span(marks), "the anchor is still open here"));
        };
        self.grow(node.size(), marks)?;
        Ok(node)
    }

    fn grow(&mut self, nodes: usize, marks: Marks) -> Result<(), Diagnostic> {
        self.copied += nodes;
        if self.copied > MOST_COPIED {
            let message = format!("aliases make the document grow by more than {MOST_COPIED} values");
            return Err(Diagnostic::error(code::TOO_LARGE, message)
                .at(&self.span(marks), "here at the latest")
                .help("many items belong into a `.jsonl` file, which is read row by row"));
        }
        Ok(())
    }

    fn scalar(&self, value: String, style: ScalarStyle, marks: Marks, prefixed: bool) -> Text {
        let span = self.range(marks);
        let mut start = span.start;
        if prefixed {
            start += prefix_length(&self.text[span.clone()]);
        }
        let style = match style {
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::SingleQuoted => Style::SingleQuoted,
            ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
            ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
        };
        if value.is_empty() && style == Style::Plain {
            return self.empty(start);
        }
        let end = start + scalar_length(&self.text[start..span.end], style);
        Text::new(value, self.source.span(start, end), style, &self.text[start..end])
    }

    fn empty(&self, at: usize) -> Text {
        Text::new(String::new(), self.source.span(at, at), Style::Plain, "")
    }

    fn ended(&self, start: Marks) -> Diagnostic {
        Diagnostic::error(code::SYNTAX, "the file ends inside of this value").at(&self.span(start), "starts here")
    }

    fn range(&self, marks: Marks) -> std::ops::Range<usize> {
        let start = self.places.byte(marks.start.index(), self.text);
        start..self.places.byte(marks.end.index(), self.text).max(start)
    }

    fn span(&self, marks: Marks) -> Span {
        let range = self.range(marks);
        self.source.span(range.start, range.end)
    }

    /// The end of a block is where the next thing starts, so white space before it is taken off.
    fn between(&self, start: Marks, end: Marks) -> Span {
        let (first, last) = (self.range(start), self.range(end));
        let body = &self.text[first.start..last.end.max(first.start)];
        self.source.span(first.start, first.start + body.trim_end().len())
    }
}

/// Returns the length of `&anchor ` and `!tag ` before a scalar.
fn prefix_length(raw: &str) -> usize {
    let mut rest = raw;
    while rest.starts_with(['&', '!']) {
        let word = rest.find(char::is_whitespace).unwrap_or(rest.len());
        rest = rest[word..].trim_start();
    }
    raw.len() - rest.len()
}

/// Returns the length of a scalar, without what the parser counts to it: trailing blanks and comments.
fn scalar_length(raw: &str, style: Style) -> usize {
    let bytes = raw.as_bytes();
    match style {
        Style::DoubleQuoted => {
            let mut at = 1;
            while at < bytes.len() && bytes[at] != b'"' {
                at += if bytes[at] == b'\\' { 2 } else { 1 };
            }
            (at + 1).min(bytes.len())
        }
        Style::SingleQuoted => {
            let mut at = 1;
            while at < bytes.len() && (bytes[at] != b'\'' || bytes.get(at + 1) == Some(&b'\'')) {
                at += if bytes[at] == b'\'' { 2 } else { 1 };
            }
            (at + 1).min(bytes.len())
        }
        Style::Plain | Style::Block | Style::File => raw.trim_end().len(),
    }
}

fn owned(event: Event<'_>) -> Event<'static> {
    use std::borrow::Cow;
    match event {
        Event::Nothing => Event::Nothing,
        Event::StreamStart => Event::StreamStart,
        Event::StreamEnd => Event::StreamEnd,
        Event::DocumentStart(explicit) => Event::DocumentStart(explicit),
        Event::DocumentEnd => Event::DocumentEnd,
        Event::Alias(anchor) => Event::Alias(anchor),
        Event::Scalar(value, style, anchor, tag) => {
            Event::Scalar(Cow::Owned(value.into_owned()), style, anchor, tag.map(|tag| Cow::Owned(tag.into_owned())))
        }
        Event::SequenceStart(anchor, tag) => {
            Event::SequenceStart(anchor, tag.map(|tag| Cow::Owned(tag.into_owned())))
        }
        Event::SequenceEnd => Event::SequenceEnd,
        Event::MappingStart(anchor, tag) => Event::MappingStart(anchor, tag.map(|tag| Cow::Owned(tag.into_owned()))),
        Event::MappingEnd => Event::MappingEnd,
    }
}
