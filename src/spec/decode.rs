//! [`Node`] → Rust types; collects every mistake and goes on.

use std::ops::Deref;

use super::node::{Kind, Node, Spanned};
use super::peers::{IN_BODY, PEER_WORDS, PLACES};
use super::{Literal, Text};
use crate::diag::{Diagnostic, Span, closest, code};

/// Something that can be read from a node.
pub(super) trait Decode: Sized {
    /// Reads it; none when something was reported that leaves nothing to go on with.
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self>;
}

/// What is being read, for messages.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Such as "actor `pro`" or "`votes` of step `verdict`".
    pub(super) what: String,
    /// Its key.
    pub(super) at: Span,
}

/// A field that must be there; none once its absence or its mistake has been reported.
#[derive(Clone, Debug)]
pub struct Required<T>(pub Option<T>);

impl<T> Deref for Required<T> {
    type Target = Option<T>;

    fn deref(&self) -> &Option<T> {
        &self.0
    }
}

/// The keys of one map, ticked off as they are read.
pub(super) struct Fields<'n> {
    place: Place,
    entries: &'n [(Spanned<String>, Node)],
    known: Vec<&'static str>,
}

impl Place {
    /// Returns whose key this is: "actor `pro`" of "`extra_body` of actor `pro`".
    pub(super) fn owner(&self) -> &str {
        self.what.split_once("` of ").map_or(&self.what, |(_, owner)| owner)
    }
}

impl<'n> Fields<'n> {
    /// Takes a node for a map.
    pub(super) fn of(node: &'n Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        match &node.kind {
            Kind::Map(entries) => Some(Self { place: place.clone(), entries, known: Vec::new() }),
            Kind::Invalid => None,
            Kind::Scalar(_) | Kind::List(_) => {
                report.push(wrong_type(node, place, "a map of keys and values"));
                None
            }
        }
    }

    /// Returns the place of a key.
    pub(super) fn place_of(&self, key: &str, at: &Span) -> Place {
        let what =
            if self.place.what.is_empty() { format!("`{key}`") } else { format!("`{key}` of {}", self.place.what) };
        Place { what, at: at.clone() }
    }

    /// Reads a key that may be missing.
    pub(super) fn optional<T: Decode>(&mut self, key: &'static str, report: &mut Vec<Diagnostic>) -> Option<T> {
        self.known.push(key);
        let (name, node) = self.entries.iter().find(|(name, _)| name.value == key)?;
        let place = self.place_of(key, &name.span);
        if matches!(&node.kind, Kind::Scalar(text) if text.literal() == Literal::Null) {
            report.push(
                Diagnostic::error(code::WRONG_TYPE, format!("{} has no value", place.what))
                    .at(&name.span, "nothing follows")
                    .help("give it a value or remove the key"),
            );
            return None;
        }
        T::decode(node, &place, report)
    }

    /// Reads a key that must be there.
    pub(super) fn required<T: Decode>(&mut self, key: &'static str, report: &mut Vec<Diagnostic>) -> Required<T> {
        if self.has(key) {
            return Required(self.optional(key, report));
        }
        self.known.push(key);
        // A misspelt key is reported as unknown, with this one as the suggestion.
        if self.entries.iter().any(|(name, _)| stands_for(&name.value, key)) {
            return Required(None);
        }
        let owner = if self.place.what.is_empty() { "the pipeline" } else { &self.place.what };
        report.push(
            Diagnostic::error(code::MISSING_KEY, format!("{owner} has no `{key}`"))
                .at(&self.place.at, format!("`{key}` must be given"))
                .help(format!("add a line `{key}: …` to it")),
        );
        Required(None)
    }

    /// Returns true when the key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| name.value == key)
    }

    /// Returns where a key stands, else the owner.
    pub(super) fn span_of(&self, key: &str) -> Span {
        let found = self.entries.iter().find(|(name, _)| name.value == key);
        found.map_or_else(|| self.place.at.clone(), |(name, _)| name.span.clone())
    }

    /// Returns how many entries the list under a key has, readable or not.
    pub(super) fn length_of(&self, key: &str) -> usize {
        match self.entries.iter().find(|(name, _)| name.value == key).map(|(_, node)| &node.kind) {
            Some(Kind::List(entries)) => entries.len(),
            Some(Kind::Scalar(_) | Kind::Map(_) | Kind::Invalid) | None => 0,
        }
    }

    /// Returns true when there is a key that was not asked for.
    fn has_unknown(&self) -> bool {
        let is_unknown = |key: &str| !self.known.contains(&key) && !key.starts_with("x-");
        self.entries.iter().any(|(name, _)| is_unknown(&name.value))
    }

    /// Checks that exactly one of some keys is there, and says which ones there are if not.
    ///
    /// To be called when every key was asked for: a misspelt one is told by [`Self::finish`], and that none of these is
    /// there would only repeat it.
    pub(super) fn one_of(&self, keys: &[&str], remedy: &str, report: &mut Vec<Diagnostic>) {
        if keys.iter().any(|key| self.has(key)) || !self.has_unknown() {
            self.exactly_one(keys, remedy, report);
        }
    }

    fn exactly_one(&self, keys: &[&str], remedy: &str, report: &mut Vec<Diagnostic>) {
        let found: Vec<&Spanned<String>> =
            self.entries.iter().map(|(name, _)| name).filter(|name| keys.contains(&name.value.as_str())).collect();
        let list = keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
        let base = match found.as_slice() {
            [_] => return,
            [] => Diagnostic::error(code::EXACTLY_ONE, format!("{} has none of {list}", self.place.what))
                .at(&self.place.at, "one of them must be given"),
            [first, others @ ..] => {
                let message = format!("{} has {} of {list}", self.place.what, found.len());
                let start = Diagnostic::error(code::EXACTLY_ONE, message).at(&first.span, "this one");
                others.iter().fold(start, |diagnostic, other| diagnostic.at(&other.span, "and this one"))
            }
        };
        let base = if remedy.is_empty() { base } else { base.help(remedy) };
        let is_joined = found.windows(2).any(|pair| pair[0].span.file != pair[1].span.file);
        let help = "maps of an included file are joined with those of the file that includes it, key by key";
        report.push(if is_joined { base.help(help) } else { base });
    }

    /// Checks that there is one condition of a stop, and no list of conditions without any; `example` shows one. To be
    /// called as [`Self::one_of`].
    pub(super) fn one_condition(&self, conditions: &[&str], example: Option<&str>, report: &mut Vec<Diagnostic>) {
        self.one_of(conditions, "several conditions go under `any` (one is enough) or `all`", report);
        for (key, node) in self.entries.iter().filter(|(key, _)| ["any", "all"].contains(&key.value.as_str())) {
            if matches!(&node.kind, Kind::List(list) if list.is_empty()) {
                let message = format!("`{}` of {} is empty", key.value, self.place.what);
                let diagnostic = Diagnostic::error(code::BAD_LIST, message)
                    .at(&self.span_of(&key.value), "at least one condition must be given");
                report.push(
                    example.map_or(diagnostic.clone(), |example| diagnostic.help(format!("such as {example}"))),
                );
            }
        }
    }

    /// Reports the keys that nobody asked for. `x-…` keys are the author's own.
    pub(super) fn finish(self, report: &mut Vec<Diagnostic>) {
        for (name, _) in self.entries {
            let key = name.value.as_str();
            if self.known.contains(&key) || key.starts_with("x-") {
                continue;
            }
            let owner = if self.place.what.is_empty() { "a pipeline".to_owned() } else { self.place.what.clone() };
            let diagnostic = Diagnostic::error(code::UNKNOWN_KEY, format!("{owner} has no key `{key}`"))
                .at(&name.span, "unknown key");
            let word = key.to_lowercase().replace('-', "_");
            let peer = PEER_WORDS.iter().find(|(peer, ours)| *peer == word && self.known.contains(ours));
            let place = PLACES.iter().find(|(name, _)| *name == word);
            if self.known.contains(&"extra_body") && IN_BODY.contains(&word.as_str()) {
                let help = format!("write `extra_body: {{ {word}: … }}`: it goes into the request as it is");
                report.push(diagnostic.help(help));
                continue;
            }
            report.push(match (peer, place) {
                (Some((_, ours)), _) => diagnostic.help(format!("this language says `{ours}`")),
                (None, Some((name, place))) if closest(key, self.known.iter().copied()).is_none() => {
                    diagnostic.help(format!("`{name}` belongs {place}"))
                }
                (None, _) => diagnostic.suggest(key, self.known.iter().copied()),
            });
        }
    }
}

fn stands_for(written: &str, key: &str) -> bool {
    PEER_WORDS.contains(&(written, key)) || closest(written, [key]).is_some()
}

/// Reports a value of the wrong type.
pub(super) fn wrong_type(node: &Node, place: &Place, expected: &str) -> Diagnostic {
    Diagnostic::error(code::WRONG_TYPE, format!("{} must be {expected}", place.what))
        .at(&node.span, format!("this is {}", node.describe()))
}

impl Decode for Text {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        match &node.kind {
            Kind::Scalar(text) => match text.literal() {
                Literal::Text(value) if value.trim().is_empty() => {
                    report.push(
                        Diagnostic::error(code::OUT_OF_RANGE, format!("{} is empty", place.what))
                            .at(&node.span, "a text must be given"),
                    );
                    None
                }
                Literal::Text(_) => Some(text.clone()),
                literal @ (Literal::Null | Literal::Bool(_) | Literal::Integer(_) | Literal::Float(_)) => {
                    report.push(
                        Diagnostic::error(code::WRONG_TYPE, format!("{} must be text", place.what))
                            .at(&node.span, format!("YAML reads this as {}", literal.describe()))
                            .help(format!("put it into quotes: \"{}\"", text.value)),
                    );
                    None
                }
            },
            Kind::Invalid => None,
            Kind::List(_) | Kind::Map(_) => {
                let diagnostic = wrong_type(node, place, "text");
                let looks_split = matches!(&node.kind, Kind::Map(entries) if entries.len() == 1);
                report.push(if looks_split {
                    diagnostic.help("text with a `: ` in it needs quotes, or a block after `|`")
                } else {
                    diagnostic
                });
                None
            }
        }
    }
}

impl Decode for Spanned<String> {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        Text::decode(node, place, report).map(|text| Self::new(text.value, text.span))
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        match &node.kind {
            Kind::List(entries) => {
                let entry =
                    |node: &Node| Place { what: format!("each entry of {}", place.what), at: node.span.clone() };
                Some(entries.iter().filter_map(|node| T::decode(node, &entry(node), report)).collect())
            }
            Kind::Invalid => None,
            Kind::Scalar(_) | Kind::Map(_) => {
                report.push(
                    wrong_type(node, place, "a list")
                        .help("a list is written [a, b], or one entry a line after `- `"),
                );
                None
            }
        }
    }
}

impl<T: Decode> Decode for Box<T> {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        T::decode(node, place, report).map(Self::new)
    }
}
