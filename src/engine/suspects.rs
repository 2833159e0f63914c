//! Failures that a backend may have for everybody: the same one for the first few calls, before any answer.
//!
//! A call that is given up before its backend has answered anything is kept back for a moment. When a few calls fail in
//! the same way, the backend is of no use to this run: it stops, and these calls stay open. When anything is answered,
//! or nothing else is left to be done, each has failed for itself.
//! Volatile: the journal holds these calls as in flight until then.

use super::call::{Key, Step, Ticket};
use super::outcome::Decision;
use super::step::Engine;
use crate::base::AttemptNo;
use crate::event::{Failure, FailureKind, Outcome, Report, StopCause, Usage};
use crate::plan::BackendIdx;

/// So many calls that fail in the same way, before any answer, are enough to know. One row, or three, may be unlike the
/// others; a bound of four keeps what is sent in vain below the number in flight and four more.
const ENOUGH: usize = 4;
/// The same of calls that are forbidden: that is about the key, and servers lock keys that go on.
const ENOUGH_FORBIDDEN: usize = 3;
/// Most calls that are kept back; so many that all differ have failed for themselves.
const MOST: usize = 16;

/// A call that would be given up.
#[derive(Debug)]
pub(super) struct Suspect {
    ticket: Ticket,
    report: Report,
    signature: String,
}

impl Suspect {
    /// Returns true when it is this request.
    pub(super) fn is(&self, key: Key, attempt: AttemptNo) -> bool {
        self.ticket == Ticket { key, attempt }
    }

    /// Returns what its request has used.
    pub(super) fn usage(&self) -> [&Usage; 2] {
        [&self.report.usage, &self.report.estimated]
    }
}

impl Engine {
    /// Keeps a call back that is to be given up, or hands its report back: its failure is about what it asks, or the
    /// backend has answered others.
    pub(super) fn suspect(
        &mut self,
        step: &mut Step,
        backend: BackendIdx,
        ticket: Ticket,
        report: Report,
    ) -> Option<Report> {
        let Outcome::Failed(failure) = &report.outcome else { return Some(report) };
        if self.state.backends[backend.0].answered || !may_be_for_all(failure.kind) {
            return Some(report);
        }
        if self.flow.stopping.is_some() {
            // Nobody will know by the end of this process: whoever takes the run up asks it again.
            self.end(step, ticket, report, &Decision { charged: false, retry_at: Some(self.now) });
            return None;
        }
        let failure = failure.clone();
        let signature = signature(&failure);
        let lane = &mut self.flow.lanes[backend.0];
        lane.suspects.push(Suspect { ticket, report, signature: signature.clone() });
        let alike = lane.suspects.iter().filter(|one| one.signature == signature).count();
        let enough = if failure.kind == FailureKind::Forbidden { ENOUGH_FORBIDDEN } else { ENOUGH };
        if alike >= enough {
            let backend = self.plan.backends[backend.0].name.to_string();
            self.stop(step, StopCause::BackendUnusable { backend, failure });
        } else if lane.suspects.len() >= MOST {
            self.condemn(step, backend);
        }
        None
    }

    /// Gives up the calls that were kept back: their failures are their own.
    pub(super) fn condemn(&mut self, step: &mut Step, backend: BackendIdx) {
        for Suspect { ticket, report, .. } in std::mem::take(&mut self.flow.lanes[backend.0].suspects) {
            self.end(step, ticket, report, &Decision { charged: true, retry_at: None });
            self.advance(step, ticket.key.case);
        }
    }

    /// Leaves the calls open that were kept back: the run stops.
    pub(super) fn spare(&mut self, step: &mut Step) {
        let lanes = self.flow.lanes.iter_mut();
        let spared: Vec<Suspect> = lanes.flat_map(|lane| std::mem::take(&mut lane.suspects)).collect();
        for Suspect { ticket, report, .. } in spared {
            self.end(step, ticket, report, &Decision { charged: false, retry_at: Some(self.now) });
        }
    }

    /// Gives up what was kept back once nothing else is left that could be answered.
    pub(super) fn settle_suspects(&mut self, step: &mut Step) {
        let kept = self.flow.lanes.iter().any(|lane| !lane.suspects.is_empty());
        if !kept || self.flow.stopping.is_some() || self.state.paused_since.is_some() {
            return;
        }
        let is_idle = self.flow.lanes.iter().all(|lane| lane.started.is_empty() && lane.ready.is_empty());
        let is_quiet = self.flow.delayed.is_empty() && self.flow.evaluating.is_empty();
        if is_idle && is_quiet && self.wants_cases() == 0 {
            (0..self.flow.lanes.len()).for_each(|lane| self.condemn(step, BackendIdx(lane)));
        }
    }
}

/// Returns true when a failure may be about the server, the key, the model or the options, and so hit every call.
const fn may_be_for_all(kind: FailureKind) -> bool {
    match kind {
        FailureKind::Refused
        | FailureKind::Forbidden
        | FailureKind::FormatUnsupported
        | FailureKind::Unsupported(_)
        | FailureKind::Malformed
        | FailureKind::NoAnswer
        | FailureKind::ReasoningCut
        | FailureKind::Overloaded
        | FailureKind::Throttled
        | FailureKind::Unreachable
        | FailureKind::CutOff
        | FailureKind::TimedOut(_) => true,
        // These are about one prompt or one answer, are decided elsewhere, or are no doing of the backend.
        FailureKind::ContextOverflow
        | FailureKind::ContentFiltered
        | FailureKind::TooLarge
        | FailureKind::Mismatched
        | FailureKind::Render
        | FailureKind::Assertion
        | FailureKind::QuotaExhausted
        | FailureKind::Unauthorized
        | FailureKind::ModelMissing
        | FailureKind::Redirected
        | FailureKind::Loading
        | FailureKind::Interrupted
        | FailureKind::Cancelled
        | FailureKind::Unsent => false,
    }
}

/// Returns what a failure says without what differs from call to call: words that hold a digit, and what stands in the
/// answer behind it.
fn signature(failure: &Failure) -> String {
    let words = failure.detail.split_whitespace().take(64);
    let words = words.map(|word| if word.contains(|letter: char| letter.is_ascii_digit()) { "#" } else { word });
    format!("{} {:?} {}", failure.kind.word(), failure.status, words.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ids_make_no_difference() {
        let failure = |detail: &str| Failure::new(FailureKind::Refused, detail);
        let first = signature(&failure("http://127.0.0.1:1/v1: 400: no deployment gpt-4o (request req_0af3)"));
        assert_eq!(first, signature(&failure("http://127.0.0.1:1/v1: 400: no deployment gpt-5 (request req_99b1)")));
        assert_ne!(first, signature(&failure("http://127.0.0.1:1/v1: 400: no such tool gpt-5 (request req_99b1)")));
    }
}
