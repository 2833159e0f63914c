//! `--set path=value`: one value of the document replaced before anything is read from it.

use super::load::load;
use super::node::{Kind, Node, Spanned};
use crate::diag::{Diagnostic, Span, code};

/// Replaces the value at a dotted path; maps on the way are made when they are missing.
pub(super) fn replace(root: &mut Node, path: &str, value: &str, report: &mut Vec<Diagnostic>) {
    let option = format!("--set {path}={value}");
    let place = Span::of_option(&option, value);
    let node = match load(&place.file, place.start, value) {
        Ok((node, diagnostics)) => {
            report.extend(diagnostics);
            node
        }
        Err(diagnostic) => return report.push(diagnostic),
    };
    let at = Span { start: "--set ".len(), end: "--set ".len() + path.len(), ..place };
    if let Some(diagnostic) = stranger(root, path, &at) {
        return report.push(diagnostic);
    }
    report.extend(put(root, path, &at, node).err());
}

/// Puts a value at a dotted path that is written at `at`.
pub(super) fn put(root: &mut Node, path: &str, at: &Span, node: Node) -> Result<(), Diagnostic> {
    let mut here = root;
    for segment in path.split('.') {
        if segment.is_empty() {
            return Err(Diagnostic::error(code::SET, format!("`{path}` is no path"))
                .at(at, "a part of it is empty")
                .help("write keys with dots between them: actors.pro.temperature"));
        }
        here = descend(here, segment, at)
            .map_err(|reason| Diagnostic::error(code::SET, format!("`{path}` leads nowhere")).at(at, reason))?;
    }
    *here = node;
    Ok(())
}

/// Sections whose entries do something only where the file has them: half of a new one is a slip of the pen.
const FILLED: [(&str, &str); 3] = [("actors", "actor"), ("steps", "step"), ("params", "param")];

/// Says when a path leads into an actor, step or param that the file does not have. A whole new one may be set.
fn stranger(root: &Node, path: &str, at: &Span) -> Option<Diagnostic> {
    let mut segments = path.split('.');
    let (section, name, _) = (segments.next()?, segments.next()?, segments.next()?);
    let (_, noun) = FILLED.iter().find(|(key, _)| *key == section)?;
    let entries = |node: &Node| match &node.kind {
        Kind::Map(entries) => entries.iter().map(|(name, _)| name.value.clone()).collect(),
        Kind::Scalar(_) | Kind::List(_) | Kind::Invalid => Vec::new(),
    };
    let Kind::Map(sections) = &root.kind else { return None };
    let there: Vec<String> =
        sections.iter().find(|(key, _)| key.value == section).map(|(_, node)| entries(node)).unwrap_or_default();
    if name.is_empty() || there.iter().any(|one| one == name) {
        return None;
    }
    let message = format!("`{path}` changes {noun} `{name}`, which the pipeline does not have");
    let diagnostic = Diagnostic::error(code::SET, message).at(at, format!("no such {noun}"));
    Some(diagnostic.suggest(name, there.iter().map(String::as_str)))
}

fn descend<'n>(node: &'n mut Node, segment: &str, at: &Span) -> Result<&'n mut Node, String> {
    match &mut node.kind {
        Kind::Map(entries) => {
            let position = entries.iter().position(|(name, _)| name.value == segment).unwrap_or_else(|| {
                let name = Spanned::new(segment.to_owned(), at.clone());
                entries.push((name, Node { span: at.clone(), kind: Kind::Map(Vec::new()) }));
                entries.len() - 1
            });
            Ok(&mut entries[position].1)
        }
        Kind::List(entries) => {
            let count = entries.len();
            let position = segment.parse::<usize>().ok().filter(|position| *position < count);
            match position {
                Some(position) => Ok(&mut entries[position]),
                None => Err(format!("`{segment}` is no position in a list of {count} (the first is 0)")),
            }
        }
        Kind::Scalar(_) | Kind::Invalid => Err(format!("there is no map to look up `{segment}` in")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn check(path: &str, value: &str, expected: &str) {
        let (mut root, _) = load(&Arc::from("f"), 0, "a: { b: 1 }\nl: [x, y]\n").expect("valid");
        let mut report = Vec::new();
        replace(&mut root, path, value, &mut report);
        let got = match report.first() {
            Some(diagnostic) => diagnostic.labels[0].text.clone(),
            None => show(&root),
        };
        assert_eq!(got, expected);
    }

    fn show(node: &Node) -> String {
        match &node.kind {
            Kind::Scalar(text) => text.value.clone(),
            Kind::List(entries) => format!("[{}]", entries.iter().map(show).collect::<Vec<_>>().join(",")),
            Kind::Map(entries) => {
                let pairs: Vec<String> =
                    entries.iter().map(|(name, value)| format!("{}:{}", name.value, show(value))).collect();
                format!("{{{}}}", pairs.join(","))
            }
            Kind::Invalid => "?".to_owned(),
        }
    }

    #[test]
    fn replaces_adds_and_says_where_it_cannot() {
        check("a.b", "2", "{a:{b:2},l:[x,y]}");
        check("a.c.d", "[1, 2]", "{a:{b:1,c:{d:[1,2]}},l:[x,y]}");
        check("l.1", "z", "{a:{b:1},l:[x,z]}");
        check("l.2", "z", "`2` is no position in a list of 2 (the first is 0)");
        check("a.b.c", "z", "there is no map to look up `c` in");
        check("a..c", "z", "a part of it is empty");
    }

    #[test]
    fn a_value_of_an_actor_that_is_not_there_is_refused() {
        let replaced = |path: &str| {
            let (mut root, _) = load(&Arc::from("f"), 0, "actors: { pro: {} }\n").expect("valid");
            let mut report = Vec::new();
            replace(&mut root, path, "1", &mut report);
            report.pop().map(|diagnostic| (diagnostic.message, diagnostic.help))
        };
        let (message, help) = replaced("actors.prp.temperature").expect("refused");
        assert_eq!(message, "`actors.prp.temperature` changes actor `prp`, which the pipeline does not have");
        assert_eq!(help, ["did you mean `pro`?"]);
        assert!(replaced("steps.s.chat.actor").is_some() && replaced("params.n.default").is_some());
        assert!(replaced("actors.pro.temperature").is_none());
        assert!(replaced("actors.new").is_none() && replaced("backends.main.base_url").is_none(), "whole new ones");
    }
}
