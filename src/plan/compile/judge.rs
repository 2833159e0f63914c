//! Judges: options that can be told apart, and whose names may be hidden.

use std::num::NonZeroU32;

use super::Compiler;
use super::cast::Cast;
use super::scope::{Checked, Role};
use crate::base::ActorName;
use crate::diag::{Diagnostic, code};
use crate::plan::Judge;
use crate::spec::{self, Spanned};

/// What came of a judge; the question's readings count even when something else is missing.
pub(super) struct ReadJudge {
    pub(super) question: Option<Checked>,
    pub(super) judge: Option<Judge>,
}

impl Compiler<'_> {
    pub(super) fn judge(&mut self, step: &str, judge: &spec::Judge, cast: Option<&Cast>) -> ReadJudge {
        let actor = judge.actor.as_ref().and_then(|name| self.actor_of(name, cast));
        let what = format!("`question` of step `{step}`");
        let question = judge.question.as_ref().and_then(|text| self.template(&what, text, Role::Question));
        let votes = self.optional(&format!("`votes` of step `{step}`"), judge.votes.as_ref());
        let votes = votes.map_or(NonZeroU32::MIN, |count| count.0);
        let choose = judge.choose.as_ref().map(|options| self.options(options));
        let blind = judge.blind.as_ref().map(|names| self.blind(names, judge, question.as_ref()));
        let id = question.as_ref().map(|question| question.id);
        let whole = || {
            let blind = match blind {
                Some(names) => Some(names?),
                None => None,
            };
            Some(Judge { actor: actor?, question: id?, choose: choose?, votes, blind })
        };
        ReadJudge { judge: whole(), question }
    }

    fn options(&mut self, options: &[Spanned<String>]) -> Vec<String> {
        let mut seen = std::collections::BTreeMap::new();
        for option in options {
            let folded = option.value.trim().to_lowercase();
            let twin =
                seen.get(&folded).filter(|earlier: &&&spec::Spanned<String>| earlier.value != option.value).copied();
            seen.entry(folded).or_insert(option);
            if let Some(twin) = twin {
                let message = format!("`{}` and `{}` cannot be told apart", twin.value, option.value);
                self.report.push(
                    Diagnostic::error(code::CHOICES, message)
                        .at(&option.span, "differs only in capitals or blanks")
                        .at(&twin.span, "from this")
                        .help("answers are read without regard to capitals; rename one of them"),
                );
            }
            if option.value.contains('\n') {
                self.report.push(
                    Diagnostic::error(code::CHOICES, "an option has more than one line")
                        .at(&option.span, "a judge answers with a few words")
                        .help("name the options shortly and describe them in the question"),
                );
            }
        }
        options.iter().map(|option| option.value.clone()).collect()
    }

    fn blind(
        &mut self,
        names: &[Spanned<String>],
        judge: &spec::Judge,
        question: Option<&Checked>,
    ) -> Option<[ActorName; 2]> {
        let options = judge.choose.as_deref().unwrap_or_default();
        let speakers = question.map(|question| self.speakers(question));
        for name in names {
            if !options.iter().any(|option| option.value == name.value) && !options.is_empty() {
                self.report.push(
                    Diagnostic::error(code::BLIND, format!("`blind` hides `{}`, which is not an option", name.value))
                        .at(&name.span, "not among `choose`")
                        .suggest(&name.value, options.iter().map(|option| option.value.as_str())),
                );
                continue;
            }
            let Some(speakers) = &speakers else { continue };
            if !speakers.contains(&name.value.as_str()) {
                let message =
                    format!("`blind` hides `{}`, which speaks in no dialogue that the question reads", name.value);
                let diagnostic = Diagnostic::error(code::BLIND, message).at(&name.span, "not a speaker");
                self.report.push(if speakers.is_empty() {
                    diagnostic.help("read the talk in the question: {{ steps.<dialogue>.transcript }}")
                } else {
                    diagnostic.suggest(&name.value, speakers.iter().copied())
                });
            }
        }
        match names {
            [one, other] => Some([ActorName::from(one.value.as_str()), ActorName::from(other.value.as_str())]),
            _ => None,
        }
    }
}

impl<'a> Compiler<'a> {
    /// Returns who speaks in the dialogues that a template reads.
    fn speakers(&self, question: &Checked) -> Vec<&'a str> {
        let read = |name: &str| question.steps.iter().any(|(step, _)| step == name);
        let steps = self.spec.steps.iter().flat_map(|table| &table.entries).filter(|entry| read(&entry.name.value));
        let dialogues = steps.filter_map(|entry| entry.value.as_ref()?.dialogue.as_ref());
        let actors = dialogues.filter_map(|dialogue| dialogue.actors.as_ref()).flatten();
        actors.map(|actor| actor.value.as_str()).collect()
    }
}
