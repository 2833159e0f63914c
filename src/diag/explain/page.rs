//! What a page holds, and how to find one.

use super::{answers, graph, settings, shape, templates, warnings, yaml};

/// What there is to say about one code.
///
/// The examples show the keys that matter: a file has the others too. They are compiled by a test.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The code.
    pub code: &'static str,
    /// What it means.
    pub means: &'static str,
    /// A piece of a file with the mistake, or a command line when only that can make it.
    pub wrong: &'static str,
    /// The same without the mistake.
    pub right: &'static str,
    /// Why the rule exists.
    pub why: &'static str,
}

/// Returns every page, in the order of codes.
pub fn pages() -> impl Iterator<Item = &'static Page> {
    let families =
        [yaml::PAGES, shape::PAGES, settings::PAGES, templates::PAGES, graph::PAGES, answers::PAGES, warnings::PAGES];
    families.into_iter().flatten()
}

/// Returns the page of a code.
#[must_use]
pub fn page(code: &str) -> Option<&'static Page> {
    pages().find(|page| page.code == code)
}
