//! Hands calls out: one queue and so many slots for each backend.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::live::Live;
use crate::engine::{StartCall, Ticket};
use crate::event::{AttemptId, Failure, FailureKind, Report};
use crate::plan::Plan;
use crate::worker::{Station, Worked};

/// Requests waiting for a slot, and those under way.
pub(super) struct Dispatch {
    station: Arc<Station>,
    lanes: Vec<Lane>,
    calls: JoinSet<(Ticket, Worked)>,
    cancels: BTreeMap<Ticket, oneshot::Sender<FailureKind>>,
    live: mpsc::Sender<Live>,
}

struct Lane {
    slots: usize,
    busy: usize,
    waiting: VecDeque<(Instant, Box<StartCall>)>,
}

/// A call that is over, one way or another.
pub(super) struct Returned {
    pub(super) ticket: Ticket,
    pub(super) worked: Worked,
}

impl Dispatch {
    pub(super) fn new(station: Arc<Station>, slots: &[u32], live: mpsc::Sender<Live>) -> Self {
        let lane = |&slots: &u32| Lane { slots: (slots as usize).max(1), busy: 0, waiting: VecDeque::new() };
        let lanes = slots.iter().map(lane).collect();
        Self { station, lanes, calls: JoinSet::new(), cancels: BTreeMap::new(), live }
    }

    /// Queues a call; returns the ticket of a call that went out because of it.
    pub(super) fn start(&mut self, call: Box<StartCall>) -> Option<Ticket> {
        let lane = call.backend.0;
        self.lanes[lane].waiting.push_back((Instant::now(), call));
        self.fill(lane)
    }

    /// Returns how many calls the backends work on.
    pub(super) fn busy(&self) -> usize {
        self.lanes.iter().map(|lane| lane.busy).sum()
    }

    /// Waits for a call to end; never ends while there is none.
    ///
    /// # Errors
    /// The message of a call that panicked.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Result<Returned, String> {
        match self.calls.join_next().await {
            None => std::future::pending().await,
            Some(joined) => Self::joined(joined),
        }
    }

    /// Returns a call that has ended already.
    pub(super) fn ready(&mut self) -> Option<Result<Returned, String>> {
        self.calls.try_join_next().map(Self::joined)
    }

    fn joined(joined: Result<(Ticket, Worked), tokio::task::JoinError>) -> Result<Returned, String> {
        joined.map(|(ticket, worked)| Returned { ticket, worked }).map_err(|error| error.to_string())
    }

    /// Frees the slot of a call that is over; returns the ticket of the next one, which has gone out.
    pub(super) fn free(&mut self, ticket: Ticket, backend: usize) -> Option<Ticket> {
        self.cancels.remove(&ticket);
        self.lanes[backend].busy -= 1;
        self.fill(backend)
    }

    /// Works on so many calls of a backend at once; returns the tickets of those that have gone out because of it.
    pub(super) fn resize(&mut self, backend: usize, slots: NonZeroU32) -> Vec<Ticket> {
        self.lanes[backend].slots = slots.get() as usize;
        std::iter::from_fn(|| self.fill(backend)).collect()
    }

    /// Gives a call up: one that waits comes back at once, one under way soon.
    pub(super) fn cancel(&mut self, ticket: Ticket, why: FailureKind) -> Option<Returned> {
        for lane in &mut self.lanes {
            if let Some(place) = lane.waiting.iter().position(|(_, call)| call.ticket == ticket) {
                lane.waiting.remove(place);
                return Some(unsent(ticket));
            }
        }
        if let Some(cancel) = self.cancels.remove(&ticket) {
            // A call that has just ended has no ear any more; its report is on the way.
            cancel.send(why).ok();
        }
        None
    }

    /// Takes back every call that waits.
    pub(super) fn recall(&mut self) -> Vec<Returned> {
        let waiting = self.lanes.iter_mut().flat_map(|lane| lane.waiting.drain(..));
        waiting.map(|(_, call)| unsent(call.ticket)).collect()
    }

    fn fill(&mut self, lane: usize) -> Option<Ticket> {
        let slots = &mut self.lanes[lane];
        if slots.busy >= slots.slots {
            return None;
        }
        let (since, call) = slots.waiting.pop_front()?;
        slots.busy += 1;
        let ticket = call.ticket;
        let (cancel, cancelled) = oneshot::channel();
        self.cancels.insert(ticket, cancel);
        let station = Arc::clone(&self.station);
        let live = self.live.clone();
        let queued_us = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.calls.spawn(async move {
            let StartCall { ticket, place, backend, timeouts } = *call;
            let spoken = |piece: &str| speak(&station.plan, &live, ticket, &place, piece);
            let mut worked = station.call(&place, ticket.attempt, backend, timeouts, &spoken, cancelled).await;
            worked.report.timings.queued_us = queued_us;
            (ticket, worked)
        });
        Some(ticket)
    }
}

fn speak(plan: &Plan, live: &mpsc::Sender<Live>, ticket: Ticket, place: &crate::plan::Place, piece: &str) {
    let piece = Live::Piece {
        id: AttemptId {
            case: ticket.key.case,
            step: plan.cell(place.cell).step(ticket.key.step).name.clone(),
            each: place.each.as_ref().map(|each| each.key.clone()),
            call: ticket.key.call.path(),
            attempt: ticket.attempt,
        },
        actor: plan.cell(place.cell).actor(place.actor).name.clone(),
        text: piece.to_owned(),
    };
    // A slow display loses pieces, never facts: the settled text comes with those.
    drop(live.try_send(piece));
}

fn unsent(ticket: Ticket) -> Returned {
    let report = Report::failed(Failure::new(FailureKind::Unsent, "the run stopped before it was sent"));
    Returned { ticket, worked: Worked { report, texts: Vec::new(), keep: None } }
}
