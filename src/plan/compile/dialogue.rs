//! Dialogues: speakers, opening, and what is sure to end them.

use regex::{Regex, RegexBuilder};

use super::Compiler;
use super::cast::Cast;
use super::scope::{Checked, Role};
use crate::diag::{Diagnostic, code};
use crate::plan::{Dialogue, Pattern, Stop};
use crate::spec::{self, Spanned, Text};

/// Memory that one pattern may take when compiled; `\w{20}` takes a third of it.
const LARGEST_PATTERN: usize = 1 << 18;
/// Different patterns of a file: together 128 MiB at the very worst, a few hundred KiB in practice.
const MOST_PATTERNS: usize = 500;

/// What came of a dialogue; the opening's readings count even when something else is missing.
pub(super) struct ReadDialogue {
    pub(super) opening: Option<Checked>,
    pub(super) dialogue: Option<Dialogue>,
}

impl Compiler<'_> {
    pub(super) fn dialogue(&mut self, name: &str, dialogue: &spec::Dialogue, cast: Option<&Cast>) -> ReadDialogue {
        let names: &[Spanned<String>] = dialogue.actors.as_deref().unwrap_or_default();
        let speakers: Vec<_> = names.iter().map(|name| self.actor_of(name, cast)).collect();
        let what = format!("`opening` of step `{name}`");
        let opening = dialogue.opening.as_ref().and_then(|text| self.template(&what, text, Role::Question));
        let mut patterns = Vec::new();
        let stop = dialogue.stop.as_ref().and_then(|condition| {
            self.check_bounded(name, condition);
            self.stop(condition, names, cast, &mut patterns)
        });
        let id = opening.as_ref().map(|opening| opening.id);
        let whole = || {
            let actors = speakers.into_iter().collect::<Option<Vec<_>>>()?;
            Some(Dialogue { actors, opening: id?, stop: stop?, patterns })
        };
        ReadDialogue { dialogue: whole(), opening }
    }

    fn stop(
        &mut self,
        stop: &spec::Stop,
        speakers: &[Spanned<String>],
        cast: Option<&Cast>,
        patterns: &mut Vec<Pattern>,
    ) -> Option<Stop> {
        if let Some(rounds) = &stop.rounds {
            return self.setting("`rounds`", rounds).map(|count| Stop::Rounds(count.value.0));
        }
        if let Some(turns) = &stop.turns {
            return self.setting("`turns`", turns).map(|count| Stop::Turns(count.value.0));
        }
        if let Some(says) = &stop.says {
            let pattern = self.says(says, speakers, cast)?;
            patterns.push(pattern);
            return Some(Stop::Says(patterns.len() - 1));
        }
        if let Some(inner) = &stop.not {
            return self.stop(inner, speakers, cast, patterns).map(|inner| Stop::Not(Box::new(inner)));
        }
        let list = stop.any.as_ref().or(stop.all.as_ref())?;
        // All of them, before the first that is missing ends it: every mistake is to be told.
        let read: Vec<_> = list.iter().map(|inner| self.stop(inner, speakers, cast, patterns)).collect();
        let list = read.into_iter().collect::<Option<Vec<_>>>()?;
        Some(if stop.any.is_some() { Stop::Any(list) } else { Stop::All(list) })
    }

    fn says(&mut self, says: &spec::Says, speakers: &[Spanned<String>], cast: Option<&Cast>) -> Option<Pattern> {
        let regex = says.pattern.as_ref().and_then(|pattern| self.regex(pattern));
        let Some(name) = &says.actor else { return Some(Pattern { actor: None, regex: regex? }) };
        let speaks = speakers.iter().any(|speaker| speaker.value == name.value);
        if !speaks && !speakers.is_empty() {
            self.report.push(
                Diagnostic::error(code::UNKNOWN_NAME, format!("`{}` does not speak in this dialogue", name.value))
                    .at(&name.span, "not among its `actors`")
                    .suggest(&name.value, speakers.iter().map(|speaker| speaker.value.as_str())),
            );
            return None;
        }
        let actor = cast?.find(&name.value)?;
        Some(Pattern { actor: Some(actor), regex: regex? })
    }

    pub(super) fn regex(&mut self, pattern: &Text) -> Option<Regex> {
        if let Some(known) = self.patterns.get(&pattern.value) {
            return Some(known.clone());
        }
        if self.patterns.len() == MOST_PATTERNS {
            self.report.push(
                Diagnostic::error(code::PATTERN, format!("there are more than {MOST_PATTERNS} different patterns"))
                    .at(&pattern.span, "one more")
                    .help("`a|b` is one pattern that finds either"),
            );
            return None;
        }
        let built =
            RegexBuilder::new(&pattern.value).size_limit(LARGEST_PATTERN).dfa_size_limit(LARGEST_PATTERN).build();
        let error = match built {
            Ok(regex) => {
                self.patterns.insert(pattern.value.clone(), regex.clone());
                return Some(regex);
            }
            Err(regex::Error::CompiledTooBig(_)) => {
                self.report.push(
                    Diagnostic::error(code::PATTERN, "this pattern is too large")
                        .at(&pattern.span, format!("it takes more than {} KiB", LARGEST_PATTERN >> 10))
                        .help("repetitions such as {1000} multiply; * and + cost nothing"),
                );
                return None;
            }
            Err(error) => error.to_string(),
        };
        let reason = error.lines().rev().find_map(|line| line.strip_prefix("error: ")).unwrap_or(&error);
        // The library draws the pattern on a line of its own, four blanks in, with carets below.
        let drawn = error.lines().find(|line| line.trim_start().starts_with('^'));
        let range = drawn.filter(|_| !pattern.value.contains('\n')).and_then(|line| {
            let first = line.find('^')?.checked_sub(4)?;
            let carets = line[first + 4..].chars().take_while(|letter| *letter == '^').count();
            let start = pattern.value.char_indices().nth(first).map_or(pattern.value.len(), |(byte, _)| byte);
            let rest = &pattern.value[start..];
            let length: usize = rest.chars().take(carets).map(char::len_utf8).sum();
            Some(start..start + length)
        });
        let place = range.map_or_else(|| pattern.span.clone(), |range| pattern.place(range));
        self.report.push(
            Diagnostic::error(code::PATTERN, "this is no regular expression")
                .at(&place, reason.trim())
                .help("a backslash takes the meaning from ( ) [ ] { } . * + ? ^ $ |, as in \\("),
        );
        None
    }

    fn check_bounded(&mut self, name: &str, stop: &spec::Stop) {
        if bounded(stop) {
            return;
        }
        let diagnostic =
            Diagnostic::error(code::UNBOUNDED, format!("nothing is sure to end the dialogue of step `{name}`"))
                .at(&stop.span, "a model may never meet this");
        self.report.push(if stop.all.is_some() {
            diagnostic.help("under `all` every condition must be met; put `rounds` or `turns` beside it under `any`")
        } else {
            diagnostic.help("add a bound: any: [{ rounds: 10 }, …]")
        });
    }
}

/// Returns true when the condition is met after some number of turns, whatever is said.
fn bounded(stop: &spec::Stop) -> bool {
    if let Some(list) = &stop.any {
        return list.is_empty() || list.iter().any(bounded);
    }
    if let Some(list) = &stop.all {
        return list.iter().all(bounded);
    }
    // A condition that could not be read has been reported already.
    stop.rounds.is_some() || stop.turns.is_some() || (stop.says.is_none() && stop.not.is_none())
}
