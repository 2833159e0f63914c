//! What is waiting and what is in flight: everything about a run that dies with the process.

use std::collections::{BTreeMap, BTreeSet};

use super::breaker::{Minute, Trials};
use super::call::{Key, TaskKey, Ticket};
use super::suspects::Suspect;
use crate::base::{AttemptNo, CaseNo, Timestamp};
use crate::event::{Failure, Features, Stage, StopCause};

/// Queues and requests of a live run.
#[derive(Debug)]
pub(super) struct Flow {
    /// One per backend of the plan.
    pub(super) lanes: Vec<Lane>,
    /// Calls that must wait, by when and which.
    pub(super) delayed: BTreeSet<(Timestamp, Key)>,
    /// Tasks of which something is being evaluated.
    pub(super) evaluating: BTreeSet<TaskKey>,
    /// Cases that are being looked at.
    pub(super) observing: BTreeSet<CaseNo>,
    /// Total limits of requests that have been sent.
    pub(super) deadlines: BTreeSet<(Timestamp, Ticket)>,
    /// How far a stop has gone.
    pub(super) stopping: Option<Stopping>,
    /// Nothing more will be said.
    pub(super) finished: bool,
    /// Reports for requests that were not current.
    pub(super) late: u64,
}

/// One backend's queue.
#[derive(Debug)]
pub(super) struct Lane {
    /// Requests that the backend may work on at once.
    pub(super) slots: usize,
    /// Requests above the limit that were recorded when it was higher.
    pub(super) surplus: usize,
    /// Calls that may be sent now, oldest case first.
    pub(super) ready: BTreeSet<Key>,
    /// Requests recorded and not returned.
    pub(super) started: BTreeMap<Key, Flight>,
    /// The server asked everyone to wait until then.
    pub(super) hold_until: Option<Timestamp>,
    /// Retries over the last minute.
    pub(super) minute: Minute,
    /// Present while the breaker is open.
    pub(super) trials: Option<Trials>,
    /// Until when calls are known to be held, by the latest event.
    pub(super) announced: Option<Timestamp>,
    /// When this process sent its first request, and how long the run had been paused by then, in milliseconds.
    pub(super) first_sent: Option<(Timestamp, u64)>,
    /// When this process had its latest answer.
    pub(super) latest_answer: Option<Timestamp>,
    /// What the latest request failed of that may pass.
    pub(super) latest_trouble: Option<Failure>,
    /// The latest call that was tried while the breaker was open, and failed.
    pub(super) tried: Option<Key>,
    /// Calls that are kept back until it is known whether they failed for themselves.
    pub(super) suspects: Vec<Suspect>,
    /// Denied calls in a row.
    pub(super) refusals: u32,
    /// Answers of no use since the latest one of use.
    pub(super) flawed: u32,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    /// Which.
    pub(super) attempt: AttemptNo,
    /// When it must be over, once it has been sent.
    pub(super) deadline: Option<Timestamp>,
    /// It has been asked to come back.
    pub(super) cancelled: bool,
    /// What it went without: a refusal of anything else is news.
    pub(super) lacks: Features,
}

/// A stop under way.
#[derive(Clone, Debug)]
pub(super) struct Stopping {
    /// How far.
    pub(super) stage: Stage,
    /// Why.
    pub(super) cause: StopCause,
    /// When it goes further by itself.
    pub(super) deadline: Timestamp,
}

impl Flow {
    pub(super) fn new(slots: &[u32]) -> Self {
        let lane = |&slots: &u32| Lane {
            slots: (slots as usize).max(1),
            surplus: 0,
            ready: BTreeSet::new(),
            started: BTreeMap::new(),
            hold_until: None,
            announced: None,
            first_sent: None,
            latest_answer: None,
            latest_trouble: None,
            tried: None,
            suspects: Vec::new(),
            minute: Minute::default(),
            trials: None,
            refusals: 0,
            flawed: 0,
        };
        Self {
            lanes: slots.iter().map(lane).collect(),
            delayed: BTreeSet::new(),
            evaluating: BTreeSet::new(),
            observing: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            stopping: None,
            finished: false,
            late: 0,
        }
    }

    /// Returns how many requests are recorded and not returned.
    pub(super) fn in_flight(&self) -> usize {
        self.lanes.iter().map(|lane| lane.started.len()).sum()
    }
}

impl Lane {
    /// Returns how many requests may be recorded and not returned: those the backend works on, and as many again, so
    /// that a slot never waits for a commit.
    pub(super) const fn limit(&self) -> usize {
        self.slots * 2
    }

    /// Changes how many requests the backend may work on at once.
    pub(super) fn resize(&mut self, slots: usize) {
        self.slots = slots;
        self.surplus = self.started.len().saturating_sub(self.limit());
    }

    /// Forgets of the surplus what is over.
    pub(super) fn settle_surplus(&mut self) {
        self.surplus = self.surplus.min(self.started.len().saturating_sub(self.limit()));
    }

    /// Takes the next call to send: the oldest; while the breaker is open another one than that which failed last, so
    /// that one call that never passes does not hold the others.
    pub(super) fn take_ready(&mut self) -> Option<Key> {
        if self.trials.is_some()
            && let Some(tried) = self.tried
            && let Some(&other) = self.ready.iter().find(|key| **key != tried)
        {
            self.ready.remove(&other);
            return Some(other);
        }
        self.ready.pop_first()
    }

    /// Returns when the lane may send next; none when only a return can open it.
    pub(super) fn opens(&self, now: Timestamp) -> Option<Timestamp> {
        let held = self.hold_until.unwrap_or(now).max(now);
        // What was sent before the breaker opened may still be there: a trial, too, needs room.
        match &self.trials {
            _ if self.started.len() >= self.limit() => None,
            None => Some(held),
            Some(trials) => trials.due().map(|due| due.max(held)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{CaseNo, Millis};
    use crate::plan::{Call, StepIdx};

    #[test]
    fn a_trial_needs_room_as_any_call_does() {
        let mut flow = Flow::new(&[1]);
        let lane = &mut flow.lanes[0];
        let flight = Flight { attempt: AttemptNo(1), deadline: None, cancelled: false, lacks: Features::NONE };
        let key = |case| Key { case: CaseNo(case), step: StepIdx(0), element: None, call: Call::Say };
        lane.started.insert(key(0), flight);
        lane.trials = Some(Trials::new(Timestamp(0)));
        let later = Timestamp(0).after(Millis::seconds(5));
        assert_eq!(lane.opens(later), Some(later));
        lane.started.insert(key(1), flight);
        assert_eq!(lane.opens(later), None, "sent before the breaker opened, and still there");
    }
}
