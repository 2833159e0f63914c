//! The span of one request, and of the wait before the next.

use super::attributes::Attributes;
use super::case::{Flight, Open, Told};
use super::content::{self, finish_words};
use super::error_type::error_type;
use super::names;
use super::span::{Kind, Span, Status};
use crate::base::{EachKey, Timestamp};
use crate::event::{AttemptEnded, AttemptId, FailureKind, Message, Outcome};
use crate::plan::{Actor, Call, Content, ModelChoice, StepKind, seed_of_call};
use crate::report::gpu::Flown;
use crate::report::gpu::attribution::METHOD;

/// Tells whether a request was made at all: a prompt that does not render, a stop before the sending and an answer
/// from the cache make none.
pub(super) const fn was_made(ended: &AttemptEnded) -> bool {
    match &ended.outcome {
        Outcome::Answered(_) => ended.from_cache.is_none(),
        Outcome::Failed(failure) => !matches!(failure.kind, FailureKind::Unsent | FailureKind::Render),
    }
}

/// Returns the span of a request that is over, with its part of what devices did.
pub(super) fn span(
    told: &Told<'_>,
    case: &Open,
    flight: &Flight,
    at: Timestamp,
    ended: &AttemptEnded,
    part: Option<&Flown>,
) -> Span {
    let (id, facts) = (&ended.id, told.facts);
    let (start, end) = times(told, flight, at, ended);
    let actor = case.plan(told.plan).and_then(|plan| plan.actors.iter().find(|one| one.name == flight.started.actor));
    let backend = facts.backends.get(&flight.started.backend);
    let answer = match &ended.outcome {
        Outcome::Answered(answer) => Some(answer),
        Outcome::Failed(_) => None,
    };
    let model = backend.and_then(|backend| backend.sent(actor.map(|actor| &actor.model)));
    let model = model.or_else(|| answer.and_then(|answer| answer.model.as_deref()));

    let mut attributes = Attributes::of_span();
    attributes.put(names::OPERATION, names::CHAT).put(names::PROVIDER, "openai").maybe(names::REQUEST_MODEL, model);
    if let Some(backend) = backend {
        attributes.put(names::SERVER_ADDRESS, backend.address.as_str()).maybe(names::SERVER_PORT, backend.port);
    }
    requested(told, case, flight, actor, &mut attributes);
    attributes.maybe(names::STREAM, ended.timings.first_token_us.map(|_| true));
    attributes.maybe(names::FIRST_CHUNK, ended.timings.first_token_us.map(seconds));
    if let Some(answer) = answer {
        attributes.maybe(names::RESPONSE_MODEL, answer.model.as_deref().or(model));
        attributes.maybe(names::RESPONSE_ID, answer.id.as_deref());
        let reasons = vec![finish_words(answer).to_owned()];
        attributes.put(names::FINISH_REASONS, super::Value::Texts(reasons));
    }
    attributes.usage(&ended.usage);
    case.identify(told.run, told.moment.segment, &mut attributes);
    attributes.put(names::STEP, id.step.as_str()).maybe(names::EACH, id.each.as_ref().map(EachKey::as_str));
    attributes.put(names::CALL, id.call.as_str()).put(names::ACTOR, flight.started.actor.as_str());
    attributes.put(names::ATTEMPT, id.attempt.0);
    attributes.maybe(names::RESEND_COUNT, id.attempt.0.checked_sub(1).filter(|&count| count > 0));
    attributes.maybe(names::BACKEND_KIND, backend.map(|backend| backend.server.as_str()));
    attributes.put(names::BACKEND_NAME, flight.started.backend.as_str());
    attributes.put(names::QUEUE_WAIT, seconds(ended.timings.queued_us));
    attributes.maybe(names::WINDOW_DROPPED, Some(flight.dropped_turns).filter(|&turns| turns > 0));
    if let Some(part) = part {
        computed(part, &mut attributes);
    }
    said(told, ended, &mut attributes);
    let status = match &ended.outcome {
        Outcome::Answered(_) => Status::Unset,
        Outcome::Failed(failure) => {
            attributes.put(names::ERROR_TYPE, error_type(failure));
            Status::Error(content::shown(told.settings, &failure.detail))
        }
    };
    Span {
        context: case.call_context(id, names::CHAT),
        parent: Some(case.task_context(&id.step, id.each.as_ref()).span),
        name: model.map_or_else(|| names::CHAT.to_owned(), |model| format!("{} {model}", names::CHAT)),
        kind: Kind::Client,
        start,
        end,
        attributes: attributes.take(),
        events: Vec::new(),
        links: Vec::new(),
        status,
    }
}

/// Returns when a request was made and over.
///
/// The lengths were taken on the monotonic clock, so the span ends when its end was recorded and is as long as those
/// say. A request that a crash cut off ends with the last that its process recorded.
fn times(told: &Told<'_>, flight: &Flight, at: Timestamp, ended: &AttemptEnded) -> (Timestamp, Timestamp) {
    if matches!(&ended.outcome, Outcome::Failed(failure) if failure.kind == FailureKind::Interrupted) {
        return (flight.at, told.moment.cut_off.max(flight.at));
    }
    let took = i64::try_from(ended.timings.total_us).unwrap_or(i64::MAX);
    (Timestamp(at.0.saturating_sub(took)).max(flight.at), at.max(flight.at))
}

/// Adds what was sent beside the messages.
fn requested(told: &Told<'_>, case: &Open, flight: &Flight, actor: Option<&Actor>, attributes: &mut Attributes) {
    let id = &flight.started.id;
    if let Some(Actor { sampling, .. }) = actor {
        attributes.maybe(names::MAX_TOKENS, sampling.max_tokens).maybe(names::TEMPERATURE, sampling.temperature);
        attributes.maybe(names::TOP_P, sampling.top_p);
        if !sampling.stop.is_empty() {
            attributes.put(names::STOP_SEQUENCES, super::Value::Texts(sampling.stop.clone()));
        }
    }
    let each = id.each.as_ref().map_or("", |each| each.as_str());
    let seed = seed_of_call(told.facts.seed, &case.admitted.item, case.admitted.repeat, &id.step, each, &id.call);
    attributes.put(names::SEED, seed);
    let asks_json = case.step(told.plan, &id.step).is_some_and(|step| match (&step.kind, Call::parse(&id.call)) {
        (StepKind::Judge(_), _) | (StepKind::Dialogue(_), Some(Call::Ask(_))) => true,
        (StepKind::Chat(chat), _) => chat.form.is_some(),
        (StepKind::Dialogue(_) | StepKind::Transform(_) | StepKind::Assert(_) | StepKind::Aggregate(_), _) => false,
    });
    attributes.maybe(names::OUTPUT_TYPE, (asks_json && flight.takes_format).then_some("json"));
    attributes.put(names::PROMPT_NAME, format!("{}.{}", told.facts.name, id.step));
    attributes.put(names::PROMPT_VERSION, told.facts.plan.to_string());
}

/// Adds what devices did for it, as far as they told.
fn computed(part: &Flown, attributes: &mut Attributes) {
    let covered = part.concurrency();
    attributes.maybe(names::GPU_ENERGY, covered.map(|_| part.millijoules / 1e3));
    attributes.maybe(names::GPU_BUSY, Some(part.busy_s).filter(|busy| covered.is_some() || *busy > 0.0));
    attributes.maybe(names::GPU_CONCURRENCY, covered);
    attributes.maybe(names::GPU_METHOD, covered.map(|_| METHOD));
    attributes.maybe(names::GPU_METHOD_BY, covered.map(|_| part.method()));
    attributes.maybe(names::GPU_COVERAGE, covered.map(|_| part.coverage()));
}

/// Adds the words, as far as they may leave the machine.
fn said(told: &Told<'_>, ended: &AttemptEnded, attributes: &mut Attributes) {
    if told.settings.content == Content::None {
        return;
    }
    let digests: Vec<String> = ended.request.iter().map(|Message(_, text)| text.to_string()).collect();
    attributes.maybe(names::REQUEST_DIGESTS, (!digests.is_empty()).then_some(super::Value::Texts(digests)));
    let (text, answer) = match &ended.outcome {
        Outcome::Answered(answer) => (Some(answer.text), Some(answer)),
        // The start of an answer that is of no use is what came back.
        Outcome::Failed(failure) => (failure.evidence, None),
    };
    attributes.maybe(names::RESPONSE_DIGEST, text.map(|digest| digest.to_string()));
    let thought = answer.and_then(|answer| answer.thought);
    attributes.maybe(names::REASONING_DIGEST, thought.map(|digest| digest.to_string()));
    if told.settings.content == Content::Hash {
        return;
    }
    let input = content::input(told.settings, &ended.request, told.find);
    let output = answer.and_then(|answer| content::output(told.settings, answer, told.find));
    let truncated = [&input, &output].into_iter().flatten().any(|shown| shown.truncated);
    attributes.maybe(names::INPUT_MESSAGES, input.map(|shown| shown.json));
    attributes.maybe(names::OUTPUT_MESSAGES, output.map(|shown| shown.json));
    attributes.maybe(names::TRUNCATED, truncated.then_some(true));
}

/// Returns the wait before a request that is sent again.
pub(super) fn backoff(told: &Told<'_>, case: &Open, id: &AttemptId, from: Timestamp, to: Timestamp) -> Span {
    let mut attributes = Attributes::of_span();
    case.identify(told.run, told.moment.segment, &mut attributes);
    attributes.put(names::STEP, id.step.as_str()).maybe(names::EACH, id.each.as_ref().map(EachKey::as_str));
    attributes.put(names::CALL, id.call.as_str()).put(names::ATTEMPT, id.attempt.0);
    Span {
        context: case.call_context(id, "backoff"),
        parent: Some(case.task_context(&id.step, id.each.as_ref()).span),
        name: names::BACKOFF_SPAN.to_owned(),
        kind: Kind::Internal,
        start: from,
        end: to,
        attributes: attributes.take(),
        events: Vec::new(),
        links: Vec::new(),
        status: Status::Unset,
    }
}

/// Returns microseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "a request takes less than 2^52 microseconds")]
pub(super) fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

impl super::projector::BackendFacts {
    /// Returns the model's name as sent to the server.
    fn sent(&self, asked: Option<&ModelChoice>) -> Option<&str> {
        let asked = match asked {
            Some(ModelChoice::Named(name)) => &**name,
            Some(ModelChoice::Auto) | None => "auto",
        };
        let found = self.models.iter().find(|(name, _)| name.as_str() == asked);
        let only = || self.models.first().filter(|_| self.models.len() == 1);
        found.or_else(only).map(|(_, sent)| sent.as_str())
    }
}
