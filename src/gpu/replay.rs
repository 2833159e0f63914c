//! A recording of devices, played back from the moment that it is opened: for tests, and for looking at what another
//! machine's devices did.
//!
//! The file is JSON, one object a line:
//!
//! ```text
//! {"replay":1,"driver":"550.54.15","loop_ms":60000}           first; loop_ms is optional: from then on, again
//! {"gpu":0,"id":"GPU-7f0c","name":"NVIDIA L4","memory_mib":23034}      each device, in the driver's order
//! {"gpu":1,"id":"MIG-1","name":"…","mig":true,"parent":"GPU-9"}         an instance, or a device cut into some
//! {"ms":0,"gpu":0,"energy_mj":0,"power_mw":16000,"memory_mib":2,"celsius":41,"busy":0}
//! {"ms":100,"gpu":0,"energy_mj":1650,"busy":40}               what was read at a moment; what is not said stays
//! {"ms":200,"gpu":0,"throttled":["power"],"users":[[4242,9000,93,"vllm"]]}   process, MiB, percent, name
//! {"ms":900,"gpu":0,"lost":true}                              nothing more comes of it
//! ```
//!
//! `busy` is one entry of the ring, the rest are readings that hold until the next. A reading that a device never tells
//! in its file is one that it cannot tell. `{"replay":1,"unavailable":"no driver"}` plays a machine without devices.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use serde::Deserialize;

use super::source::{Busy, Fault, Source, Unavailable, nameless};
use crate::event::{GpuDevice, GpuUser, Throttle};

const MIB: u64 = 1 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    replay: u32,
    driver: Option<String>,
    loop_ms: Option<i64>,
    unavailable: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceLine {
    gpu: usize,
    id: Option<String>,
    name: String,
    memory_mib: Option<u64>,
    #[serde(default)]
    mig: bool,
    parent: Option<String>,
}

/// A process, MiB held, percent of the time, its name.
#[derive(Clone, Deserialize)]
struct UserLine(u32, Option<u64>, Option<u32>, #[serde(default)] Option<String>);

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reading {
    ms: i64,
    gpu: usize,
    energy_mj: Option<u64>,
    busy: Option<u32>,
    power_mw: Option<u32>,
    memory_mib: Option<u64>,
    celsius: Option<u32>,
    throttled: Option<Vec<Throttle>>,
    users: Option<Vec<UserLine>>,
    #[serde(default)]
    lost: bool,
}

/// What time it is for a recording, in microseconds from its start.
enum Elapsed {
    /// As it passes.
    Real(Instant),
    /// As somebody says.
    Told(Arc<AtomicI64>),
}

/// A recording.
pub struct Replay {
    devices: Vec<GpuDevice>,
    readings: Vec<Vec<Reading>>,
    loop_ms: Option<i64>,
    elapsed: Elapsed,
}

impl Replay {
    /// Opens a file; its time starts now.
    ///
    /// # Errors
    /// It cannot be read, is no recording, or says that there are no devices.
    pub fn open(path: &Path) -> Result<Self, Unavailable> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| Unavailable::new(format!("{}: {error}", path.display())))?;
        Self::read(&text, Elapsed::Real(Instant::now())).map_err(|error| match error {
            Trouble::Unavailable(why) => Unavailable::new(why),
            Trouble::Line(line, why) => Unavailable::new(format!("{}:{line}: {why}", path.display())),
        })
    }

    /// Reads a recording whose time is told, in microseconds.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn at_times(text: &str, elapsed_us: Arc<AtomicI64>) -> Result<Self, Unavailable> {
        Self::read(text, Elapsed::Told(elapsed_us)).map_err(|error| match error {
            Trouble::Unavailable(why) => Unavailable::new(why),
            Trouble::Line(line, why) => Unavailable::new(format!("line {line}: {why}")),
        })
    }

    fn read(text: &str, elapsed: Elapsed) -> Result<Self, Trouble> {
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let wrong = |line: usize, error: &serde_json::Error| Trouble::Line(line + 1, error.to_string());
        let (at, first) = lines.next().ok_or_else(|| Trouble::Line(1, "a recording begins with its head".into()))?;
        let head: Head = serde_json::from_str(first).map_err(|error| wrong(at, &error))?;
        if head.replay != 1 {
            return Err(Trouble::Line(at + 1, format!("recordings of version {} are unknown", head.replay)));
        }
        if let Some(why) = head.unavailable {
            return Err(Trouble::Unavailable(why));
        }
        let (mut devices, mut readings): (Vec<GpuDevice>, Vec<Vec<Reading>>) = (Vec::new(), Vec::new());
        for (at, line) in lines {
            let value: serde_json::Value = serde_json::from_str(line).map_err(|error| wrong(at, &error))?;
            if value.get("name").is_some() {
                let line: DeviceLine = serde_json::from_value(value).map_err(|error| wrong(at, &error))?;
                if line.gpu != devices.len() {
                    return Err(Trouble::Line(at + 1, format!("device {} comes next", devices.len())));
                }
                devices.push(line.device(head.driver.clone()));
                readings.push(Vec::new());
                continue;
            }
            let reading: Reading = serde_json::from_value(value).map_err(|error| wrong(at, &error))?;
            let Some(of_device) = readings.get_mut(reading.gpu) else {
                return Err(Trouble::Line(at + 1, format!("device {} was not introduced", reading.gpu)));
            };
            if of_device.last().is_some_and(|last| last.ms > reading.ms) {
                return Err(Trouble::Line(at + 1, "readings stand in the order of time".to_owned()));
            }
            of_device.push(reading);
        }
        Ok(Self { devices, readings, loop_ms: head.loop_ms.filter(|ms| *ms > 0), elapsed })
    }

    fn now_us(&self) -> i64 {
        match &self.elapsed {
            Elapsed::Real(since) => i64::try_from(since.elapsed().as_micros()).unwrap_or(i64::MAX),
            Elapsed::Told(us) => us.load(Ordering::Relaxed),
        }
    }

    /// Returns how often the recording has been played, and how far it is, in milliseconds.
    fn position(&self, us: i64) -> (i64, i64) {
        let ms = us / 1_000;
        self.loop_ms.map_or((0, ms), |whole| (ms / whole, ms % whole))
    }

    /// Returns the newest of a reading.
    fn latest<T>(&self, place: usize, get: impl Fn(&Reading) -> Option<T>) -> Result<T, Fault> {
        let (_, ms) = self.position(self.now_us());
        let readings = &self.readings[place];
        if readings.iter().any(|reading| reading.lost && reading.ms <= ms) {
            return Err(Fault::Lost);
        }
        let told = || readings.iter().filter_map(|reading| Some((reading.ms, get(reading)?)));
        let until_now = told().take_while(|(at, _)| *at <= ms).last();
        // Before the first: what it will be.
        let found = until_now.or_else(|| told().next());
        found.map(|(_, value)| value).ok_or(Fault::Unsupported)
    }
}

impl DeviceLine {
    fn device(self, driver: Option<String>) -> GpuDevice {
        let index = u32::try_from(self.gpu).unwrap_or(u32::MAX);
        GpuDevice {
            driver,
            memory: self.memory_mib.map(|mib| mib * MIB),
            mig: self.mig,
            parent: self.parent.map(Arc::from),
            ..GpuDevice::named(self.id.map_or_else(|| nameless(index), Arc::from), index, self.name)
        }
    }
}

enum Trouble {
    Unavailable(String),
    Line(usize, String),
}

impl Source for Replay {
    fn name(&self) -> &'static str {
        "replay"
    }

    fn devices(&mut self) -> Result<Vec<GpuDevice>, Unavailable> {
        Ok(self.devices.clone())
    }

    fn clock_us(&self) -> i64 {
        self.now_us()
    }

    fn energy_mj(&mut self, place: usize) -> Result<u64, Fault> {
        let now = self.latest(place, |reading| reading.energy_mj)?;
        let (rounds, _) = self.position(self.now_us());
        let mut told = self.readings[place].iter().filter_map(|reading| reading.energy_mj);
        let first = told.next().unwrap_or(now);
        let whole = told.next_back().unwrap_or(first).saturating_sub(first);
        Ok(now + whole * u64::try_from(rounds).unwrap_or(0))
    }

    fn busy(&mut self, place: usize, after_us: i64) -> Result<Vec<Busy>, Fault> {
        // Fails where the device is lost or tells no such thing.
        self.latest(place, |reading| reading.busy)?;
        let now = self.now_us();
        let ((first, _), (last, _)) = (self.position(after_us.max(0)), self.position(now));
        let whole = self.loop_ms.unwrap_or(0);
        let rounds = (first..=last).flat_map(|round| {
            let told = self.readings[place].iter().filter_map(|reading| Some((reading.ms, reading.busy?)));
            told.filter(move |(ms, _)| whole == 0 || *ms < whole)
                .map(move |(ms, percent)| Busy { at_us: (round * whole + ms) * 1_000, percent })
        });
        Ok(rounds.filter(|entry| entry.at_us > after_us && entry.at_us <= now).collect())
    }

    fn power_mw(&mut self, place: usize) -> Result<u32, Fault> {
        self.latest(place, |reading| reading.power_mw)
    }

    fn memory(&mut self, place: usize) -> Result<u64, Fault> {
        self.latest(place, |reading| reading.memory_mib).map(|mib| mib * MIB)
    }

    fn users(&mut self, place: usize) -> Result<Vec<GpuUser>, Fault> {
        let users = self.latest(place, |reading| reading.users.clone())?;
        Ok(users
            .into_iter()
            .map(|UserLine(pid, mib, percent, name)| {
                GpuUser(pid, mib.map(|mib| mib * MIB), percent, name.map(Arc::from))
            })
            .collect())
    }

    fn celsius(&mut self, place: usize) -> Result<u32, Fault> {
        self.latest(place, |reading| reading.celsius)
    }

    fn throttled(&mut self, place: usize) -> Result<Vec<Throttle>, Fault> {
        self.latest(place, |reading| reading.throttled.clone())
    }
}
