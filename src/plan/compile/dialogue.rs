//! Dialogues: speakers, opening, and what is sure to end them.

use std::num::NonZeroU32;

use regex::{Regex, RegexBuilder};

use super::Compiler;
use super::cast::Cast;
use super::judge::DEFAULT_REPAIRS;
use super::scope::{Checked, Role};
use crate::diag::{Diagnostic, code};
use crate::plan::{Dialogue, History, Likeness, Order, Pattern, RoundJudge, Stop};
use crate::spec::{self, Count, OrderWord, Setting, Spanned, Text};

/// Memory that one pattern may take when compiled; `\w{20}` takes a third of it.
const LARGEST_PATTERN: usize = 1 << 18;
/// Different patterns of a file: together 128 MiB at the very worst, a few hundred KiB in practice.
const MOST_PATTERNS: usize = 500;

/// What came of a dialogue; what its texts read counts even when something else is missing.
pub(super) struct ReadDialogue {
    pub(super) reads: Vec<Checked>,
    pub(super) dialogue: Option<Dialogue>,
}

/// What the conditions of a stop look for, by their places in it.
#[derive(Default)]
struct Sought {
    patterns: Vec<Pattern>,
    captures: Vec<Option<Regex>>,
    likenesses: Vec<Likeness>,
    judges: Vec<RoundJudge>,
    /// How often a judge's answer is asked for again.
    repair: u32,
    /// What the judges' questions read.
    reads: Vec<Checked>,
}

impl Sought {
    fn capture(&mut self, pattern: Option<Regex>) -> usize {
        self.captures.push(pattern);
        self.captures.len() - 1
    }
}

impl Compiler<'_> {
    pub(super) fn dialogue(
        &mut self,
        entry: &spec::Entry<spec::Step>,
        dialogue: &spec::Dialogue,
        cast: Option<&Cast>,
    ) -> ReadDialogue {
        let name = &entry.name.value;
        let names: &[Spanned<String>] = dialogue.actors.as_deref().unwrap_or_default();
        let speakers: Vec<_> = names.iter().map(|name| self.actor_of(name, cast)).collect();
        let what = format!("`opening` of step `{name}`");
        let opening = dialogue.opening.as_ref().and_then(|text| self.template(&what, text, Role::Question));
        let repair = entry.value.as_ref().and_then(|step| step.repair.as_ref());
        let repair = self.optional(&format!("`repair` of step `{name}`"), repair);
        let repair = repair.map_or(DEFAULT_REPAIRS, |repairs| repairs.0);
        let mut sought = Sought { repair, ..Sought::default() };
        let stop = dialogue.stop.as_ref().and_then(|condition| {
            self.check_bounded(name, condition);
            self.stop(condition, names, cast, &mut sought)
        });
        let order = self.turn_order(name, dialogue.order.as_ref());
        let history = self.seen(name, dialogue.history.as_ref());
        let id = opening.as_ref().map(|opening| opening.id);
        let Sought { patterns, captures, likenesses, judges, mut reads, repair: _ } = sought;
        let whole = || {
            let actors = speakers.into_iter().collect::<Option<Vec<_>>>()?;
            let (opening, order, history, stop) = (id?, order?, history?, stop?);
            Some(Dialogue { actors, opening, order, history, stop, patterns, captures, likenesses, judges })
        };
        let dialogue = whole();
        reads.extend(opening);
        ReadDialogue { reads, dialogue }
    }

    fn stop(
        &mut self,
        stop: &spec::Stop,
        speakers: &[Spanned<String>],
        cast: Option<&Cast>,
        sought: &mut Sought,
    ) -> Option<Stop> {
        if let Some(rounds) = &stop.rounds {
            return self.setting("`rounds`", rounds).map(|count| Stop::Rounds(count.value.0));
        }
        if let Some(turns) = &stop.turns {
            return self.setting("`turns`", turns).map(|count| Stop::Turns(count.value.0));
        }
        if let Some(says) = &stop.says {
            let pattern = self.says(says, speakers, cast)?;
            sought.patterns.push(pattern);
            return Some(Stop::Says(sought.patterns.len() - 1));
        }
        if let Some(agree) = &stop.agree {
            let pattern = agree.pattern.as_ref().and_then(|pattern| self.regex(pattern))?;
            return Some(Stop::Agree(sought.capture(Some(pattern))));
        }
        if let Some(unchanged) = &stop.unchanged {
            let window = self.window("`window` of `unchanged`", unchanged.window.as_ref());
            let pattern = match &unchanged.pattern {
                Some(pattern) => Some(self.regex(pattern)?),
                None => None,
            };
            return Some(Stop::Unchanged { capture: sought.capture(pattern), window: window? });
        }
        if let Some(looping) = &stop.looping {
            let window = self.window("`window` of `looping`", looping.window.as_ref());
            let similarity = looping.similarity.as_ref();
            let similarity = similarity.and_then(|setting| self.setting("`similarity`", setting));
            sought.likenesses.push(Likeness { similarity: similarity?.value.0, window: window? });
            return Some(Stop::Looping(sought.likenesses.len() - 1));
        }
        if let Some(judge) = &stop.judge_says {
            let (question, judge) = self.round_judge(judge, sought.repair, cast);
            sought.reads.extend(question);
            sought.judges.push(judge?);
            return Some(Stop::JudgeSays(sought.judges.len() - 1));
        }
        if let Some(budget) = &stop.budget {
            let tokens = budget.tokens.as_ref()?;
            return self.setting("`tokens` of `budget`", tokens).map(|tokens| Stop::Budget(tokens.value.0));
        }
        if let Some(inner) = &stop.not {
            return self.stop(inner, speakers, cast, sought).map(|inner| Stop::Not(Box::new(inner)));
        }
        let list = stop.any.as_ref().or(stop.all.as_ref())?;
        // All of them, before the first that is missing ends it: every mistake is to be told.
        let read: Vec<_> = list.iter().map(|inner| self.stop(inner, speakers, cast, sought)).collect();
        let list = read.into_iter().collect::<Option<Vec<_>>>()?;
        Some(if stop.any.is_some() { Stop::Any(list) } else { Stop::All(list) })
    }

    fn window(&mut self, what: &str, window: Option<&Setting<Count>>) -> Option<NonZeroU32> {
        match window {
            None => Some(NonZeroU32::MIN),
            Some(window) => self.setting(what, window).map(|count| count.value.0),
        }
    }

    fn turn_order(&mut self, name: &str, order: Option<&spec::Order>) -> Option<Order> {
        let what = format!("`order` of step `{name}`");
        match order {
            None => Some(Order::RoundRobin),
            Some(spec::Order::Word(word)) => self.setting(&what, word).map(|word| match word.value {
                OrderWord::RoundRobin => Order::RoundRobin,
                OrderWord::Random => Order::Random,
            }),
            Some(spec::Order::Opens(opens)) => {
                let opens = opens.opens.as_ref()?;
                self.setting(&format!("`opens` of {what}"), opens).map(|_| Order::Rotate)
            }
        }
    }

    fn seen(&mut self, name: &str, history: Option<&spec::History>) -> Option<History> {
        let what = |key: &str| format!("`{key}` of `history` of step `{name}`");
        match history {
            None => Some(History::All),
            Some(spec::History { last: Some(last), .. }) => {
                self.setting(&what("last"), last).map(|count| History::Last(count.value.0))
            }
            Some(spec::History { tokens, .. }) => {
                self.setting(&what("tokens"), tokens.as_ref()?).map(|tokens| History::Tokens(tokens.value.0))
            }
        }
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
            diagnostic.help(
                "under `all` every condition must be met; put `rounds`, `turns` or `budget` beside it under `any`",
            )
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
    let may_never_hold = stop.says.is_some()
        || stop.not.is_some()
        || stop.agree.is_some()
        || stop.unchanged.is_some()
        || stop.looping.is_some()
        || stop.judge_says.is_some();
    stop.rounds.is_some() || stop.turns.is_some() || stop.budget.is_some() || !may_never_hold
}
