//! What every actor and every step inherits: put into the tree of the file, so that whatever reads it sees one value.

use schemars::JsonSchema;

use super::decode::{Decode, Fields, Place};
use super::flow::OnError;
use super::node::{Kind, Node, Spanned};
use super::{Actor, Repairs, Retries, Setting, Text, Timeouts};
use crate::diag::{Diagnostic, Span, code};

/// Most bytes of text that inheriting may add: a long prompt for many actors is better a file of its own.
const MOST_ADDED: usize = 64 << 20;

/// What every actor and every step inherits. A key that it has itself counts instead, as a whole.
#[derive(Clone, Debug, JsonSchema)]
pub struct Defaults {
    /// For every actor.
    #[schemars(extend("examples" = [{"temperature": 0.7, "max_tokens": 400}]))]
    pub actors: Option<Actor>,
    /// For every step that can have it.
    #[schemars(extend("examples" = [{"on_error": "skip", "repair": 2}]))]
    pub steps: Option<StepDefaults>,
}

/// What a step inherits: what can stand beside any kind of work.
#[derive(Clone, Debug, JsonSchema)]
pub struct StepDefaults {
    /// A bare expression: only where it holds a step is done.
    #[schemars(extend("examples" = ["item.lang == \"en\""]))]
    pub when: Option<Text>,
    /// What a failure of a step does: `fail`, `skip`, or `default` with its output.
    #[schemars(extend("default" = "fail"))]
    #[schemars(extend("examples" = ["skip"]))]
    pub on_error: Option<OnError>,
    /// Steps that all others wait for.
    #[schemars(extend("examples" = [["prepare"]]))]
    pub after: Option<Vec<Spanned<String>>>,
    /// How often an answer that cannot be read is asked for again: for judges, and chats with a `schema`.
    #[schemars(extend("default" = 1))]
    #[schemars(extend("examples" = [2]))]
    pub repair: Option<Setting<Repairs>>,
    /// How often a request is sent again, for steps that ask a model; what is not given is as in `limits`.
    #[schemars(extend("examples" = [{"attempts": 2}]))]
    pub retries: Option<Retries>,
    /// How long a request may take, for steps that ask a model; what is not given is as in `limits`.
    #[schemars(extend("examples" = [{"total": "20m"}]))]
    pub timeouts: Option<Timeouts>,
}

/// Who inherited what: for messages about a value that stands in one place and counts in many.
#[derive(Clone, Debug, Default)]
pub struct Inherited(Vec<Legacy>);

/// One inherited value.
#[derive(Clone, Debug)]
struct Legacy {
    at: Span,
    noun: &'static str,
    heirs: Vec<String>,
}

impl Inherited {
    /// Tells a mistake in an inherited value once, with those whom it concerns.
    #[must_use]
    pub fn told(&self, diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
        let mut told: Vec<Diagnostic> = Vec::with_capacity(diagnostics.len());
        for diagnostic in diagnostics {
            let Some(legacy) = self.of(&diagnostic) else {
                told.push(diagnostic);
                continue;
            };
            let is_known = |one: &Diagnostic| one.code == diagnostic.code && one.labels == diagnostic.labels;
            if !told.iter().any(is_known) {
                let heirs = named(legacy);
                told.push(diagnostic.help(format!("it is inherited by {heirs}; a value of its own counts instead")));
            }
        }
        told
    }

    fn of(&self, diagnostic: &Diagnostic) -> Option<&Legacy> {
        let at = &diagnostic.labels.first()?.span;
        self.0.iter().find(|legacy| {
            legacy.at.file == at.file && legacy.at.start <= at.start && at.end <= legacy.at.end.max(legacy.at.start)
        })
    }
}

/// Lists those who inherit a value.
fn named(legacy: &Legacy) -> String {
    const MOST_NAMED: usize = 5;
    let plural = if legacy.heirs.len() == 1 { "" } else { "s" };
    let names: Vec<String> = legacy.heirs.iter().take(MOST_NAMED).map(|name| format!("`{name}`")).collect();
    let more = legacy.heirs.len().saturating_sub(MOST_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{plural} {}{more}", legacy.noun, names.join(", "))
}

/// Gives every actor and step what it inherits. What is wrong in itself is inherited by nobody: it is told where it
/// stands.
pub(super) fn inherit(root: &mut Node, report: &mut Vec<Diagnostic>) -> Inherited {
    let mut inherited = Inherited::default();
    let Some(defaults) = root.value("defaults").cloned() else { return inherited };
    let mut added = 0;
    for (section, noun) in [("actors", "actor"), ("steps", "step")] {
        let Some(Node { kind: Kind::Map(values), .. }) = defaults.value(section) else { continue };
        let Some(Node { kind: Kind::Map(takers), .. }) = root.value_mut(section) else { continue };
        for (key, value) in values.iter().filter(|(key, value)| is_sound(section, key, value)) {
            let given = give(section, key, value, takers);
            added += given.heirs.len() * size(value);
            if added > MOST_ADDED {
                let message = format!("what is inherited adds more than {} MiB of text", MOST_ADDED >> 20);
                report.push(
                    Diagnostic::error(code::TOO_LARGE, message)
                        .at(&value.span, "here at the latest")
                        .help("put long prompts into files of their own (`file://…`)"),
                );
                return inherited;
            }
            report.extend(given.complaint(section, noun, key));
            inherited.0.push(Legacy { at: value.span.clone(), noun, heirs: given.heirs });
        }
    }
    inherited
}

/// What became of one value.
#[derive(Default)]
struct Given {
    heirs: Vec<String>,
    /// How many have a value of their own.
    own: usize,
}

impl Given {
    fn complaint(&self, section: &str, noun: &str, key: &Spanned<String>) -> Option<Diagnostic> {
        if !self.heirs.is_empty() {
            return None;
        }
        let name = &key.value;
        if self.own > 0 {
            let message = format!("`{name}` of `defaults.{section}` is inherited by no {noun}");
            return Some(
                Diagnostic::warning(code::UNUSED, message)
                    .at(&key.span, format!("each {noun} has its own"))
                    .help("remove it here, or there"),
            );
        }
        let help = match name.as_str() {
            "repair" => "`repair` goes with a judge, with a `judge_says`, or with a `chat` that has a `schema`",
            "retries" | "timeouts" => "no step here asks a model",
            "after" => "a step does not wait for itself: name one that another step can wait for",
            _ => "remove it",
        };
        let message = format!("no {noun} can take `{name}` of `defaults.{section}`");
        Some(Diagnostic::error(code::WRONG_PLACE, message).at(&key.span, "has no effect").help(help))
    }
}

fn give(section: &str, key: &Spanned<String>, value: &Node, takers: &mut [(Spanned<String>, Node)]) -> Given {
    let mut given = Given::default();
    for (name, taker) in takers.iter_mut().filter(|(name, _)| !name.value.starts_with("x-")) {
        let can_take = section == "actors" || can_take(&name.value, taker, &key.value, value);
        let Kind::Map(entries) = &mut taker.kind else { continue };
        if entries.iter().any(|(own, _)| own.value == key.value) {
            given.own += 1;
        } else if can_take {
            entries.push((key.clone(), value.clone()));
            given.heirs.push(name.value.clone());
        }
    }
    given
}

/// Tells whether a value means something to a step.
fn can_take(step: &str, node: &Node, key: &str, value: &Node) -> bool {
    match (key, &value.kind) {
        ("repair", _) => {
            let asks = |dialogue: &Node| dialogue.value("stop").is_some_and(|stop| mentions(stop, "judge_says"));
            node.value("judge").is_some()
                || (node.value("chat").is_some() && node.value("schema").is_some())
                || node.value("dialogue").is_some_and(asks)
        }
        ("retries" | "timeouts", _) => {
            let gathers = node.value("aggregate").is_some_and(|aggregate| aggregate.value("prompt").is_none());
            !gathers && ["transform", "assert"].iter().all(|kind| node.value(kind).is_none())
        }
        ("after", Kind::List(names)) => {
            let is_itself = |name: &Node| matches!(&name.kind, Kind::Scalar(text) if text.value == step);
            !names.iter().any(is_itself)
        }
        _ => true,
    }
}

/// Tells whether a key stands somewhere in a tree.
fn mentions(node: &Node, key: &str) -> bool {
    match &node.kind {
        Kind::Map(entries) => entries.iter().any(|(name, value)| name.value == key || mentions(value, key)),
        Kind::List(entries) => entries.iter().any(|entry| mentions(entry, key)),
        Kind::Scalar(_) | Kind::Invalid => false,
    }
}

/// Tells whether a value is one that its key takes, whoever inherits it.
fn is_sound(section: &str, key: &Spanned<String>, value: &Node) -> bool {
    let alone = Node { span: value.span.clone(), kind: Kind::Map(vec![(key.clone(), value.clone())]) };
    let place = Place { what: String::new(), at: key.span.clone() };
    let mut mistakes = Vec::new();
    let is_read = match section {
        "actors" => Actor::decode(&alone, &place, &mut mistakes).is_some(),
        _ => StepDefaults::decode(&alone, &place, &mut mistakes).is_some(),
    };
    is_read && mistakes.is_empty() && !key.value.starts_with("x-")
}

/// Returns the bytes of text in a value.
fn size(node: &Node) -> usize {
    match &node.kind {
        Kind::Scalar(text) => text.value.len(),
        Kind::List(entries) => entries.iter().map(size).sum(),
        Kind::Map(entries) => entries.iter().map(|(name, value)| name.value.len() + size(value)).sum(),
        Kind::Invalid => 0,
    }
}

impl Decode for Defaults {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let defaults = Self { actors: fields.optional("actors", report), steps: fields.optional("steps", report) };
        fields.finish(report);
        Some(defaults)
    }
}

impl Decode for StepDefaults {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let defaults = Self {
            when: fields.optional("when", report),
            on_error: fields.optional("on_error", report),
            after: fields.optional("after", report),
            repair: fields.optional("repair", report),
            retries: fields.optional("retries", report),
            timeouts: fields.optional("timeouts", report),
        };
        fields.finish(report);
        Some(defaults)
    }
}
