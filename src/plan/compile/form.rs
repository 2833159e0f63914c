//! Forms of answers: scales, texts to compare, schemas.

use serde_json::Value;

use super::Compiler;
use super::scope::{Checked, Role, WHERE_FILES_ARE};
use crate::diag::{Diagnostic, Span, code};
use crate::judge::{AnswerSchema, Scale, ScaleError, TIE};
use crate::plan::Contestant;
use crate::spec::{self, Contestants, Levels, SchemaSource, Spanned, Table, Text};

/// Most texts that are compared: one for each letter.
const MOST_CONTESTANTS: usize = 26;

impl Compiler<'_> {
    pub(super) fn scale(&mut self, step: &str, score: &spec::Score) -> Option<Scale> {
        let what = |key: &str| format!("`{key}` of `score` of step `{step}`");
        let min = self.optional(&what("min"), score.min.as_ref());
        let max = self.optional(&what("max"), score.max.as_ref());
        let distance = self.optional(&what("step"), score.step.as_ref()).map_or(1.0, |number| number.0);
        let (min, max) = (min?.0, max?.0);
        let mut scale = match Scale::new(min, max, distance) {
            Ok(scale) => scale,
            Err(error) => {
                let place = match error {
                    ScaleError::Empty => score.max.as_ref(),
                    ScaleError::Step | ScaleError::TooFine => score.step.as_ref().or(score.max.as_ref()),
                };
                let reason = format!("from {min} to {max} in steps of {distance}");
                let message = format!("step `{step}` scores on no scale: {error}");
                if let Some(place) = place {
                    self.report.push(
                        Diagnostic::error(code::SCALE, message)
                            .at(place.span(), reason)
                            .help("for instance { min: 1, max: 5 }, or { min: 0, max: 1, step: 0.1 }"),
                    );
                }
                return None;
            }
        };
        let levels = self.levels(step, score.levels.as_ref(), &scale)?;
        for (value, name) in levels {
            let is_new = scale.levels().iter().all(|(_, other)| !same(other, &name.value));
            if !is_new {
                self.report.push(
                    Diagnostic::error(code::SCALE, format!("two scores of step `{step}` have the same name"))
                        .at(&name.span, format!("`{}` again", name.value))
                        .help("answers may name a level, so each needs a name of its own"),
                );
                return None;
            }
            if !scale.name(value.value, name.value) {
                self.report.push(
                    Diagnostic::error(code::SCALE, format!("{} is no score of step `{step}`", value.value))
                        .at(&value.span, format!("scores go from {min} to {max} in steps of {distance}"))
                        .help("name scores that the scale has"),
                );
                return None;
            }
        }
        Some(scale)
    }

    fn levels(
        &mut self,
        step: &str,
        levels: Option<&Levels>,
        scale: &Scale,
    ) -> Option<Vec<(Spanned<f64>, Spanned<String>)>> {
        let names = match levels {
            None => return Some(Vec::new()),
            Some(Levels::Some(levels)) => return Some(levels.clone()),
            Some(Levels::All(names)) => names,
        };
        let count = scale.values().count();
        if names.len() != count {
            let message = format!("step `{step}` has {count} scores and {} names for them", names.len());
            let place = names.last().map(|name| name.span.clone())?;
            self.report.push(
                Diagnostic::error(code::SCALE, message)
                    .at(&place, "a list names every score, the lowest first")
                    .help("to name some of them write a map: { 1: poor, 5: excellent }"),
            );
            return None;
        }
        let value = |(value, name): (f64, &Spanned<String>)| (Spanned::new(value, name.span.clone()), name.clone());
        Some(scale.values().zip(names).map(value).collect())
    }

    pub(super) fn contestants(
        &mut self,
        step: &str,
        key: &str,
        contestants: &Contestants,
        reads: &mut Vec<Checked>,
    ) -> Option<Vec<Contestant>> {
        let named: Vec<(Spanned<String>, Text)> = match contestants {
            Contestants::Named(named) => named.clone(),
            Contestants::Listed(texts) => {
                let named: Vec<_> =
                    texts.iter().enumerate().map(|(place, text)| self.listed(step, key, place, text)).collect();
                named.into_iter().collect::<Option<_>>()?
            }
        };
        let most = if key == "pairwise" { 2 } else { MOST_CONTESTANTS };
        if let Some((name, _)) = named.get(most) {
            let message = format!("`{key}` of step `{step}` takes {most} texts at most");
            let diagnostic = Diagnostic::error(code::BAD_LIST, message).at(&name.span, "one more");
            self.report.push(match most {
                2 => diagnostic.help("`rank` puts more than two in order"),
                _ => diagnostic.help("compare fewer, or score each by itself"),
            });
            return None;
        }
        let mut whole = Vec::new();
        for (name, text) in &named {
            if name.value == TIE {
                self.report.push(
                    Diagnostic::error(code::CHOICES, "`tie` is the verdict that neither is better")
                        .at(&name.span, "so no text can have this name")
                        .help("give it another name"),
                );
                return None;
            }
            let checked =
                self.template(&format!("`{}` of `{key}` of step `{step}`", name.value), text, Role::Question);
            whole.push(checked.map(|checked| {
                let contestant = Contestant { name: name.value.clone(), text: checked.id };
                reads.push(checked);
                contestant
            }));
        }
        whole.into_iter().collect()
    }

    /// Takes an entry of a list for a step, whose name it then bears, or for a template, which bears its number.
    fn listed(&mut self, step: &str, key: &str, place: usize, text: &Text) -> Option<(Spanned<String>, Text)> {
        let named = |name: String| Spanned::new(name, text.span.clone());
        if text.value.contains("{{") {
            return Some((named((place + 1).to_string()), text.clone()));
        }
        let spec = self.spec;
        let name = text.value.trim();
        let other = spec.steps.as_ref().and_then(|steps| steps.get(name));
        let help = format!(
            "compare chat steps by their names, or write templates: {key}: {{ one: \"{{{{ item.one }}}}\", other: \"{{{{ … }}}}\" }}"
        );
        let Some(other) = other else {
            let message = format!("`{key}` of step `{step}` compares `{name}`, which is no step");
            let diagnostic = Diagnostic::error(code::UNKNOWN_STEP, message).at(&text.span, "unknown step").help(help);
            self.suggest(diagnostic, name, spec.steps.iter().flat_map(Table::names));
            return None;
        };
        if other.value.as_ref().is_some_and(|step| step.chat.is_none()) {
            let message = format!("`{key}` of step `{step}` compares `{name}`, which is no chat");
            self.report
                .push(Diagnostic::error(code::UNKNOWN_FIELD, message).at(&text.span, "it has no `text`").help(help));
            return None;
        }
        let mut read = text.clone();
        read.value = format!("{{{{ steps.{name}.text }}}}");
        Some((named(name.to_owned()), read))
    }

    /// Compiles the schema of a step's answers.
    pub(super) fn answer_schema(&mut self, step: &str, source: &SchemaSource) -> Option<AnswerSchema> {
        let (value, span) = match source {
            SchemaSource::Inline(node) => (self.json(node)?, node.span.clone()),
            SchemaSource::File(text) => (self.schema_file(step, text)?, text.span.clone()),
        };
        match AnswerSchema::new(value) {
            Ok(schema) => Some(schema),
            Err(error) => {
                let message = format!("`schema` of step `{step}` is no schema for answers");
                self.report.push(
                    Diagnostic::error(code::ANSWER_SCHEMA, message)
                        .at(&span, error.to_string())
                        .help("a JSON Schema says what an answer must be: { type: object, properties: { … } }"),
                );
                None
            }
        }
    }

    fn schema_file(&mut self, step: &str, text: &Text) -> Option<Value> {
        let written = self.environment(text)?;
        let path = self.relative(&text.span, &written.trim()["file://".len()..]);
        let mut refuse = |message: String, at: &Span, reason: String, help: &str| {
            self.report.push(Diagnostic::error(code::FILE, message).at(at, reason).help(help));
        };
        let content = match (self.around.read_text)(&path) {
            Ok(content) => content,
            Err(reason) => {
                let message = format!("`schema` of step `{step}` cannot be read from {path:?}");
                refuse(message, &text.span, reason, WHERE_FILES_ARE);
                return None;
            }
        };
        match serde_json::from_str(&content) {
            Ok(value) => Some(value),
            Err(error) => {
                let message = format!("`schema` of step `{step}` is in a file that is not JSON");
                refuse(message, &text.span, format!("{path}: {error}"), "the file holds one JSON Schema");
                None
            }
        }
    }
}

fn same(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}
