//! What follows from a request that is over: settled, retried, given up, or the backend's end.

use super::breaker::Trials;
use super::call::{Key, Step, Ticket};
use super::retry::{self, Class};
use super::state::CallPhase;
use super::step::Engine;
use crate::base::{Millis, Timestamp};
use crate::event::{
    AttemptEnded, Capacity, CapacityChanged, Event, Failure, FailureKind, Feature, Outcome, Report, StopCause,
    WindowTrimmed,
};
use crate::plan::{BackendIdx, Limits};

/// What is decided about a failed request.
pub(super) struct Decision {
    pub(super) charged: bool,
    pub(super) retry_at: Option<Timestamp>,
}

impl Engine {
    /// Takes a report in; one for any but the current attempt is counted and dropped.
    pub(super) fn returned(&mut self, step: &mut Step, ticket: Ticket, report: Report) {
        let key = ticket.key;
        let current = self.state.call(key);
        let backend = self.backend_of(key);
        let flight = self.flow.lanes[backend.0].started.get(&key).copied();
        let is_current = flight.is_some_and(|flight| flight.attempt == ticket.attempt)
            && current.is_some_and(|call| call.phase == CallPhase::InFlight(ticket.attempt));
        let Some(flight) = flight.filter(|_| is_current) else {
            self.flow.late += 1;
            return;
        };
        self.flow.lanes[backend.0].started.remove(&key);
        self.flow.lanes[backend.0].settle_surplus();
        if let Some(deadline) = flight.deadline {
            self.flow.deadlines.remove(&(deadline, ticket));
        }
        match &report.outcome {
            Outcome::Answered(_) => self.answered(step, backend, ticket, report),
            Outcome::Failed(failure) => {
                let failure = failure.clone();
                let class = retry::class(&failure, flight.lacks);
                self.failed(step, backend, ticket, report, &failure, class);
            }
        }
        self.advance(step, key.case);
    }

    /// Closes a request that was in flight when an earlier process died.
    pub(super) fn interrupt(&mut self, step: &mut Step, ticket: Ticket) {
        let failure = Failure::new(FailureKind::Interrupted, "the process ended while the call was in flight");
        let report = Report::failed(failure);
        self.end(step, ticket, report, &Decision { charged: false, retry_at: Some(self.now) });
    }

    fn answered(&mut self, step: &mut Step, backend: BackendIdx, ticket: Ticket, report: Report) {
        let is_from_cache = report.from_cache.is_some();
        self.end(step, ticket, report, &Decision { charged: !is_from_cache, retry_at: None });
        let lane = &mut self.flow.lanes[backend.0];
        if is_from_cache {
            // Nobody was asked, so it tells nothing of the backend: the next call is the trial.
            lane.trials.iter_mut().for_each(Trials::returned);
            return;
        }
        lane.refusals = 0;
        lane.flawed = 0;
        lane.latest_answer = Some(self.now);
        self.close_breaker(step, backend, "a trial call was answered");
        self.condemn(step, backend);
    }

    fn close_breaker(&mut self, step: &mut Step, backend: BackendIdx, reason: &str) {
        let lane = &mut self.flow.lanes[backend.0];
        lane.tried = None;
        if lane.trials.take().is_some() {
            lane.minute.clear();
            self.change(step, backend, Capacity::BreakerClosed, reason);
        }
    }

    fn failed(
        &mut self,
        step: &mut Step,
        backend: BackendIdx,
        ticket: Ticket,
        report: Report,
        failure: &Failure,
        class: Class,
    ) {
        let stops = self.hold(step, backend, ticket, failure);
        let decision = match stops {
            // The asker stays open, and is asked at once by whoever takes the run up.
            true => Decision { charged: false, retry_at: Some(self.now) },
            false => self.decide(step, backend, ticket, failure, class),
        };
        if matches!(class, Class::Transient | Class::Broken) {
            self.flow.lanes[backend.0].latest_trouble = Some(failure.clone());
        }
        let (is_again, was_open) = (decision.retry_at.is_some(), self.flow.lanes[backend.0].trials.is_some());
        let report = match is_again {
            true => Some(report),
            false => self.suspect(step, backend, ticket, report),
        };
        if let Some(report) = report {
            self.end(step, ticket, report, &decision);
        }

        let now = self.now;
        let lane = &mut self.flow.lanes[backend.0];
        match (&mut lane.trials, class) {
            (Some(trials), Class::Transient | Class::Broken | Class::Backend) => {
                trials.failed(now);
                lane.tried = Some(ticket.key);
            }
            (Some(trials), Class::Excused) => trials.returned(),
            // What answers in words is there: an answer of no use never keeps the breaker open.
            (Some(_), Class::Flawed | Class::Permanent | Class::Denied | Class::Lacks(_)) => {
                self.close_breaker(step, backend, "the server answers, though not with an answer");
            }
            (None, _) => {}
        }
        match class {
            Class::Transient | Class::Broken if is_again && !was_open => {
                if self.flow.lanes[backend.0].minute.retried(now) {
                    let reason = format!("too many retries within a minute; the latest: {}", failure.detail);
                    self.open_breaker(step, backend, &reason);
                }
            }
            Class::Denied if self.flow.lanes[backend.0].refusals + 1 < retry::DENIED_IN_A_ROW => {
                self.flow.lanes[backend.0].refusals += 1;
            }
            Class::Backend | Class::Denied => {
                let backend = self.plan.backends[backend.0].name.to_string();
                self.stop_unusable(step, backend, failure.clone());
            }
            Class::Lacks(feature) => self.lacks(step, backend, ticket, feature, &failure.detail),
            Class::Flawed => {
                self.flow.lanes[backend.0].flawed += 1;
                if self.flow.lanes[backend.0].flawed >= retry::FLAWED_IN_A_ROW
                    && !self.state.backends[backend.0].answered
                {
                    let backend = self.plan.backends[backend.0].name.to_string();
                    self.stop_unusable(step, backend, failure.clone());
                }
            }
            Class::Transient | Class::Broken | Class::Excused | Class::Permanent => {}
        }
    }

    fn stop_unusable(&mut self, step: &mut Step, backend: String, failure: Failure) {
        if self.flow.stopping.is_none() {
            self.stop(step, StopCause::BackendUnusable { backend, failure });
        }
    }

    fn decide(
        &mut self,
        step: &mut Step,
        backend: BackendIdx,
        ticket: Ticket,
        failure: &Failure,
        class: Class,
    ) -> Decision {
        let again = |retry_at| Decision { charged: false, retry_at: Some(retry_at) };
        let is_open = self.flow.lanes[backend.0].trials.is_some();
        match class {
            // What comes in while the run stops for this backend stays open like the calls that stopped it.
            _ if self.stops_for(backend) => again(self.now),
            Class::Permanent | Class::Denied => Decision { charged: true, retry_at: None },
            Class::Excused => match self.retry_when_told(backend, ticket, failure) {
                // Nothing has come through for as long as a call may wait: the same holds for all others.
                None if self.flow.stopping.is_some() => again(self.now),
                None if self.is_silent_since_first(backend, ticket) => {
                    let until = self.now.after(retry::dictated(failure).unwrap_or_default());
                    self.stop_waiting(step, backend, failure, until);
                    again(self.now)
                }
                retry_at => Decision { charged: false, retry_at },
            },
            Class::Backend | Class::Lacks(_) => again(self.now),
            Class::Transient if is_open => again(self.now),
            Class::Transient | Class::Broken => match self.retry_at(backend, ticket, failure, None) {
                None if self.is_cut_by_outage(backend, ticket, failure) => {
                    let reason = format!("nothing has been answered for too long; the latest: {}", failure.detail);
                    self.open_breaker(step, backend, &reason);
                    again(self.now)
                }
                retry_at => Decision { charged: true, retry_at },
            },
            Class::Flawed => {
                let retry_at = self.retry_at(backend, ticket, failure, Some(retry::MALFORMED_ATTEMPTS));
                Decision { charged: true, retry_at }
            }
        }
    }

    /// Returns true when the run stops because a backend is of no use.
    fn stops_for(&self, backend: BackendIdx) -> bool {
        let name = self.plan.backends[backend.0].name.as_str();
        self.flow.stopping.as_ref().is_some_and(|stopping| match &stopping.cause {
            StopCause::BackendUnusable { backend, .. } | StopCause::BackendWaits { backend, .. } => backend == name,
            _ => false,
        })
    }

    /// Returns the bounds of a call's requests.
    pub(super) fn limits(&self, key: Key) -> &Limits {
        let cell = self.state.open.get(&key.case).map(|case| case.cell).unwrap_or_default();
        self.plan.cell(cell).limits_of(key.step)
    }

    /// Returns when to try again after a failure that counts; none when the limits are reached.
    fn retry_at(
        &self,
        backend: BackendIdx,
        ticket: Ticket,
        failure: &Failure,
        at_most: Option<u32>,
    ) -> Option<Timestamp> {
        let key = ticket.key;
        let call = self.state.call(key)?;
        let limits = self.limits(key);
        let failed = call.charged + 1;
        let allowed = at_most.map_or(limits.attempts.get(), |few| few.min(limits.attempts.get()));
        if failed >= allowed {
            return None;
        }
        let (base, cap) = limits.backoff;
        let wait = retry::backoff(failed, retry::base_of(failure, base), cap);
        let at = retry::jittered(self.now, wait, self.plan.hash, &self.id(ticket).to_string());
        (self.counted(backend, ticket, at)? <= limits.within).then_some(at)
    }

    /// Returns when to try again after a wait that does not count against `attempts`: it does count against `within`,
    /// to which a model that is being loaded adds five minutes.
    fn retry_when_told(&self, backend: BackendIdx, ticket: Ticket, failure: &Failure) -> Option<Timestamp> {
        let Some(wait) = retry::dictated(failure) else { return Some(self.now) };
        let at = self.now.after(wait);
        (self.counted(backend, ticket, at)? <= self.patience(ticket, failure)).then_some(at)
    }

    /// Returns how much of the time from a call's first request to `at` counts: not what passed with the breaker open
    /// or the run paused.
    fn counted(&self, backend: BackendIdx, ticket: Ticket, at: Timestamp) -> Option<Millis> {
        let key = ticket.key;
        let call = self.state.call(key)?;
        let still_ms = self.state.still_ms(backend.0, self.now) - call.open_ms_before;
        Some(Millis(at.since(call.first).0.saturating_sub(still_ms)))
    }

    pub(super) fn end(&mut self, step: &mut Step, ticket: Ticket, report: Report, decision: &Decision) {
        let id = self.id(ticket);
        let Report { request, dropped_turns, outcome, usage, estimated, timings, from_cache } = report;
        if dropped_turns > 0 {
            let id = id.clone();
            self.record(step, Event::WindowTrimmed(WindowTrimmed { id, dropped_turns }));
        }
        let Decision { charged, retry_at } = *decision;
        let ended = AttemptEnded { id, request, outcome, usage, estimated, timings, charged, retry_at, from_cache };
        self.record(step, Event::AttemptEnded(ended));
    }

    pub(super) fn change(&mut self, step: &mut Step, backend: BackendIdx, change: Capacity, reason: &str) {
        let backend = self.plan.backends[backend.0].name.clone();
        let reason = reason.to_owned();
        self.record(step, Event::CapacityChanged(CapacityChanged { backend, change, model: None, reason }));
    }

    /// Records that requests go without something, unless that is known.
    fn lacks(&mut self, step: &mut Step, backend: BackendIdx, ticket: Ticket, feature: Feature, reason: &str) {
        let model = self.model_asked(ticket.key);
        if self.state.backends[backend.0].lacks_of(model.as_str()).has(feature) {
            return;
        }
        let change = match feature {
            Feature::ResponseFormat => Capacity::FormatUnsupported,
            other => Capacity::Lacks(other),
        };
        let backend = self.plan.backends[backend.0].name.clone();
        let (model, reason) = (feature.is_of_model().then_some(model), reason.to_owned());
        self.record(step, Event::CapacityChanged(CapacityChanged { backend, change, model, reason }));
    }
}
