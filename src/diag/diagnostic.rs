//! One thing that is wrong.

use std::ops::Range;
use std::sync::Arc;

/// Names that are listed when none is near.
const MOST_NAMED: usize = 20;

/// A message for the author of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// From [`super::code`].
    pub code: &'static str,
    /// Whether it stops us.
    pub severity: Severity,
    /// What is wrong: lower case, no full stop, names the object.
    pub message: String,
    /// Where; the first is the place to look at, the others explain.
    pub labels: Vec<Label>,
    /// What to do.
    pub help: Vec<String>,
}

/// Whether a plan can be made all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// No plan is made.
    Error,
    /// The plan is made; the result may not be what the author expects.
    Warning,
}

/// A place with a word about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// A few words; may be empty.
    pub text: String,
}

/// A piece of a text, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The file as the user named it. A text that starts with `-` is a command-line option and its own source.
    pub file: Arc<str>,
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
}

impl Span {
    /// Returns a span of a file.
    #[must_use]
    pub fn new(file: &Arc<str>, range: Range<usize>) -> Self {
        Self { file: Arc::clone(file), start: range.start, end: range.end }
    }

    /// Returns the span of a value that was given on the command line: `option` is all that was written, such as
    /// `-p rounds=5`, and the value its last bytes.
    #[must_use]
    pub fn of_option(option: &str, value: &str) -> Self {
        Self { file: Arc::from(option), start: option.len().saturating_sub(value.len()), end: option.len() }
    }
}

impl Diagnostic {
    /// Starts an error.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, severity: Severity::Error, message: message.into(), labels: Vec::new(), help: Vec::new() }
    }

    /// Starts a warning.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Adds a place.
    #[must_use]
    pub fn at(mut self, span: &Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span: span.clone(), text: text.into() });
        self
    }

    /// Adds a remedy.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }

    /// Adds "did you mean" when one of `known` is near `name`, else lists what there is.
    #[must_use]
    pub fn suggest<'a>(self, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        match super::closest(name, known.iter().copied()) {
            Some(near) => self.help(format!("did you mean `{near}`?")),
            None if known.is_empty() => self,
            None if known.len() > MOST_NAMED => {
                let more = known.len() - MOST_NAMED;
                self.help(format!("there is: {} and {more} more", known[..MOST_NAMED].join(", ")))
            }
            None => self.help(format!("there is: {}", known.join(", "))),
        }
    }
}

/// Returns true when one of them is an error.
#[must_use]
pub fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
}
