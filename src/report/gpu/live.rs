//! What requests are told while a run still goes: by the method of the report, with what the run has shown until then.
//!
//! The report goes through a run twice, and knows from the first way what an idle device uses and what a token of a prompt
//! costs. Who tells a request soon after its end has only what came before: the lowest quiet power so far, and the fit so
//! far. So the numbers differ a little from those of the report, which are the better ones. They follow from the order of
//! the journal alone: told again, they are the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::attribution::{Fit, share};
use super::flights::Flown;
use super::joined::{Quiet, learn, tell_busy, tell_shares, weighed};
use super::timeline::{LONGEST_US, Piece, Timeline, back};
use crate::base::Timestamp;
use crate::event::{AttemptId, Event, GpuCan, GpuDevice, GpuSample, Recorded};

/// How much later than a sample the events of its time may come.
const LATE_US: i64 = 1_000_000;
/// How much later than its end a request may still be touched.
const STAY_US: (i64, i64) = (0, 15_000_000);

/// Follows a run and tells each request its part soon after its end.
#[derive(Debug, Default)]
pub struct Live {
    timeline: Timeline,
    quiet: Vec<Quiet>,
    fits: BTreeMap<Arc<str>, Fit>,
    /// The device by whose counter it is known how much of a request is covered.
    counting: Option<usize>,
}

impl Live {
    /// Adds devices; those that are known stay as they are.
    pub fn devices(&mut self, devices: &[GpuDevice]) {
        for device in devices.iter().filter(|device| !self.timeline.knows(&device.id)).collect::<Vec<_>>() {
            if self.counting.is_none() && device.can.contains(&GpuCan::Energy) {
                self.counting = Some(self.quiet.len());
            }
            self.timeline.device(device);
            self.quiet.push(Quiet::default());
        }
    }

    /// Tells whether samples of this device are understood: others are left out.
    #[must_use]
    pub fn knows(&self, device: &str) -> bool {
        self.timeline.knows(device)
    }

    /// Takes the next event; true when it ends a request that is told its part later.
    pub fn event(&mut self, recorded: &Recorded) -> bool {
        self.timeline.event(recorded);
        let Event::AttemptEnded(ended) = &recorded.event else { return false };
        self.timeline.flights.over.back().is_some_and(|flown| flown.id == ended.id)
    }

    /// Takes the next sample.
    pub fn sample(&mut self, sample: &GpuSample) {
        self.timeline.sample(sample);
    }

    /// Looks at what is complete at a moment up to which events and samples are read, and tells the requests of which
    /// nothing more is to come; with [`Timestamp`]'s last moment, all.
    pub fn settle(&mut self, read: Timestamp, tell: &mut dyn FnMut(Flown)) {
        let Self { timeline, quiet, fits, counting } = self;
        timeline.settle(back(read, LATE_US), &mut |place, piece, flying, _| match piece {
            Piece::Energy(interval) => {
                learn(&mut quiet[place], fits, interval, flying);
                if interval.to.0 - interval.from.0 <= LONGEST_US {
                    let prefill = |model: &Arc<str>| fits.get(model).and_then(Fit::prefill);
                    let shares = share(interval, quiet[place].lowest, &weighed(prefill, flying));
                    tell_shares(flying, interval, &shares, *counting == Some(place));
                }
            }
            Piece::Busy(entry) => {
                let prefill = |model: &Arc<str>| fits.get(model).and_then(Fit::prefill);
                let parts = tell_busy(entry, &weighed(prefill, flying));
                flying.iter_mut().zip(parts).for_each(|(flown, part)| flown.busy_s += part);
            }
        });
        timeline.leave(read, STAY_US).into_iter().for_each(tell);
    }

    /// Returns what a request that still waits was told so far.
    #[must_use]
    pub fn so_far(&self, id: &AttemptId) -> Option<Flown> {
        self.timeline.flights.over.iter().find(|flown| flown.id == *id).cloned()
    }
}
