//! A case on its way: what its spans are made of, by digests, never texts.

use std::collections::BTreeMap;

use super::attributes::Attributes;
use super::names;
use super::projector::{Facts, Moment};
use super::span::{Kind, Link, Span, SpanEvent, Status};
use crate::base::{CallPath, EachKey, RunId, SpanContext, SpanId, SpanParts, StepName, Timestamp, TraceId};
use crate::event::{
    AttemptStarted, CaseAdmitted, CaseReopened, CaseSettled, CaseStatus, FinishReason, Shape, TaskSettled,
    TaskStatus, Usage,
};
use crate::plan::{Plan, Step};

/// Most events of a span that are told: consumers cut there.
pub(super) const MOST_EVENTS: usize = 128;

/// A case that is not over.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) admitted: CaseAdmitted,
    /// It stands for what is done over all cases of its cell.
    pub(super) closing: bool,
    /// The process that took it up again after it was over; 0 for the first way through.
    opening: u32,
    began: Timestamp,
    /// What it is, whatever the shape.
    pub(super) about: TraceId,
    trace: TraceId,
    tasks: BTreeMap<(StepName, Option<EachKey>), Task>,
    /// The latest answered request of each step.
    pub(super) answered: BTreeMap<StepName, SpanContext>,
    events: Vec<SpanEvent>,
    /// The first task that failed: `error.type` and what happened.
    pub(super) amiss: Option<(String, String)>,
    pub(super) retried: bool,
    pub(super) unscored: bool,
}

/// A task on its way.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) began: Timestamp,
    pub(super) flights: BTreeMap<CallPath, Flight>,
    /// When the latest request of a call failed that will be sent again.
    pub(super) failed: BTreeMap<CallPath, Timestamp>,
    pub(super) asked: bool,
    pub(super) usage: Usage,
    pub(super) finish: Option<FinishReason>,
    pub(super) events: Vec<SpanEvent>,
}

/// A request on its way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) at: Timestamp,
    pub(super) started: AttemptStarted,
    pub(super) dropped_turns: u32,
    pub(super) takes_format: bool,
}

impl Task {
    const fn at(began: Timestamp) -> Self {
        Self {
            began,
            flights: BTreeMap::new(),
            failed: BTreeMap::new(),
            asked: false,
            usage: Usage { input: None, output: None, cached: None, reasoning: None },
            finish: None,
            events: Vec::new(),
        }
    }
}

impl Open {
    pub(super) fn admit(run: &RunId, facts: &Facts, at: Timestamp, admitted: CaseAdmitted, closing: bool) -> Self {
        let about = TraceId::of_case(run, &admitted.item, admitted.repeat, &admitted.matrix, closing);
        Self {
            trace: match facts.traced.shape {
                Shape::Item => about,
                Shape::Run => facts.root.trace,
            },
            about,
            admitted,
            closing,
            opening: 0,
            began: at,
            tasks: BTreeMap::new(),
            answered: BTreeMap::new(),
            events: Vec::new(),
            amiss: None,
            retried: false,
            unscored: false,
        }
    }

    pub(super) fn reopen(run: &RunId, facts: &Facts, moment: Moment, at: Timestamp, reopened: &CaseReopened) -> Self {
        let open = Self::admit(run, facts, at, reopened.admitted(), reopened.now.closing);
        Self { opening: moment.segment, retried: true, ..open }
    }

    /// Returns the task, which begins now unless it has.
    pub(super) fn task(&mut self, step: &StepName, each: Option<&EachKey>, at: Timestamp) -> &mut Task {
        self.tasks.entry((step.clone(), each.cloned())).or_insert_with(|| Task::at(at))
    }

    /// Returns when a step of the case began, if it has.
    pub(super) fn task_began(&self, step: &StepName) -> Option<Timestamp> {
        self.tasks.get(&(step.clone(), None)).map(|task| task.began)
    }

    pub(super) fn take_task(&mut self, step: &StepName, each: Option<&EachKey>) -> Option<Task> {
        self.tasks.remove(&(step.clone(), each.cloned()))
    }

    /// Adds an event to the case's own span.
    pub(super) fn event(&mut self, event: SpanEvent) {
        if self.events.len() < MOST_EVENTS {
            self.events.push(event);
        }
    }

    /// Keeps in mind how a task ended.
    pub(super) fn note(&mut self, task: &TaskSettled, error: Option<&(String, String)>) {
        self.unscored |= task.status == TaskStatus::Unscored;
        if task.status == TaskStatus::Failed && self.amiss.is_none() {
            self.amiss = error.cloned();
        }
    }

    /// Returns the ids of the case's own span.
    pub(super) fn root(&self) -> SpanContext {
        let parts = SpanParts { about: self.about, step: "", each: "", call: "", number: self.opening, kind: "case" };
        SpanContext { trace: self.trace, span: SpanId::of(&parts) }
    }

    /// Returns the ids of a task's span.
    pub(super) fn task_context(&self, step: &StepName, each: Option<&EachKey>) -> SpanContext {
        self.context(step, each, "", self.opening, "task")
    }

    /// Returns the ids of something about a call.
    pub(super) fn call_context(&self, id: &crate::event::AttemptId, kind: &str) -> SpanContext {
        self.context(&id.step, id.each.as_ref(), id.call.as_str(), id.attempt.0, kind)
    }

    fn context(&self, step: &StepName, each: Option<&EachKey>, call: &str, number: u32, kind: &str) -> SpanContext {
        let each = each.map_or("", EachKey::as_str);
        let parts = SpanParts { about: self.about, step: step.as_str(), each, call, number, kind };
        SpanContext { trace: self.trace, span: SpanId::of(&parts) }
    }

    /// Adds what every span of the case says.
    pub(super) fn identify(&self, run: &RunId, segment: u32, attributes: &mut Attributes) {
        attributes.put(names::RUN_ID, run.as_str()).put(names::SEGMENT, segment);
        attributes.put(names::ITEM_ID, self.admitted.item.as_str()).put(names::CASE, self.admitted.case.0);
        attributes.put(names::REPEAT, self.admitted.repeat).matrix(&self.admitted.matrix);
    }

    /// Returns the plan of the case's cell.
    pub(super) fn plan<'p>(&self, plan: Option<&'p Plan>) -> Option<&'p Plan> {
        let plan = plan?;
        let plan = plan.cell(plan.find_cell(&self.admitted.matrix)?);
        if self.closing { plan.closing.as_deref() } else { Some(plan) }
    }

    /// Returns a step of it.
    pub(super) fn step<'p>(&self, plan: Option<&'p Plan>, name: &StepName) -> Option<&'p Step> {
        let plan = self.plan(plan)?;
        Some(plan.step(plan.find_step(name)?))
    }

    /// Returns the span of the case itself.
    pub(super) fn span(&self, told: &Told<'_>, at: Timestamp, settled: &CaseSettled, kept: Option<&str>) -> Span {
        let mut attributes = Attributes::of_span();
        attributes.put(names::OPERATION, names::INVOKE_WORKFLOW).put(names::WORKFLOW_NAME, told.facts.name.as_str());
        self.identify(told.run, told.moment.segment, &mut attributes);
        attributes.put(names::CASE_STATUS, status_word(settled.status));
        attributes.put(names::OPENINFERENCE_KIND, "CHAIN").maybe(names::SAMPLE_REASON, kept);
        let failed = settled.status == CaseStatus::Failed;
        let error = failed.then(|| self.amiss.clone().unwrap_or_else(|| ("_OTHER".to_owned(), String::new())));
        attributes.maybe(names::ERROR_TYPE, error.as_ref().map(|(word, _)| word.as_str()));
        let root = self.root();
        let is_own = told.facts.traced.shape == Shape::Item;
        let mut links = Vec::new();
        if is_own {
            links.push(link(told.facts.root, "run"));
        }
        if self.opening > 0 {
            let first = SpanParts { about: self.about, step: "", each: "", call: "", number: 0, kind: "case" };
            links.push(link(SpanContext { trace: self.trace, span: SpanId::of(&first) }, "previous"));
        }
        Span {
            context: root,
            parent: (!is_own).then_some(told.facts.root.span),
            name: format!("{} {}", names::INVOKE_WORKFLOW, told.facts.name),
            kind: Kind::Internal,
            start: self.began,
            end: at.max(self.began),
            attributes: attributes.take(),
            events: self.events.clone(),
            links,
            status: error.map_or(Status::Unset, |(_, what)| Status::Error(what)),
        }
    }
}

/// What the spans of one event are made from, beside the case.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) run: &'a RunId,
    pub(super) facts: &'a Facts,
    pub(super) settings: &'a super::Settings,
    pub(super) plan: Option<&'a Plan>,
    pub(super) moment: Moment,
    pub(super) find: super::content::Find<'a>,
}

/// Returns a link and why it is there.
pub(super) fn link(to: SpanContext, why: &str) -> Link {
    Link { to, attributes: Attributes::default().put(names::LINK_TYPE, why).take() }
}

const fn status_word(status: CaseStatus) -> &'static str {
    match status {
        CaseStatus::Ok => "ok",
        CaseStatus::Unscored => "unscored",
        CaseStatus::Failed => "failed",
    }
}
