//! One device over the time of a run: what it used, when it computed, what polling would have missed.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::causes::Cause;
use crate::base::Timestamp;
use crate::event::{GpuCan, GpuDevice, GpuSample, GpuUser};

/// Gaps that are told, the longest.
const MOST_GAPS: usize = 5;
/// What is idle for less is no gap.
const SHORTEST_GAP_S: f64 = 1.0;
/// A process that holds less serves no model.
pub(super) const LEAST_HELD: u64 = 256 << 20;

/// A time in which a device computed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gap {
    /// From when.
    pub at: Timestamp,
    /// For how long.
    pub seconds: f64,
    /// What held for most of it.
    pub cause: Cause,
}

/// What a process did on a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProcessReport {
    /// Its name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
    /// Looks that saw it computing.
    pub computing: u32,
    /// The most that it held, in bytes.
    pub held: Option<u64>,
    /// The sum of its shares, in percent.
    pub percent: u64,
}

/// What a device did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DeviceReport {
    /// Its UUID.
    pub id: String,
    /// Its place in the driver's order.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// It is cut into instances, or is one.
    pub mig: bool,
    /// Of an instance: the device that it is a part of.
    pub parent: Option<String>,
    /// It has no ring: bursts between two looks are not seen.
    pub polled: bool,
    /// What its driver told of it.
    pub sampled: Vec<GpuCan>,
    /// For how long it was sampled.
    pub seconds: f64,
    /// For how long the ring tells whether it computed.
    pub known_s: f64,
    /// For how long of that it computed.
    pub busy_s: f64,
    /// For how long of `known_s` requests were in flight.
    pub flight_s: f64,
    /// For how long of `flight_s` it computed.
    pub flight_busy_s: f64,
    /// How long it was idle, by why nothing ran.
    pub idle_s: BTreeMap<Cause, f64>,
    /// Its longest gaps.
    pub gaps: Vec<Gap>,
    /// Times of computing that lie between two looks a second apart which both saw nothing.
    pub hidden_bursts: u64,
    /// For how long it computed in them.
    pub hidden_s: f64,
    /// Looks once a second.
    pub polls: u64,
    /// Those that would have seen it idle.
    pub idle_polls: u64,
    /// What the counter went up by, in millijoules; absent where there is none.
    pub millijoules: Option<f64>,
    /// Of that: what it uses when idle.
    pub idle_mj: f64,
    /// Of that: used while nobody was in flight.
    pub unattributed_mj: f64,
    /// Of that: told to requests.
    pub requests_mj: f64,
    /// What it uses when idle, in watts, where the run had ten quiet seconds.
    pub idle_watts: Option<f64>,
    /// The half of the counter's changes are closer than this, in milliseconds.
    pub counter_ms: Option<f64>,
    /// The most power that was read, in watts.
    pub most_watts: Option<f64>,
    /// The most memory in use, in bytes.
    pub memory: Option<u64>,
    /// The least memory in use, in bytes.
    pub least_memory: Option<u64>,
    /// All of its memory, in bytes.
    pub memory_total: Option<u64>,
    /// The highest temperature.
    pub celsius: Option<u32>,
    /// For how long its clocks were held down, by why.
    pub throttled_s: BTreeMap<&'static str, f64>,
    /// What processes did.
    pub processes: BTreeMap<u32, ProcessReport>,
    /// Looks at processes.
    pub looks: u32,
    /// Another process than the one that computed most computed, too: energy is an upper bound.
    pub foreign: bool,
    /// How often readings were missed.
    pub holes: u64,
    /// When it was lost.
    pub lost: Option<Timestamp>,
}

/// Follows gaps and bursts, between two entries of the ring.
#[derive(Debug, Default)]
pub(super) struct Rhythm {
    gap: Option<(Timestamp, f64, BTreeMap<Cause, f64>)>,
    last_poll: Option<u32>,
    since_poll: (u64, f64),
    was_busy: bool,
}

impl DeviceReport {
    pub(super) fn of(device: &GpuDevice) -> Self {
        Self {
            id: device.id.to_string(),
            index: device.index,
            name: device.name.clone(),
            mig: device.mig,
            parent: device.parent.as_deref().map(str::to_owned),
            polled: device.polled,
            sampled: device.can.clone(),
            memory_total: device.memory,
            ..Self::default()
        }
    }

    /// Takes what a sample says beside counter and ring.
    #[expect(clippy::cast_precision_loss, reason = "microseconds and milliwatts are small")]
    pub(super) fn add(&mut self, sample: &GpuSample) {
        let seconds = sample.until.micros_since(sample.at) as f64 / 1e6;
        self.seconds += seconds;
        self.holes += u64::from(sample.holes);
        self.celsius = self.celsius.max(sample.celsius);
        self.memory = self.memory.max(sample.memory);
        self.least_memory = match (self.least_memory, sample.memory) {
            (Some(least), Some(now)) => Some(least.min(now)),
            (least, now) => least.or(now),
        };
        if let Some(watts) = sample.power_mw.map(|power| f64::from(power) / 1e3) {
            self.most_watts = Some(self.most_watts.map_or(watts, |most| most.max(watts)));
        }
        for why in &sample.throttled {
            *self.throttled_s.entry(why.word()).or_default() += seconds;
        }
        if sample.lost {
            self.lost = Some(sample.until);
        }
        if let Some(users) = &sample.users {
            self.look(users);
        }
    }

    fn look(&mut self, users: &[GpuUser]) {
        self.looks += 1;
        let computing = users.iter().filter(|GpuUser(_, _, percent, _)| percent.is_some_and(|percent| percent > 0));
        self.foreign |= computing.count() > 1;
        for GpuUser(pid, held, percent, name) in users {
            let process = self.processes.entry(*pid).or_default();
            process.name = name.clone().or(process.name.take());
            process.held = process.held.max(*held);
            process.percent += u64::from(percent.unwrap_or(0));
            process.computing += u32::from(percent.is_some_and(|percent| percent > 0));
        }
    }

    /// Takes an entry of the ring: `covered_s` of its time requests were in flight, else `cause` held.
    pub(super) fn compute(&mut self, rhythm: &mut Rhythm, entry: &Entry, covered_s: f64, cause: Cause) {
        let seconds = entry.seconds();
        let share = f64::from(entry.percent.min(100)) / 100.0;
        self.known_s += seconds;
        self.busy_s += seconds * share;
        self.flight_s += covered_s;
        // What a device does, it does for those in flight, as far as their time goes.
        let of_flights = (seconds * share).min(covered_s);
        self.flight_busy_s += of_flights;
        let (flight_idle, other_idle) =
            (covered_s - of_flights, (seconds - covered_s) - (seconds * share - of_flights));
        if flight_idle > 0.0 {
            *self.idle_s.entry(Cause::InFlight).or_default() += flight_idle;
        }
        if other_idle > 0.0 {
            *self.idle_s.entry(cause).or_default() += other_idle;
        }
        self.poll(rhythm, entry);
        if entry.percent > 0 {
            self.end_gap(rhythm);
            return;
        }
        let gap = rhythm.gap.get_or_insert_with(|| (entry.from, 0.0, BTreeMap::new()));
        gap.1 += seconds;
        *gap.2.entry(Cause::InFlight).or_default() += covered_s;
        *gap.2.entry(cause).or_default() += seconds - covered_s;
    }

    /// Closes the gap that goes on, if one does.
    pub(super) fn end_gap(&mut self, rhythm: &mut Rhythm) {
        let Some((at, seconds, causes)) = rhythm.gap.take().filter(|gap| gap.1 >= SHORTEST_GAP_S) else { return };
        let cause = causes.into_iter().max_by(|one, other| one.1.total_cmp(&other.1));
        let cause = cause.map_or(Cause::NothingToAsk, |(cause, _)| cause);
        self.gaps.push(Gap { at, seconds, cause });
        self.gaps.sort_by(|one, other| other.seconds.total_cmp(&one.seconds).then(one.at.cmp(&other.at)));
        self.gaps.truncate(MOST_GAPS);
    }

    /// Looks once a second, as people do, and counts what lies between two looks that see nothing.
    fn poll(&mut self, rhythm: &mut Rhythm, entry: &Entry) {
        if entry.percent > 0 {
            rhythm.since_poll.0 += u64::from(!rhythm.was_busy);
            rhythm.since_poll.1 += entry.seconds() * f64::from(entry.percent) / 100.0;
        }
        rhythm.was_busy = entry.percent > 0;
        let seconds = entry.to.0.div_euclid(1_000_000) - entry.from.0.div_euclid(1_000_000);
        for _ in 0..seconds {
            self.polls += 1;
            self.idle_polls += u64::from(entry.percent == 0);
            let (bursts, busy_s) = std::mem::take(&mut rhythm.since_poll);
            if rhythm.last_poll == Some(0) && entry.percent == 0 {
                self.hidden_bursts += bursts;
                self.hidden_s += busy_s;
            }
            rhythm.last_poll = Some(entry.percent);
        }
    }
}

/// An entry of the ring, with the time that it tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) percent: u32,
}

impl Entry {
    #[expect(clippy::cast_precision_loss, reason = "an entry is short")]
    pub(super) fn seconds(&self) -> f64 {
        self.to.micros_since(self.from) as f64 / 1e6
    }
}
