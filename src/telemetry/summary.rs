//! What each step of a run came to, as a span of the run's: a run of a million spans is read there first.

use std::collections::BTreeMap;

use super::attributes::Attributes;
use super::chat;
use super::names;
use super::projector::Facts;
use super::span::{Kind, Span, Status};
use crate::base::{RunId, SpanContext, SpanId, SpanParts, StepName, Timestamp, TraceId};
use crate::event::{Event, Outcome, Recorded, TaskSettled, TaskStatus, Usage};
use crate::plan::Plan;
use crate::stats::Quantiles;

/// What the steps of a run came to so far, by name. Memory: some hundred counts a step.
#[derive(Debug, Default)]
pub(super) struct Summaries(BTreeMap<StepName, Summary>);

/// What one step came to.
#[derive(Debug)]
struct Summary {
    began: Timestamp,
    ended: Timestamp,
    ok: u64,
    unscored: u64,
    failed: u64,
    skipped: u64,
    reused: u64,
    requests: u64,
    errors: u64,
    usage: Usage,
    /// Of its tasks, in microseconds.
    took: Quantiles,
}

impl Summaries {
    /// Takes notice of the next event; `began` is when the task that it settles was begun.
    pub(super) fn take(&mut self, recorded: &Recorded, began: Option<Timestamp>) {
        let at = recorded.at;
        match &recorded.event {
            Event::AttemptStarted(started) => drop(self.of(&started.id.step, at)),
            Event::AttemptEnded(ended) if chat::was_made(ended) => {
                let summary = self.of(&ended.id.step, at);
                summary.requests += 1;
                summary.errors += u64::from(matches!(ended.outcome, Outcome::Failed(_)));
                summary.usage.add(&ended.usage);
            }
            Event::TaskSettled(settled) => self.settle(settled, at, began),
            Event::TaskAdopted(adopted) => {
                self.settle(&adopted.task, at, None);
                self.of(&adopted.task.step, at).reused += 1;
            }
            _ => {}
        }
    }

    fn settle(&mut self, settled: &TaskSettled, at: Timestamp, began: Option<Timestamp>) {
        let summary = self.of(&settled.step, at);
        *match settled.status {
            TaskStatus::Ok => &mut summary.ok,
            TaskStatus::Unscored => &mut summary.unscored,
            TaskStatus::Failed => &mut summary.failed,
            TaskStatus::Skipped => &mut summary.skipped,
        } += 1;
        began.iter().for_each(|began| summary.took.add(at.micros_since(*began)));
    }

    fn of(&mut self, step: &StepName, at: Timestamp) -> &mut Summary {
        let summary = self.0.entry(step.clone()).or_insert_with(|| Summary {
            began: at,
            ended: at,
            ok: 0,
            unscored: 0,
            failed: 0,
            skipped: 0,
            reused: 0,
            requests: 0,
            errors: 0,
            usage: Usage { input: None, output: None, cached: None, reasoning: None },
            took: Quantiles::default(),
        });
        summary.ended = summary.ended.max(at);
        summary
    }

    /// Returns a span for each step.
    pub(super) fn spans<'s>(
        &'s self,
        run: &'s RunId,
        facts: &'s Facts,
        plan: Option<&'s Plan>,
    ) -> impl Iterator<Item = Span> + 's {
        self.0.iter().map(move |(step, summary)| {
            let kind = plan.and_then(|plan| plan.steps.iter().find(|one| one.name == *step));
            let mut attributes = Attributes::of_span();
            attributes.put(names::RUN_ID, run.as_str()).put(names::STEP, step.as_str());
            attributes.maybe(names::STEP_KIND, kind.map(|step| step.kind.word()));
            summary.tell(&mut attributes);
            let about = TraceId::of_run(run);
            let parts = SpanParts { about, step: step.as_str(), each: "", call: "", number: 0, kind: "summary" };
            Span {
                context: SpanContext { trace: facts.root.trace, span: SpanId::of(&parts) },
                parent: Some(facts.root.span),
                name: format!("{} {step}", names::SUMMARY_SPAN),
                kind: Kind::Internal,
                start: summary.began,
                end: summary.ended,
                attributes: attributes.take(),
                events: Vec::new(),
                links: Vec::new(),
                status: Status::Unset,
            }
        })
    }
}

impl Summary {
    fn tell(&self, attributes: &mut Attributes) {
        attributes.put(names::TASKS_OK, self.ok).put(names::TASKS_UNSCORED, self.unscored);
        attributes.put(names::TASKS_FAILED, self.failed).put(names::TASKS_SKIPPED, self.skipped);
        attributes.maybe(names::TASKS_REUSED, Some(self.reused).filter(|&count| count > 0));
        attributes.put(names::REQUESTS, self.requests).put(names::REQUEST_ERRORS, self.errors);
        attributes.usage(&self.usage);
        attributes.maybe(names::TASK_P50, self.took.per_cent(50).map(chat::seconds));
        attributes.maybe(names::TASK_P95, self.took.per_cent(95).map(chat::seconds));
    }
}
