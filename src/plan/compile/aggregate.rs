//! Aggregates: of which step, by what, and who may read whom.

use std::sync::Arc;

use super::Compiler;
use super::cast::Cast;
use super::scope::{Checked, OVER_ALL, Role, fields_of};
use crate::diag::{Diagnostic, Span, code};
use crate::plan::{Aggregate, By, Chat, Plan, Step};
use crate::spec::{self, AggregateBy, Entry, Spanned, Table};

/// An aggregate before the steps of cases are in order.
pub(super) struct Drafted {
    of: String,
    by: DraftedBy,
}

enum DraftedBy {
    Table,
    Rank,
    Chat(Chat),
}

impl Drafted {
    /// Makes the aggregate, given the steps of cases.
    pub(super) fn aggregate(&self, steps: &[Step]) -> Option<Aggregate> {
        let of = steps.iter().find(|step| step.name.as_str() == self.of)?;
        let by = match &self.by {
            DraftedBy::Table => By::Table,
            DraftedBy::Rank => By::Rank(Aggregate::compared(&of.kind)?),
            DraftedBy::Chat(chat) => By::Chat(chat.clone()),
        };
        Some(Aggregate { of: Arc::new(of.clone()), by })
    }
}

impl Compiler<'_> {
    /// Checks an aggregate against the step that it is of. What its prompt reads goes to `reads`.
    pub(super) fn aggregate(
        &mut self,
        entry: &Entry<spec::Step>,
        aggregate: &spec::Aggregate,
        cast: Option<&Cast>,
        reads: &mut Vec<Checked>,
    ) -> Option<Drafted> {
        let name = entry.name.value.as_str();
        let by = match &aggregate.by {
            None => Spanned::new(AggregateBy::Table, entry.name.span.clone()),
            Some(by) => self.setting(&format!("`by` of step `{name}`"), by)?,
        };
        self.check_course_of_aggregate(&entry.name, entry.value.as_ref()?);
        let chat = match by.value {
            AggregateBy::Chat => self.chat_over_all(entry, aggregate, cast, reads),
            AggregateBy::Table | AggregateBy::Rank => {
                self.check_asks_nobody(name, aggregate, by.value);
                None
            }
        };
        let of = aggregate.of.as_ref()?;
        let spec = self.spec;
        let Some(step) = spec.steps.as_ref().and_then(|steps| steps.get(&of.value)) else {
            let parts: Vec<&str> = of.value.trim_start_matches("steps.").split('.').collect();
            let bare = parts[0];
            let message = format!("there is no step `{}`", of.value);
            let diagnostic = Diagnostic::error(code::UNKNOWN_STEP, message).at(&of.span, "unknown step");
            if bare != of.value && spec.steps.as_ref().is_some_and(|steps| steps.get(bare).is_some()) {
                self.report.push(diagnostic.help(format!("`of` names the step alone: {bare}")));
            } else {
                self.suggest(diagnostic, &of.value, spec.steps.iter().flat_map(Table::names));
            }
            return None;
        };
        let step = step.value.as_ref()?;
        if step.aggregate.is_some() {
            let message = format!("`of` of step `{name}` names `{}`, which is an aggregate itself", of.value);
            let help = "an aggregate is made of a step of each case: a judge, an assert, a transform";
            self.report
                .push(Diagnostic::error(code::AGGREGATE, message).at(&of.span, "once, not once a case").help(help));
            return None;
        }
        let by = match by.value {
            AggregateBy::Table => {
                self.check_counted(name, of, step)?;
                DraftedBy::Table
            }
            AggregateBy::Rank => {
                self.check_compared(name, of, step, &by.span)?;
                DraftedBy::Rank
            }
            AggregateBy::Chat => DraftedBy::Chat(chat?),
        };
        Some(Drafted { of: of.value.clone(), by })
    }

    /// Compiles the question about all cases.
    fn chat_over_all(
        &mut self,
        entry: &Entry<spec::Step>,
        aggregate: &spec::Aggregate,
        cast: Option<&Cast>,
        reads: &mut Vec<Checked>,
    ) -> Option<Chat> {
        let step = entry.name.value.as_str();
        let given = [("actor", aggregate.actor.is_some()), ("prompt", aggregate.prompt.is_some())];
        for (key, _) in given.iter().filter(|(_, is_given)| !is_given) {
            let message = format!("step `{step}` asks about all cases and has no `{key}`");
            self.report.push(Diagnostic::error(code::MISSING_KEY, message).at(&entry.name.span, "by: chat").help(
                "for instance: { of: …, by: chat, actor: editor, prompt: \"{% for row in rows %}{{ row.text }}\\n{% \
                 endfor %}\" }",
            ));
        }
        let actor = aggregate.actor.as_ref().and_then(|name| {
            self.check_speaks_of_all(name);
            self.actor_of(name, cast)
        });
        self.sees.over_all = true;
        let what = format!("`prompt` of step `{step}`");
        let prompt = aggregate.prompt.as_ref().and_then(|text| self.template(&what, text, Role::Question));
        self.sees.over_all = false;
        let prompt = prompt?;
        let id = prompt.id;
        reads.push(prompt);
        Some(Chat { actor: actor?, prompt: id, form: None, history: Vec::new() })
    }

    /// Refuses an actor whose system prompt is about one case.
    fn check_speaks_of_all(&mut self, name: &Spanned<String>) {
        let Some(place) = self.of_items.get(&name.value).cloned() else { return };
        let message = format!("actor `{}` speaks about all cases, and its system prompt reads one", name.value);
        self.report.push(
            Diagnostic::error(code::AGGREGATE, message)
                .at(&name.span, "asked once, over all cases")
                .at(&place, "of which case?")
                .help("give the aggregate an actor of its own, whose `system` reads no `item` and no `repeat`"),
        );
    }

    /// Refuses what goes with a question where none is asked.
    fn check_asks_nobody(&mut self, step: &str, aggregate: &spec::Aggregate, by: AggregateBy) {
        let actor = aggregate.actor.as_ref().map(|actor| ("actor", &actor.span));
        let prompt = aggregate.prompt.as_ref().map(|prompt| ("prompt", &prompt.span));
        for (key, at) in actor.into_iter().chain(prompt) {
            let message = format!("`{key}` of step `{step}` goes to no model");
            self.report.push(
                Diagnostic::error(code::WRONG_PLACE, message)
                    .at(at, format!("by: {} asks nobody", by.word()))
                    .help(format!("write by: chat, or remove `{key}`")),
            );
        }
    }

    /// Reports a prompt about all cases that reads one of them.
    pub(super) fn refuse_one_case(&mut self, path: &[&str], place: &Span) {
        let read = path.join(".");
        let message = format!("a prompt about all cases reads `{read}` of one");
        let field = if path[0] == "item" { "row.item" } else { "row.repeat" };
        self.report.push(Diagnostic::error(code::AGGREGATE, message).at(place, "of which case?").help(format!(
            "it reads {}; in `{{% for row in rows %}}`, `{field}` is {}",
            OVER_ALL.map(|name| format!("`{name}`")).join(", "),
            if path[0] == "item" {
                "the item's id, and for more of it let `of` name a transform"
            } else {
                "its repeat"
            },
        )));
    }

    /// Refuses aggregates in a run that ends when it has seen enough: which cases count is known only then.
    pub(super) fn check_over_all(&mut self, over_all: &[Step]) {
        let spec = self.spec;
        let Some(first) = over_all.first() else { return };
        let Some(entry) = spec.steps.as_ref().and_then(|steps| steps.get(first.name.as_str())) else { return };
        let message = format!("step `{}` is made of all cases, and a stop may leave some out", first.name);
        self.report.push(Diagnostic::error(code::AGGREGATE, message).at(&entry.name.span, "over all cases").help(
            "leave `expr` and `decided` out of the stop, of the run or of `repeat`; the summary counts verdicts too",
        ));
    }

    /// Checks that a table has something to count.
    fn check_counted(&mut self, name: &str, of: &Spanned<String>, step: &spec::Step) -> Option<()> {
        let judge = step.judge.as_ref();
        let help = match () {
            () if step.chat.is_some() => {
                "let a judge score or sort the answers, or a transform take a value out of them"
            }
            () if step.dialogue.is_some() => "let a judge decide each talk, and count its verdicts",
            () if judge.is_some_and(|judge| judge.rank.is_some()) => "rankings are put together by: rank",
            () if judge.is_some_and(|judge| judge.schema.is_some()) => {
                "let a transform take one value out of it, and count that"
            }
            () => return Some(()),
        };
        let kind = fields_of(step).map_or("step", |(kind, _)| kind);
        let message = format!("`{}` gives nothing that the table of step `{name}` could count", of.value);
        self.report
            .push(Diagnostic::error(code::AGGREGATE, message).at(&of.span, format!("it is a {kind}")).help(help));
        None
    }

    /// Checks that an order has something to compare.
    fn check_compared(&mut self, name: &str, of: &Spanned<String>, step: &spec::Step, by: &Span) -> Option<()> {
        if step.judge.as_ref().is_some_and(|judge| judge.rank.is_some() || judge.pairwise.is_some()) {
            return Some(());
        }
        let kind = fields_of(step).map_or("step", |(kind, _)| kind);
        let message = format!("`{}` compares nothing that step `{name}` could rank", of.value);
        self.report.push(
            Diagnostic::error(code::AGGREGATE, message)
                .at(by, "ranks what a judge compares")
                .at(&of.span, format!("it is a {kind}"))
                .help(
                    "an order is made of a judge with `rank` or `pairwise`; choices and scores are counted by: table",
                ),
        );
        None
    }

    fn check_course_of_aggregate(&mut self, name: &Spanned<String>, step: &spec::Step) {
        let key = match (&step.when, &step.for_each) {
            (Some(when), _) => Some(("when", when.span.clone())),
            (None, Some(spec::ForEach::Expression(text))) => Some(("for_each", text.span.clone())),
            (None, Some(spec::ForEach::List(nodes))) => {
                Some(("for_each", nodes.first().map_or_else(|| name.span.clone(), |node| node.span.clone())))
            }
            (None, None) => None,
        };
        if let Some((key, at)) = key {
            let message = format!("`{key}` of step `{}` stands beside an aggregate", name.value);
            self.report.push(
                Diagnostic::error(code::AGGREGATE, message)
                    .at(&at, "not here")
                    .help(format!("it is done once, over all cases; put `{key}` on the step that it is of")),
            );
        }
        if let Some(spec::OnError::Default(value)) = &step.on_error {
            let message = format!("an aggregate has no default (step `{}`)", name.value);
            let help = "write on_error: skip, and let what reads it test its `status`";
            self.report.push(Diagnostic::error(code::AGGREGATE, message).at(&value.0.span, "not here").help(help));
        }
    }

    /// Returns true for the name of an aggregate.
    pub(super) fn is_aggregate(&self, name: &str) -> bool {
        let step = self.spec.steps.as_ref().and_then(|steps| steps.get(name));
        step.and_then(|entry| entry.value.as_ref()).is_some_and(|step| step.aggregate.is_some())
    }

    /// Reports a wait across the border between cases and what is done over all of them.
    pub(super) fn check_border(&mut self, step: &str, waits: &[(String, Span)]) {
        let is_over_all = self.is_aggregate(step);
        for (before, at) in waits {
            let Some(entry) = self.spec.steps.as_ref().and_then(|steps| steps.get(before)) else { continue };
            let place = entry.name.span.clone();
            if self.is_aggregate(before) == is_over_all {
                continue;
            }
            let diagnostic = if is_over_all {
                let message = format!("step `{step}` is done over all cases, and `{before}` in each of them");
                let asks =
                    self.spec.steps.as_ref().and_then(|steps| steps.get(step)?.value.as_ref()?.aggregate.as_ref());
                let help = match asks.and_then(|asks| asks.prompt.as_ref()) {
                    Some(_) => "an aggregate waits for every case anyway; its prompt reads what its `of` gave, as \
                                `{% for row in rows %}`"
                        .to_owned(),
                    None => {
                        format!("an aggregate waits for every case anyway; what it is made of is its `of: {before}`")
                    }
                };
                Diagnostic::error(code::AGGREGATE, message)
                    .at(at, "of which case?")
                    .at(&place, "in each case")
                    .help(help)
            } else {
                let message = format!("step `{step}` of each case waits for `{before}`, which is made of all cases");
                Diagnostic::error(code::AGGREGATE, message)
                    .at(at, "not there before the last case is over")
                    .at(&place, "done once, over all cases")
                    .help("only other aggregates read an aggregate")
            };
            self.report.push(diagnostic);
        }
    }
}

/// Returns a plan with the same actors for what is done over all cases; none when that is nothing.
pub(super) fn closing(plan: &Plan, steps: Vec<Step>) -> Option<Box<Plan>> {
    if steps.is_empty() {
        return None;
    }
    Some(Box::new(Plan {
        name: plan.name.clone(),
        description: None,
        hash: plan.hash,
        seed: plan.seed,
        params: plan.params.clone(),
        backends: plan.backends.clone(),
        actors: plan.actors.clone(),
        steps,
        items: crate::plan::Items::One,
        pick: crate::plan::Pick::default(),
        columns: std::collections::BTreeMap::new(),
        limit: None,
        repeat: plan.repeat,
        limits: plan.limits.clone(),
        halt: None,
        evidence: None,
        repeats: None,
        tolerated: 0.0,
        cache: plan.cache,
        results: None,
        telemetry: plan.telemetry.clone(),
        templates: Arc::clone(&plan.templates),
        matrix: plan.matrix.clone(),
        cells: crate::plan::Cells::default(),
        closing: None,
    }))
}
