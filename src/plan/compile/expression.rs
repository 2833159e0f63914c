//! Bare expressions: what `when`, `where`, `expr` and `of` hold.

use super::Compiler;
use super::scope::Role;
use crate::diag::{Diagnostic, Span, closest, code};
use crate::prompt::ExpressionId;
use crate::spec::Text;

/// A compiled expression with the steps that it reads.
pub(super) struct CheckedExpression {
    pub(super) id: ExpressionId,
    /// Step and place, in the order of paths.
    pub(super) steps: Vec<(String, Span)>,
}

impl Compiler<'_> {
    /// Compiles an expression and checks all that it reads, as in a question.
    pub(super) fn expression(&mut self, what: &str, text: &Text) -> Option<CheckedExpression> {
        if text.value.trim_start().starts_with("{{") {
            let bare = text.value.trim().trim_start_matches('{').trim_end_matches('}').trim();
            self.report.push(
                Diagnostic::error(code::TEMPLATE_SYNTAX, format!("{what} is an expression, not a template"))
                    .at(&text.span, "no braces here")
                    .help(format!("write {bare}")),
            );
            return None;
        }
        let id = match self.templates.add_expression(&text.value) {
            Ok(id) => id,
            Err(error) => {
                let place = error.range.map_or_else(|| text.span.clone(), |range| text.place(range));
                self.report.push(
                    Diagnostic::error(code::TEMPLATE_SYNTAX, format!("{what} is no expression"))
                        .at(&place, error.message)
                        .help(
                            "expressions are written as inside of {{ }}: item.lang == \"en\" and item.length > 100",
                        ),
                );
                return None;
            }
        };
        for unknown in self.templates.expression_unknown_words(id) {
            let message = format!("there is no {} `{}`", unknown.kind, unknown.word);
            let place = text.place(unknown.range);
            let diagnostic =
                Diagnostic::error(code::UNKNOWN_VARIABLE, message).at(&place, format!("unknown {}", unknown.kind));
            self.report.push(match closest(&unknown.word, unknown.known.iter().copied()) {
                Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                None => diagnostic,
            });
        }
        let references = self.templates.expression_references(id);
        let places = self.templates.locate_in_expression(id, &references);
        let mut steps = Vec::new();
        for (read, place) in references.iter().zip(places) {
            let place = place.map_or_else(|| text.span.clone(), |range| text.place(range));
            match read.0[0].as_str() {
                "steps" => {
                    if let Some(step) = self.check_step(read, &place, Role::Question) {
                        steps.push((step, place));
                    }
                }
                "turn" => self.check_turn(&place, Role::Question),
                _ => self.check_read(read, &place),
            }
        }
        Some(CheckedExpression { id, steps })
    }
}
