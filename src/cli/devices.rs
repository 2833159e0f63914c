//! Graphics devices as people and programs read them.

use serde_json::{Value, json};

use crate::gpu::{Driver, Gpu, Gpus};
use crate::report::grouped;

/// Says what a probe found, one line each: the driver or why there is none, then the devices.
pub(super) fn lines(gpus: &Gpus) -> Vec<String> {
    match gpus {
        Gpus::NotBuiltIn => vec!["this pipe was built without a look at devices (feature `gpu`)".to_owned()],
        Gpus::None { trouble, why } => vec![format!("{}: {why}", trouble.says())],
        Gpus::Found { driver, gpus } => {
            let mut lines = vec![driver_line(driver, gpus.len())];
            lines.extend(gpus.iter().map(device_line));
            lines
        }
    }
}

fn driver_line(driver: &Driver, devices: usize) -> String {
    let version = driver.version.as_deref().unwrap_or("of unknown version");
    let cuda = driver.cuda.as_ref().map_or(String::new(), |cuda| format!(", CUDA up to {cuda}"));
    let devices = match devices {
        0 => "no device".to_owned(),
        1 => "1 device".to_owned(),
        count => format!("{count} devices"),
    };
    format!("{} {version}{cuda}, {devices}", driver.name)
}

fn device_line(gpu: &Gpu) -> String {
    let mut parts = vec![format!("{}: {}", gpu.index, gpu.name)];
    parts.extend(gpu.trouble.as_ref().map(|trouble| format!("the driver does not open it ({trouble})")));
    if gpu.mig {
        parts.push("cut into instances (MIG)".to_owned());
    }
    if let Some(memory) = gpu.memory {
        parts.push(format!("{} of {} MiB free", grouped(memory.free_mib), grouped(memory.total_mib)));
    }
    if let Some(busy) = gpu.busy_percent {
        parts.push(format!("{busy} % busy"));
    }
    for process in gpu.processes.iter().flatten() {
        let held = process.mib.map_or_else(|| "memory".to_owned(), |mib| format!("{} MiB", grouped(mib)));
        parts.push(format!("process {} holds {held}", process.pid));
    }
    parts.join(", ")
}

/// Returns what a probe found, for programs.
pub(super) fn to_json(gpus: &Gpus) -> Value {
    match gpus {
        Gpus::NotBuiltIn => json!({ "state": "not_built_in" }),
        Gpus::None { trouble, why } => json!({ "state": trouble.word(), "why": why, "remedy": trouble.remedy() }),
        Gpus::Found { driver, gpus } => json!({
            "state": "found",
            "driver": driver.version,
            "cuda": driver.cuda,
            "devices": gpus.iter().map(device_json).collect::<Vec<_>>(),
        }),
    }
}

fn device_json(gpu: &Gpu) -> Value {
    let process = |process: &crate::gpu::GpuProcess| json!({ "pid": process.pid, "mib": process.mib });
    json!({
        "index": gpu.index,
        "name": gpu.name,
        "mig": gpu.mig,
        "trouble": gpu.trouble,
        "total_mib": gpu.memory.map(|memory| memory.total_mib),
        "used_mib": gpu.memory.map(|memory| memory.used_mib),
        "free_mib": gpu.memory.map(|memory| memory.free_mib),
        "busy_percent": gpu.busy_percent,
        "processes": gpu.processes.as_ref().map(|list| list.iter().map(process).collect::<Vec<_>>()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::{GpuProcess, Memory, Trouble};

    #[test]
    fn devices_are_said_with_what_is_known_of_them() {
        let known = Gpu {
            index: 0,
            name: "NVIDIA GeForce RTX 3090".to_owned(),
            memory: Some(Memory { total_mib: 24_576, used_mib: 1_024, free_mib: 23_000 }),
            busy_percent: Some(7),
            processes: Some(vec![GpuProcess { pid: 42, mib: Some(1_000) }, GpuProcess { pid: 43, mib: None }]),
            mig: false,
            trouble: None,
        };
        let unknown = Gpu {
            index: 1,
            name: "GPU 1".to_owned(),
            memory: None,
            busy_percent: None,
            processes: None,
            mig: true,
            trouble: None,
        };
        let driver =
            Driver { name: "NVIDIA driver", version: Some("550.54.15".to_owned()), cuda: Some("12.4".to_owned()) };
        let found = Gpus::Found { driver, gpus: vec![known, unknown] };
        assert_eq!(
            lines(&found),
            [
                "NVIDIA driver 550.54.15, CUDA up to 12.4, 2 devices",
                "0: NVIDIA GeForce RTX 3090, 23,000 of 24,576 MiB free, 7 % busy, process 42 holds 1,000 MiB, process \
                 43 holds memory",
                "1: GPU 1, cut into instances (MIG)",
            ]
        );
        assert_eq!(to_json(&found)["devices"][0]["free_mib"], 23_000);
        let none = Gpus::None { trouble: Trouble::NoDriver, why: "libnvidia-ml.so.1 is not there".to_owned() };
        assert_eq!(lines(&none), ["no NVIDIA driver: libnvidia-ml.so.1 is not there"]);
        assert_eq!(to_json(&none)["state"], "no_driver");
    }
}
