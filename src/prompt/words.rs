//! Where things stand in the source of a template, and which words of it do not exist.
//!
//! minijinja tells what a template reads, but not where, and looks filters up only when it renders.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use minijinja::{Environment, ErrorKind};
use regex::Regex;

use super::Reference;

/// A filter or a test that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownWord {
    /// "filter" or "test".
    pub kind: &'static str,
    /// As written.
    pub word: String,
    /// Where in the source, in bytes.
    pub range: Range<usize>,
    /// Words of that kind that do exist.
    pub known: &'static [&'static str],
}

/// Filters worth suggesting; all of them exist.
const FILTERS: &[&str] = &[
    "abs",
    "attr",
    "batch",
    "bool",
    "capitalize",
    "default",
    "dictsort",
    "first",
    "float",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "select",
    "selectattr",
    "slice",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "unique",
    "upper",
];
/// Tests worth suggesting; all of them exist.
const TESTS: &[&str] = &[
    "defined",
    "divisibleby",
    "endingwith",
    "eq",
    "even",
    "false",
    "ge",
    "gt",
    "in",
    "integer",
    "iterable",
    "le",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "sequence",
    "startingwith",
    "string",
    "true",
    "undefined",
    "upper",
];
/// What stands between braces, comments included so that they are stepped over.
static TAG: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?s)\{#.*?#\}|\{\{.*?\}\}|\{%.*?%\}").expect("a constant pattern"));
static STRING: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"(?s)"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'"#).expect("a constant pattern"));
static PATH: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[A-Za-z_][A-Za-z0-9_]*(?:\s*\.\s*[A-Za-z0-9_]+)*").expect("a constant pattern"));
static NAME: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[A-Za-z0-9_]+").expect("a constant pattern"));
static FILTER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\|\s*([A-Za-z_][A-Za-z0-9_]*)").expect("a constant pattern"));
static TEST: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\bis\s+(?:not\s+)?([A-Za-z_][A-Za-z0-9_]*)").expect("a constant pattern"));

/// Returns where the source of a template reads something, in bytes.
#[must_use]
pub fn locate(source: &str, reference: &Reference) -> Option<Range<usize>> {
    locate_all(source, std::slice::from_ref(reference)).pop().flatten()
}

/// Returns where the source of a template reads each of several things, in bytes; looks through it once.
#[must_use]
pub fn locate_all(source: &str, references: &[Reference]) -> Vec<Option<Range<usize>>> {
    let mut first: BTreeMap<Vec<&str>, Option<Range<usize>>> =
        references.iter().map(|reference| (prefix(reference), None)).collect();
    let deepest = first.keys().map(Vec::len).max().unwrap_or_default();
    let tags = tags(source);
    for (start, inside) in &tags {
        for found in PATH.find_iter(inside) {
            let before = inside[..found.start()].chars().next_back();
            if before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_' || letter == '.') {
                continue;
            }
            let mut path = Vec::new();
            for name in NAME.find_iter(found.as_str()).take(deepest) {
                path.push(name.as_str());
                if let Some(place @ None) = first.get_mut(&path) {
                    *place = Some(start + found.start()..start + found.start() + name.end());
                }
            }
        }
    }
    references.iter().map(|reference| first.get(&prefix(reference)).cloned().flatten()).collect()
}

/// Paths are told apart by their first eight names: nothing that templates see is deeper on purpose.
fn prefix(reference: &Reference) -> Vec<&str> {
    reference.0.iter().take(8).map(String::as_str).collect()
}

pub(super) fn unknown(environment: &Environment<'_>, source: &str) -> Vec<UnknownWord> {
    let mut unknown = Vec::new();
    for (start, inside) in tags(source) {
        for (kind, pattern, known) in [("filter", &*FILTER, FILTERS), ("test", &*TEST, TESTS)] {
            for found in pattern.captures_iter(&inside).filter_map(|captures| captures.get(1)) {
                if !exists(environment, kind, found.as_str()) {
                    let range = start + found.start()..start + found.end();
                    unknown.push(UnknownWord { kind, word: found.as_str().to_owned(), range, known });
                }
            }
        }
    }
    unknown
}

/// Returns the tags of a source with their places, string literals blanked out.
pub(super) fn tags(source: &str) -> Vec<(usize, String)> {
    let tags = TAG.find_iter(source).filter(|found| !found.as_str().starts_with("{#"));
    tags.map(|found| {
        let blanked =
            STRING.replace_all(found.as_str(), |literal: &regex::Captures<'_>| " ".repeat(literal[0].len()));
        (found.start(), blanked.into_owned())
    })
    .collect()
}

/// The library has no list to ask, but names an unknown word as such when it meets one.
fn exists(environment: &Environment<'_>, kind: &str, word: &str) -> bool {
    let probe = if kind == "filter" { format!("none|{word}") } else { format!("none is {word}") };
    let Ok(expression) = environment.compile_expression(&probe) else { return true };
    match expression.eval(()) {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), ErrorKind::UnknownFilter | ErrorKind::UnknownTest),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Templates;
    use super::*;

    fn check_unknown(source: &str, expected: &[&str]) {
        let mut templates = Templates::default();
        let id = templates.add(source).expect("compiles");
        let unknown = templates.unknown_words(id);
        let words: Vec<&str> = unknown.iter().map(|found| found.word.as_str()).collect();
        assert_eq!(words, expected, "{source}");
        assert!(unknown.iter().all(|found| source[found.range.clone()] == found.word));
    }

    #[test]
    fn finds_filters_and_tests_that_do_not_exist() {
        check_unknown("{{ item.x | uper }} {{ 'a | b is c' }} {# a | b #} text | x", &["uper"]);
        check_unknown("{% if item.x is not defind %}{{ x|default('y')|trim }}{% endif %}", &["defind"]);
    }

    #[test]
    fn every_suggestion_exists() {
        for word in FILTERS {
            check_unknown(&format!("{{{{ x | {word} }}}}"), &[]);
        }
        for word in TESTS {
            if *word != "in" {
                check_unknown(&format!("{{{{ x is {word} }}}}"), &[]);
            }
        }
    }

    #[test]
    fn finds_where_something_is_read() {
        let source = "steps.a.text {{ 'steps.a.text' ~ xsteps.a.text ~ steps . a.text }}";
        let path = Reference(["steps", "a", "text"].map(str::to_owned).to_vec());
        let range = locate(source, &path).expect("it is there");
        assert_eq!(&source[range], "steps . a.text");
    }

    #[test]
    fn templates_cannot_reach_each_other() {
        let mut templates = Templates::default();
        templates.add("secret").expect("compiles");
        for source in ["{% include '0' %}", "{%- extends '0' %}", "{% import '0' as x %}", "{% from '0' import x %}"]
        {
            assert!(templates.add(source).is_err(), "{source}");
        }
    }
}
