//! Conditions, elements, softened failures; values and claims without a model.

use std::sync::Arc;

use serde_json::Value;

use super::Compiler;
use super::scope::Role;
use super::steps::{Wait, reads};
use crate::base::Digest;
use crate::diag::{Diagnostic, Span, code};
use crate::event::{Judgement, TaskOutput, Verdict};
use crate::plan::{Assert, Check, Course, ForEach, OnError, Operand, StepKind, Transform, Wanted};
use crate::prompt::ExpressionId;
use crate::spec::{self, AnyValue, Kind, Text, reference};

impl Compiler<'_> {
    /// Compiles what stands around a step's work; `kind` when that could be read.
    pub(super) fn course(
        &mut self,
        name: &str,
        step: &spec::Step,
        kind: Option<&StepKind>,
        waits: &mut Vec<Wait>,
    ) -> Option<Course> {
        let when = step.when.as_ref().map(|text| self.bare(&format!("`when` of step `{name}`"), text, waits));
        let for_each = step.for_each.as_ref().map(|for_each| match for_each {
            spec::ForEach::Expression(text) => {
                self.bare(&format!("`for_each` of step `{name}`"), text, waits).map(ForEach::Found)
            }
            spec::ForEach::List(nodes) => {
                self.check_length(name, nodes);
                let values: Vec<Option<Value>> = nodes.iter().map(|node| self.json(node)).collect();
                values.into_iter().collect::<Option<Vec<_>>>().map(ForEach::Given)
            }
        });
        let on_error = match &step.on_error {
            None | Some(spec::OnError::Fail) => Some(OnError::Fail),
            Some(spec::OnError::Skip) => Some(OnError::Skip),
            Some(spec::OnError::Default(value)) => self.output_on_error(name, value, kind),
        };
        let when = when.map_or(Some(None), |found| found.map(Some))?;
        let for_each = for_each.map_or(Some(None), |found| found.map(Some))?;
        Some(Course { when, for_each, on_error: on_error? })
    }

    pub(super) fn transform(
        &mut self,
        name: &str,
        transform: &spec::Transform,
        waits: &mut Vec<Wait>,
    ) -> Option<Transform> {
        let text = transform.expr.as_ref()?;
        let expr = self.bare(&format!("`expr` of step `{name}`"), text, waits)?;
        Some(Transform { expr })
    }

    pub(super) fn assert(&mut self, name: &str, assert: &spec::Assert, waits: &mut Vec<Wait>) -> Option<Assert> {
        let of = |key: &str| format!("`{key}` of step `{name}`");
        let value = assert.value.as_ref().and_then(|value| self.operand(&of("value"), value, waits));
        let check = if let Some(wanted) = &assert.equals {
            self.operand(&of("equals"), wanted, waits).map(Check::Equals)
        } else if let Some(wanted) = &assert.contains {
            self.operand(&of("contains"), wanted, waits).map(Check::Contains)
        } else if let Some(pattern) = &assert.matches {
            self.regex(pattern).map(Check::Matches)
        } else if let Some(within) = &assert.within {
            let mut number = |key: &str, operand: &Option<AnyValue>| {
                operand.as_ref().and_then(|operand| self.number(&of(key), operand, waits))
            };
            let (of, by) = (number("of", &within.of), number("by", &within.by));
            of.zip(by).map(|(of, by)| Check::Within { of, by })
        } else if let Some(schema) = &assert.schema {
            self.answer_schema(name, schema).map(Check::Schema)
        } else {
            let text = assert.expr.as_ref();
            self.sees.value = true;
            let found = text.and_then(|text| self.bare(&of("expr"), text, waits));
            self.sees.value = false;
            found.map(Check::Expr)
        };
        Some(Assert { value: value?, check: check? })
    }

    fn bare(&mut self, what: &str, text: &Text, waits: &mut Vec<Wait>) -> Option<ExpressionId> {
        let checked = self.expression(what, text)?;
        waits.extend(reads(checked.steps));
        Some(checked.id)
    }

    /// Compiles a value: a literal, a text with templates, or one whole `{{ … }}`, which keeps its type.
    fn operand(&mut self, what: &str, value: &AnyValue, waits: &mut Vec<Wait>) -> Option<Operand> {
        let Kind::Scalar(text) = &value.0.kind else { return self.json(&value.0).map(Operand::Literal) };
        if !text.value.contains("{{") && !text.value.contains("{%") && !text.value.starts_with("file://") {
            return self.json(&value.0).map(Operand::Literal);
        }
        if let Some(inside) = reference(&text.value) {
            // Where it stands is found by the text around it.
            let bare = text.narrowed(inside);
            return self.bare(what, &bare, waits).map(Operand::Expression);
        }
        let checked = self.template(what, text, Role::Question)?;
        waits.extend(reads(checked.steps));
        Some(Operand::Text(checked.id))
    }

    fn number(&mut self, what: &str, value: &AnyValue, waits: &mut Vec<Wait>) -> Option<Operand> {
        let operand = self.operand(what, value, waits)?;
        if let Operand::Literal(Value::Number(_)) | Operand::Expression(_) = operand {
            return Some(operand);
        }
        let span = &value.0.span;
        self.report.push(
            Diagnostic::error(code::WRONG_TYPE, format!("{what} must be a number"))
                .at(span, "this is none")
                .help("write 0.5, or one whole \"{{ item.expected }}\""),
        );
        None
    }

    fn check_length(&mut self, name: &str, nodes: &[spec::Node]) {
        if let Some(beyond) = nodes.get(MOST_ELEMENTS) {
            let message = format!("`for_each` of step `{name}` has {} elements", nodes.len());
            self.report.push(
                Diagnostic::error(code::BAD_LIST, message)
                    .at(&beyond.span, format!("at most {MOST_ELEMENTS}"))
                    .help("what is that many belongs under `items`"),
            );
        }
    }

    /// Reads `default`: what the step's main output is when it fails.
    fn output_on_error(&mut self, name: &str, value: &AnyValue, kind: Option<&StepKind>) -> Option<OnError> {
        let written = self.json(&value.0)?;
        let span = &value.0.span;
        let (output, texts) = match kind? {
            StepKind::Chat(_) => {
                let text: Arc<str> = match &written {
                    Value::String(text) => Arc::from(text.as_str()),
                    other => Arc::from(other.to_string()),
                };
                (TaskOutput::Chat { text: Digest::of(text.as_bytes()) }, vec![text])
            }
            StepKind::Transform(_) => {
                let text: Arc<str> = Arc::from(written.to_string());
                (TaskOutput::Value { value: Digest::of(text.as_bytes()) }, vec![text])
            }
            StepKind::Assert(_) => match written {
                Value::Bool(passed) => (TaskOutput::Assertion { passed }, Vec::new()),
                _ => return self.refuse_default(name, span, "true or false: whether the claim counts as passed"),
            },
            StepKind::Judge(judge) => {
                let verdict = match (&judge.wanted, written.as_f64()) {
                    (Wanted::Score(scale), Some(score)) if scale.nearest(score).is_some() => Verdict::Score(score),
                    (Wanted::Score(_), _) => return self.refuse_default(name, span, "a number on its scale"),
                    (Wanted::Rank(_) | Wanted::Schema(_), _) => {
                        return self.refuse_default(name, span, "absent: only a choice or a score can be given");
                    }
                    (Wanted::Choose(_) | Wanted::Pairwise(_), _) => {
                        let options = judge.options();
                        let Some(word) = written.as_str().filter(|word| options.iter().any(|one| one == word)) else {
                            let options = format!("one of its options: {}", options.join(", "));
                            return self.refuse_default(name, span, &options);
                        };
                        Verdict::Choice(word.to_owned())
                    }
                };
                let judgement = Judgement { verdict, votes: Vec::new(), flipped: 0, pairs: 0 };
                (TaskOutput::Judge(judgement), Vec::new())
            }
            StepKind::Dialogue(_) => {
                self.report.push(
                    Diagnostic::error(code::OUT_OF_RANGE, format!("a dialogue has no default (step `{name}`)"))
                        .at(span, "many turns, not one output")
                        .help("write on_error: skip, and let what reads it test steps.<name>.status"),
                );
                return None;
            }
        };
        Some(OnError::Default { value: written, output, texts })
    }

    fn refuse_default(&mut self, name: &str, span: &Span, expected: &str) -> Option<OnError> {
        self.report.push(
            Diagnostic::error(code::OUT_OF_RANGE, format!("`default` of step `{name}` must be {expected}"))
                .at(span, "this is something else"),
        );
        None
    }
}

/// Elements of one `for_each` list, as when the list is found in a run (`task::MOST_ELEMENTS`).
const MOST_ELEMENTS: usize = 1_000;
