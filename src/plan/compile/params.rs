//! Params: defaults, then the command line; types and ranges.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::Compiler;
use crate::diag::{Diagnostic, Span, code};
use crate::prompt::Reference;
use crate::spec::{Entry, Literal, Number, Param, ParamType, Setting, Spanned};

/// The values of all params, and where they were given.
#[derive(Default)]
pub(super) struct Params {
    pub(super) values: Map<String, Value>,
    origins: BTreeMap<String, Span>,
    unreadable: BTreeSet<String>,
}

impl Params {
    /// Returns true when the value of a param has been reported already.
    pub(super) fn is_unreadable(&self, read: &Reference) -> bool {
        match read.0.get(1) {
            Some(name) => self.unreadable.contains(name),
            None => !self.unreadable.is_empty(),
        }
    }

    /// Returns the name, the place and the value of the param that a path reads.
    pub(super) fn origin(&self, read: &Reference) -> Option<(&str, &Span, &Value)> {
        let (name, span) = self.origins.get_key_value(read.0.get(1)?)?;
        Some((name, span, self.values.get(name)?))
    }
}

impl Compiler<'_> {
    /// Gives every param its value.
    pub(super) fn resolve_params(&mut self) {
        let spec = self.spec;
        let entries: Vec<&Entry<Param>> = spec.params.iter().flat_map(|table| &table.entries).collect();
        self.refuse_unknown_params(&entries);
        for entry in entries {
            let name = &entry.name.value;
            match entry.value.as_ref().and_then(|param| self.param(&entry.name, param)) {
                Some(value) => {
                    self.params.values.insert(name.clone(), value.value);
                    self.params.origins.insert(name.clone(), value.span);
                }
                None => {
                    self.params.unreadable.insert(name.clone());
                }
            }
        }
    }

    fn refuse_unknown_params(&mut self, entries: &[&Entry<Param>]) {
        let names = || entries.iter().map(|entry| entry.name.value.as_str());
        for (name, value) in &self.overrides.params {
            if names().any(|known| known == name) {
                continue;
            }
            let option = format!("-p {name}={value}");
            let place = Span { start: 3, end: 3 + name.len(), ..Span::of_option(&option, value) };
            let diagnostic = Diagnostic::error(code::PARAM, format!("the pipeline has no param `{name}`"))
                .at(&place, "unknown param");
            self.report.push(if entries.is_empty() {
                diagnostic.help("it has no params at all; `--set path=value` changes any value of the file")
            } else {
                diagnostic.suggest(name, names())
            });
        }
    }

    fn param(&mut self, name: &Spanned<String>, param: &Param) -> Option<Spanned<Value>> {
        let given = self.overrides.params.iter().rev().find(|(given, _)| *given == name.value);
        let literal = match (given, &param.default) {
            (Some((_, text)), _) => {
                let option = format!("-p {}={text}", name.value);
                let kind = kind_of(param);
                Spanned::new(typed(kind, text), Span::of_option(&option, text))
            }
            (None, Some(default)) => self.default_of(name, param, default)?,
            (None, None) => {
                self.report.push(
                    Diagnostic::error(code::PARAM, format!("param `{}` has no value", name.value))
                        .at(&name.span, "it has no default")
                        .help(format!("give it one: -p {}=…", name.value)),
                );
                return None;
            }
        };
        self.check(name, param, literal)
    }

    fn default_of(
        &mut self,
        name: &Spanned<String>,
        param: &Param,
        default: &Setting<crate::spec::Scalar>,
    ) -> Option<Spanned<Literal>> {
        match default {
            Setting::Literal(literal) => Some(Spanned::new(literal.value.0.clone(), literal.span.clone())),
            Setting::Deferred(text) if text.value.contains("{{") => {
                self.report.push(
                    Diagnostic::error(
                        code::NOT_ONE_REFERENCE,
                        format!("the default of param `{}` is a template", name.value),
                    )
                    .at(&text.span, "params are read by templates, not made of them")
                    .help("write a literal, or ${NAME:-default}"),
                );
                None
            }
            Setting::Deferred(text) => {
                let value = self.environment(text)?;
                Some(Spanned::new(typed(kind_of(param), &value), text.span.clone()))
            }
        }
    }

    fn check(&mut self, name: &Spanned<String>, param: &Param, literal: Spanned<Literal>) -> Option<Spanned<Value>> {
        let kind = kind_of(param);
        let fits = matches!(
            (kind, &literal.value),
            (ParamType::Integer | ParamType::Number, Literal::Integer(_))
                | (ParamType::Number, Literal::Float(_))
                | (ParamType::String, Literal::Text(_))
                | (ParamType::Boolean, Literal::Bool(_))
        );
        let refuse = |reason: String| {
            Diagnostic::error(code::PARAM, format!("param `{}` does not take {}", name.value, literal.value.show()))
                .at(&literal.span, reason)
        };
        if !fits {
            let diagnostic = refuse(format!("its type is {}", kind.word()));
            let diagnostic = match &param.kind {
                Some(kind) => diagnostic.at(&kind.span, "the type"),
                None => diagnostic.help("without `type` a param has the type of its default"),
            };
            let truth =
                matches!(&literal.value, Literal::Text(text) if matches!(text.as_str(), "yes" | "no" | "on" | "off"));
            self.report.push(match kind {
                ParamType::String => diagnostic.help(format!("quotes make it text: \"{}\"", literal.value.show())),
                ParamType::Boolean if truth => {
                    diagnostic.help("`yes`, `no`, `on` and `off` are text here; write true or false")
                }
                ParamType::Boolean | ParamType::Integer | ParamType::Number => diagnostic,
            });
            return None;
        }
        for (bound, word) in [(&param.minimum, "minimum"), (&param.maximum, "maximum")] {
            let Some(bound) = bound else { continue };
            if !matches!(kind, ParamType::Integer | ParamType::Number) {
                self.report.push(
                    Diagnostic::error(code::PARAM, format!("param `{}` has a {word} but is no number", name.value))
                        .at(&bound.span, format!("its type is {}", kind.word()))
                        .help(format!("remove `{word}`, or give it `type: integer`")),
                );
                return None;
            }
            if outside(&literal.value, bound.value, word) {
                let diagnostic = refuse(format!("the {word} is {}", bound.value.0))
                    .at(&bound.span, word)
                    .help(format!("give it a value within, or change `{word}`"));
                self.report.push(diagnostic);
                return None;
            }
        }
        let Some(value) = literal.value.to_json() else {
            self.report.push(refuse("the number is too large".to_owned()));
            return None;
        };
        Some(Spanned::new(value, literal.span))
    }
}

/// Returns the declared type, else that of the default.
fn kind_of(param: &Param) -> ParamType {
    if let Some(kind) = &param.kind {
        return kind.value;
    }
    match &param.default {
        Some(Setting::Literal(default)) => match default.value.0 {
            Literal::Integer(_) => ParamType::Integer,
            Literal::Float(_) => ParamType::Number,
            Literal::Bool(_) => ParamType::Boolean,
            Literal::Text(_) | Literal::Null => ParamType::String,
        },
        Some(Setting::Deferred(_)) | None => ParamType::String,
    }
}

/// Reads a text that has no quotes of its own as what the type needs.
fn typed(kind: ParamType, text: &str) -> Literal {
    match kind {
        ParamType::String => Literal::Text(text.to_owned()),
        ParamType::Integer | ParamType::Number | ParamType::Boolean => Literal::of_plain(text),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "bounds are written by people; the last digits of 2^53 are not at stake"
)]
fn outside(literal: &Literal, Number(bound): Number, word: &str) -> bool {
    let number = match literal {
        Literal::Integer(number) => *number as f64,
        Literal::Float(number) => *number,
        Literal::Null | Literal::Bool(_) | Literal::Text(_) => return false,
    };
    if word == "minimum" { number < bound } else { number > bound }
}
