//! From NVML's answers to [`Gpus`].
//! Reads: `libnvidia-ml.so.1`. Gives: plain data. Never: a failure for what one device does not support.
//! Start at [`probe`].

use std::collections::BTreeMap;

use nvml_wrapper::Nvml;
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::{MemoryInfo, ProcessInfo};

use super::{Driver, Gpu, GpuProcess, Gpus, Memory, Trouble};

const MIB: u64 = 1 << 20;

pub(super) fn probe() -> Gpus {
    let seen = Nvml::init().and_then(|nvml| look(&nvml));
    seen.unwrap_or_else(|error| explain(&error))
}

fn look(nvml: &Nvml) -> Result<Gpus, NvmlError> {
    let driver = Driver {
        name: "NVIDIA driver",
        version: nvml.sys_driver_version().ok(),
        cuda: nvml.sys_cuda_driver_version().ok().map(cuda_version),
    };
    let gpus = (0..nvml.device_count()?).map(|index| gpu(index, read(nvml, index)));
    Ok(Gpus::Found { driver, gpus: gpus.collect() })
}

/// What the driver said of one device; absent is what it did not.
#[derive(Default)]
struct Reading {
    trouble: Option<String>,
    mig: bool,
    name: Option<String>,
    memory: Option<MemoryInfo>,
    busy_percent: Option<u32>,
    computing: Option<Vec<ProcessInfo>>,
    drawing: Option<Vec<ProcessInfo>>,
}

fn read(nvml: &Nvml, index: u32) -> Reading {
    let device = match nvml.device_by_index(index) {
        Ok(device) => device,
        Err(error) => return Reading { trouble: Some(error.to_string()), ..Reading::default() },
    };
    Reading {
        trouble: None,
        mig: device.mig_mode().is_ok_and(|mode| mode.current == 1),
        name: device.name().ok(),
        memory: device.memory_info().ok(),
        busy_percent: device.utilization_rates().ok().map(|rates| rates.gpu),
        computing: device.running_compute_processes().ok(),
        drawing: device.running_graphics_processes().ok(),
    }
}

fn gpu(index: u32, reading: Reading) -> Gpu {
    let Reading { trouble, mig, name, memory, busy_percent, computing, drawing } = reading;
    let processes = match (computing, drawing) {
        (None, None) => None,
        (computing, drawing) => Some(processes(computing.into_iter().chain(drawing).flatten())),
    };
    Gpu {
        index,
        name: name.filter(|name| !name.is_empty()).unwrap_or_else(|| format!("GPU {index}")),
        memory: memory.map(|memory| Memory {
            total_mib: memory.total / MIB,
            used_mib: memory.used / MIB,
            free_mib: memory.free / MIB,
        }),
        busy_percent,
        processes,
        mig,
        trouble,
    }
}

// A process that computes and draws is in both lists, each time with all of its memory.
fn processes(infos: impl Iterator<Item = ProcessInfo>) -> Vec<GpuProcess> {
    let mut by_pid: BTreeMap<u32, Option<u64>> = BTreeMap::new();
    for info in infos {
        let mib = match info.used_gpu_memory {
            UsedGpuMemory::Unavailable => None,
            UsedGpuMemory::Used(bytes) => Some(bytes / MIB),
        };
        let held = by_pid.entry(info.pid).or_default();
        *held = mib.max(*held);
    }
    let mut processes: Vec<GpuProcess> = by_pid.into_iter().map(|(pid, mib)| GpuProcess { pid, mib }).collect();
    processes.sort_by_key(|process| std::cmp::Reverse(process.mib));
    processes
}

fn explain(error: &NvmlError) -> Gpus {
    Gpus::None { trouble: trouble(error), why: error.to_string() }
}

/// Tells what an error of the library as a whole is about.
pub(super) const fn trouble(error: &NvmlError) -> Trouble {
    match error {
        NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound => Trouble::NoDriver,
        NvmlError::DriverNotLoaded => Trouble::NotLoaded,
        NvmlError::LibRmVersionMismatch => Trouble::Mismatch,
        NvmlError::NoPermission => Trouble::Forbidden,
        _ => Trouble::Silent,
    }
}

// NVML writes 12.4 as 12040.
fn cuda_version(number: i32) -> String {
    format!("{}.{}", number / 1_000, number % 1_000 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, used_gpu_memory: UsedGpuMemory) -> ProcessInfo {
        ProcessInfo { pid, used_gpu_memory, gpu_instance_id: None, compute_instance_id: None }
    }

    #[test]
    fn a_reading_becomes_plain_numbers() {
        let reading = Reading {
            name: Some("NVIDIA GeForce RTX 3090".into()),
            memory: Some(MemoryInfo {
                free: 11_200 * MIB + 5,
                reserved: 300 * MIB,
                total: 24_576 * MIB,
                used: 13_076 * MIB,
                version: 2,
            }),
            busy_percent: Some(37),
            computing: Some(vec![
                process(40, UsedGpuMemory::Unavailable),
                process(41, UsedGpuMemory::Used(900 * MIB)),
                process(42, UsedGpuMemory::Used(11_000 * MIB)),
            ]),
            drawing: Some(vec![process(41, UsedGpuMemory::Used(901 * MIB))]),
            ..Reading::default()
        };
        let expected = Gpu {
            index: 1,
            name: "NVIDIA GeForce RTX 3090".into(),
            memory: Some(Memory { total_mib: 24_576, used_mib: 13_076, free_mib: 11_200 }),
            busy_percent: Some(37),
            processes: Some(vec![
                GpuProcess { pid: 42, mib: Some(11_000) },
                GpuProcess { pid: 41, mib: Some(901) },
                GpuProcess { pid: 40, mib: None },
            ]),
            mig: false,
            trouble: None,
        };
        assert_eq!(gpu(1, reading), expected);
    }

    #[test]
    fn what_the_driver_does_not_tell_is_absent() {
        let unknown = gpu(0, Reading::default());
        assert_eq!(
            (&*unknown.name, unknown.memory, unknown.busy_percent, unknown.processes),
            ("GPU 0", None, None, None)
        );
        let idle = gpu(0, Reading { computing: Some(Vec::new()), ..Reading::default() });
        assert_eq!(idle.processes, Some(Vec::new()));
    }

    #[test]
    fn no_driver_is_told_from_a_driver_that_does_not_answer() {
        let of = |error: &NvmlError| trouble(error).word();
        assert_eq!(of(&NvmlError::LibraryNotFound), "no_driver");
        assert_eq!(of(&NvmlError::DriverNotLoaded), "driver_not_loaded");
        assert_eq!(of(&NvmlError::LibRmVersionMismatch), "version_mismatch");
        assert_eq!(of(&NvmlError::NoPermission), "no_permission");
        assert_eq!(of(&NvmlError::Unknown), "unusable");
    }

    #[test]
    fn cuda_versions_read_as_people_write_them() {
        assert_eq!(cuda_version(12_040), "12.4");
        assert_eq!(cuda_version(13_000), "13.0");
    }
}
