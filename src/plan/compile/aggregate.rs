//! Aggregates: of which step, by what, and who may read whom.

use std::sync::Arc;

use super::Compiler;
use super::scope::fields_of;
use crate::diag::{Diagnostic, Span, code};
use crate::plan::{Aggregate, By, Plan, Step};
use crate::spec::{self, AggregateBy, Entry, Spanned, Table};

/// An aggregate before the steps of cases are in order.
pub(super) struct Drafted {
    of: String,
    by: AggregateBy,
}

impl Drafted {
    /// Makes the aggregate, given the steps of cases.
    pub(super) fn aggregate(&self, steps: &[Step]) -> Option<Aggregate> {
        let of = steps.iter().find(|step| step.name.as_str() == self.of)?;
        let by = match self.by {
            AggregateBy::Table => By::Table,
            AggregateBy::Rank => By::Rank(Aggregate::compared(&of.kind)?),
        };
        Some(Aggregate { of: Arc::new(of.clone()), by })
    }
}

impl Compiler<'_> {
    /// Checks an aggregate against the step that it is of.
    pub(super) fn aggregate(&mut self, entry: &Entry<spec::Step>, aggregate: &spec::Aggregate) -> Option<Drafted> {
        let name = entry.name.value.as_str();
        let by = match &aggregate.by {
            None => Spanned::new(AggregateBy::Table, entry.name.span.clone()),
            Some(by) => self.setting(&format!("`by` of step `{name}`"), by)?,
        };
        self.check_course_of_aggregate(&entry.name, entry.value.as_ref()?);
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
        match by.value {
            AggregateBy::Table => self.check_counted(name, of, step)?,
            AggregateBy::Rank => self.check_compared(name, of, step, &by.span)?,
        }
        Some(Drafted { of: of.value.clone(), by: by.value })
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
            let message = format!("a table or an order has no default (step `{}`)", name.value);
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
                Diagnostic::error(code::AGGREGATE, message).at(at, "of which case?").at(&place, "in each case").help(
                    format!("an aggregate waits for every case anyway; what it is made of is its `of: {before}`"),
                )
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
        results: None,
        templates: Arc::clone(&plan.templates),
        matrix: plan.matrix.clone(),
        cells: crate::plan::Cells::default(),
        closing: None,
    }))
}
