//! What is kept of the graphics devices beside a run: their identity, and samples in a table of their own.
//!
//! None of it is an [`super::Event`]: no decision rests on it, and the engine never reads it. What is known once, at the
//! start, stands in [`GpuSeen`].

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{BackendName, Timestamp};

/// What was found of devices when a run began, where it was looked for: with a backend on this machine, or as asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuSeen {
    /// Why nothing is sampled; absent when there are devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The backends whose calls the devices are taken to work on.
    pub backends: Vec<BackendName>,
}

/// Something that is sampled on a device, where its driver tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GpuCan {
    /// The counter of energy.
    Energy,
    /// The ring of shares of time in which it computed.
    Busy,
    /// Power now.
    Power,
    /// Memory in use.
    Memory,
    /// Who holds memory and computes.
    Processes,
    /// Its temperature.
    Temperature,
    /// Why its clocks are held down.
    Throttling,
}

/// A device as it introduces itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuDevice {
    /// Its UUID, or what stands for one.
    pub id: Arc<str>,
    /// Its place in the driver's order, from 0.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// The driver's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// All of its memory, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// It is cut into instances (MIG), or is one: only memory is told of it, and no call is told its energy.
    #[serde(default)]
    pub mig: bool,
    /// Of an instance: the device that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Arc<str>>,
    /// Who made it; absent is NVIDIA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// It has no ring: what it does is looked at some times a second, and bursts between two looks are not seen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub polled: bool,
    /// What is sampled.
    pub can: Vec<GpuCan>,
}

impl GpuDevice {
    /// Returns one of NVIDIA of which nothing more is known, and nothing sampled.
    #[must_use]
    pub fn named(id: Arc<str>, index: u32, name: impl Into<String>) -> Self {
        Self {
            id,
            index,
            name: name.into(),
            driver: None,
            memory: None,
            mig: false,
            parent: None,
            vendor: None,
            polled: false,
            can: Vec::new(),
        }
    }

    /// Returns one for tests that tells its energy and when it computes.
    #[cfg(test)]
    pub(crate) fn for_tests(id: &str) -> Self {
        let (driver, memory) = (Some("550.54.15".to_owned()), Some(24 << 30));
        let can = vec![GpuCan::Energy, GpuCan::Busy];
        Self { driver, memory, can, ..Self::named(Arc::from(id), 0, "NVIDIA L4") }
    }
}

/// Why a device's clocks are held down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Throttle {
    /// It draws as much power as it may.
    Power,
    /// It is too hot.
    Heat,
    /// The power supply asks for less.
    PowerBrake,
    /// The hardware slows down for another reason.
    Hardware,
    /// Another device of its group is slow.
    SyncBoost,
}

impl Throttle {
    /// Names it, as the journal does.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Power => "power",
            Self::Heat => "heat",
            Self::PowerBrake => "power_brake",
            Self::Hardware => "hardware",
            Self::SyncBoost => "sync_boost",
        }
    }
}

/// A process on a device: its number as the driver sees it, bytes held, percent of time in which it computed, and its name
/// where this machine has a process of that number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuUser(
    pub u32,
    pub Option<u64>,
    pub Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")] pub Option<Arc<str>>,
);

/// About a second of a device.
///
/// Readings stand with their distance from `at` in microseconds. What the driver does not tell is absent, never zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuSample {
    /// Which device.
    pub device: Arc<str>,
    /// From when.
    pub at: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// The counter of energy in millijoules, each time that it had moved, and the first time.
    pub energy: Vec<(i64, u64)>,
    /// Percent of the time since the entry before in which it computed; entries may lie a little before `at`.
    pub busy: Vec<(i64, u32)>,
    /// In milliwatts.
    pub power_mw: Option<u32>,
    /// In use, in bytes.
    pub memory: Option<u64>,
    /// In degrees Celsius.
    pub celsius: Option<u32>,
    /// Why its clocks are held down.
    pub throttled: Vec<Throttle>,
    /// Who uses it, looked at every few seconds.
    pub users: Option<Vec<GpuUser>>,
    /// How often readings were missed.
    pub holes: u32,
    /// The device is lost: this is the last of it.
    pub lost: bool,
}

impl GpuSample {
    /// Returns a sample without a reading.
    #[must_use]
    pub const fn empty(device: Arc<str>, at: Timestamp) -> Self {
        Self {
            device,
            at,
            until: at,
            energy: Vec::new(),
            busy: Vec::new(),
            power_mw: None,
            memory: None,
            celsius: None,
            throttled: Vec::new(),
            users: None,
            holes: 0,
            lost: false,
        }
    }
}

/// What a sampler has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sampled {
    /// A device, before its first sample.
    Device(GpuDevice),
    /// A sample.
    Sample(GpuSample),
}
