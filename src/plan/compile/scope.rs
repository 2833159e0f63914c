//! What templates may read, and where.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Compiler;
use super::environment::find;
use crate::diag::{Diagnostic, Span, closest, code};
use crate::prompt::{Reference, TemplateId, locate, locate_all};
use crate::spec::{Judge, Step, Table, Text};

/// Everything that a template may name.
const ROOTS: &[&str] = &["params", "item", "repeat", "matrix", "actors", "steps", "run", "turn"];
/// What a question of `judge_says` sees of its dialogue.
pub(super) const TALK: &[&str] = &["transcript", "turns", "last"];
/// Functions of the template language.
pub(super) const FUNCTIONS: &[&str] = &["range", "dict"];

/// What to do about a file that cannot be had.
pub(super) const WHERE_FILES_ARE: &str =
    "paths are relative to the file that they stand in and stay inside of the project, links included";

/// Mistakes that come with a suggestion.
const MOST_SUGGESTIONS: usize = 100;

/// Which text is read: an actor's system prompt sees other things than a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    System,
    Question,
}

/// What only some places see.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sees {
    /// `each` and `each_key`: the work of a `for_each` step.
    pub(super) each: bool,
    /// `value`: the claim of an assert.
    pub(super) value: bool,
    /// [`TALK`]: what is asked about a dialogue after a round.
    pub(super) talk: bool,
}

/// A compiled template with the steps that it reads.
pub(super) struct Checked {
    pub(super) id: TemplateId,
    /// Step and place, in the order of paths.
    pub(super) steps: Vec<(String, Span)>,
    /// It reads a step that is not there, which has been reported: what else follows from that is no news.
    pub(super) has_strangers: bool,
}

/// What all templates read, for the checks at the end.
#[derive(Default)]
pub(super) struct Reads {
    /// Some template reads the pipeline's name.
    pub(super) run_name: bool,
    /// Columns of items, with the first place that reads each.
    pub(super) columns: BTreeMap<String, Span>,
    /// Params that are read.
    pub(super) params: BTreeSet<String>,
    /// Names in the matrix that a template reads; an empty one for all of it.
    pub(super) matrix: BTreeSet<String>,
    /// Templates that need nothing but items and params.
    pub(super) complete: Vec<(TemplateId, Text, String)>,
}

impl Compiler<'_> {
    /// Compiles a template and checks all that it reads; takes `file://` for the path of its text.
    pub(super) fn template(&mut self, what: &str, text: &Text, role: Role) -> Option<Checked> {
        let text = self.text_of(what, text)?;
        if let Some(range) = find(&text.value) {
            let shown = &text.value[range.clone()];
            self.report.push(
                Diagnostic::warning(code::NOT_REPLACED, format!("{shown} is sent as it stands"))
                    .at(&text.place(range.clone()), "the environment is not replaced inside templates")
                    .help(format!(
                        "give a param the default {shown} and read the param; or write {{{{ '{shown}' }}}}"
                    )),
            );
        }
        let id = match self.templates.add(&text.value) {
            Ok(id) => id,
            Err(error) => {
                let place = error.range.map_or_else(|| text.span.clone(), |range| text.place(range));
                self.report.push(
                    Diagnostic::error(code::TEMPLATE_SYNTAX, format!("{what} is no template"))
                        .at(&place, error.message.as_str())
                        .help(template_remedy(&error.message)),
                );
                return None;
            }
        };
        let unknown_words = self.templates.unknown_words(id);
        let ranges: Vec<_> = unknown_words.iter().map(|unknown| unknown.range.clone()).collect();
        for (unknown, place) in unknown_words.into_iter().zip(text.places(&ranges)) {
            let message = format!("there is no {} `{}`", unknown.kind, unknown.word);
            let diagnostic =
                Diagnostic::error(code::UNKNOWN_VARIABLE, message).at(&place, format!("unknown {}", unknown.kind));
            let near = closest(&unknown.word, unknown.known.iter().copied());
            self.report.push(match near {
                Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                None => diagnostic,
            });
        }
        let before = self.report.len();
        let mut steps = Vec::new();
        let mut has_strangers = false;
        let mut complete = true;
        let references = self.templates.references(id);
        let places = places_of(&text, &references);
        for (read, place) in references.into_iter().zip(places) {
            match read.0[0].as_str() {
                "steps" => {
                    complete = false;
                    match self.check_step(&read, &place, role) {
                        Some(step) => steps.push((step, place)),
                        None => has_strangers = true,
                    }
                }
                "turn" => {
                    complete = false;
                    self.check_turn(&place, role);
                }
                "each" | "each_key" | "transcript" | "turns" | "last" if role == Role::Question => {
                    complete = false;
                    self.check_read(&read, &place);
                }
                _ => self.check_read(&read, &place),
            }
        }
        if complete && self.report.len() == before {
            self.reads.complete.push((id, text, what.to_owned()));
        }
        Some(Checked { id, steps, has_strangers })
    }

    fn text_of(&mut self, what: &str, text: &Text) -> Option<Text> {
        if !text.value.starts_with("file://") {
            return Some(text.clone());
        }
        let written = self.environment(text)?;
        let path = self.relative(&text.span, &written.trim()["file://".len()..]);
        match (self.around.read_text)(&path) {
            Ok(content) => Some(Text::of_file(&Arc::from(path.as_str()), content)),
            Err(reason) => {
                let message = format!("{what} cannot be read from {path:?}");
                self.report.push(Diagnostic::error(code::FILE, message).at(&text.span, reason).help(WHERE_FILES_ARE));
                None
            }
        }
    }

    pub(super) fn check_read(&mut self, read: &Reference, place: &Span) {
        let path: Vec<&str> = read.0.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["params"] => self.reads.params.extend(self.spec.params.iter().flat_map(Table::names).map(str::to_owned)),
            ["params", name, ..] => {
                self.reads.params.insert((*name).to_owned());
                self.check_param(name, place);
            }
            ["item", column, ..] => {
                self.reads.columns.entry((*column).to_owned()).or_insert_with(|| place.clone());
            }
            ["item" | "repeat"] | ["run", "seed"] => {}
            ["matrix", rest @ ..] => self.check_matrix_read(rest, place),
            ["run", "name"] => self.reads.run_name = true,
            ["run", rest @ ..] => self.report.push(
                Diagnostic::error(code::UNKNOWN_VARIABLE, format!("there is no `{}`", path.join(".")))
                    .at(place, "unknown field")
                    .suggest(rest.first().copied().unwrap_or_default(), ["name", "seed"]),
            ),
            ["actors", rest @ ..] => self.check_actor_read(&path, rest, place),
            ["each" | "each_key", ..] if self.sees.each => {}
            ["value", ..] if self.sees.value => {}
            [root, ..] if self.sees.talk && TALK.contains(root) => {}
            [root @ ("each" | "each_key"), ..] => self.report.push(
                Diagnostic::error(code::WRONG_PLACE, format!("`{root}` is read where there is no element"))
                    .at(place, "no element here")
                    .help(
                        "the work of a step with `for_each` sees it: its prompt, question, opening, expr or value; \
                         elements are left out in the list itself: item.parts | selectattr(\"long\")",
                    ),
            ),
            [root, ..] if FUNCTIONS.contains(root) => {}
            _ => self.unknown_variable(&path, place),
        }
    }

    fn check_matrix_read(&mut self, rest: &[&str], place: &Span) {
        if self.names.is_empty() {
            self.report.push(
                Diagnostic::error(code::UNKNOWN_VARIABLE, "there is no `matrix` in this file")
                    .at(place, "nothing varies")
                    .help("write for instance `matrix: { lang: [en, de] }` at the top of the file"),
            );
            return;
        }
        let name = rest.first().copied().unwrap_or_default();
        self.reads.matrix.insert(name.to_owned());
        if !name.is_empty() && !self.names.contains(&name) {
            self.report.push(
                Diagnostic::error(code::UNKNOWN_VARIABLE, format!("the matrix has no `{name}`"))
                    .at(place, "unknown value")
                    .suggest(name, self.names.iter().copied()),
            );
        }
    }

    fn check_actor_read(&mut self, path: &[&str], rest: &[&str], place: &Span) {
        let names = self.used_actors();
        match rest {
            [name, "model"] => {
                if !names.contains(name) {
                    self.report.push(
                        Diagnostic::error(code::UNKNOWN_NAME, format!("no actor `{name}` takes part in a step"))
                            .at(place, "unknown actor")
                            .suggest(name, names),
                    );
                }
            }
            _ => self.report.push(
                Diagnostic::error(code::UNKNOWN_VARIABLE, format!("templates cannot read `{}`", path.join(".")))
                    .at(place, "unknown field")
                    .help("of an actor they read the model: actors.<name>.model"),
            ),
        }
    }

    /// Reports with a suggestion; without one when nobody reads so far: each costs a look at every name.
    pub(super) fn suggest<'n>(&mut self, diagnostic: Diagnostic, name: &str, known: impl Iterator<Item = &'n str>) {
        let diagnostic =
            if self.report.len() < MOST_SUGGESTIONS { diagnostic.suggest(name, known) } else { diagnostic };
        self.report.push(diagnostic);
    }

    fn unknown_variable(&mut self, path: &[&str], place: &Span) {
        let name = path[0];
        let diagnostic = Diagnostic::error(code::UNKNOWN_VARIABLE, format!("there is no variable `{name}`"))
            .at(place, "unknown variable");
        let owner = if self.report.len() >= MOST_SUGGESTIONS {
            None
        } else if self.spec.params.iter().flat_map(Table::names).any(|param| param == name) {
            Some("params")
        } else if self.spec.steps.iter().flat_map(Table::names).any(|step| step == name) {
            Some("steps")
        } else if self.inline_columns().contains(name) {
            Some("item")
        } else {
            None
        };
        if owner.is_none() && TALK.contains(&name) {
            self.report.push(diagnostic.help(format!(
                "only the question of a dialogue's `judge_says` reads it so; elsewhere it is a field of the dialogue: \
                 steps.<name>.{name}"
            )));
            return;
        }
        self.report.push(match owner {
            Some(owner) => diagnostic.help(format!("did you mean `{owner}.{}`?", path.join("."))),
            None => diagnostic.suggest(name, ROOTS.iter().copied()),
        });
    }

    pub(super) fn check_turn(&mut self, place: &Span, role: Role) {
        if role == Role::Question {
            self.report.push(
                Diagnostic::error(code::WRONG_PLACE, "`turn` is read outside of an actor's `system`")
                    .at(place, "there is no turn here")
                    .help("`turn` counts while an actor speaks; only its system prompt sees it"),
            );
        }
    }

    pub(super) fn check_step(&mut self, read: &Reference, place: &Span, role: Role) -> Option<String> {
        if role == Role::System {
            self.report.push(
                Diagnostic::error(code::WRONG_PLACE, format!("a system prompt reads `{}`", read.0.join(".")))
                    .at(place, "system prompts do not see steps")
                    .help("put it into the `opening` of the dialogue, or into `prompt` or `question`"),
            );
            return None;
        }
        let spec = self.spec;
        let Some(name) = read.0.get(1) else {
            self.report.push(
                Diagnostic::error(code::UNKNOWN_STEP, "a template reads `steps` as a whole")
                    .at(place, "the order of steps follows from what they read")
                    .help("name step and field with dots between them: steps.debate.transcript"),
            );
            return None;
        };
        let Some(entry) = spec.steps.as_ref().and_then(|steps| steps.get(name)) else {
            let diagnostic =
                Diagnostic::error(code::UNKNOWN_STEP, format!("there is no step `{name}`")).at(place, "unknown step");
            self.suggest(diagnostic, name, spec.steps.iter().flat_map(Table::names));
            return None;
        };
        let Some((kind, fields)) = entry.value.as_ref().and_then(fields_of) else { return Some(name.clone()) };
        match read.0.get(2) {
            Some(field) if fields.contains(&field.as_str()) => {}
            Some(field) if field == "keys" && is_for_each(entry.value.as_ref()) => {}
            Some(field) => self.report.push(
                Diagnostic::error(code::UNKNOWN_FIELD, format!("step `{name}` has no field `{field}`"))
                    .at(place, format!("it is a {kind}: {}", fields.join(", ")))
                    .suggest(field, fields.iter().copied()),
            ),
            None => self.report.push(
                Diagnostic::error(code::UNKNOWN_FIELD, format!("a template reads step `{name}` without a field"))
                    .at(place, format!("it is a {kind}: {}", fields.join(", ")))
                    .help(format!("for instance steps.{name}.{}", fields[0])),
            ),
        }
        Some(name.clone())
    }
}

/// Returns the kind of a step and what later steps may read of it.
pub(super) fn fields_of(step: &Step) -> Option<(&'static str, &'static [&'static str])> {
    if step.chat.is_some() {
        Some(("chat", &["text", "json", "status"]))
    } else if step.dialogue.is_some() {
        Some(("dialogue", &["transcript", "turns", "last", "stopped_by", "status"]))
    } else if step.transform.is_some() {
        Some(("transform", &["value", "status"]))
    } else if step.assert.is_some() {
        Some(("assert", &["passed", "status"]))
    } else {
        step.judge.as_ref().map(|judge| match judge {
            Judge { score: Some(_), .. } => ("judge that scores", &["score", "reason", "votes", "status"][..]),
            Judge { rank: Some(_), .. } => {
                ("judge that ranks", &["ranking", "reason", "votes", "flipped", "status"][..])
            }
            Judge { schema: Some(_), .. } => ("judge with a schema", &["json", "status"][..]),
            _ => ("judge", &["choice", "reason", "votes", "flipped", "status"][..]),
        })
    }
}

/// Returns true for a step whose fields are lists, with `keys` beside them.
pub(super) fn is_for_each(step: Option<&Step>) -> bool {
    step.is_some_and(|step| step.for_each.is_some())
}

/// Returns where a text reads something; the whole text when that cannot be found.
fn template_remedy(reason: &str) -> &'static str {
    match () {
        () if reason.contains("end of variable block") => "`{{` is closed by `}}`, after one expression",
        () if reason.contains("end of block") => {
            "`{%` is closed by `%}`, `{% if … %}` by `{% endif %}`, `{% for … %}` by `{% endfor %}`"
        }
        () if reason.contains("unknown statement") => {
            "there is: if, elif, else, endif, for, endfor, set, with, endwith"
        }
        () if reason.contains("end of input") => {
            "`{% if … %}` is closed by `{% endif %}`, `{% for … %}` by `{% endfor %}`"
        }
        () => "templates are written as in Jinja: {{ item.text }}, {% if item.text %} … {% endif %}",
    }
}

fn places_of(text: &Text, reads: &[Reference]) -> Vec<Span> {
    let found = locate_all(&text.value, reads);
    let ranges: Vec<_> = found.iter().flatten().cloned().collect();
    let mut places = text.places(&ranges).into_iter();
    found
        .iter()
        .map(|range| range.as_ref().and_then(|_| places.next()).unwrap_or_else(|| text.span.clone()))
        .collect()
}

pub(super) fn place_of(text: &Text, read: &Reference) -> Span {
    locate(&text.value, read).map_or_else(|| text.span.clone(), |range| text.place(range))
}
