//! Settings → values: environment and params put in, ranges checked again.

use serde_json::{Value, json};

use super::Compiler;
use super::environment::{Trouble, replace};
use crate::diag::{Diagnostic, Span, code};
use crate::prompt::{Reference, evaluate};
use crate::spec::{FromScalar, Literal, Setting, Spanned, Text, reference};

impl Compiler<'_> {
    /// Returns the value of a setting that may be missing.
    pub(super) fn optional<T: FromScalar + Clone>(&mut self, what: &str, setting: Option<&Setting<T>>) -> Option<T> {
        self.setting(what, setting?).map(|spanned| spanned.value)
    }

    /// Returns the value of a setting; none when that has been reported.
    pub(super) fn setting<T: FromScalar + Clone>(&mut self, what: &str, setting: &Setting<T>) -> Option<Spanned<T>> {
        let text = match setting {
            Setting::Literal(literal) => return Some(literal.clone()),
            Setting::Deferred(text) => text,
        };
        let value = match reference(&text.value) {
            Some(expression) => self.evaluated(what, text, expression)?,
            None => self.environment_value(what, text)?,
        };
        Some(Spanned::new(value, text.span.clone()))
    }

    /// Replaces the environment in a text.
    pub(super) fn environment(&mut self, text: &Text) -> Option<String> {
        let trouble = match replace(&text.value, self.around.env) {
            Ok(value) => return Some(value),
            Err(trouble) => trouble,
        };
        self.report.push(match trouble {
            Trouble::Unset(range, name) => {
                Diagnostic::error(code::ENVIRONMENT_UNSET, format!("the environment variable `{name}` is not set"))
                    .at(&text.place(range), "it has no default either")
                    .help(format!("set it, or write ${{{name}:-default}}"))
            }
            Trouble::Malformed(range) => {
                Diagnostic::error(code::ENVIRONMENT_SYNTAX, "this is no environment variable")
                    .at(&text.place(range), "cannot be read")
                    .help("write ${NAME} or ${NAME:-default}; $${ stands for ${ itself")
            }
        });
        None
    }

    fn environment_value<T: FromScalar>(&mut self, what: &str, text: &Text) -> Option<T> {
        let value = self.environment(text)?;
        // What comes from the environment has no quotes: a number where a number is needed, else text.
        let plain = T::from_scalar(&Literal::of_plain(&value));
        match plain.or_else(|refusal| T::from_scalar(&Literal::Text(value.clone())).map_err(|_| refusal)) {
            Ok(value) => Some(value),
            Err(refusal) => {
                let reason = format!("the environment makes this {value:?}: {}", refusal.reason);
                let diagnostic = crate::spec::Refusal { reason, ..refusal }.report::<T>(what, &text.span);
                self.report.push(diagnostic);
                None
            }
        }
    }

    fn evaluated<T: FromScalar>(&mut self, what: &str, text: &Text, expression: &str) -> Option<T> {
        let context = json!({ "params": self.params.values });
        let (reads, value) = evaluate(expression, &context);
        let before = self.report.len();
        for read in &reads {
            self.check_param_only(what, text, read);
        }
        if self.report.len() > before || reads.iter().any(|read| self.params.is_unreadable(read)) {
            return None;
        }
        let shift = text.value.find(expression).unwrap_or_default();
        let value = match value {
            Ok(value) => value,
            Err(error) => {
                let place = error
                    .range
                    .map_or_else(|| text.span.clone(), |range| text.place(range.start + shift..range.end + shift));
                let message = format!("{what} cannot be evaluated");
                self.report.push(Diagnostic::error(code::TEMPLATE_SYNTAX, message).at(&place, error.message));
                return None;
            }
        };
        let literal = Literal::of_json(&value);
        match literal.as_ref().map(T::from_scalar) {
            Some(Ok(value)) => Some(value),
            Some(Err(refusal)) => {
                let shown = literal.as_ref().map(Literal::show).unwrap_or_default();
                let reason = format!("this gives {shown}: {}", refusal.reason);
                let refusal = crate::spec::Refusal { reason, help: None, ..refusal };
                let diagnostic = refusal.report::<T>(what, &text.span);
                let diagnostic =
                    reads.iter().filter_map(|read| self.params.origin(read)).fold(diagnostic, with_origin);
                self.report.push(diagnostic);
                None
            }
            None => {
                let message = format!("{what} must be {}", T::EXPECTED);
                self.report
                    .push(Diagnostic::error(code::WRONG_TYPE, message).at(&text.span, "this gives a list or a map"));
                None
            }
        }
    }

    fn check_param_only(&mut self, what: &str, text: &Text, read: &Reference) {
        let place = super::scope::place_of(text, read);
        if read.0.first().is_none_or(|root| root != "params") {
            self.report.push(
                Diagnostic::error(code::NOT_ONE_REFERENCE, format!("{what} reads `{}`", read.0.join(".")))
                    .at(&place, "only params are known when the plan is made")
                    .help("templates that see items and steps are: system, prompt, opening, question"),
            );
        } else if let Some(name) = read.0.get(1) {
            self.reads.params.insert(name.clone());
            self.check_param(name, &place);
        }
    }

    /// Reports a param that does not exist.
    pub(super) fn check_param(&mut self, name: &str, place: &Span) {
        let known: Vec<&str> = self.spec.params.iter().flat_map(crate::spec::Table::names).collect();
        if known.contains(&name) {
            return;
        }
        let diagnostic =
            Diagnostic::error(code::UNKNOWN_PARAM, format!("there is no param `{name}`")).at(place, "unknown param");
        let diagnostic = if known.is_empty() {
            diagnostic.help(format!("declare it: `params: {{ {name}: {{ default: … }} }}`"))
        } else {
            diagnostic.suggest(name, known)
        };
        self.report.push(diagnostic);
    }
}

fn with_origin(diagnostic: Diagnostic, origin: (&str, &Span, &Value)) -> Diagnostic {
    let (name, span, value) = origin;
    diagnostic.at(span, format!("params.{name} is {value} here"))
}
