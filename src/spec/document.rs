//! A file as a tree, before types are read from it: what the command line and a matrix replace is put in here.

use std::borrow::Cow;
use std::sync::Arc;

use super::decode::{Decode, Place};
use super::node::{Kind, Node, Spanned};
use super::{Inherited, Matrix, ReadText, Spec, defaults, include, load, set};
use crate::diag::{Diagnostic, Span, code};

/// The tree of a file.
#[derive(Clone, Debug)]
pub struct Document {
    root: Node,
    start: Span,
}

impl Document {
    /// Reads a file alone, whatever it includes. Some values are replaced first: pairs of a dotted path and a value in
    /// YAML. None when there is nothing to go on with.
    pub fn read(
        file: &Arc<str>,
        text: &str,
        replace: &[(String, String)],
        report: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        Self::load(file, text, report)?.replaced(replace, report)
    }

    /// Reads a file with all that it includes, then replaces values.
    pub fn assembled(
        file: &Arc<str>,
        text: &str,
        replace: &[(String, String)],
        read: ReadText<'_>,
        report: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let Self { root, start } = Self::load(file, text, report)?;
        let root = include::assemble(file, root, read, report)?;
        Self { root, start }.replaced(replace, report)
    }

    fn load(file: &Arc<str>, text: &str, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let (root, more) = load::load(file, 0, text).map_err(|diagnostic| report.push(diagnostic)).ok()?;
        report.extend(more);
        let start = Span::new(file, 0..0);
        if matches!(&root.kind, Kind::Scalar(text) if text.value.is_empty()) {
            let diagnostic = Diagnostic::error(code::MISSING_KEY, "the file is empty")
                .at(&start, "")
                .help("start with `version: 1`, `actors:` and `steps:`");
            report.push(diagnostic);
            return None;
        }
        Some(Self { root, start })
    }

    fn replaced(self, replace: &[(String, String)], report: &mut Vec<Diagnostic>) -> Option<Self> {
        let Self { mut root, start } = self;
        for (path, value) in replace {
            set::replace(&mut root, path, value, report);
        }
        let place = Place { what: String::new(), at: first_key(&root).unwrap_or_else(|| start.clone()) };
        if !matches!(root.kind, Kind::Map(_)) {
            let whole = Place { what: "a pipeline".to_owned(), at: place.at };
            report.push(
                super::decode::wrong_type(&root, &whole, "a map of keys and values")
                    .help("start with `version: 1`, `actors:` and `steps:`"),
            );
            return None;
        }
        Some(Self { root, start })
    }

    /// Reads the specification, in which every actor and step has what it inherits; and who inherited what.
    pub fn spec(&self, report: &mut Vec<Diagnostic>) -> (Option<Spec>, Inherited) {
        let place = Place { what: String::new(), at: first_key(&self.root).unwrap_or_else(|| self.start.clone()) };
        let mut root = Cow::Borrowed(&self.root);
        let inherited = if self.keys("defaults").is_empty() {
            Inherited::default()
        } else {
            defaults::inherit(root.to_mut(), report)
        };
        (Spec::decode(&root, &place, report), inherited)
    }

    /// Reads what varies from cell to cell, and nothing else; none when nothing does, or the file lists it wrongly.
    pub fn matrix(&self, report: &mut Vec<Diagnostic>) -> Option<Matrix> {
        let (name, node) = self.entries().iter().find(|(name, _)| name.value == "matrix")?;
        let place = Place { what: "`matrix`".to_owned(), at: name.span.clone() };
        Matrix::decode(node, &place, report)
    }

    /// Returns the names under a key at the top.
    #[must_use]
    pub fn keys(&self, section: &str) -> Vec<&str> {
        let found = self.entries().iter().find(|(name, _)| name.value == section).map(|(_, node)| &node.kind);
        match found {
            Some(Kind::Map(entries)) => entries.iter().map(|(name, _)| name.value.as_str()).collect(),
            Some(Kind::Scalar(_) | Kind::List(_) | Kind::Invalid) | None => Vec::new(),
        }
    }

    /// Puts a value at a dotted path; maps on the way are made when they are missing.
    ///
    /// # Errors
    /// The path leads nowhere.
    pub fn put(&mut self, path: &Spanned<String>, value: Node) -> Result<(), Diagnostic> {
        set::put(&mut self.root, &path.value, &path.span, value)
    }

    fn entries(&self) -> &[(Spanned<String>, Node)] {
        match &self.root.kind {
            Kind::Map(entries) => entries,
            Kind::Scalar(_) | Kind::List(_) | Kind::Invalid => &[],
        }
    }
}

fn first_key(root: &Node) -> Option<Span> {
    match &root.kind {
        Kind::Map(entries) => entries.first().map(|(name, _)| name.span.clone()),
        Kind::Scalar(_) | Kind::List(_) | Kind::Invalid => None,
    }
}
