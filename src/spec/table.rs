//! Maps whose keys are names that the author chose.

use std::collections::BTreeMap;

use super::decode::{Decode, Fields, Place, wrong_type};
use super::node::{Kind, Node, Spanned};
use crate::diag::{Diagnostic, code};

/// Named things in the file's order.
#[derive(Clone, Debug)]
pub struct Table<T> {
    /// One for each key.
    pub entries: Vec<Entry<T>>,
    /// Where each name stands among the entries.
    places: BTreeMap<String, usize>,
}

/// One named thing.
#[derive(Clone, Debug)]
pub struct Entry<T> {
    /// Its key.
    pub name: Spanned<String>,
    /// None when it has been reported as unreadable: the name still exists for those who refer to it.
    pub value: Option<T>,
}

/// What a table holds.
pub(super) trait Named {
    /// The word for one of them.
    const WORD: &'static str;
    /// The word with its article.
    const ONE: &'static str;
    /// Whether names may have hyphens: not where templates read them.
    const HYPHENS: bool;
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), places: BTreeMap::new() }
    }
}

impl<T> Table<T> {
    /// Returns every name, in the file's order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.value.as_str())
    }

    /// Returns the entry of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Entry<T>> {
        self.places.get(name).map(|place| &self.entries[*place])
    }
}

impl<T: Decode + Named> Decode for Table<T> {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let Kind::Map(pairs) = &node.kind else {
            if !matches!(node.kind, Kind::Invalid) {
                report.push(
                    wrong_type(node, place, &format!("a map from names to {}s", T::WORD))
                        .help(format!("each {} stands under its name: `name: {{ … }}`", T::WORD)),
                );
            }
            return None;
        };
        let mut entries = Vec::new();
        for (name, node) in pairs {
            if name.value.starts_with("x-") {
                continue;
            }
            check_name::<T>(name, report);
            let place = Place { what: format!("{} `{}`", T::WORD, name.value), at: name.span.clone() };
            entries.push(Entry { name: name.clone(), value: T::decode(node, &place, report) });
        }
        let named =
            entries.iter().enumerate().map(|(place, entry): (_, &Entry<T>)| (entry.name.value.clone(), place));
        let places = named.collect();
        Some(Self { entries, places })
    }
}

fn check_name<T: Named>(name: &Spanned<String>, report: &mut Vec<Diagnostic>) {
    let text = name.value.as_str();
    let letters = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || (T::HYPHENS && letter == '-');
    let first = |first: char| first.is_ascii_alphabetic() || first == '_';
    if text.starts_with(first) && text.chars().all(letters) && text.len() <= 64 {
        return;
    }
    let allowed = if T::HYPHENS { "letters, digits, `_` and `-`" } else { "letters, digits and `_`" };
    let message = format!("{text:?} cannot be the name of {}", T::ONE);
    let diagnostic = Diagnostic::error(code::BAD_NAME, message)
        .at(&name.span, format!("a name has at most 64 {allowed}, and starts with a letter"));
    report.push(if text.contains('-') && !T::HYPHENS {
        diagnostic.help(format!("a template would read `-` as minus; write {}", text.replace('-', "_")))
    } else {
        diagnostic
    });
}

/// Reads a table that must not be empty.
pub(super) fn filled<T: Decode + Named>(
    fields: &mut Fields<'_>,
    key: &'static str,
    report: &mut Vec<Diagnostic>,
) -> super::Required<Table<T>> {
    let table: super::Required<Table<T>> = fields.required(key, report);
    if table.as_ref().is_some_and(|found| found.entries.is_empty()) {
        let at = fields.span_of(key);
        report.push(
            Diagnostic::error(code::MISSING_KEY, format!("`{key}` is empty"))
                .at(&at, format!("at least one {} must be given", T::WORD)),
        );
    }
    table
}
