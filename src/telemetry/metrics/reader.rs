//! The reader of a run's facts that keeps its metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::{InstrumentationScope, Key, KeyValue};
use opentelemetry_prometheus::ResourceSelector;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use prometheus::{Encoder as _, Registry, TextEncoder};
use serde_json::{Map, Value};
use tokio::runtime::Handle;

use super::devices::Devices;
use super::gauges;
use super::instruments::Instruments;
use super::push::{Exporter, Push, Pushed};
use crate::base::{ActorName, BackendName, CaseNo, MicroUsd, Millis, RunId, StepName, Timestamp};
use crate::event::{
    AttemptEnded, BackendResolved, CaseSettled, CaseStatus, Event, Failure, FailureKind, Outcome, Recorded, Sampled,
    TaskSettled, TaskStatus,
};
use crate::report::{Watch, task_status_word};
use crate::telemetry::projector::BackendFacts;
use crate::telemetry::{error_type, names as words, resource};

/// What every metric of a run carries.
const RUN_LABELS: [&str; 2] = [words::RUN_ID, resource::PIPELINE];

/// Tells the model that an actor is asked of, in the cell of these values.
pub type ModelOf = Box<dyn Fn(&Map<String, Value>, &ActorName) -> Option<Arc<str>> + Send>;

/// What the run may spend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Of prompts and answers.
    pub tokens: Option<u64>,
    /// What they cost.
    pub cost: Option<MicroUsd>,
    /// Of work on the run.
    pub time: Option<Millis>,
}

/// What gauges tell.
pub(super) struct Now {
    pub(super) watch: Watch,
    pub(super) allowed: Allowed,
    pub(super) last_answer: Option<Timestamp>,
}

/// The metrics of one run in this process.
pub struct Metrics {
    now: Arc<Mutex<Now>>,
    devices: Devices,
    instruments: Instruments,
    model_of: ModelOf,
    pipeline: Arc<str>,
    servers: BTreeMap<BackendName, BackendFacts>,
    /// When cases were admitted and steps first asked, as far as this process saw it.
    cases: BTreeMap<CaseNo, Timestamp>,
    tasks: BTreeMap<(CaseNo, StepName), Task>,
    registry: Registry,
    provider: SdkMeterProvider,
    pushed: Arc<Mutex<Pushed>>,
}

#[derive(Clone, Copy)]
struct Task {
    since: Timestamp,
    requests: u64,
}

/// Something of the SDK that cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("metrics cannot be set up: {0}")]
pub struct SetupError(String);

impl Metrics {
    /// Starts with what the run came to before this process; pushes them, too, where `push` says so.
    ///
    /// # Errors
    /// The SDK refuses a reader: a bug. No request can be made on this machine.
    pub fn new(
        run: &RunId,
        pipeline: &str,
        watch: Watch,
        model_of: ModelOf,
        push: Option<Push>,
    ) -> Result<Self, SetupError> {
        let registry = Registry::new();
        let labels = RUN_LABELS.iter().map(|&key| Key::new(key));
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .with_resource_selector(ResourceSelector::KeyAllowList(labels.collect()))
            .scope_info_enabled(false)
            .build()
            .map_err(|error| SetupError(error.to_string()))?;
        let mut provider =
            SdkMeterProvider::builder().with_resource(resource::of_run(run, pipeline)).with_reader(exporter);
        let pushed = Arc::<Mutex<Pushed>>::default();
        if let Some(push) = push {
            let exporter = Exporter::new(push, Arc::clone(&pushed), Handle::current()).map_err(SetupError)?;
            provider = provider.with_reader(PeriodicReader::builder(exporter).build());
        }
        let provider = provider.build();
        let scope = InstrumentationScope::builder(words::SCOPE)
            .with_version(env!("CARGO_PKG_VERSION"))
            .with_schema_url(words::SCHEMA_URL)
            .build();
        let meter = provider.meter_with_scope(scope);
        let last_answer = watch.tally.last;
        let now = Arc::new(Mutex::new(Now { watch, allowed: Allowed::default(), last_answer }));
        gauges::register(&meter, &now);
        let devices = Devices::default();
        devices.register(&meter);
        let instruments = Instruments::new(&meter);
        let (cases, tasks, servers) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let pipeline = Arc::from(pipeline);
        Ok(Self { now, devices, instruments, model_of, pipeline, servers, cases, tasks, registry, provider, pushed })
    }

    /// Takes notice of how many cases there will be.
    pub fn expect(&self, total: Option<u64>) {
        self.change(|now| now.watch.expect(total));
    }

    /// Takes notice of what the run may spend.
    pub fn allow(&self, allowed: Allowed) {
        self.change(|now| now.allowed = allowed);
    }

    /// Takes what was sampled of graphics devices.
    pub fn sampled(&self, sampled: &[Sampled]) {
        self.devices.take(sampled);
    }

    /// Takes the next facts of the run, in the order of the log.
    pub fn take(&mut self, facts: &[Recorded]) {
        for fact in facts {
            self.record(fact);
            self.change(|now| {
                now.watch.add(fact);
                if is_progress(&fact.event) {
                    now.last_answer = Some(fact.at);
                }
            });
        }
    }

    /// Returns a reading of the metrics in Prometheus' text format, which stays good after this is gone.
    #[must_use]
    pub fn scrape(&self) -> super::Scrape {
        let (registry, provider, now) = (self.registry.clone(), self.provider.clone(), Arc::clone(&self.now));
        super::Scrape {
            metrics: Box::new(move || {
                // A reading lives as long as the provider that it reads from.
                let _ = &provider;
                let mut text = Vec::new();
                TextEncoder::new().encode(&registry.gather(), &mut text).map_err(|error| error.to_string())?;
                Ok(text)
            }),
            state: Box::new(move || {
                let now = now.lock().unwrap_or_else(PoisonError::into_inner);
                gauges::state(&now.watch)
            }),
        }
    }

    /// Pushes what has not been pushed and says what became of it; nothing more is told after that. Blocks, up to some
    /// seconds when the collector is away.
    #[must_use]
    pub fn finish(self) -> Pushed {
        if let Err(error) = self.provider.shutdown() {
            tracing::debug!(%error, "the last metrics were not taken");
        }
        self.pushed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, what: impl FnOnce(&mut Now)) {
        what(&mut self.now.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Records what ends with a fact, before the watch forgets what it was about.
    fn record(&mut self, fact: &Recorded) {
        match &fact.event {
            Event::RunStarted(started) => self.know(&started.backends),
            Event::RunResumed(resumed) => self.know(&resumed.backends),
            Event::CaseAdmitted(admitted) => drop(self.cases.insert(admitted.case, fact.at)),
            Event::AttemptStarted(started) => {
                let task = (started.id.case, started.id.step.clone());
                self.tasks.entry(task).or_insert(Task { since: fact.at, requests: 0 }).requests += 1;
            }
            Event::AttemptEnded(ended) => self.end_attempt(ended),
            Event::TaskSettled(settled) => self.settle_task(fact.at, settled),
            Event::TaskAdopted(adopted) => self.count_task(&adopted.task, true),
            Event::CaseSettled(settled) => self.settle_case(fact.at, settled),
            _ => {}
        }
    }

    fn know(&mut self, backends: &[BackendResolved]) {
        self.servers = backends.iter().map(|backend| (backend.backend.clone(), BackendFacts::of(backend))).collect();
    }

    fn end_attempt(&self, ended: &AttemptEnded) {
        let failure = match &ended.outcome {
            Outcome::Answered(_) => None,
            Outcome::Failed(failure) => Some(failure),
        };
        // No request was made, or nobody knows how long it took.
        let unmade =
            matches!(failure.map(|failure| failure.kind), Some(FailureKind::Unsent | FailureKind::Interrupted));
        if unmade || ended.from_cache.is_some() {
            return;
        }
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((backend, actor)) = now.watch.flight(&ended.id) else { return };
        let matrix = now.watch.open.get(&ended.id.case).map(|case| &case.admitted.matrix);
        let model = matrix.and_then(|matrix| (self.model_of)(matrix, actor));
        let backend = backend.clone();
        drop(now);
        if let Some(failure) = failure.filter(|_| ended.retry_at.is_some()) {
            let why = [error_of(failure), KeyValue::new(words::BACKEND_NAME, backend.to_string())];
            self.instruments.retries.add(1, &why);
        }
        let answered_by = match &ended.outcome {
            Outcome::Answered(answer) => answer.model.clone(),
            Outcome::Failed(_) => None,
        };
        let mut attributes =
            vec![KeyValue::new(words::OPERATION, words::CHAT), KeyValue::new(words::PROVIDER, "openai")];
        attributes.extend(model.map(|model| KeyValue::new(words::REQUEST_MODEL, model)));
        attributes.extend(answered_by.map(|model| KeyValue::new(words::RESPONSE_MODEL, model)));
        if let Some(server) = self.servers.get(&backend) {
            attributes.push(KeyValue::new(words::SERVER_ADDRESS, server.address.clone()));
            attributes.extend(server.port.map(|port| KeyValue::new(words::SERVER_PORT, i64::from(port))));
        }
        attributes.extend(failure.map(error_of));
        self.measure(ended, attributes);
    }

    fn measure(&self, ended: &AttemptEnded, mut attributes: Vec<KeyValue>) {
        let to = &self.instruments;
        to.inference.record(seconds(ended.timings.total_us), &attributes);
        ended.timings.first_token_us.iter().for_each(|first| to.first_chunk.record(seconds(*first), &attributes));
        ended.usage.input.iter().for_each(|tokens| to.input.record(tokens.0, &attributes));
        ended.usage.output.iter().for_each(|tokens| to.output.record(tokens.0, &attributes));
        // Recorded for failed calls too: none, of a modality that nobody knows.
        let is_known = ended.usage.input.is_some() || ended.usage.output.is_some();
        attributes.push(KeyValue::new("gen_ai.token.modality", if is_known { "text" } else { "unknown" }));
        let count = |tokens: Option<crate::base::TokenCount>| tokens.map_or(0, |count| count.0);
        to.usage_input.add(count(ended.usage.input), &attributes);
        to.usage_output.add(count(ended.usage.output), &attributes);
        ended.usage.cached.iter().for_each(|tokens| to.usage_cached.add(tokens.0, &attributes));
        ended.usage.reasoning.iter().for_each(|tokens| to.usage_reasoning.add(tokens.0, &attributes));
    }

    fn settle_task(&mut self, at: Timestamp, settled: &TaskSettled) {
        self.count_task(settled, false);
        let Some(task) = self.tasks.remove(&(settled.case, settled.step.clone())) else { return };
        let mut attributes = vec![
            KeyValue::new(words::OPERATION, words::INVOKE_AGENT),
            KeyValue::new(words::AGENT_NAME, settled.step.to_string()),
        ];
        self.instruments.agent_calls.record(task.requests, &attributes);
        let failure = settled.failure.as_ref().filter(|_| settled.status == TaskStatus::Failed);
        attributes.extend(failure.map(error_of));
        self.instruments.agent.record(seconds(at.micros_since(task.since)), &attributes);
    }

    fn count_task(&self, settled: &TaskSettled, is_reused: bool) {
        let attributes = [
            KeyValue::new(words::STEP, settled.step.to_string()),
            KeyValue::new(words::TASK_STATUS, task_status_word(settled.status)),
            KeyValue::new("pipe.task.reused", is_reused),
        ];
        self.instruments.tasks.add(1, &attributes);
    }

    fn settle_case(&mut self, at: Timestamp, settled: &CaseSettled) {
        // What a case left unsettled when it failed.
        let first = (settled.case, StepName::from(""));
        let left: Vec<_> = self.tasks.range(first..).map(|(task, _)| task.clone()).collect();
        let left = left.into_iter().take_while(|(case, _)| *case == settled.case);
        for task in left {
            self.tasks.remove(&task);
        }
        // What is done over all cases is none of them.
        let Some(since) = self.cases.remove(&settled.case) else { return };
        let status = crate::report::status_word(settled.status);
        self.instruments.cases.add(1, &[KeyValue::new(words::CASE_STATUS, status)]);
        let mut attributes = vec![
            KeyValue::new(words::OPERATION, words::INVOKE_WORKFLOW),
            KeyValue::new(words::WORKFLOW_NAME, Arc::clone(&self.pipeline)),
        ];
        if settled.status == CaseStatus::Failed {
            attributes.push(KeyValue::new(words::ERROR_TYPE, "_OTHER"));
        }
        self.instruments.workflow.record(seconds(at.micros_since(since)), &attributes);
    }
}

/// Tells whether a fact shows that the run moves.
const fn is_progress(event: &Event) -> bool {
    match event {
        Event::RunStarted(_) | Event::RunResumed(_) | Event::RunUnpaused(_) => true,
        Event::AttemptEnded(ended) => matches!(ended.outcome, Outcome::Answered(_)),
        _ => false,
    }
}

fn error_of(failure: &Failure) -> KeyValue {
    KeyValue::new(words::ERROR_TYPE, error_type(failure))
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a call are fewer than 2^52")]
const fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}
