//! Requests as devices see them: from sent to over, with their tokens, for as long as an interval may touch them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::attribution::Work;
use crate::base::{BackendName, Timestamp};
use crate::event::{
    AttemptEnded, AttemptId, AttemptStarted, BackendResolved, Event, FailureKind, Outcome, Recorded, RunStarted,
};

/// A request that is over, and what was told it.
#[derive(Clone, Debug, PartialEq)]
pub struct Flown {
    /// Which.
    pub id: AttemptId,
    /// The model that was asked.
    pub model: Arc<str>,
    /// When and of how much.
    pub work: Work,
    /// Its part of the energy, in millijoules.
    pub millijoules: f64,
    /// Its part of the time in which devices computed, in seconds.
    pub busy_s: f64,
    /// For how long intervals tell of it, in seconds.
    pub covered_s: f64,
    /// The number of requests in flight, itself included, times seconds.
    pub company: f64,
    /// What of its energy was shared by tokens, in millijoules.
    pub by_tokens: f64,
}

impl Flown {
    const fn new(id: AttemptId, model: Arc<str>, work: Work) -> Self {
        Self { id, model, work, millijoules: 0.0, busy_s: 0.0, covered_s: 0.0, company: 0.0, by_tokens: 0.0 }
    }

    /// Returns its length in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.work.within(self.work.sent, self.work.end)
    }

    /// Returns the share of it that intervals tell of.
    #[must_use]
    pub fn coverage(&self) -> f64 {
        let seconds = self.seconds();
        if seconds > 0.0 { (self.covered_s / seconds).min(1.0) } else { 0.0 }
    }

    /// Returns how many requests were in flight with it in the mean, itself included.
    #[must_use]
    pub fn concurrency(&self) -> Option<f64> {
        (self.covered_s > 0.0).then(|| self.company / self.covered_s)
    }

    /// Names by what its energy was shared: `tokens` or `time`.
    #[must_use]
    pub fn method(&self) -> &'static str {
        if self.by_tokens * 2.0 >= self.millijoules { "tokens" } else { "time" }
    }
}

/// Those under way, and those over that an interval may still touch.
#[derive(Debug, Default)]
pub(super) struct Flights {
    /// Backends that the devices work for; all when nobody said.
    backends: Option<Vec<BackendName>>,
    resolved: Vec<BackendResolved>,
    open: BTreeMap<AttemptId, (Timestamp, BackendName)>,
    /// Over, by the order of their ends.
    pub(super) over: VecDeque<Flown>,
    latest: Timestamp,
    /// The last that was recorded before the newest process began.
    cut_off: Timestamp,
}

impl Flights {
    pub(super) fn add(&mut self, recorded: &Recorded) {
        if matches!(recorded.event, Event::RunResumed(_)) {
            self.cut_off = self.latest;
        }
        self.latest = recorded.at;
        match &recorded.event {
            Event::RunStarted(started) => self.begin(started),
            Event::AttemptStarted(started) => self.start(recorded.at, started),
            Event::AttemptEnded(ended) => self.end(recorded.at, ended),
            _ => {}
        }
    }

    fn begin(&mut self, started: &RunStarted) {
        self.backends = started.gpu.as_ref().map(|seen| seen.backends.clone());
        self.resolved.clone_from(&started.backends);
    }

    fn start(&mut self, at: Timestamp, started: &AttemptStarted) {
        let is_worked_on = |backends: &Vec<BackendName>| backends.contains(&started.backend);
        if self.backends.as_ref().is_none_or(is_worked_on) {
            self.open.insert(started.id.clone(), (at, started.backend.clone()));
        }
    }

    fn end(&mut self, at: Timestamp, ended: &AttemptEnded) {
        let Some((started, backend)) = self.open.remove(&ended.id) else { return };
        let (answer, failure) = match &ended.outcome {
            Outcome::Answered(answer) => (Some(answer), None),
            Outcome::Failed(failure) => (None, Some(failure.kind)),
        };
        // No request was made.
        if ended.from_cache.is_some() || matches!(failure, Some(FailureKind::Unsent | FailureKind::Render)) {
            return;
        }
        let took = i64::try_from(ended.timings.total_us).unwrap_or(i64::MAX);
        let (sent, end) = match failure {
            Some(FailureKind::Interrupted) => (started, self.cut_off.max(started)),
            _ => (Timestamp(at.0.saturating_sub(took)).max(started), at.max(started)),
        };
        let first = ended.timings.first_token_us.and_then(|wait| i64::try_from(wait).ok());
        let usage = &ended.usage;
        let cached = usage.cached.map_or(0, |tokens| tokens.0);
        let work = Work {
            sent,
            first: first.map(|wait| Timestamp(sent.0.saturating_add(wait))),
            end,
            prompt: usage.input.map(|tokens| tokens.0.saturating_sub(cached)),
            answer: usage.output.map(|tokens| tokens.0),
        };
        let told = answer.and_then(|answer| answer.model.as_deref());
        let model = self.model(&backend, told);
        self.over.push_back(Flown::new(ended.id.clone(), model, work));
    }

    fn model(&self, backend: &BackendName, told: Option<&str>) -> Arc<str> {
        let resolved = self.resolved.iter().find(|one| one.backend == *backend);
        let only = resolved.map(|one| one.models.as_slice()).and_then(|models| match models {
            [(_, sent)] => Some(sent.as_str()),
            _ => None,
        });
        Arc::from(only.or(told).unwrap_or("?"))
    }

    /// Ends what is under way where nothing follows: a process that died has not told how.
    pub(super) fn close(&mut self) {
        for (id, (started, backend)) in std::mem::take(&mut self.open) {
            let model = self.model(&backend, None);
            let work = Work { sent: started, first: None, end: self.latest.max(started), prompt: None, answer: None };
            self.over.push_back(Flown::new(id, model, work));
        }
    }

    /// Returns until when everything is known of all requests: the start of the oldest that is under way.
    pub(super) fn known_until(&self) -> Timestamp {
        let open = self.open.values().map(|(at, _)| *at).min();
        open.unwrap_or(Timestamp(i64::MAX))
    }
}
