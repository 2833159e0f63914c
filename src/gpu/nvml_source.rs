//! Devices sampled through NVML, whose library is loaded at run time.
//!
//! A handle is looked up for each reading: it borrows from the library, and costs nothing beside the call itself.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Sampling, TemperatureSensor};
use nvml_wrapper::enums::device::{SampleValue, UsedGpuMemory};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

use super::Trouble;
use super::nvml::trouble;
use super::source::{Busy, Fault, Source, Unavailable, nameless};
use crate::event::{GpuDevice, GpuUser, Throttle};

/// The driver.
pub(super) struct NvmlSource {
    nvml: Nvml,
    /// Where each device is found: its number, and that of the instance of it.
    places: Vec<(u32, Option<u32>)>,
    /// Until when the shares of processes are known, on the driver's clock.
    users_seen: Vec<u64>,
}

impl NvmlSource {
    /// Loads the library.
    ///
    /// # Errors
    /// There is none, no driver, or one that does not answer.
    pub(super) fn open() -> Result<Self, Unavailable> {
        let nvml = Nvml::init().map_err(|error| unavailable(&error))?;
        Ok(Self { nvml, places: Vec::new(), users_seen: Vec::new() })
    }

    fn device(&self, place: usize) -> Result<Device<'_>, NvmlError> {
        let (index, instance) = self.places[place];
        let device = self.nvml.device_by_index(index)?;
        instance.map_or(Ok(device), |instance| self.nvml.device_by_index(index)?.mig_device_by_index(instance))
    }

    fn read<'s, T>(
        &'s self,
        place: usize,
        get: impl FnOnce(&Device<'s>) -> Result<T, NvmlError>,
    ) -> Result<T, Fault> {
        self.device(place).and_then(|device| get(&device)).map_err(|error| fault(&error))
    }

    fn introduce(&mut self, index: u32, driver: Option<&String>) -> Vec<GpuDevice> {
        let device = match self.nvml.device_by_index(index) {
            Ok(device) => device,
            // It is shown and not passed over: that it tells nothing, or is lost, is found when it is probed.
            Err(error) => {
                tracing::warn!(index, %error, "a graphics device does not answer");
                self.places.push((index, None));
                let name = "a device that the driver does not open";
                return vec![GpuDevice { driver: driver.cloned(), ..GpuDevice::named(nameless(index), index, name) }];
            }
        };
        let mig = device.mig_mode().is_ok_and(|mode| mode.current == 1);
        let id: Arc<str> = device.uuid().map_or_else(|_| nameless(index), Arc::from);
        let name = device.name().unwrap_or_else(|_| format!("GPU {index}"));
        let memory = device.memory_info().ok().map(|memory| memory.total);
        let whole = GpuDevice {
            driver: driver.cloned(),
            memory,
            mig,
            ..GpuDevice::named(Arc::clone(&id), index, name.clone())
        };
        let mut found = vec![whole];
        let mut places = vec![(index, None)];
        for number in 0..if mig { device.mig_device_count().unwrap_or(0) } else { 0 } {
            // Places may be empty: the count is of those that there could be.
            let Ok(instance) = device.mig_device_by_index(number) else { continue };
            let id_of = instance.uuid().map_or_else(|_| Arc::from(format!("MIG-{index}-{number}")), Arc::from);
            let name_of = instance.name().unwrap_or_else(|_| format!("{name}, instance {number}"));
            found.push(GpuDevice {
                driver: driver.cloned(),
                memory: instance.memory_info().ok().map(|memory| memory.total),
                mig: true,
                parent: Some(Arc::clone(&id)),
                ..GpuDevice::named(id_of, index, name_of)
            });
            places.push((index, Some(number)));
        }
        self.places.extend(places);
        found
    }
}

impl Source for NvmlSource {
    fn name(&self) -> &'static str {
        "nvml"
    }

    fn devices(&mut self) -> Result<Vec<GpuDevice>, Unavailable> {
        self.places.clear();
        let driver = self.nvml.sys_driver_version().ok();
        let count = self.nvml.device_count().map_err(|error| unavailable(&error))?;
        if count == 0 {
            return Err(Unavailable { why: Trouble::NoDevice.says().to_owned(), trouble: Some(Trouble::NoDevice) });
        }
        let mut devices = Vec::new();
        for index in 0..count {
            devices.extend(self.introduce(index, driver.as_ref()));
        }
        self.users_seen = vec![0; devices.len()];
        Ok(devices)
    }

    fn clock_us(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }

    fn energy_mj(&mut self, place: usize) -> Result<u64, Fault> {
        self.read(place, Device::total_energy_consumption)
    }

    fn busy(&mut self, place: usize, after_us: i64) -> Result<Vec<Busy>, Fault> {
        let after = u64::try_from(after_us).unwrap_or(0);
        let samples = match self.device(place).and_then(|device| device.samples(Sampling::GpuUtilization, after)) {
            Ok(samples) => samples,
            // Nothing newer.
            Err(NvmlError::NotFound | NvmlError::NoData) => Vec::new(),
            Err(error) => return Err(fault(&error)),
        };
        let mut entries: Vec<Busy> = samples
            .into_iter()
            // The ring is handed over with places that were never filled.
            .filter(|sample| sample.timestamp > after)
            .map(|sample| Busy {
                at_us: i64::try_from(sample.timestamp).unwrap_or(i64::MAX),
                percent: percent(&sample.value),
            })
            .collect();
        entries.sort_by_key(|entry| entry.at_us);
        Ok(entries)
    }

    fn power_mw(&mut self, place: usize) -> Result<u32, Fault> {
        self.read(place, Device::power_usage)
    }

    fn memory(&mut self, place: usize) -> Result<u64, Fault> {
        self.read(place, Device::memory_info).map(|memory| memory.used)
    }

    fn users(&mut self, place: usize) -> Result<Vec<GpuUser>, Fault> {
        let list = || self.device(place).and_then(|device| device.running_compute_processes());
        let holding = match list() {
            // Many started between the question how many there are and the one who they are.
            Err(NvmlError::InsufficientSize(_)) => list(),
            listed => listed,
        };
        let holding = holding.map_err(|error| fault(&error))?;
        let seen = self.users_seen[place];
        let shares = match self.device(place).and_then(|device| device.process_utilization_stats(seen)) {
            Ok(shares) => Some(shares),
            Err(NvmlError::NotFound | NvmlError::NoData) => Some(Vec::new()),
            Err(_) => None,
        };
        let newest = shares.iter().flatten().map(|share| share.timestamp).max();
        self.users_seen[place] = newest.unwrap_or(seen);
        let share = |pid: u32| {
            let of_process = shares.as_ref()?.iter().filter(|share| share.pid == pid && share.timestamp > seen);
            Some(of_process.map(|share| share.sm_util).max().unwrap_or(0))
        };
        let users = holding.into_iter().map(|process| {
            let bytes = match process.used_gpu_memory {
                UsedGpuMemory::Used(bytes) => Some(bytes),
                UsedGpuMemory::Unavailable => None,
            };
            GpuUser(process.pid, bytes, share(process.pid), command(process.pid))
        });
        Ok(users.collect())
    }

    fn celsius(&mut self, place: usize) -> Result<u32, Fault> {
        self.read(place, |device| device.temperature(TemperatureSensor::Gpu))
    }

    fn throttled(&mut self, place: usize) -> Result<Vec<Throttle>, Fault> {
        self.read(place, Device::current_throttle_reasons).map(reasons)
    }
}

/// Names a process, where this machine has one of that number: in a container the driver may count as its host does.
fn command(pid: u32) -> Option<Arc<str>> {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(Arc::from(name.trim_end()))
}

/// Returns those that explain a slow run: idle clocks and those that somebody set are none.
fn reasons(told: ThrottleReasons) -> Vec<Throttle> {
    let known = [
        (ThrottleReasons::SW_POWER_CAP, Throttle::Power),
        (ThrottleReasons::SW_THERMAL_SLOWDOWN | ThrottleReasons::HW_THERMAL_SLOWDOWN, Throttle::Heat),
        (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, Throttle::PowerBrake),
        (ThrottleReasons::HW_SLOWDOWN, Throttle::Hardware),
        (ThrottleReasons::SYNC_BOOST, Throttle::SyncBoost),
    ];
    known.into_iter().filter(|(bits, _)| told.intersects(*bits)).map(|(_, reason)| reason).collect()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "percent are between 0 and 100")]
fn percent(value: &SampleValue) -> u32 {
    let percent = match *value {
        SampleValue::U32(value) => value,
        SampleValue::U64(value) => u32::try_from(value).unwrap_or(100),
        SampleValue::I64(value) => u32::try_from(value).unwrap_or(0),
        SampleValue::F64(value) => value.clamp(0.0, 100.0) as u32,
    };
    percent.min(100)
}

fn unavailable(error: &NvmlError) -> Unavailable {
    let trouble = trouble(error);
    Unavailable { why: format!("{}: {error}", trouble.says()), trouble: Some(trouble) }
}

fn fault(error: &NvmlError) -> Fault {
    match error {
        NvmlError::NotSupported
        | NvmlError::NoPermission
        | NvmlError::FunctionNotFound
        | NvmlError::FailedToLoadSymbol(_) => Fault::Unsupported,
        NvmlError::GpuLost | NvmlError::ResetRequired => Fault::Lost,
        other => Fault::Failed(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_explains_a_slow_run_is_throttling() {
        let told = ThrottleReasons::GPU_IDLE | ThrottleReasons::SW_POWER_CAP | ThrottleReasons::HW_THERMAL_SLOWDOWN;
        assert_eq!(reasons(told), [Throttle::Power, Throttle::Heat]);
        assert!(reasons(ThrottleReasons::APPLICATIONS_CLOCKS_SETTING).is_empty());
    }

    #[test]
    fn what_a_device_never_tells_is_told_from_one_that_is_lost() {
        assert_eq!(fault(&NvmlError::NotSupported), Fault::Unsupported);
        assert_eq!(fault(&NvmlError::NoPermission), Fault::Unsupported);
        assert_eq!(fault(&NvmlError::GpuLost), Fault::Lost);
        assert!(matches!(fault(&NvmlError::Unknown), Fault::Failed(_)));
    }
}
