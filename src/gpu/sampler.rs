//! Turns readings into samples of about a second each: what is asked how often, and what is missing.
//!
//! It is told the time, so that it can be shown in any; [`super::thread`] drives it.

use std::sync::Arc;

use super::source::{Fault, Source, Unavailable};
use crate::base::Timestamp;
use crate::event::{GpuCan, GpuDevice, GpuSample, Sampled};

/// Between two looks at the counter of energy, which moves every 10 to 100 ms by board.
pub const TICK_US: i64 = 100_000;
/// The length of a sample; at its end the ring and everything else is read once.
const SAMPLE_US: i64 = 1_000_000;
/// Samples between two looks at processes: they cost the driver most.
const USERS_EVERY: u32 = 5;
/// Readings in a row that may fail before a reading counts as one that is never told.
const PATIENCE: u32 = 10;
/// A ring's oldest entry so many of its periods after the last that was seen means that some were lost.
const HOLE_PERIODS: i64 = 3;

/// Samples all devices of a source.
pub struct Sampler {
    source: Box<dyn Source>,
    watched: Vec<Watched>,
}

/// One device.
struct Watched {
    place: usize,
    id: Arc<str>,
    can: Vec<GpuCan>,
    /// It has no ring, and is looked at in every tick instead.
    is_polled: bool,
    failures: Vec<(GpuCan, u32)>,
    open: GpuSample,
    energy: Option<u64>,
    /// The newest entry of the ring, on the source's clock.
    seen_us: i64,
    /// Between two entries of the ring.
    period_us: Option<i64>,
    /// When it was last looked at.
    ticked: Option<Timestamp>,
    samples: u32,
    is_lost: bool,
}

impl Sampler {
    /// Looks at every device once: what it is, what it tells.
    ///
    /// # Errors
    /// Devices cannot be listed, or there is none.
    pub fn start(mut source: Box<dyn Source>, now: Timestamp) -> Result<(Self, Vec<GpuDevice>), Unavailable> {
        let mut devices = source.devices()?;
        if devices.is_empty() {
            return Err(Unavailable::new("the driver knows no device".to_owned()));
        }
        let mut watched = Vec::new();
        for (place, device) in devices.iter_mut().enumerate() {
            device.can = probe(&mut *source, place, device.mig);
            tracing::debug!(device = %device.id, can = ?device.can, "a graphics device is sampled");
            // One that tells nothing is listed, and never asked.
            if device.can.is_empty() {
                continue;
            }
            watched.push(Watched {
                place,
                id: Arc::clone(&device.id),
                can: device.can.clone(),
                is_polled: device.polled,
                failures: Vec::new(),
                open: GpuSample::empty(Arc::clone(&device.id), now),
                energy: None,
                // What the ring holds of before is no part of the run.
                seen_us: source.clock_us(),
                period_us: None,
                ticked: None,
                samples: 0,
                is_lost: false,
            });
        }
        Ok((Self { source, watched }, devices))
    }

    /// Reads what is due, and hands over what is complete. Call it every [`TICK_US`].
    pub fn tick(&mut self, now: Timestamp, done: &mut Vec<Sampled>) {
        let source = &mut *self.source;
        for device in self.watched.iter_mut().filter(|device| !device.is_lost) {
            device.tick(source, now, done, false);
        }
    }

    /// Hands over what there is of samples that are not complete.
    pub fn finish(&mut self, now: Timestamp, done: &mut Vec<Sampled>) {
        let source = &mut *self.source;
        for device in self.watched.iter_mut().filter(|device| !device.is_lost) {
            device.tick(source, now, done, true);
        }
    }

    /// Tells whether no device is left.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.watched.iter().all(|device| device.is_lost)
    }
}

/// Asks for everything once. Of a device in instances only memory is told, whatever the driver says of the rest: it is of
/// all instances together.
fn probe(source: &mut dyn Source, place: usize, mig: bool) -> Vec<GpuCan> {
    let after = source.clock_us();
    let told = |answer: Result<(), Fault>| !matches!(answer, Err(Fault::Unsupported));
    let mut can = Vec::new();
    let asked = [
        (GpuCan::Energy, told(source.energy_mj(place).map(drop))),
        (GpuCan::Busy, told(source.busy(place, after).map(drop))),
        (GpuCan::Power, told(source.power_mw(place).map(drop))),
        (GpuCan::Memory, told(source.memory(place).map(drop))),
        (GpuCan::Processes, told(source.users(place).map(drop))),
        (GpuCan::Temperature, told(source.celsius(place).map(drop))),
        (GpuCan::Throttling, told(source.throttled(place).map(drop))),
    ];
    can.extend(asked.into_iter().filter(|(_, is_told)| *is_told).map(|(what, _)| what));
    can.retain(|what| !mig || *what == GpuCan::Memory);
    can
}

impl Watched {
    fn tick(&mut self, source: &mut dyn Source, now: Timestamp, done: &mut Vec<Sampled>, is_last: bool) {
        // Whoever was held up has seen no counter meanwhile.
        match self.ticked.replace(now) {
            Some(before) if now.micros_since(before) > SAMPLE_US.unsigned_abs() => self.open.holes += 1,
            Some(_) => {}
            // The run begins between the probe and the first look: no sample is older than it.
            None => self.open.at = now,
        }
        let at = self.open.at;
        if let Some(energy) = self.ask(GpuCan::Energy, |place| source.energy_mj(place))
            && self.energy != Some(energy)
        {
            self.energy = Some(energy);
            self.open.energy.push((now.0 - at.0, energy));
        }
        if self.is_polled
            && let Some(looks) = self.ask(GpuCan::Busy, |place| source.busy(place, 0))
        {
            self.open.busy.extend(looks.into_iter().map(|look| (now.0 - at.0, look.percent)));
        }
        if self.is_lost || is_last || now.0 - at.0 >= SAMPLE_US {
            self.close(source, now, done);
        }
    }

    /// Reads what is read once a sample, and begins the next.
    fn close(&mut self, source: &mut dyn Source, now: Timestamp, done: &mut Vec<Sampled>) {
        if !self.is_polled {
            self.read_ring(source, now);
        }
        self.open.power_mw = self.ask(GpuCan::Power, |place| source.power_mw(place));
        self.open.memory = self.ask(GpuCan::Memory, |place| source.memory(place));
        self.open.celsius = self.ask(GpuCan::Temperature, |place| source.celsius(place));
        self.open.throttled = self.ask(GpuCan::Throttling, |place| source.throttled(place)).unwrap_or_default();
        if self.samples.is_multiple_of(USERS_EVERY) {
            self.open.users = self.ask(GpuCan::Processes, |place| source.users(place));
        }
        self.samples = self.samples.wrapping_add(1);
        let next = GpuSample::empty(Arc::clone(&self.id), now);
        let mut closed = std::mem::replace(&mut self.open, next);
        closed.until = now;
        closed.lost = self.is_lost;
        if self.is_lost {
            tracing::warn!(device = %self.id, "a graphics device is lost: it is sampled no more");
        }
        done.push(Sampled::Sample(closed));
    }

    fn read_ring(&mut self, source: &mut dyn Source, now: Timestamp) {
        let seen = self.seen_us;
        let Some(entries) = self.ask(GpuCan::Busy, |place| source.busy(place, seen)) else { return };
        let ahead = now.0 - source.clock_us();
        let steps = entries.windows(2).map(|pair| pair[1].at_us - pair[0].at_us);
        let period = steps.min().or(self.period_us);
        if let (Some(first), Some(period)) = (entries.first(), period)
            && first.at_us - seen > HOLE_PERIODS * period
            && self.samples > 0
        {
            self.open.holes += 1;
        }
        self.period_us = period;
        self.seen_us = entries.last().map_or(seen, |last| last.at_us);
        let at = self.open.at.0;
        self.open.busy = entries.into_iter().map(|entry| (entry.at_us + ahead - at, entry.percent)).collect();
    }

    /// Asks for what the device tells; one that is not told any more is not asked again.
    fn ask<T>(&mut self, what: GpuCan, read: impl FnOnce(usize) -> Result<T, Fault>) -> Option<T> {
        if self.is_lost || !self.can.contains(&what) {
            return None;
        }
        let fault = match read(self.place) {
            Ok(value) => {
                self.failures.retain(|(which, _)| *which != what);
                return Some(value);
            }
            Err(fault) => fault,
        };
        match fault {
            Fault::Lost => self.is_lost = true,
            Fault::Unsupported => self.can.retain(|which| *which != what),
            Fault::Failed(error) => {
                let failed =
                    self.failures.iter().find(|(which, _)| *which == what).map_or(0, |(_, count)| *count) + 1;
                self.failures.retain(|(which, _)| *which != what);
                self.failures.push((what, failed));
                if failed >= PATIENCE {
                    tracing::warn!(device = %self.id, ?what, %error, "a reading of a graphics device is given up");
                    self.can.retain(|which| *which != what);
                }
            }
        }
        None
    }
}
