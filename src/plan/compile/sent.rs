//! Headers, reasoning and more of the body: settings → what is sent.

use std::num::NonZeroU32;

use serde_json::{Map, Value, json};

use super::Compiler;
use crate::diag::{Diagnostic, code};
use crate::plan::Secret;
use crate::prompt::{Reasoning, evaluate};
use crate::spec::{self, EffortWord, ExtraBody, Kind, Node, Text, reference};

/// What only the text of a request can read.
const OF_CALLS: [&str; 6] = ["item", "repeat", "steps", "matrix", "turn", "each"];

impl Compiler<'_> {
    /// Returns the headers of a backend. One without a value, such as `${TEAM:-}`, is left out.
    pub(super) fn headers(&mut self, backend: &spec::Backend) -> Vec<(String, Secret)> {
        let mut headers = Vec::new();
        for (name, text) in backend.headers.iter().flat_map(|headers| &headers.0) {
            let value = match text.value.contains("${") {
                true => self.environment(text),
                false => Some(text.value.clone()),
            };
            let Some(value) = value else { continue };
            let value = value.trim();
            if value.chars().any(|letter| letter.is_control() && letter != '\t') {
                // Never with the value: it may be a secret.
                self.report.push(
                    Diagnostic::error(code::OUT_OF_RANGE, format!("header `{}` has a line break in it", name.value))
                        .at(&text.span, "or another control character")
                        .help("a header is one line of text"),
                );
            } else if !value.is_empty() {
                headers.push((name.value.clone(), Secret::new(value)));
            }
        }
        headers
    }

    /// Returns how much an actor or a model may think, when the file says so.
    pub(super) fn reasoning(&mut self, owner: &str, effort: Option<&spec::Effort>) -> Option<Reasoning> {
        match effort? {
            spec::Effort::Word(word) => {
                let word = self.setting(&format!("`reasoning` of {owner}"), word)?;
                Some(match word.value {
                    EffortWord::Off => Reasoning::Off,
                    EffortWord::Low => Reasoning::Low,
                    EffortWord::Medium => Reasoning::Medium,
                    EffortWord::High => Reasoning::High,
                })
            }
            spec::Effort::Budget(limit) => {
                let what = format!("`budget` in `reasoning` of {owner}");
                let tokens = self.optional(&what, limit.budget.as_ref())?;
                NonZeroU32::new(tokens.0).map(Reasoning::Budget)
            }
        }
    }

    /// Returns more fields of the body. Texts are sent as they are, but for `${NAME}` and one whole `{{ params.… }}`.
    pub(super) fn extra(&mut self, owner: &str, extra: Option<&ExtraBody>) -> Map<String, Value> {
        let entries = extra.into_iter().flat_map(|extra| &extra.0);
        entries.filter_map(|(name, node)| Some((name.value.clone(), self.extra_value(owner, node)?))).collect()
    }

    fn extra_value(&mut self, owner: &str, node: &Node) -> Option<Value> {
        match &node.kind {
            Kind::Map(entries) => {
                let values = entries.iter().map(|(name, node)| (name.value.clone(), self.extra_value(owner, node)));
                let values: Vec<_> = values.collect();
                values.into_iter().map(|(name, value)| Some((name, value?))).collect::<Option<_>>().map(Value::Object)
            }
            Kind::List(nodes) => {
                let values: Vec<_> = nodes.iter().map(|node| self.extra_value(owner, node)).collect();
                values.into_iter().collect::<Option<_>>().map(Value::Array)
            }
            Kind::Scalar(text) => match reference(&text.value) {
                Some(inside) if !text.value.contains("${") => self.extra_reference(owner, text, inside, node),
                _ => self.json(node),
            },
            Kind::Invalid => None,
        }
    }

    /// Reads params in a text that is one whole `{{ … }}`. Any other is the server's: chat templates have such texts.
    fn extra_reference(&mut self, owner: &str, text: &Text, inside: &str, node: &Node) -> Option<Value> {
        let (reads, value) = evaluate(inside, &json!({ "params": self.params.values }));
        let roots: Vec<&str> = reads.iter().filter_map(|read| read.0.first()).map(String::as_str).collect();
        if let Some(root) = roots.iter().find(|root| OF_CALLS.contains(root)) {
            self.report.push(
                Diagnostic::error(code::WRONG_PLACE, format!("`extra_body` of {owner} reads `{root}`"))
                    .at(&text.span, "it is the same in all requests of the actor")
                    .help("it reads only params; a matrix sets it with { set: actors.NAME.extra_body.KEY, to: […] }"),
            );
            return None;
        }
        if roots.is_empty() || roots.iter().any(|root| *root != "params") {
            return self.json(node);
        }
        let before = self.report.len();
        for read in &reads {
            if let Some(name) = read.0.get(1) {
                self.reads.params.insert(name.clone());
                let place = super::scope::place_of(text, read);
                self.check_param(name, &place);
            }
        }
        if self.report.len() > before || reads.iter().any(|read| self.params.is_unreadable(read)) {
            return None;
        }
        match value {
            Ok(value) => Some(value),
            Err(error) => {
                let message = format!("`extra_body` of {owner} cannot be evaluated");
                self.report.push(Diagnostic::error(code::TEMPLATE_SYNTAX, message).at(&text.span, error.message));
                None
            }
        }
    }
}
