//! The spans of the run as a whole: its start, its processes, its root.

use super::attributes::Attributes;
use super::case::{MOST_EVENTS, link};
use super::names;
use super::projector::{BackendFacts, Facts};
use super::span::{Kind, Span, SpanEvent, Status};
use crate::base::{ModelName, RunId, SpanContext, SpanId, SpanParts, Timestamp, TraceId};
use crate::event::{BackendResolved, Capacity, Event, RunEnded, RunOutcome, Stage, StopCause};

/// One process of a run, as far as it has come.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u32,
    pub(super) began: Timestamp,
    version: String,
    parent: Option<SpanContext>,
    events: Vec<SpanEvent>,
    pub(super) is_over: bool,
}

impl Segment {
    pub(super) const fn new(number: u32, began: Timestamp, version: String, parent: Option<SpanContext>) -> Self {
        Self { number, began, version, parent, events: Vec::new(), is_over: false }
    }

    /// Takes notice of what happened to the run as a whole.
    pub(super) fn note(&mut self, at: Timestamp, event: &Event) {
        let mut attributes = Attributes::default();
        let name = match event {
            Event::RunPaused(_) => names::PAUSED_EVENT,
            Event::RunUnpaused(_) => names::UNPAUSED_EVENT,
            Event::RunTuned(tuned) => {
                attributes.put(names::REASON, tuned.changed.join(", "));
                names::TUNED_EVENT
            }
            Event::CapacityChanged(changed) => {
                attributes.put(names::BACKEND_NAME, changed.backend.as_str());
                attributes.put(names::BACKEND_CHANGE, change_word(changed.change));
                attributes.put(names::REASON, changed.reason.as_str());
                names::BACKEND_EVENT
            }
            Event::StopReached(reached) => {
                attributes.put(names::CONDITION, reached.condition.as_str());
                attributes.put(names::EVIDENCE, reached.evidence.as_str());
                names::STOP_EVENT
            }
            Event::DrainStage(drain) => {
                let stage = match drain.stage {
                    Stage::Draining => "draining",
                    Stage::Cancelling => "cancelling",
                };
                attributes.put(names::REASON, stage);
                names::DRAIN_EVENT
            }
            _ => return,
        };
        if self.events.len() < MOST_EVENTS {
            self.events.push(SpanEvent { at, name, attributes: attributes.take() });
        }
    }

    /// Returns its span. `end` is how it ended, or why nobody says.
    pub(super) fn span(&self, run: &RunId, facts: &Facts, at: Timestamp, end: &End<'_>) -> Span {
        let mut attributes = Attributes::of_span();
        identify(run, self.number, &mut attributes);
        attributes.put(names::VERSION, self.version.as_str());
        let error = match end {
            End::Ended(ended) => {
                attributes.put(names::OUTCOME, outcome_word(&ended.outcome));
                counts(ended, &mut attributes);
                error_of(&ended.outcome)
            }
            End::Failed(message) => Some(("_OTHER", (*message).to_owned())),
            End::Killed => Some(("cancelled", "the process ended without leaving the run in order".to_owned())),
        };
        attributes.maybe(names::ERROR_TYPE, error.as_ref().map(|(word, _)| *word));
        let mut links = Vec::new();
        if let Some(before) = self.number.checked_sub(1) {
            links.push(link(context(run, facts.root.trace, before, "segment"), "previous"));
        }
        links.extend(self.parent.map(|parent| link(parent, "caller")));
        Span {
            context: context(run, facts.root.trace, self.number, "segment"),
            parent: Some(facts.root.span),
            name: names::SEGMENT_SPAN.to_owned(),
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

/// How a process left a run.
pub(super) enum End<'a> {
    /// In order.
    Ended(&'a RunEnded),
    /// A bug.
    Failed(&'a str),
    /// It was killed: only the next one knows.
    Killed,
}

/// Returns the ids of something about the run itself, in the trace that it is shown in.
pub(super) fn context(run: &RunId, trace: TraceId, number: u32, kind: &str) -> SpanContext {
    let parts = SpanParts { about: TraceId::of_run(run), step: "", each: "", call: "", number, kind };
    SpanContext { trace, span: SpanId::of(&parts) }
}

/// Returns the span that a run begins with: its root is told at the end.
pub(super) fn start(run: &RunId, facts: &Facts, at: Timestamp) -> Span {
    let mut attributes = Attributes::of_span();
    identify(run, 0, &mut attributes);
    attributes.put(names::WORKFLOW_NAME, facts.name.as_str());
    attributes.put(names::PLAN, facts.plan.to_string()).put(names::RUN_SEED, facts.seed);
    Span {
        context: context(run, facts.root.trace, 0, "start"),
        parent: Some(facts.root.span),
        name: names::RUN_START_SPAN.to_owned(),
        kind: Kind::Internal,
        start: at,
        end: at,
        attributes: attributes.take(),
        events: Vec::new(),
        links: Vec::new(),
        status: Status::Unset,
    }
}

/// Returns the root of a run that is over.
pub(super) fn root(run: &RunId, facts: &Facts, began: Timestamp, at: Timestamp, ended: &RunEnded) -> Span {
    let mut attributes = Attributes::of_span();
    attributes.put(names::OPERATION, names::INVOKE_WORKFLOW).put(names::WORKFLOW_NAME, facts.name.as_str());
    attributes.usage(&ended.usage).put(names::RUN_ID, run.as_str());
    attributes.put(names::PLAN, facts.plan.to_string()).put(names::RUN_SEED, facts.seed);
    attributes.put(names::OUTCOME, outcome_word(&ended.outcome));
    counts(ended, &mut attributes);
    attributes.put(names::OPENINFERENCE_KIND, "CHAIN");
    if let Some(seen) = &facts.gpu {
        attributes.put(names::GPU_AVAILABLE, seen.reason.is_none()).maybe(names::GPU_REASON, seen.reason.as_deref());
    }
    let error = error_of(&ended.outcome);
    attributes.maybe(names::ERROR_TYPE, error.as_ref().map(|(word, _)| *word));
    Span {
        context: facts.root,
        parent: facts.traced.parent.map(|parent| parent.span),
        name: format!("{} {}", names::INVOKE_WORKFLOW, facts.name),
        kind: Kind::Internal,
        start: began,
        end: at.max(began),
        attributes: attributes.take(),
        events: Vec::new(),
        links: Vec::new(),
        status: error.map_or(Status::Unset, |(_, what)| Status::Error(what)),
    }
}

fn identify(run: &RunId, segment: u32, attributes: &mut Attributes) {
    attributes.put(names::RUN_ID, run.as_str()).put(names::SEGMENT, segment);
}

fn counts(ended: &RunEnded, attributes: &mut Attributes) {
    attributes.put(names::CASES, ended.cases.admitted).put(names::CASES_OK, ended.cases.ok);
    attributes.put(names::CASES_UNSCORED, ended.cases.unscored).put(names::CASES_FAILED, ended.cases.failed);
}

const fn outcome_word(outcome: &RunOutcome) -> &'static str {
    match outcome {
        RunOutcome::Complete => "complete",
        RunOutcome::Enough(_) => "enough",
        RunOutcome::Stopped(StopCause::Interrupt) => "interrupted",
        RunOutcome::Stopped(StopCause::Terminate) => "terminated",
        RunOutcome::Stopped(StopCause::Command) => "stopped",
        RunOutcome::Stopped(StopCause::Cancel) => "cancelled",
        RunOutcome::Stopped(StopCause::BackendUnusable { .. }) => "backend_unusable",
        RunOutcome::Stopped(StopCause::BackendWaits { .. }) => "backend_waits",
        RunOutcome::Stopped(StopCause::Condition(_)) => "condition",
        RunOutcome::Stopped(StopCause::SourceUnusable { .. }) => "input_unusable",
    }
}

/// Returns what is an error about how a process left a run: that somebody wanted it to stop is none.
fn error_of(outcome: &RunOutcome) -> Option<(&'static str, String)> {
    match outcome {
        RunOutcome::Stopped(StopCause::BackendUnusable { backend, failure }) => {
            Some(("backend_unusable", format!("{backend}: {}", failure.detail)))
        }
        RunOutcome::Stopped(StopCause::BackendWaits { backend, failure, .. }) => {
            Some(("backend_waits", format!("{backend}: {}", failure.detail)))
        }
        RunOutcome::Stopped(StopCause::SourceUnusable { reason }) => Some(("input_unusable", reason.clone())),
        RunOutcome::Stopped(StopCause::Cancel) => Some(("cancelled", "the run was cancelled".to_owned())),
        RunOutcome::Complete | RunOutcome::Enough(_) | RunOutcome::Stopped(_) => None,
    }
}

const fn change_word(change: Capacity) -> &'static str {
    match change {
        Capacity::BreakerOpened => "breaker_opened",
        Capacity::BreakerClosed => "breaker_closed",
        Capacity::FormatUnsupported => "format_unsupported",
        Capacity::Lacks(_) => "lacks",
        Capacity::HeldUntil(_) => "held",
        Capacity::Slots(_) => "slots",
    }
}

impl BackendFacts {
    pub(super) fn of(resolved: &BackendResolved) -> Self {
        let uri: Option<http::Uri> = resolved.endpoint.parse().ok();
        let authority = uri.as_ref().filter(|uri| uri.scheme().is_some()).and_then(http::Uri::authority);
        let port = authority.and_then(http::uri::Authority::port_u16);
        let usual = uri.as_ref().and_then(|uri| match uri.scheme_str() {
            Some("http") => Some(80),
            Some("https") => Some(443),
            Some(_) | None => None,
        });
        Self {
            server: resolved.server.clone(),
            // What runs inside of this program has no address but this machine's.
            address: authority.map_or("localhost", http::uri::Authority::host).to_owned(),
            port: port.or(usual).map(u32::from),
            models: resolved.models.clone() as Vec<(ModelName, ModelName)>,
        }
    }
}
