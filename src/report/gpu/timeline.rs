//! What a run's devices told and what was asked meanwhile, side by side: pieces of time wait until all is known of the requests
//! in them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::attribution::Interval;
use super::causes::Causes;
use super::device::Entry;
use super::flights::{Flights, Flown};
use crate::base::Timestamp;
use crate::event::{Event, GpuCan, GpuDevice, GpuSample, Recorded};

/// Without a reading for so long, nobody knows what was used when.
pub(super) const LONGEST_US: i64 = 10_000_000;
/// Without an entry for so long, nobody knows when a device computed.
const LONGEST_ENTRY_US: i64 = 3_000_000;
/// So long after a process began, a device's first readings may still be to come.
const YOUNG_US: i64 = 3_000_000;

/// What an interval is of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Piece {
    Energy(Interval),
    Busy(Entry),
}

impl Piece {
    pub(super) const fn times(&self) -> (Timestamp, Timestamp) {
        match self {
            Self::Energy(interval) => (interval.from, interval.to),
            Self::Busy(entry) => (entry.from, entry.to),
        }
    }
}

/// What is called for each piece: of which device, who was in flight, and why else nobody was.
pub(super) type Look<'a> = dyn FnMut(usize, &Piece, &mut [&mut Flown], &Causes) + 'a;

/// What both ways have in common: pieces wait here for the requests in them.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    devices: BTreeMap<Arc<str>, Readings>,
    pending: VecDeque<(usize, Piece)>,
    pub(super) flights: Flights,
    pub(super) causes: Causes,
    /// When a process took the run up: what was counted between two processes is nobody's.
    resumed: Vec<Timestamp>,
    /// When the newest process began.
    began: Timestamp,
}

#[derive(Debug, Default)]
struct Readings {
    place: usize,
    /// Which readings it gives.
    counts: bool,
    rings: bool,
    energy: Option<(Timestamp, u64)>,
    busy: Option<Timestamp>,
    /// The newest process has sampled it.
    is_here: bool,
    is_lost: bool,
}

impl Readings {
    fn of(place: usize, device: &GpuDevice) -> Self {
        let can = |what| device.can.contains(&what);
        Self { place, counts: can(GpuCan::Energy), rings: can(GpuCan::Busy), ..Self::default() }
    }

    /// Returns until when it has told what it can; none when it tells nothing that requests could share, or nothing more.
    fn told_until(&self, is_young: bool) -> Option<Timestamp> {
        if self.is_lost || !(self.is_here || is_young) {
            return None;
        }
        let energy = self.counts.then(|| self.energy.map(|(at, _)| at));
        let busy = self.rings.then_some(self.busy);
        let never = Timestamp(i64::MIN);
        let expected = [energy, busy].into_iter().flatten();
        expected.map(|last| if self.is_here { last.unwrap_or(never) } else { never }).min()
    }
}

impl Timeline {
    pub(super) fn new(devices: &[GpuDevice]) -> Self {
        let mut timeline = Self::default();
        devices.iter().for_each(|device| timeline.device(device));
        timeline
    }

    /// Adds a device: the next in the order of places.
    pub(super) fn device(&mut self, device: &GpuDevice) {
        let place = self.devices.len();
        self.devices.entry(Arc::clone(&device.id)).or_insert_with(|| Readings::of(place, device));
    }

    /// Tells whether samples of this device are understood.
    pub(super) fn knows(&self, device: &str) -> bool {
        self.devices.contains_key(device)
    }

    pub(super) fn event(&mut self, recorded: &Recorded) {
        match recorded.event {
            Event::RunStarted(_) => self.began = recorded.at,
            Event::RunResumed(_) => {
                self.resumed.push(recorded.at);
                self.began = recorded.at;
                // Devices may be others now.
                self.devices.values_mut().for_each(|device| device.is_here = false);
            }
            _ => {}
        }
        self.flights.add(recorded);
        self.causes.add(recorded);
    }

    #[expect(clippy::cast_precision_loss, reason = "millijoules are fewer than 2^52")]
    pub(super) fn sample(&mut self, sample: &GpuSample) -> Option<usize> {
        let resumed = &self.resumed;
        let in_one = |from: Timestamp, to: Timestamp| !resumed.iter().any(|at| *at > from && *at <= to);
        let readings = self.devices.get_mut(&sample.device)?;
        let place = readings.place;
        (readings.is_here, readings.is_lost) = (true, sample.lost);
        for (offset, total) in &sample.energy {
            let to = Timestamp(sample.at.0 + offset);
            if let Some((from, before)) = readings.energy.replace((to, *total))
                && to > from
                && *total >= before
                && in_one(from, to)
            {
                let millijoules = (total - before) as f64;
                self.pending.push_back((place, Piece::Energy(Interval { from, to, millijoules })));
            }
        }
        for (offset, percent) in &sample.busy {
            let to = Timestamp(sample.at.0 + offset);
            if let Some(from) = readings.busy.replace(to)
                && to > from
                && to.0 - from.0 <= LONGEST_ENTRY_US
                && in_one(from, to)
            {
                self.pending.push_back((place, Piece::Busy(Entry { from, to, percent: *percent })));
            }
        }
        Some(place)
    }

    /// Looks at the pieces that end at a moment or before, as far as everything is known of the requests in them; up to
    /// that moment all events are read.
    pub(super) fn settle(&mut self, known: Timestamp, look: &mut Look<'_>) {
        let until = known.min(self.flights.known_until());
        let mut earliest = until;
        let mut kept = VecDeque::new();
        for (place, piece) in std::mem::take(&mut self.pending) {
            let (from, to) = piece.times();
            if to > until {
                earliest = earliest.min(from);
                kept.push_back((place, piece));
                continue;
            }
            let over = self.flights.over.iter_mut();
            let mut flying: Vec<&mut Flown> = over.filter(|flown| flown.work.overlaps(from, to)).collect();
            look(place, &piece, &mut flying, &self.causes);
        }
        self.pending = kept;
        // The next pieces begin where the last of their device ended.
        let next = self.devices.values().filter_map(|readings| readings.energy.map(|(at, _)| at).min(readings.busy));
        self.causes.forget(next.min().unwrap_or(until).min(earliest).min(until));
    }

    /// Takes the requests that no piece to come can touch; each stays for the shorter of both times after its end, and
    /// for the longer where readings fail to come.
    pub(super) fn leave(&mut self, read: Timestamp, (least, most): (i64, i64)) -> Vec<Flown> {
        let is_young = read.0.saturating_sub(self.began.0) < YOUNG_US;
        let told = self.devices.values().filter_map(|device| device.told_until(is_young));
        // Right after the start nobody may have said yet which devices there are.
        let unknown = if is_young && self.devices.is_empty() { Timestamp(i64::MIN) } else { read };
        let until = told.min().unwrap_or(unknown);
        let until = until.clamp(back(read, most), back(read, least));
        let until = self.pending.iter().map(|(_, piece)| piece.times().0).min().map_or(until, |from| until.min(from));
        let over = std::mem::take(&mut self.flights.over);
        let (stay, leave): (Vec<Flown>, Vec<Flown>) = over.into_iter().partition(|flown| flown.work.end > until);
        self.flights.over = stay.into();
        leave
    }
}

pub(super) const fn back(at: Timestamp, micros: i64) -> Timestamp {
    Timestamp(at.0.saturating_sub(micros))
}
