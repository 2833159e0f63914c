//! The span of one task: a step of a case, or an element of it.

use super::attributes::Attributes;
use super::case::{Open, Task, Told, link};
use super::content;
use super::error_type::error_type;
use super::evaluation;
use super::names;
use super::span::{Kind, Link, Span, SpanEvent, Status, Value};
use crate::base::{EachKey, Timestamp};
use crate::event::{Because, TaskAdopted, TaskOutput, TaskSettled, TaskStatus};
use crate::plan::{Step, StepKind};

/// A task that is over.
pub(super) struct Over<'a> {
    /// What came of it.
    pub(super) settled: &'a TaskSettled,
    /// The element, in a `for_each` step.
    pub(super) each: Option<&'a EachKey>,
    /// What was seen of it on the way; none where nothing was.
    pub(super) task: Option<Task>,
    /// Where it was taken over from.
    pub(super) adopted: Option<&'a TaskAdopted>,
}

/// Returns `error.type` of a task that failed, and what happened.
pub(super) fn error_of(told: &Told<'_>, settled: &TaskSettled) -> Option<(String, String)> {
    if settled.status != TaskStatus::Failed {
        return None;
    }
    let failure = settled.failure.as_ref();
    let word = failure.map_or_else(|| "_OTHER".to_owned(), error_type);
    Some((word, failure.map_or_else(String::new, |failure| content::shown(told.settings, &failure.detail))))
}

/// Returns what a case says of a step that was not done in it.
pub(super) fn skipped(at: Timestamp, settled: &TaskSettled, each: Option<&EachKey>) -> SpanEvent {
    let mut attributes = Attributes::default();
    attributes.put(names::STEP, settled.step.as_str()).maybe(names::EACH, each.map(EachKey::as_str));
    attributes.put(names::BECAUSE, because_word(settled.because));
    SpanEvent { at, name: names::SKIPPED_EVENT, attributes: attributes.take() }
}

/// Returns the span of a task that is over.
pub(super) fn span(told: &Told<'_>, case: &Open, at: Timestamp, over: &Over<'_>) -> Span {
    let Over { settled, each, task, adopted } = over;
    let name = &settled.step;
    let step = case.step(told.plan, name);
    let is_whole = each.is_none() && is_fanned(step, settled);
    let asked = task.as_ref().is_some_and(|task| task.asked) || asks(step, settled);
    let (operation, span_name) = match (is_whole, asked) {
        (true, _) => (None, names::EACH_SPAN.to_owned()),
        (false, true) => (Some(names::INVOKE_AGENT), format!("{} {name}", names::INVOKE_AGENT)),
        (false, false) => (Some(names::EXECUTE_TOOL), format!("{} {name}", names::EXECUTE_TOOL)),
    };
    let mut attributes = Attributes::of_span();
    attributes.maybe(names::OPERATION, operation);
    match operation {
        Some(names::INVOKE_AGENT) => {
            attributes.put(names::AGENT_NAME, name.as_str());
            let usage = task.as_ref().map(|task| task.usage).unwrap_or_default();
            attributes.usage(&usage);
            let finish = task.as_ref().and_then(|task| task.finish);
            let reasons = finish.map(|finish| Value::Texts(vec![content::finish_word(finish).to_owned()]));
            attributes.maybe(names::FINISH_REASONS, reasons);
        }
        Some(_) => {
            attributes.put(names::TOOL_NAME, name.as_str()).put(names::TOOL_TYPE, "function");
        }
        None => {}
    }
    case.identify(told.run, told.moment.segment, &mut attributes);
    attributes.put(names::STEP, name.as_str()).maybe(names::STEP_KIND, step.map(|step| step.kind.word()));
    attributes.maybe(names::EACH, each.map(EachKey::as_str)).put(names::TASK_STATUS, status_word(settled.status));
    attributes.maybe(names::BECAUSE, settled.because.map(|because| because_word(Some(because))));
    if let Some(TaskOutput::Dialogue { turns, stopped_by }) = &settled.output {
        attributes.put(names::TURNS, u64::try_from(turns.len()).unwrap_or(u64::MAX));
        attributes.put(names::STOPPED_BY, stopped_by.as_str());
    }
    let error = error_of(told, settled);
    attributes.maybe(names::ERROR_TYPE, error.as_ref().map(|(word, _)| word.as_str()));

    let mut events = task.as_ref().map(|task| task.events.clone()).unwrap_or_default();
    events.extend(adopted.map(|adopted| taken_over(at, adopted)));
    let mut links = Vec::new();
    if let Some(TaskOutput::Judge(judgement)) = &settled.output {
        events.push(evaluation::result(told, name, at, judgement));
        links = evaluated(told, case, step);
    }
    let parent = match each {
        Some(_) => case.task_context(name, None).span,
        None => case.root().span,
    };
    let start = task.as_ref().map_or(at, |task| task.began).min(at);
    Span {
        context: case.task_context(name, *each),
        parent: Some(parent),
        name: span_name,
        kind: Kind::Internal,
        start,
        end: at,
        attributes: attributes.take(),
        events,
        links,
        status: error.map_or(Status::Unset, |(_, what)| Status::Error(what)),
    }
}

/// Returns links to the requests whose answers a judge read: the latest of each step.
fn evaluated(told: &Told<'_>, case: &Open, step: Option<&Step>) -> Vec<Link> {
    let (Some(step), Some(plan)) = (step, case.plan(told.plan)) else { return Vec::new() };
    let reads = step.reads.iter().filter_map(|&read| case.answered.get(&plan.step(read).name));
    reads.map(|&context| link(context, "evaluates")).collect()
}

fn taken_over(at: Timestamp, adopted: &TaskAdopted) -> SpanEvent {
    let mut attributes = Attributes::default();
    attributes.put(names::FROM_RUN, adopted.from_run.as_str()).put(names::FROM_CASE, adopted.from_case.0);
    SpanEvent { at, name: names::ADOPTED_EVENT, attributes: attributes.take() }
}

/// Tells whether a step stands for its elements.
fn is_fanned(step: Option<&Step>, settled: &TaskSettled) -> bool {
    step.is_some_and(|step| step.course.for_each.is_some()) || matches!(settled.output, Some(TaskOutput::Each { .. }))
}

/// Tells whether a step asks a model, as the plan says, or its output where there is no plan.
fn asks(step: Option<&Step>, settled: &TaskSettled) -> bool {
    match (step.map(|step| &step.kind), &settled.output) {
        (Some(StepKind::Chat(_) | StepKind::Dialogue(_) | StepKind::Judge(_)), _)
        | (None, Some(TaskOutput::Chat { .. } | TaskOutput::Dialogue { .. } | TaskOutput::Judge(_))) => true,
        (Some(StepKind::Aggregate(aggregate)), _) => aggregate.chat().is_some(),
        (Some(StepKind::Transform(_) | StepKind::Assert(_)) | None, _) => false,
    }
}

const fn status_word(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Ok => "ok",
        TaskStatus::Unscored => "unscored",
        TaskStatus::Failed => "failed",
        TaskStatus::Skipped => "skipped",
    }
}

const fn because_word(because: Option<Because>) -> &'static str {
    match because {
        Some(Because::When) => "when",
        Some(Because::OnError) => "on_error",
        None => "upstream",
    }
}
