//! The words for devices. What the driver does not tell is absent, never zero.

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gpus {
    /// This build cannot look: the feature `gpu` is off.
    NotBuiltIn,
    /// There is no NVIDIA driver, as on most machines.
    NoDriver {
        /// What looking for it met.
        why: String,
    },
    /// There is a driver, and it does not answer.
    Unusable {
        /// What it said.
        why: String,
    },
    /// The driver answers; there may still be no device.
    Found {
        /// The driver.
        driver: Driver,
        /// Its devices, by index.
        gpus: Vec<Gpu>,
    },
}

/// The driver that answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Driver {
    /// Such as `550.54.15`.
    pub version: Option<String>,
    /// The newest CUDA that it serves, such as `12.4`.
    pub cuda: Option<String>,
}

/// One device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Its place in the driver's order, from 0.
    pub index: u32,
    /// Its name, such as `NVIDIA GeForce RTX 3090`; `GPU 0` where the driver gives none.
    pub name: String,
    /// Its memory.
    pub memory: Option<Memory>,
    /// The share of the last sampling period in which it computed, in percent.
    pub busy_percent: Option<u32>,
    /// Processes that hold memory on it, the largest first; none when the driver does not tell.
    pub processes: Option<Vec<GpuProcess>>,
}

/// A device's memory, in MiB, rounded down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// In all.
    pub total_mib: u64,
    /// Held by processes.
    pub used_mib: u64,
    /// Left; less than total minus used, for the driver keeps some to itself.
    pub free_mib: u64,
}

/// A process that holds memory on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuProcess {
    /// Its number, as the driver sees it: inside a container that may be the host's.
    pub pid: u32,
    /// How much it holds, in MiB; none where the driver does not tell.
    pub mib: Option<u64>,
}
