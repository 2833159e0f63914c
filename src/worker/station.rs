//! Where calls are made: the plan, the backends, and the model behind each actor.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::estimate;
use super::recall::{Recall, Worth};
use crate::backend::{Backend, CallLimits, ChatRequest, Completion, Format, Progress, TraceHeaders, Watch};
use crate::base::{AttemptNo, CaseNo, Digest, RunId, SpanContext, SpanId, SpanParts, StepName, TraceId, TraceState};
use crate::cache::{Entry, Kept};
use crate::event::{
    Answer, Failure, FailureKind, Feature, Features, FromCache, GrowingFeatures, Message, Outcome, Report, Shape,
    Timings, Traced, Usage,
};
use crate::plan::{BackendIdx, Place, Plan, StepKind, Timeouts};
use crate::task::{self, ComposeError, Composed, OneOutput, Rows};

/// Finds a text of a case by its digest, from memory or from the journal.
pub type TextLookup = dyn Fn(CaseNo, &Digest) -> Option<Arc<str>> + Send + Sync;

/// Shows what a step came to in every case of the cell with these values, in the order of admission.
pub type OutputsOfCases =
    dyn Fn(&Map<String, Value>, &StepName, &mut dyn FnMut(&OneOutput<'_>)) -> Result<(), String> + Send + Sync;

/// Everything that a call needs beside its place.
pub struct Station {
    /// What is being run.
    pub plan: Arc<Plan>,
    /// By the plan's order of backends.
    pub backends: Vec<Arc<dyn Backend>>,
    /// By the plan's order of cells and of actors: the model as its server names it.
    pub models: Vec<Vec<Arc<str>>>,
    /// What each backend has refused since this process began, by the plan's order: requests that were made ready
    /// before the engine knew of it go without it, too.
    pub refused: Vec<GrowingFeatures>,
    /// Whether to ask for streams.
    pub stream: bool,
    /// Where earlier texts are found.
    pub texts: Arc<TextLookup>,
    /// Where what cases came to is found, when all are over.
    pub outputs: Arc<OutputsOfCases>,
    /// Which spans the requests are; none where nothing is recorded of them.
    pub tracing: Option<Tracing>,
    /// Where answers of before are found; none where every call is asked.
    pub recall: Option<Recall>,
}

/// The run that requests are made for, as its spans name it.
#[derive(Clone, Debug)]
pub struct Tracing {
    /// The run.
    pub run: RunId,
    /// What is settled about its spans.
    pub traced: Traced,
    /// What is handed on with the trace of whoever started this process; with no other.
    pub state: Option<(TraceId, TraceState)>,
}

impl Tracing {
    /// Returns what a request says of its trace.
    fn headers(&self, plan: &Plan, place: &Place, attempt: AttemptNo) -> TraceHeaders {
        let span = self.context(plan, place, attempt);
        let state = self.state.as_ref().filter(|(trace, _)| *trace == span.trace);
        TraceHeaders { span, state: state.map(|(_, state)| state.clone()) }
    }

    /// Returns the span of a request, as the journal's projection will name it.
    fn context(&self, plan: &Plan, place: &Place, attempt: AttemptNo) -> SpanContext {
        let cell = plan.cell(place.cell);
        let is_closing = plan.is_closing(place.cell);
        let about = TraceId::of_case(&self.run, &place.item, place.repeat, &cell.matrix, is_closing);
        let (step, path) = (&cell.step(place.step).name, place.call.path());
        let each = place.each.as_ref().map_or("", |each| each.key.as_str());
        let parts =
            SpanParts { about, step: step.as_str(), each, call: path.as_str(), number: attempt.0, kind: "chat" };
        let trace = match self.traced.shape {
            Shape::Run => self.traced.trace(&self.run),
            Shape::Item => about,
        };
        SpanContext { trace, span: SpanId::of(&parts) }
    }
}

/// What a call came to.
#[derive(Debug)]
pub struct Worked {
    /// For the engine.
    pub report: Report,
    /// For the journal: every text that the report's digests stand for.
    pub texts: Vec<(Digest, Arc<str>)>,
    /// For the cache, once the journal has it: the answer, and what it is worth.
    pub keep: Option<(Worth, Entry)>,
}

impl Station {
    /// Makes one call, to its end or until `cancel` says why to give it up.
    ///
    /// `spoken` gets each piece of the answer as it arrives when [`Self::stream`] is set.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection; nothing is reported then, so the driver sends on `cancel` instead.
    pub async fn call(
        &self,
        place: &Place,
        attempt: AttemptNo,
        backend: BackendIdx,
        timeouts: Timeouts,
        spoken: &(dyn Fn(&str) + Send + Sync),
        mut cancel: oneshot::Receiver<FailureKind>,
    ) -> Worked {
        let plan = self.plan.cell(place.cell);
        let models = &self.models[self.plan.home_of(place.cell).0];
        let texts = |digest: &Digest| (self.texts)(place.case, digest);
        let composed = match &plan.step(place.step).kind {
            StepKind::Aggregate(_) => match self.rows(place).await {
                Ok(rows) => task::compose_over_all(plan, place, models, rows, &texts),
                Err(error) => Err(error),
            },
            _ => task::compose(plan, place, models, &texts),
        };
        let composed = match composed {
            Ok(composed) => composed,
            Err(error) => return unasked(&error),
        };
        let mut texts = Vec::new();
        let dropped_turns = composed.dropped_turns;
        let sent = sent(&composed, &mut texts);
        let wished = composed.format.clone();
        let request = self.request(place, composed, timeouts);
        let key = self.recall.as_ref().map(|recall| recall.key(backend.0, &request, &wished, place.repeat));
        if let (Some(recall), Some(key)) = (&self.recall, key)
            && let Some(kept) = recall.find(key).await
        {
            return self.recalled(place, kept, sent, dropped_turns, texts);
        }
        let trace = self.tracing.as_ref().map(|tracing| tracing.headers(&self.plan, place, attempt));
        let request = self.without_refused(ChatRequest { trace, ..request }, backend);

        let start = Instant::now();
        let first_token = OnceLock::new();
        let spoken_bytes = AtomicUsize::new(0);
        let evidence = OnceLock::new();
        let used = OnceLock::new();
        let watch = |progress: Progress<'_>| match progress {
            Progress::Sent => {}
            Progress::Spent(usage) => drop(used.set(usage)),
            Progress::Text(piece) => {
                let _ = first_token.get_or_init(|| micros(start));
                spoken_bytes.fetch_add(piece.len(), Ordering::Relaxed);
                spoken(piece);
            }
            Progress::Evidence(shown) => drop(evidence.set(Arc::from(shown))),
        };
        let watch: Watch<'_> = &watch;
        let answer = tokio::select! {
            biased;
            answer = self.backends[backend.0].chat(&request, watch) => answer,
            why = &mut cancel => Err(given_up(why.ok(), timeouts)),
        };
        if let Err(failure) = &answer {
            self.learn(failure.kind, backend);
        }
        let answer = answer.map_err(|failure| Failure {
            evidence: evidence.into_inner().map(|shown| keep(&mut texts, shown)),
            ..failure
        });
        let timings = Timings {
            queued_us: 0,
            first_token_us: first_token.get().copied(),
            total_us: micros(start),
            claimed: answer.as_ref().ok().and_then(|answer| answer.claimed),
        };
        let (outcome, usage, estimated) = match answer {
            Ok(completion) => {
                let bytes = completion.text.len() + completion.thought.as_ref().map_or(0, String::len);
                let estimated = estimate::of_answer(&request, &completion.usage, bytes);
                let (outcome, usage) = self.outcome(place, completion, &mut texts);
                (outcome, usage, estimated)
            }
            // What a failed answer has used counts.
            Err(failure) => {
                let usage = used.into_inner().unwrap_or_default();
                let bytes = spoken_bytes.into_inner();
                let estimated = estimate::of_failure(&request, &usage, &failure, bytes);
                (Outcome::Failed(failure), usage, estimated)
            }
        };
        let max_tokens = request.max_tokens;
        let report = Report { request: sent, dropped_turns, outcome, usage, estimated, timings, from_cache: None };
        let keep = match (&self.recall, key) {
            (Some(recall), Some(key)) => recall.entry(key, place.case, &report, max_tokens, &texts),
            _ => None,
        };
        Worked { report, texts, keep }
    }

    /// Takes out of a request what its backend has refused in another one by now.
    fn without_refused(&self, request: ChatRequest, backend: BackendIdx) -> ChatRequest {
        let refused = self.refused[backend.0].now();
        if refused.is_empty() {
            return request;
        }
        let format = if refused.has(Feature::ResponseFormat) { Format::Text } else { request.format };
        let lacks = request.lacks.union(refused);
        let stream = streams(self.stream, lacks);
        ChatRequest { format, stream, lacks, ..request }
    }

    /// Remembers what a backend does not take, unless its models differ in that.
    fn learn(&self, kind: FailureKind, backend: BackendIdx) {
        let feature = match kind {
            FailureKind::Unsupported(feature) => Some(feature),
            FailureKind::FormatUnsupported => Some(Feature::ResponseFormat),
            _ => None,
        };
        if let Some(feature) = feature.filter(|feature| !feature.is_of_model()) {
            self.refused[backend.0].add(feature);
        }
    }

    /// Reports the answer that was given before to the same request: what is read in it is read anew.
    fn recalled(
        &self,
        place: &Place,
        kept: Kept,
        request: Vec<Message>,
        dropped_turns: u32,
        mut texts: Vec<(Digest, Arc<str>)>,
    ) -> Worked {
        let Kept { run, case, text, finish, model, usage, total_us } = kept;
        // What it took was spent then: this run is told of it, and counts nothing.
        let answer = Completion {
            text: text.to_string(),
            thought: None,
            finish,
            reason: None,
            prompt_about: None,
            model,
            id: None,
            usage: Usage::default(),
            claimed: None,
        };
        let (outcome, _) = self.outcome(place, answer, &mut texts);
        let from_cache =
            matches!(outcome, Outcome::Answered(_)).then(|| Box::new(FromCache { run, case, usage, total_us }));
        let (usage, timings) = (Usage::default(), Timings::default());
        let report = Report { request, dropped_turns, outcome, usage, estimated: usage, timings, from_cache };
        Worked { report, texts, keep: None }
    }

    /// Reads what all cases gave, off the runtime's threads: it is a look at every case of the journal.
    async fn rows(&self, place: &Place) -> Result<Rows, ComposeError> {
        let (whole, outputs, texts) = (Arc::clone(&self.plan), Arc::clone(&self.outputs), Arc::clone(&self.texts));
        let (cell, ground) = (place.cell, place.ground());
        let read = move || {
            let plan = whole.cell(cell);
            let StepKind::Aggregate(aggregate) = &plan.step(ground.step).kind else {
                panic!("bug: rows are read for an aggregate")
            };
            let name = &aggregate.of.name;
            let shown = |visit: &mut dyn FnMut(&OneOutput<'_>)| outputs(&plan.matrix, name, visit);
            task::rows(plan, &ground, &shown, &|case, digest| texts(case, digest))
        };
        let read = tokio::task::spawn_blocking(read).await;
        read.unwrap_or_else(|error| Err(ComposeError::Rows(format!("what all cases gave was not read: {error}"))))
    }

    /// Returns what is sent for a place.
    #[must_use]
    pub fn request(&self, place: &Place, composed: Composed, timeouts: Timeouts) -> ChatRequest {
        let sampling = &self.plan.cell(place.cell).actor(place.actor).sampling;
        let format = if place.lacks.has(Feature::ResponseFormat) { Format::Text } else { composed.format };
        ChatRequest {
            model: Arc::clone(&self.models[self.plan.home_of(place.cell).0][place.actor.0]),
            messages: composed.messages,
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            max_tokens: sampling.max_tokens,
            stop: sampling.stop.clone(),
            seed: composed.seed,
            format,
            reasoning: sampling.reasoning,
            extra: Arc::clone(&sampling.extra),
            stream: streams(self.stream, place.lacks),
            lacks: place.lacks,
            trace: None,
            limits: CallLimits {
                connect: timeouts.connect.duration(),
                // Without a stream the first byte comes with the last one, so only the total limit can tell: it is the
                // engine's, and ours stays out of its way.
                first_token: if streams(self.stream, place.lacks) {
                    timeouts.first_token.duration()
                } else {
                    timeouts.total.duration() * 2
                },
                idle: timeouts.idle.duration(),
            },
        }
    }

    fn outcome(
        &self,
        place: &Place,
        completion: Completion,
        texts: &mut Vec<(Digest, Arc<str>)>,
    ) -> (Outcome, Usage) {
        let Completion { text, thought, finish, reason, prompt_about, model, id, usage, claimed: _ } = completion;
        let plan = self.plan.cell(place.cell);
        let facts = match task::read(plan, place, &text, finish, &|digest| (self.texts)(place.case, digest)) {
            Ok(facts) => facts,
            Err(error) => {
                return (Outcome::Failed(Failure::new(FailureKind::Render, error.to_string())), usage);
            }
        };
        let thought = thought.map(|thought| keep(texts, Arc::from(thought)));
        let text = keep(texts, Arc::from(text));
        (Outcome::Answered(Answer { text, finish, model, id, thought, reason, prompt_about, facts }), usage)
    }
}

/// Returns whether to ask for a stream, as wished where the server takes both.
const fn streams(wished: bool, lacks: Features) -> bool {
    (wished && !lacks.has(Feature::Streamed)) || lacks.has(Feature::Whole)
}

fn micros(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn unasked(error: &task::ComposeError) -> Worked {
    let report = Report::failed(Failure::new(FailureKind::Render, error.to_string()));
    Worked { report, texts: Vec::new(), keep: None }
}

fn given_up(why: Option<FailureKind>, timeouts: Timeouts) -> Failure {
    match why {
        Some(kind @ FailureKind::TimedOut(_)) => Failure::new(
            kind,
            format!("no whole answer within {} s (limits.timeouts.total)", timeouts.total.0 / 1_000),
        ),
        Some(kind) => Failure::new(kind, "given up while the run was stopping"),
        None => Failure::new(FailureKind::Cancelled, "the run went away"),
    }
}

/// Keeps the messages one by one, so that a text said in many requests is stored once.
fn sent(composed: &Composed, texts: &mut Vec<(Digest, Arc<str>)>) -> Vec<Message> {
    let mut keep_one = |message: &crate::prompt::Message| {
        Message(Cow::Borrowed(message.role.word()), keep(texts, Arc::clone(&message.content)))
    };
    composed.messages.iter().map(&mut keep_one).collect()
}

fn keep(texts: &mut Vec<(Digest, Arc<str>)>, text: Arc<str>) -> Digest {
    let digest = Digest::of(text.as_bytes());
    texts.push((digest, text));
    digest
}
