//! Why no request was in flight, as far as the journal tells.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;

use crate::base::{BackendName, CallPath, CaseNo, EachKey, StepName, Timestamp};
use crate::event::{AttemptId, Capacity, Event, FailureKind, Outcome, Recorded};

/// Why nothing was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Requests were in flight: the server did something else, or waited itself.
    InFlight,
    /// There was nothing to ask: the next case was not read, an evaluation went on, or the run was beginning or ending.
    NothingToAsk,
    /// Requests waited in `pipe`'s own queue: for a slot, or to be sent.
    Queued,
    /// The server asked to be asked later.
    RateLimit,
    /// A failed request waited to be sent again.
    Backoff,
    /// Too many requests had failed: single ones were tried.
    Breaker,
    /// The run was paused.
    Paused,
    /// The run was stopping.
    Stopping,
    /// No process worked on the run.
    NoProcess,
}

impl Cause {
    /// Says it, after "the device was idle because".
    #[must_use]
    pub const fn says(self) -> &'static str {
        match self {
            Self::InFlight => "requests were in flight (the server was busy elsewhere, or waited)",
            Self::NothingToAsk => "there was nothing to ask",
            Self::Queued => "requests waited in our own queue",
            Self::RateLimit => "the server asked to be asked later (rate limit)",
            Self::Backoff => "a failed request waited to be sent again",
            Self::Breaker => "too many requests had failed: single ones were tried",
            Self::Paused => "the run was paused",
            Self::Stopping => "the run was stopping",
            Self::NoProcess => "no process worked on the run",
        }
    }
}

/// A call, whichever request for it.
type Call = (CaseNo, StepName, Option<EachKey>, CallPath);

fn call(id: &AttemptId) -> Call {
    (id.case, id.step.clone(), id.each.clone(), id.call.clone())
}

/// Follows why nothing may be in flight, and remembers it for as long as somebody may ask.
#[derive(Debug, Default)]
pub(super) struct Causes {
    /// From when which one held, in the order of time.
    changes: VecDeque<(Timestamp, Cause)>,
    started: u64,
    waiting: BTreeMap<Call, FailureKind>,
    broken: BTreeSet<BackendName>,
    is_paused: bool,
    is_stopping: bool,
    has_ended: bool,
}

impl Causes {
    pub(super) fn add(&mut self, recorded: &Recorded) {
        match &recorded.event {
            Event::RunStarted(_) | Event::RunResumed(_) => {
                (self.is_paused, self.is_stopping, self.has_ended, self.started) = (false, false, false, 0);
            }
            Event::RunPaused(_) => self.is_paused = true,
            Event::RunUnpaused(_) => self.is_paused = false,
            Event::DrainStage(_) => self.is_stopping = true,
            Event::RunEnded(_) | Event::RunFailed(_) => self.has_ended = true,
            Event::CapacityChanged(changed) => match changed.change {
                Capacity::BreakerOpened => drop(self.broken.insert(changed.backend.clone())),
                Capacity::BreakerClosed => drop(self.broken.remove(&changed.backend)),
                Capacity::FormatUnsupported | Capacity::Lacks(_) | Capacity::HeldUntil(_) | Capacity::Slots(_) => {}
            },
            Event::AttemptStarted(started) => {
                self.started += 1;
                self.waiting.remove(&call(&started.id));
            }
            Event::AttemptEnded(ended) => {
                self.started = self.started.saturating_sub(1);
                if let (Outcome::Failed(failure), Some(_)) = (&ended.outcome, ended.retry_at) {
                    self.waiting.insert(call(&ended.id), failure.kind);
                }
            }
            Event::CaseSettled(settled) => self.waiting.retain(|(case, ..), _| *case != settled.case),
            _ => return,
        }
        let now = self.now();
        if self.changes.back().is_none_or(|(_, cause)| *cause != now) {
            self.changes.push_back((recorded.at, now));
        }
    }

    fn now(&self) -> Cause {
        let limited = |kind: &FailureKind| matches!(kind, FailureKind::Throttled | FailureKind::QuotaExhausted);
        match () {
            () if self.has_ended => Cause::NoProcess,
            () if self.is_paused => Cause::Paused,
            () if self.is_stopping => Cause::Stopping,
            () if self.started > 0 => Cause::Queued,
            () if !self.broken.is_empty() => Cause::Breaker,
            () if self.waiting.values().any(limited) => Cause::RateLimit,
            () if !self.waiting.is_empty() => Cause::Backoff,
            () => Cause::NothingToAsk,
        }
    }

    /// Returns what held at a moment.
    pub(super) fn at(&self, at: Timestamp) -> Cause {
        let place = self.changes.partition_point(|(since, _)| *since <= at);
        place.checked_sub(1).map_or(Cause::NothingToAsk, |place| self.changes[place].1)
    }

    /// Forgets what held before a moment.
    pub(super) fn forget(&mut self, before: Timestamp) {
        while self.changes.get(1).is_some_and(|(since, _)| *since <= before) {
            self.changes.pop_front();
        }
    }
}
