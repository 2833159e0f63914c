//! `include`: other files' sections, put into the tree of the file before anything is read from it.
//! Reads: texts, by a function that the caller lends. Gives: one tree, each value of which knows the file it stands in.
//! Start at [`assemble`].

use std::sync::Arc;

use super::decode::{Decode, Place, wrong_type};
use super::load::{MOST_NODES, load};
use super::node::{Kind, Node, Spanned};
use super::{Text, Version};
use crate::diag::{Diagnostic, Span, code};

/// Most files in each other.
const DEEPEST: usize = 8;
/// Most files in all: two that each include two are soon a thousand.
const MOST_FILES: usize = 100;

/// Reads a file by its path relative to the pipeline's; else says why not.
pub type ReadText<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Puts what a file includes into its tree; none when something was reported that leaves nothing to go on with.
pub(super) fn assemble(
    file: &Arc<str>,
    root: Node,
    read: ReadText<'_>,
    report: &mut Vec<Diagnostic>,
) -> Option<Node> {
    let name = file.rsplit('/').next().unwrap_or(file).to_owned();
    let mut assembly =
        Assembly { main: file, read, chain: vec![(name, None)], count: 0, nodes: root.size(), report: Vec::new() };
    let root = assembly.with_included(root);
    let is_whole = assembly.report.is_empty();
    report.append(&mut assembly.report);
    root.filter(|_| is_whole)
}

/// Returns a path as the pipeline's own file would write it: `path` stands in `file`, which is named that way.
///
/// By the letter, as a reader does it: `a/../b` is `b`. What may be read is decided later, with links followed.
#[must_use]
pub fn beside(file: &str, path: &str) -> String {
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let joined = if path.starts_with('/') || (folder.is_empty() && !file.starts_with('/')) {
        path.to_owned()
    } else {
        format!("{folder}/{path}")
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match parts.last() {
            Some(last) if part == ".." && *last != ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    format!("{}{}", if joined.starts_with('/') { "/" } else { "" }, parts.join("/"))
}

struct Assembly<'a> {
    main: &'a str,
    read: ReadText<'a>,
    /// The files that are open, by their paths, and where each is included; the pipeline's own is the first.
    chain: Vec<(String, Option<Span>)>,
    count: usize,
    nodes: usize,
    report: Vec<Diagnostic>,
}

impl Assembly<'_> {
    /// Returns a tree over what it includes, later files over earlier ones.
    fn with_included(&mut self, root: Node) -> Option<Node> {
        let Some((key, list)) = root.entry("include") else { return Some(root) };
        let place = Place { what: "`include`".to_owned(), at: key.span.clone() };
        let files = Vec::<Text>::decode(list, &place, &mut self.report)?;
        let mut base: Option<Node> = None;
        for file in &files {
            let Some(part) = self.part(file) else { continue };
            base = Some(match base {
                Some(base) => merged(base, part),
                None => part,
            });
        }
        Some(match base {
            Some(base) => merged(base, root),
            None => root,
        })
    }

    /// Reads one included file.
    fn part(&mut self, written: &Text) -> Option<Node> {
        let said = written.value.trim();
        if ["${", "{{", "file://"].iter().any(|other| said.contains(other)) {
            self.report.push(
                Diagnostic::error(code::OUT_OF_RANGE, format!("{said:?} is no path of a file to include"))
                    .at(&written.span, "read before params and environment are known")
                    .help("write the path alone: include: [common.yaml]"),
            );
            return None;
        }
        let from = self.chain.last().map_or("", |(path, _)| path.as_str());
        let path = beside(from, said);
        self.check(&path, &written.span)?;
        let text = match (self.read)(&path) {
            Ok(text) => text,
            Err(reason) => {
                let message = format!("{path:?} cannot be included");
                self.report.push(
                    Diagnostic::error(code::FILE, message)
                        .at(&written.span, reason)
                        .help("paths are relative to the file that includes, and stay inside of the project"),
                );
                return None;
            }
        };
        self.count += 1;
        // Two texts of one name could not be told apart in a message.
        let name: Arc<str> = if path == self.main { format!("./{path}").into() } else { path.as_str().into() };
        let told = self.report.len();
        let node = self.tree(&name, &text);
        self.chain.push((path, Some(written.span.clone())));
        let node = node.and_then(|node| self.versioned(node)).and_then(|node| self.with_included(node));
        self.chain.pop();
        for diagnostic in &mut self.report[told..] {
            let is_told = diagnostic.labels.iter().any(|label| label.span == written.span);
            if !is_told && diagnostic.labels.first().is_some_and(|label| *label.span.file == *name) {
                let label = crate::diag::Label { span: written.span.clone(), text: "included here".to_owned() };
                diagnostic.labels.push(label);
            }
        }
        Some(without(node?, "include"))
    }

    /// Refuses what would never end.
    fn check(&mut self, path: &str, at: &Span) -> Option<()> {
        if let Some(first) = self.chain.iter().position(|(open, _)| open == path) {
            let names: Vec<&str> = self.chain[first..].iter().map(|(open, _)| open.as_str()).chain([path]).collect();
            let message = format!("{path:?} includes itself: {}", names.join(" → "));
            let told = Diagnostic::error(code::INCLUDE, message).at(at, "again here");
            let steps = self.chain[first + 1..].iter().filter_map(|(open, at)| Some((open, at.as_ref()?)));
            let told = steps.fold(told, |told, (open, at)| told.at(at, format!("{open} is included here")));
            self.report.push(told.help("put what both need into a file that includes neither"));
            return None;
        }
        let message = if self.chain.len() > DEEPEST {
            format!("files are included more than {DEEPEST} deep")
        } else if self.count >= MOST_FILES {
            format!("more than {MOST_FILES} files are included")
        } else {
            return Some(());
        };
        self.report.push(
            Diagnostic::error(code::INCLUDE, message)
                .at(at, "here at the latest")
                .help("name the files in the pipeline itself, one after the other"),
        );
        None
    }

    fn tree(&mut self, name: &Arc<str>, text: &str) -> Option<Node> {
        let (node, mistakes) = load(name, 0, text).map_err(|mistake| self.report.push(mistake)).ok()?;
        self.report.extend(mistakes);
        self.nodes += node.size();
        if self.nodes > MOST_NODES {
            let message = format!("a pipeline and what it includes have more than {MOST_NODES} values");
            self.report.push(
                Diagnostic::error(code::TOO_LARGE, message)
                    .at(&node.span, "with this file at the latest")
                    .help("many items belong into a `.jsonl` file, which is read row by row"),
            );
            return None;
        }
        if matches!(node.kind, Kind::Map(_)) {
            return Some(node);
        }
        let place = Place { what: "an included file".to_owned(), at: node.span.clone() };
        self.report.push(
            wrong_type(&node, &place, "a map of keys and values")
                .help("it has sections as a pipeline has: `actors:`, `steps:`, `limits:` …"),
        );
        None
    }

    /// Checks the version of a part that names one; the pipeline's own is what counts.
    fn versioned(&mut self, node: Node) -> Option<Node> {
        if let Some((key, version)) = node.entry("version") {
            let place = Place { what: "`version`".to_owned(), at: key.span.clone() };
            Spanned::<Version>::decode(version, &place, &mut self.report)?;
        }
        Some(without(node, "version"))
    }
}

/// Puts one tree over another: maps are joined key by key, everything else is replaced.
fn merged(base: Node, over: Node) -> Node {
    match (base.kind, over.kind) {
        (Kind::Map(mut entries), Kind::Map(others)) => {
            for (key, value) in others {
                match entries.iter().position(|(name, _)| name.value == key.value) {
                    Some(place) => {
                        let (_, under) = entries.remove(place);
                        entries.insert(place, (key, merged(under, value)));
                    }
                    None => entries.push((key, value)),
                }
            }
            Node { span: over.span, kind: Kind::Map(entries) }
        }
        (_, kind) => Node { span: over.span, kind },
    }
}

fn without(mut node: Node, key: &str) -> Node {
    if let Kind::Map(entries) = &mut node.kind {
        entries.retain(|(name, _)| name.value != key);
    }
    node
}

#[cfg(test)]
mod tests {
    use super::beside;

    #[test]
    fn a_path_is_told_from_the_pipeline() {
        let check =
            |file: &str, path: &str, expected: &str| assert_eq!(beside(file, path), expected, "{file} {path}");
        check("debate.yaml", "common.yaml", "common.yaml");
        check("debate.yaml", "./parts/common.yaml", "parts/common.yaml");
        check("parts/common.yaml", "prompts/a.md", "parts/prompts/a.md");
        check("parts/common.yaml", "../a.md", "a.md");
        check("parts/common.yaml", "../../a.md", "../a.md");
        check("../shared/common.yaml", "a.md", "../shared/a.md");
        check("../shared/common.yaml", "../../a.md", "../../a.md");
        check("parts/common.yaml", "/etc/a.md", "/etc/a.md");
        check("/parts/common.yaml", "a.md", "/parts/a.md");
    }
}
