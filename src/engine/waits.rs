//! Waits that a server dictates, and backends that nobody answers at: what is waited for, and for how long.

use super::breaker::Trials;
use super::call::{Step, Ticket};
use super::retry;
use super::step::Engine;
use crate::base::{Millis, Timestamp};
use crate::event::{Capacity, Failure, FailureKind, StopCause, TimeoutPhase};
use crate::plan::BackendIdx;

/// Shorter waits are not announced: they are over before anybody has read of them.
const ANNOUNCED: Millis = Millis::seconds(3);
/// What a call that waits for a model to be loaded gets beyond `retries.within`.
pub(super) const LOADING: Millis = Millis::seconds(300);

impl Engine {
    /// Holds a backend's calls for as long as the server says, and stops the run where that is longer than
    /// `retries.within` allows. Returns true when it stops.
    pub(super) fn hold(&mut self, step: &mut Step, backend: BackendIdx, ticket: Ticket, failure: &Failure) -> bool {
        let Some(wait) = retry::dictated(failure) else { return false };
        let until = self.now.after(wait);
        if wait > self.patience(ticket, failure) && self.flow.stopping.is_none() {
            self.stop_waiting(step, backend, failure, until);
            return true;
        }
        let lane = &mut self.flow.lanes[backend.0];
        let until = lane.hold_until.map_or(until, |held| held.max(until));
        lane.hold_until = Some(until);
        let is_news = lane.announced.is_none_or(|announced| until > announced.after(Millis::seconds(1)));
        if is_news && until.since(self.now) >= ANNOUNCED {
            lane.announced = Some(until);
            self.change(step, backend, Capacity::HeldUntil(until), &failure.detail);
        }
        false
    }

    /// Stops the run because a server wants calls to wait longer than they may.
    pub(super) fn stop_waiting(&mut self, step: &mut Step, backend: BackendIdx, failure: &Failure, until: Timestamp) {
        let backend = self.plan.backends[backend.0].name.to_string();
        self.stop(step, StopCause::BackendWaits { backend, failure: failure.clone(), until });
    }

    /// Returns how long a call may wait for a server that says how long.
    pub(super) fn patience(&self, ticket: Ticket, failure: &Failure) -> Millis {
        let Millis(within) = self.limits(ticket.key).within;
        match failure.kind {
            FailureKind::Loading => Millis(within.saturating_add(LOADING.0)),
            _ => Millis(within),
        }
    }

    /// Returns true when nothing has been answered at a backend since a call was first sent.
    pub(super) fn is_silent_since_first(&self, backend: BackendIdx, ticket: Ticket) -> bool {
        let first = self.state.call(ticket.key).map(|call| call.first);
        let answer = self.flow.lanes[backend.0].latest_answer;
        first.is_some_and(|first| answer.is_none_or(|answer| answer < first))
    }

    /// Opens a backend's breaker, unless it is open.
    pub(super) fn open_breaker(&mut self, step: &mut Step, backend: BackendIdx, reason: &str) {
        let lane = &mut self.flow.lanes[backend.0];
        if lane.trials.is_none() {
            lane.trials = Some(Trials::new(self.now));
            self.change(step, backend, Capacity::BreakerOpened, reason);
        }
    }

    /// Stops the run when a backend has answered nothing since it was first sent something, for as long as
    /// `retries.within`.
    pub(super) fn give_up_silent(&mut self, step: &mut Step) {
        if self.silent_until().is_none_or(|until| until > self.now) {
            return;
        }
        let lanes = 0..self.flow.lanes.len();
        let silent =
            lanes.map(BackendIdx).find(|&lane| self.lane_silent_until(lane).is_some_and(|at| at <= self.now));
        let Some(backend) = silent else { return };
        let failure = self.flow.lanes[backend.0].latest_trouble.clone();
        let failure = failure.unwrap_or_else(|| Failure::new(FailureKind::Unreachable, "nothing has answered"));
        let backend = self.plan.backends[backend.0].name.to_string();
        self.stop(step, StopCause::BackendUnusable { backend, failure });
    }

    /// Returns when the first backend that has answered nothing is given up.
    pub(super) fn silent_until(&self) -> Option<Timestamp> {
        if self.starts_nothing() || self.flow.finished {
            return None;
        }
        (0..self.flow.lanes.len()).filter_map(|lane| self.lane_silent_until(BackendIdx(lane))).min()
    }

    fn lane_silent_until(&self, backend: BackendIdx) -> Option<Timestamp> {
        let lane = &self.flow.lanes[backend.0];
        let is_silent = lane.trials.is_some() && !self.state.backends[backend.0].answered;
        let within = self.plan.limits.within;
        // A pause counts for nobody, so a run that was paused has the more time.
        let (since, paused_ms_before) = lane.first_sent.filter(|_| is_silent)?;
        let paused_ms = self.state.paused_ms.saturating_sub(paused_ms_before);
        Some(since.after(Millis(within.0.saturating_add(paused_ms))))
    }

    /// Returns true when a call that has used its attempts up is kept for the time after an outage: nothing has been
    /// answered since it was first sent, and either the backend has answered before or other calls wait for it, too.
    pub(super) fn is_cut_by_outage(&self, backend: BackendIdx, ticket: Ticket, failure: &Failure) -> bool {
        is_outage(failure)
            && self.is_silent_since_first(backend, ticket)
            && (self.state.backends[backend.0].answered || self.has_other_calls(backend, ticket))
    }

    fn has_other_calls(&self, backend: BackendIdx, ticket: Ticket) -> bool {
        let lane = &self.flow.lanes[backend.0];
        let mut waiting = self.flow.delayed.iter().map(|(_, key)| key);
        !lane.ready.is_empty()
            || !lane.started.is_empty()
            || !lane.suspects.is_empty()
            || waiting.any(|key| *key != ticket.key && self.backend_of(*key) == backend)
    }
}

/// Returns true for failures that have nothing to do with what was asked: nobody is there, or something in between
/// says that nobody is.
pub(super) const fn is_outage(failure: &Failure) -> bool {
    match failure.kind {
        FailureKind::Throttled | FailureKind::Unreachable | FailureKind::TimedOut(TimeoutPhase::Connect) => true,
        FailureKind::Overloaded => matches!(failure.status, Some(502..=504 | 520..=529)),
        _ => false,
    }
}
