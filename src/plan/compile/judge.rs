//! Judges: options that can be told apart, and whose names may be hidden.

use std::num::NonZeroU32;

use super::Compiler;
use super::cast::Cast;
use super::scope::{Checked, Role, TALK};
use crate::base::ActorName;
use crate::diag::{Diagnostic, Span, code};
use crate::judge::Rule;
use crate::plan::{ActorIdx, Judge, RoundJudge, Wanted};
use crate::spec::{self, Setting, Spanned, VoteRule};

/// How often an answer that cannot be read is asked for again when nothing is said: a slip is mended, and a model that
/// cannot do it costs twice at most.
pub(super) const DEFAULT_REPAIRS: u32 = 1;

/// What came of a judge; what its texts read counts even when something else is missing.
pub(super) struct ReadJudge {
    pub(super) reads: Vec<Checked>,
    pub(super) judge: Option<Judge>,
}

impl Compiler<'_> {
    pub(super) fn judge(
        &mut self,
        step: &spec::Entry<spec::Step>,
        judge: &spec::Judge,
        cast: Option<&Cast>,
    ) -> ReadJudge {
        let name = &step.name.value;
        let what = |key: &str| format!("`{key}` of step `{name}`");
        let asked: Vec<&Spanned<String>> = judge.actor.iter().chain(judge.panel.iter().flatten()).collect();
        let actors: Vec<Option<ActorIdx>> = asked.iter().map(|name| self.actor_of(name, cast)).collect();
        let question =
            judge.question.as_ref().and_then(|text| self.template(&what("question"), text, Role::Question));
        let mut reads = Vec::new();
        let wanted = self.wanted(name, judge, &mut reads);
        let votes = self.optional(&what("votes"), judge.votes.as_ref()).map_or(NonZeroU32::MIN, |count| count.0);
        let swap = self.optional(&what("swap"), judge.swap.as_ref()).map(|flag| flag.0);
        let explain = self.optional(&what("explain"), judge.explain.as_ref()).is_some_and(|flag| flag.0);
        let rule = self.optional(&what("vote"), judge.vote.as_ref());
        let repair = step.value.as_ref().and_then(|step| step.repair.as_ref());
        let repair = self.optional(&what("repair"), repair).map_or(DEFAULT_REPAIRS, |repairs| repairs.0);
        let blind = judge.blind.as_ref().map(|names| self.blind(names, judge, question.as_ref()));
        self.check_voting(name, judge, swap, explain, rule, votes);
        let id = question.as_ref().map(|question| question.id);
        let whole = || {
            let blind = match blind {
                Some(names) => Some(names?),
                None => None,
            };
            let wanted = wanted?;
            let rule = rule.map_or_else(|| default_rule(&wanted), rule_of);
            let swap = swap.unwrap_or(matches!(wanted, Wanted::Pairwise(_)));
            let actors = actors.into_iter().collect::<Option<Vec<_>>>().filter(|actors| !actors.is_empty())?;
            Some(Judge { actors, question: id?, wanted, votes, rule, blind, swap, explain, repair })
        };
        let judge = whole();
        reads.extend(question);
        ReadJudge { reads, judge }
    }

    /// Reads what is asked about a dialogue after a round, and its question, which counts even without the rest.
    pub(super) fn round_judge(
        &mut self,
        judge: &spec::JudgeSays,
        repair: u32,
        cast: Option<&Cast>,
    ) -> (Option<Checked>, Option<RoundJudge>) {
        let actor = judge.actor.as_ref().and_then(|name| self.actor_of(name, cast));
        self.sees.talk = true;
        let text = judge.question.as_ref();
        let question = text.and_then(|text| self.template("`question` of `judge_says`", text, Role::Question));
        self.sees.talk = false;
        if let (Some(question), Some(text)) = (&question, text) {
            let references = self.templates.references(question.id);
            if !references.iter().any(|read| TALK.contains(&read.0[0].as_str())) {
                self.report.push(
                    Diagnostic::error(code::JUDGE_SAYS, "the question of `judge_says` shows nothing of the talk")
                        .at(&text.span, "the same each time")
                        .help("it reads {{ transcript }}, {{ last }} or {{ turns }}: what was said up to then"),
                );
            }
        }
        let choose = judge.choose.as_ref().map(|options| self.options(options));
        if let (Some(on), Some(options)) = (judge.on.as_ref(), &choose)
            && !options.contains(&on.value)
            && !options.is_empty()
        {
            let message = format!("`judge_says` waits for `{}`, which is not an option", on.value);
            self.report.push(
                Diagnostic::error(code::JUDGE_SAYS, message)
                    .at(&on.span, "not among `choose`")
                    .suggest(&on.value, options.iter().map(String::as_str)),
            );
        }
        let whole = || {
            let (actor, question) = (actor?, question.as_ref()?.id);
            Some(RoundJudge { actor, question, choose: choose?, on: judge.on.as_ref()?.value.clone(), repair })
        };
        let judge = whole();
        (question, judge)
    }

    /// Checks that what is said of votes and order has a meaning for what is asked.
    fn check_voting(
        &mut self,
        step: &str,
        judge: &spec::Judge,
        swap: Option<bool>,
        explain: bool,
        rule: Option<VoteRule>,
        votes: NonZeroU32,
    ) {
        let mut refuse = |message: String, at: Option<&Span>, reason: &str, help: &str| {
            if let Some(at) = at {
                self.report.push(Diagnostic::error(code::VOTING, message).at(at, reason).help(help));
            }
        };
        let vote = judge.vote.as_ref().map(Setting::span);
        if rule == Some(VoteRule::Mean) && judge.score.is_none() && judge.rank.is_none() {
            let message = format!("step `{step}` asks for the mean of answers that are no numbers");
            refuse(message, vote, "only scores and rankings have a mean", "write majority or unanimous");
        }
        if swap == Some(true) && (judge.score.is_some() || judge.schema.is_some()) {
            let message = format!("`swap` of step `{step}` reverses an order that there is not");
            let at = judge.swap.as_ref().map(Setting::span);
            refuse(message, at, "nothing stands in an order", "`swap` goes with `choose`, `pairwise` and `rank`");
        }
        if swap == Some(true) && judge.blind.is_some() {
            let message = format!("step `{step}` asks again with names exchanged, and again in reverse order");
            let at = judge.swap.as_ref().map(Setting::span);
            refuse(message, at, "`blind` asks in both ways already", "remove one of `blind` and `swap`");
        }
        if judge.schema.is_some() {
            let help = "for a verdict over votes ask with `choose`, `score`, `pairwise` or `rank`";
            let votes = judge.votes.as_ref().filter(|_| votes.get() > 1).map(Setting::span);
            let panel = judge.panel.as_ref().and_then(|panel| panel.first()).map(|name| &name.span);
            let message = format!("step `{step}` has several votes, and asks for values that cannot be counted");
            refuse(message, votes.or(panel), "a value of `schema` is no vote", help);
            if explain {
                let message = format!("`explain` of step `{step}` has no place in the schema's value");
                let at = judge.explain.as_ref().map(Setting::span);
                refuse(
                    message,
                    at,
                    "the schema alone says what is answered",
                    "add a property for the reason to the schema",
                );
            }
        }
        if let Some(name) = judge.blind.iter().flatten().next().filter(|_| judge.choose.is_none()) {
            let message = format!("`blind` of step `{step}` hides names that are no options");
            let help = "`blind` goes with `choose`; what `pairwise` and `rank` compare is always shown without names";
            refuse(message, Some(&name.span), "nobody is chosen", help);
        }
    }

    fn wanted(&mut self, step: &str, judge: &spec::Judge, reads: &mut Vec<Checked>) -> Option<Wanted> {
        match judge {
            spec::Judge { choose: Some(options), .. } => Some(Wanted::Choose(self.options(options))),
            spec::Judge { score: Some(score), .. } => self.scale(step, score).map(Wanted::Score),
            spec::Judge { pairwise: Some(contestants), .. } => {
                self.contestants(step, "pairwise", contestants, reads).map(Wanted::Pairwise)
            }
            spec::Judge { rank: Some(contestants), .. } => {
                self.contestants(step, "rank", contestants, reads).map(Wanted::Rank)
            }
            spec::Judge { schema: Some(schema), .. } => self.answer_schema(step, schema).map(Wanted::Schema),
            _ => None,
        }
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
        let question = question.filter(|question| !question.has_strangers);
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

const fn default_rule(wanted: &Wanted) -> Rule {
    match wanted {
        Wanted::Score(_) | Wanted::Rank(_) => Rule::Mean,
        Wanted::Choose(_) | Wanted::Pairwise(_) | Wanted::Schema(_) => Rule::Majority,
    }
}

const fn rule_of(rule: VoteRule) -> Rule {
    match rule {
        VoteRule::Majority => Rule::Majority,
        VoteRule::Mean => Rule::Mean,
        VoteRule::Unanimous => Rule::Unanimous,
    }
}
