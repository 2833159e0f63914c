//! Events and samples, side by side in the order of time: an interval is looked at when all is known of the requests in it.
//!
//! Two ways through: the first finds what the second needs, the power of an idle device and the cost of a prompt.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::attribution::{Fit, Interval, Shares, USUAL_PREFILL, Work, share};
use super::device::{DeviceReport, Entry, Rhythm};
use super::flights::Flown;
use super::timeline::{LONGEST_US, Piece, Timeline, back};
use super::told::{Beside, GpuReport};
use crate::base::Timestamp;
use crate::event::{GpuCan, GpuDevice, GpuSample, Recorded};

/// How much later than an event samples of its time may come.
const LATE_US: i64 = 3_000_000;
/// How much later than its end a request may still be touched.
const STAY_US: (i64, i64) = (LONGEST_US + LATE_US, 4 * LONGEST_US);
/// What counts as quiet enough to tell what an idle device uses.
const QUIET_S: f64 = 10.0;

/// What is known after the first way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Joined {
    idle_watts: Vec<Option<f64>>,
    prefill: BTreeMap<Arc<str>, f64>,
}

/// The first way through a run.
#[derive(Debug)]
pub struct First {
    timeline: Timeline,
    quiet: Vec<Quiet>,
    fits: BTreeMap<Arc<str>, Fit>,
}

/// The lowest mean power over ten quiet seconds in a row.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    row: VecDeque<Interval>,
    seconds: f64,
    millijoules: f64,
    pub(super) lowest: Option<f64>,
}

impl Quiet {
    pub(super) fn add(&mut self, interval: &Interval, is_quiet: bool) {
        if !is_quiet || self.row.back().is_some_and(|last| last.to != interval.from) {
            *self = Self { lowest: self.lowest, ..Self::default() };
        }
        if !is_quiet {
            return;
        }
        self.row.push_back(*interval);
        self.seconds += interval.seconds();
        self.millijoules += interval.millijoules;
        while let Some(first) = self.row.front().filter(|first| self.seconds - first.seconds() >= QUIET_S) {
            self.seconds -= first.seconds();
            self.millijoules -= first.millijoules;
            self.row.pop_front();
        }
        if self.seconds >= QUIET_S {
            let watts = self.millijoules / 1e3 / self.seconds;
            self.lowest = Some(self.lowest.map_or(watts, |lowest| lowest.min(watts)));
        }
    }
}

impl First {
    /// Begins.
    #[must_use]
    pub fn new(devices: &[GpuDevice]) -> Self {
        let quiet = devices.iter().map(|_| Quiet::default()).collect();
        Self { timeline: Timeline::new(devices), quiet, fits: BTreeMap::new() }
    }

    /// Takes the next event.
    pub fn event(&mut self, recorded: &Recorded) {
        self.timeline.event(recorded);
    }

    /// Takes the next sample.
    pub fn sample(&mut self, sample: &GpuSample) {
        self.timeline.sample(sample);
    }

    /// Looks at what is complete: events are read up to a moment, and samples that begin before it.
    pub fn settle(&mut self, read: Timestamp) {
        let (quiet, fits) = (&mut self.quiet, &mut self.fits);
        self.timeline.settle(back(read, LATE_US), &mut |place, piece, flying, _| {
            let Piece::Energy(interval) = piece else { return };
            learn(&mut quiet[place], fits, interval, flying);
        });
        self.timeline.leave(read, STAY_US);
    }

    /// Ends: nothing follows.
    #[must_use]
    pub fn finish(mut self) -> Joined {
        self.timeline.flights.close();
        self.settle(Timestamp(i64::MAX));
        let prefill = self.fits.iter().filter_map(|(model, fit)| Some((Arc::clone(model), fit.prefill()?)));
        Joined { idle_watts: self.quiet.iter().map(|quiet| quiet.lowest).collect(), prefill: prefill.collect() }
    }
}

/// The second way through a run.
#[derive(Debug)]
pub struct Second {
    timeline: Timeline,
    known: Joined,
    report: GpuReport,
    rhythms: Vec<Rhythm>,
    steps: Vec<u64>,
    beside: Beside,
    /// The device by whose counter it is known how much of a request is covered.
    counting: Option<usize>,
}

impl Second {
    /// Begins, with what the first way found.
    #[must_use]
    pub fn new(devices: &[GpuDevice], known: Joined) -> Self {
        let mut report =
            GpuReport { devices: devices.iter().map(DeviceReport::of).collect(), ..GpuReport::default() };
        for (device, watts) in report.devices.iter_mut().zip(&known.idle_watts) {
            device.idle_watts = *watts;
        }
        report.prefill = known.prefill.iter().map(|(model, weight)| (model.to_string(), *weight)).collect();
        let rhythms = devices.iter().map(|_| Rhythm::default()).collect();
        let counting = devices.iter().position(|device| device.can.contains(&GpuCan::Energy));
        Self {
            timeline: Timeline::new(devices),
            known,
            report,
            rhythms,
            steps: Vec::new(),
            beside: Beside::default(),
            counting,
        }
    }

    /// Takes the next event.
    pub fn event(&mut self, recorded: &Recorded) {
        self.beside.event(&recorded.event);
        self.timeline.event(recorded);
    }

    /// Takes the next sample.
    pub fn sample(&mut self, sample: &GpuSample) {
        if let Some(place) = self.timeline.sample(sample) {
            self.report.devices[place].add(sample);
        }
    }

    /// Looks at what is complete, and tells the requests of which nothing more is to come.
    pub fn settle(&mut self, read: Timestamp, tell: &mut dyn FnMut(&Flown)) {
        let Self { timeline, known, report, rhythms, steps, beside: _, counting } = self;
        let prefill = |model: &Arc<str>| known.prefill.get(model).copied();
        timeline.settle(back(read, LATE_US), &mut |place, piece, flying, causes| match piece {
            Piece::Energy(interval) => {
                steps.push(interval.to.micros_since(interval.from));
                if steps.len() > 4_096 {
                    // Enough to tell the usual one by: any two thousand of them do.
                    steps.drain(..2_048);
                }
                let shares =
                    energy(&mut report.devices[place], known.idle_watts[place], interval, &weighed(prefill, flying));
                tell_shares(flying, interval, &shares, *counting == Some(place));
            }
            Piece::Busy(entry) => {
                let covered = covered(entry, flying);
                let middle = Timestamp(i64::midpoint(entry.from.0, entry.to.0));
                report.devices[place].compute(&mut rhythms[place], entry, covered, causes.at(middle));
                let parts = tell_busy(entry, &weighed(prefill, flying));
                flying.iter_mut().zip(parts).for_each(|(flown, part)| flown.busy_s += part);
            }
        });
        for flown in self.timeline.leave(read, STAY_US) {
            self.report.take(&flown);
            tell(&flown);
        }
    }

    /// Ends: nothing follows.
    #[must_use]
    pub fn finish(mut self, tell: &mut dyn FnMut(&Flown)) -> GpuReport {
        self.timeline.flights.close();
        self.settle(Timestamp(i64::MAX), tell);
        for flown in std::mem::take(&mut self.timeline.flights.over) {
            self.report.take(&flown);
            tell(&flown);
        }
        self.report.beside = self.beside.told;
        self.steps.sort_unstable();
        #[expect(clippy::cast_precision_loss, reason = "microseconds between two looks")]
        let usual = self.steps.get(self.steps.len() / 2).map(|micros| *micros as f64 / 1e3);
        for (device, rhythm) in self.report.devices.iter_mut().zip(&mut self.rhythms) {
            device.end_gap(rhythm);
            device.counter_ms = usual.filter(|_| device.millijoules.is_some());
        }
        self.report
    }
}

/// Takes what an interval tells of a quiet device, and of what a prompt costs.
pub(super) fn learn(
    quiet: &mut Quiet,
    fits: &mut BTreeMap<Arc<str>, Fit>,
    interval: &Interval,
    flying: &[&mut Flown],
) {
    quiet.add(interval, flying.is_empty());
    let Some(model) = flying.first().map(|flown| Arc::clone(&flown.model)) else { return };
    if interval.to.0 - interval.from.0 <= LONGEST_US && flying.iter().all(|flown| flown.model == model) {
        let works: Vec<&Work> = flying.iter().map(|flown| &flown.work).collect();
        fits.entry(model).or_default().add(interval, quiet.lowest, &works);
    }
}

/// Shares the time of an entry in which its device computed.
pub(super) fn tell_busy(entry: &Entry, weighed: &[(&Work, f64)]) -> Vec<f64> {
    let busy = entry.seconds() * f64::from(entry.percent) / 100.0;
    let interval = Interval { from: entry.from, to: entry.to, millijoules: busy * 1e3 };
    share(&interval, None, weighed).each.iter().map(|part| part / 1e3).collect()
}

pub(super) fn weighed<'f>(
    prefill: impl Fn(&Arc<str>) -> Option<f64>,
    flying: &'f [&mut Flown],
) -> Vec<(&'f Work, f64)> {
    let prefill = |model: &Arc<str>| prefill(model).unwrap_or(USUAL_PREFILL);
    flying.iter().map(|flown| (&flown.work, prefill(&flown.model))).collect()
}

/// Shares what a counter went up by; without an answer where nobody can tell who was in flight when.
fn energy(device: &mut DeviceReport, idle_watts: Option<f64>, interval: &Interval, works: &[(&Work, f64)]) -> Shares {
    *device.millijoules.get_or_insert(0.0) += interval.millijoules;
    if interval.to.0 - interval.from.0 > LONGEST_US {
        device.unattributed_mj += interval.millijoules;
        return Shares::default();
    }
    let shares = share(interval, idle_watts, works);
    device.idle_mj += shares.idle;
    device.unattributed_mj += shares.unattributed;
    device.requests_mj += shares.each.iter().sum::<f64>();
    shares
}

/// Tells requests their shares. Several devices tell of the same time: one of them says how much of it is covered, and
/// who kept whom company.
pub(super) fn tell_shares(flying: &mut [&mut Flown], interval: &Interval, shares: &Shares, covers: bool) {
    let times: Vec<(Timestamp, Timestamp)> =
        flying.iter().map(|one| (one.work.sent.max(interval.from), one.work.end.min(interval.to))).collect();
    for (place, (flown, part)) in flying.iter_mut().zip(&shares.each).enumerate() {
        flown.millijoules += part;
        flown.by_tokens += if shares.by_tokens { *part } else { 0.0 };
        if covers {
            let (from, to) = times[place];
            let common = times.iter().map(|(begin, end)| to.min(*end).micros_since(from.max(*begin))).sum::<u64>();
            flown.covered_s += flown.work.within(interval.from, interval.to);
            flown.company += seconds(common);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "an interval is short")]
const fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

/// Returns for how much of an entry's time any request was in flight, in seconds.
#[expect(clippy::cast_precision_loss, reason = "an entry is short")]
fn covered(entry: &Entry, flying: &[&mut Flown]) -> f64 {
    let mut times: Vec<(Timestamp, Timestamp)> =
        flying.iter().map(|flown| (flown.work.sent.max(entry.from), flown.work.end.min(entry.to))).collect();
    times.sort_unstable();
    let (mut covered, mut until) = (0, entry.from);
    for (from, to) in times {
        let from = from.max(until);
        if to > from {
            covered += to.micros_since(from);
            until = to;
        }
    }
    covered as f64 / 1e6
}

impl GpuReport {
    /// Adds a request of which nothing more is to come.
    fn take(&mut self, flown: &Flown) {
        self.requests += 1;
        self.request_s += flown.seconds();
        self.covered_s += flown.covered_s.min(flown.seconds());
        self.by_tokens_mj += flown.by_tokens;
        let of_model = self.models.entry(flown.model.to_string()).or_default();
        of_model.add(flown);
        self.steps.entry(flown.id.step.to_string()).or_default().add(flown);
    }
}
