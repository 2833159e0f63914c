//! Steps: their kinds, what they read, their order.

use std::collections::{BTreeMap, BTreeSet};

use super::Compiler;
use super::aggregate::Drafted;
use super::cast::Cast;
use super::judge::DEFAULT_REPAIRS;
use super::scope::{Checked, Role, fields_of, is_for_each};
use crate::base::StepName;
use crate::diag::{Diagnostic, Span, code};
use crate::plan::graph::Waits;
use crate::plan::{ActorIdx, Chat, Course, Step, StepIdx, StepKind};
use crate::spec::{self, Entry, Spanned, Table};

/// Talks that one chat continues: each is asked, hashed and sent again with every chat that continues it.
const MOST_TALKS: usize = 100;

/// A step before the others' places are known.
struct Draft {
    name: StepName,
    kind: Option<StepKind>,
    /// Done over all cases; its kind is known when theirs are.
    over_all: Drafting,
    course: Option<Course>,
    waits: Vec<Wait>,
    /// What a chat continues.
    history: Vec<Spanned<String>>,
}

/// Whether a step is done over all cases.
enum Drafting {
    /// It is done in each.
    OfCase,
    /// It is.
    Aggregate(Drafted),
    /// It is, and something is wrong with it that has been reported.
    Wrong,
}

/// One step's reason to wait for another.
pub(super) struct Wait {
    step: String,
    at: Span,
    reads: bool,
}

impl Compiler<'_> {
    /// Compiles every step and puts them in order: those of each case, and those that are done over all cases. None when
    /// something is missing.
    pub(super) fn steps(&mut self, cast: Option<&Cast>) -> Option<(Vec<Step>, Vec<Step>)> {
        let spec = self.spec;
        let entries: Vec<&Entry<spec::Step>> = spec.steps.iter().flat_map(|table| &table.entries).collect();
        let drafts: Vec<Draft> = entries.iter().map(|entry| self.step(entry, cast)).collect();
        for draft in &drafts {
            let waits: Vec<(String, Span)> =
                draft.waits.iter().map(|wait| (wait.step.clone(), wait.at.clone())).collect();
            self.check_border(draft.name.as_str(), &waits);
        }
        let order = self.order(&drafts)?;
        let (over_all, of_cases): (Vec<&Draft>, Vec<&Draft>) =
            order.iter().map(|draft| &drafts[*draft]).partition(|draft| !matches!(draft.over_all, Drafting::OfCase));
        let steps = self.of_cases(&of_cases)?;
        let over_all = over_all_cases(&over_all, &steps)?;
        if steps.is_empty() && !over_all.is_empty() {
            return None;
        }
        Some((steps, over_all))
    }

    /// Puts the steps of each case together.
    fn of_cases(&mut self, drafts: &[&Draft]) -> Option<Vec<Step>> {
        let places = places(drafts);
        let place = |name: &str| places.get(name).copied();
        let mut steps: Vec<Step> = Vec::new();
        let mut talks: Vec<Vec<StepIdx>> = Vec::new();
        for draft in drafts {
            let after: BTreeSet<StepIdx> = draft.waits.iter().filter_map(|wait| place(&wait.step)).collect();
            let reads = draft.waits.iter().filter(|wait| wait.reads);
            let mut reads: BTreeSet<StepIdx> = reads.filter_map(|wait| place(&wait.step)).collect();
            let mut kind = draft.kind.clone()?;
            let mut continued = Vec::new();
            if let StepKind::Chat(chat) = &mut kind {
                chat.history = draft.history.iter().filter_map(|name| place(&name.value)).collect();
                continued = self.talks(draft, &chat.history, &talks)?;
                // What was asked there is asked here once more, so it reads the same.
                reads.extend(continued.iter().flat_map(|&earlier| steps[earlier.0].reads.iter().copied()));
            }
            talks.push(continued);
            steps.push(Step {
                name: draft.name.clone(),
                after: after.union(&reads).copied().collect(),
                reads: reads.into_iter().collect(),
                course: draft.course.clone()?,
                kind,
            });
        }
        Some(steps)
    }

    /// Returns all that a chat continues, from what the steps before it continue.
    fn talks(&mut self, draft: &Draft, history: &[StepIdx], earlier: &[Vec<StepIdx>]) -> Option<Vec<StepIdx>> {
        let mut talks: Vec<StepIdx> = Vec::new();
        for &step in history {
            for &talk in earlier[step.0].iter().chain([&step]) {
                if !talks.contains(&talk) {
                    talks.push(talk);
                }
            }
        }
        if talks.len() <= MOST_TALKS {
            return Some(talks);
        }
        let message = format!("step `{}` continues {} talks", draft.name, talks.len());
        let diagnostic = Diagnostic::error(code::HISTORY, message)
            .at(&draft.history.last()?.span, format!("at most {MOST_TALKS}, those that these continue included"));
        self.report.push(diagnostic.help("talk that goes on and on is a `dialogue`"));
        None
    }

    fn step(&mut self, entry: &Entry<spec::Step>, cast: Option<&Cast>) -> Draft {
        let name = &entry.name.value;
        let mut waits = Vec::new();
        let mut kind = None;
        let mut over_all = Drafting::OfCase;
        let mut course = Some(Course::default());
        let mut history = Vec::new();
        if let Some(step) = &entry.value {
            self.sees.each = step.for_each.is_some();
            if let Some(chat) = &step.chat {
                kind = self.chat(entry, chat, cast, &mut waits).map(StepKind::Chat);
                for earlier in chat.history.iter().flat_map(|names| &names.0) {
                    self.check_history(name, earlier);
                    waits.push(Wait { step: earlier.value.clone(), at: earlier.span.clone(), reads: true });
                    history.push(earlier.clone());
                }
            }
            if let Some(dialogue) = &step.dialogue {
                let read = self.dialogue(entry, dialogue, cast);
                for checked in &read.reads {
                    note(&mut waits, Some(checked));
                }
                kind = read.dialogue.map(StepKind::Dialogue);
            }
            if let Some(judge) = &step.judge {
                let read = self.judge(entry, judge, cast);
                for checked in &read.reads {
                    note(&mut waits, Some(checked));
                }
                kind = read.judge.map(StepKind::Judge);
            }
            self.check_form_keys(name, step);
            if let Some(transform) = &step.transform {
                kind = self.transform(name, transform, &mut waits).map(StepKind::Transform);
            }
            if let Some(assert) = &step.assert {
                kind = self.assert(name, assert, &mut waits).map(StepKind::Assert);
            }
            if let Some(aggregate) = &step.aggregate {
                let mut read = Vec::new();
                let drafted = self.aggregate(entry, aggregate, cast, &mut read);
                over_all = drafted.map_or(Drafting::Wrong, Drafting::Aggregate);
                for checked in &read {
                    note(&mut waits, Some(checked));
                }
            }
            self.sees.each = false;
            course = self.course(name, step, kind.as_ref(), &mut waits);
            for earlier in step.after.iter().flatten() {
                self.check_after(earlier);
                waits.push(Wait { step: earlier.value.clone(), at: earlier.span.clone(), reads: false });
            }
        }
        Draft { name: StepName::from(name.as_str()), kind, over_all, course, waits, history }
    }

    fn chat(
        &mut self,
        entry: &Entry<spec::Step>,
        chat: &spec::Chat,
        cast: Option<&Cast>,
        waits: &mut Vec<Wait>,
    ) -> Option<Chat> {
        let step = &entry.name.value;
        let actor = chat.actor.as_ref().and_then(|name| self.actor_of(name, cast));
        let what = format!("`prompt` of step `{step}`");
        let prompt = chat.prompt.as_ref().and_then(|text| self.template(&what, text, Role::Question));
        note(waits, prompt.as_ref());
        let (schema, repair) =
            entry.value.as_ref().map_or((None, None), |step| (step.schema.as_ref(), step.repair.as_ref()));
        let repair = self.optional(&format!("`repair` of step `{step}`"), repair);
        let repair = repair.map_or(DEFAULT_REPAIRS, |repairs| repairs.0);
        let form = match schema {
            Some(source) => Some((self.answer_schema(step, source)?, repair)),
            None => None,
        };
        // The places of steps are not known yet.
        Some(Chat { actor: actor?, prompt: prompt?.id, form, history: Vec::new() })
    }

    /// Checks that `schema` and `repair` stand beside something that has one answer.
    fn check_form_keys(&mut self, name: &str, step: &spec::Step) {
        let schema = step.schema.as_ref().map(|source| match source {
            spec::SchemaSource::Inline(node) => &node.span,
            spec::SchemaSource::File(text) => &text.span,
        });
        let repair = step.repair.as_ref().map(spec::Setting::span);
        let (at, message, help) = match (schema, repair) {
            (Some(at), _) if step.judge.is_some() => {
                (at, format!("`schema` of step `{name}` stands beside its judge"), "put it into the judge")
            }
            (Some(at), _) if step.chat.is_none() => {
                (at, format!("`schema` of step `{name}` has no answer to check"), "`schema` goes with a `chat`")
            }
            (None, Some(at)) if step.chat.is_some() => {
                (at, format!("`repair` of step `{name}` has nothing to mend"), "without `schema` any text will do")
            }
            (None, Some(at)) if step.judge.is_none() && !asks_judges(step) => {
                let help = "`repair` goes with a judge, with a `judge_says`, or with a `chat` that has a `schema`";
                (at, format!("`repair` of step `{name}` has nothing to mend"), help)
            }
            _ => return,
        };
        self.report.push(Diagnostic::error(code::WRONG_PLACE, message).at(at, "not here").help(help));
    }

    /// Returns the place of an actor; reports one that does not exist.
    pub(super) fn actor_of(&mut self, name: &Spanned<String>, cast: Option<&Cast>) -> Option<ActorIdx> {
        let spec = self.spec;
        if spec.actors.as_ref().is_none_or(|actors| actors.get(&name.value).is_none()) {
            if spec.actors.is_some() {
                let message = format!("there is no actor `{}`", name.value);
                let diagnostic = Diagnostic::error(code::UNKNOWN_NAME, message).at(&name.span, "unknown actor");
                self.suggest(diagnostic, &name.value, spec.actors.iter().flat_map(Table::names));
            }
            return None;
        }
        cast?.find(&name.value)
    }

    /// Checks that a chat continues something that is one talk.
    fn check_history(&mut self, step: &str, name: &Spanned<String>) {
        self.check_after(name);
        let spec = self.spec;
        let earlier = spec.steps.as_ref().and_then(|steps| steps.get(&name.value));
        let Some(earlier) = earlier.and_then(|entry| entry.value.as_ref()) else { return };
        let Some((kind, fields)) = fields_of(earlier) else { return };
        let (message, reason, help) = if earlier.chat.is_none() && earlier.dialogue.is_none() {
            let message = format!("`history` of step `{step}` names `{}`, which is no talk", name.value);
            let help = format!(
                "`history` takes `chat` and `dialogue` steps; a prompt reads what others give: {{{{ steps.{}.{} }}}}",
                name.value, fields[0]
            );
            (message, format!("it is a {kind}"), help)
        } else if is_for_each(Some(earlier)) {
            let message = format!("`history` of step `{step}` names `{}`, which is many talks", name.value);
            let help = format!(
                "its `for_each` makes one for each element; a prompt reads them as a list: {{{{ steps.{}.{} }}}}",
                name.value, fields[0]
            );
            (message, "one for each element".to_owned(), help)
        } else {
            return;
        };
        self.report.push(Diagnostic::error(code::HISTORY, message).at(&name.span, reason).help(help));
    }

    fn check_after(&mut self, name: &Spanned<String>) {
        let spec = self.spec;
        if spec.steps.as_ref().is_none_or(|steps| steps.get(&name.value).is_none()) {
            let message = format!("there is no step `{}`", name.value);
            let diagnostic = Diagnostic::error(code::UNKNOWN_STEP, message).at(&name.span, "unknown step");
            self.suggest(diagnostic, &name.value, spec.steps.iter().flat_map(Table::names));
        }
    }

    fn order(&mut self, drafts: &[Draft]) -> Option<Vec<usize>> {
        let by_name = drafts.iter().enumerate().map(|(place, draft)| (draft.name.as_str(), place));
        let places: BTreeMap<&str, usize> = by_name.collect();
        let place = |name: &str| places.get(name).copied();
        let mut graph = Waits::of(drafts.len());
        for (later, draft) in drafts.iter().enumerate() {
            for wait in &draft.waits {
                if let Some(earlier) = place(&wait.step) {
                    graph.add(later, earlier);
                }
            }
        }
        let cycles = match graph.order() {
            Ok(order) => return Some(order),
            Err(cycles) => cycles,
        };
        for cycle in cycles {
            let names: Vec<&str> = cycle.iter().map(|step| drafts[*step].name.as_str()).collect();
            let message = match names.as_slice() {
                [only] => format!("step `{only}` waits for itself"),
                _ => format!("steps wait for each other: {} → {}", names.join(" → "), names[0]),
            };
            let mut diagnostic = Diagnostic::error(code::CYCLE, message);
            for (position, step) in cycle.iter().enumerate() {
                let next = names[(position + 1) % names.len()];
                if let Some(wait) = drafts[*step].waits.iter().find(|wait| wait.step == next) {
                    let verb = if wait.reads { "reads" } else { "is after" };
                    diagnostic = diagnostic.at(&wait.at, format!("`{}` {verb} `{next}`", names[position]));
                }
            }
            self.report.push(diagnostic.help("one of these must go"));
        }
        None
    }
}

/// Puts what is done over all cases together, given the steps of each case.
fn over_all_cases(drafts: &[&Draft], of_cases: &[Step]) -> Option<Vec<Step>> {
    let places = places(drafts);
    let place = |wait: &Wait| places.get(wait.step.as_str()).copied();
    let mut steps = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let after: BTreeSet<StepIdx> = draft.waits.iter().filter_map(place).collect();
        let reads: BTreeSet<StepIdx> = draft.waits.iter().filter(|wait| wait.reads).filter_map(place).collect();
        let Drafting::Aggregate(drafted) = &draft.over_all else { return None };
        steps.push(Step {
            name: draft.name.clone(),
            after: after.into_iter().collect(),
            reads: reads.into_iter().collect(),
            course: draft.course.clone()?,
            kind: StepKind::Aggregate(drafted.aggregate(of_cases)?),
        });
    }
    Some(steps)
}

/// Returns where the steps of one plan stand among themselves.
fn places<'a>(drafts: &[&'a Draft]) -> BTreeMap<&'a str, StepIdx> {
    drafts.iter().enumerate().map(|(place, draft)| (draft.name.as_str(), StepIdx(place))).collect()
}

/// Returns true for a dialogue whose stop asks somebody.
fn asks_judges(step: &spec::Step) -> bool {
    let mut judges = Vec::new();
    let ending = step.dialogue.as_ref().and_then(|dialogue| dialogue.stop.as_ref());
    ending.into_iter().for_each(|ending| ending.judges(&mut judges));
    !judges.is_empty()
}

fn note(waits: &mut Vec<Wait>, checked: Option<&Checked>) {
    waits.extend(reads(checked.iter().flat_map(|checked| checked.steps.iter().cloned())));
}

/// Makes waits of what is read.
pub(super) fn reads(steps: impl IntoIterator<Item = (String, Span)>) -> impl Iterator<Item = Wait> {
    steps.into_iter().map(|(step, at)| Wait { step, at, reads: true })
}
