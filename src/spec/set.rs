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
}
