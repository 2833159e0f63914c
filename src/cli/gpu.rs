//! `pipe gpu`: the graphics devices of this machine; of a run, see [`super::gpu_run`].

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::exit::{CommandError, Exit};
use super::gpu_args::GpuArgs;
use super::printer::{BOLD, DIM, Printer, inert, paint};
use crate::event::{GpuDevice, GpuSample, GpuUser, Sampled};
use crate::gpu::{self, Gpus, SOURCE_VARIABLE, Sampler, Sampling, Unavailable};
use crate::journal::Home;
use crate::report::{grouped, height};
use crate::run::Clock;

/// Seconds that a sparkline tells of.
const REMEMBERED: usize = 60;
/// Messages that may wait to be drawn: some seconds of many devices.
const CHANNEL: usize = 64;
const MIB: u64 = 1 << 20;

/// Looks at the devices, or at what they did while a run went.
///
/// # Errors
/// There is no such run, or its journal cannot be read. A machine without a driver is none.
///
/// # Cancel safety
/// May be dropped at any time.
pub(super) async fn gpu(args: &GpuArgs, home: &Home, printer: &mut Printer) -> Result<Exit, CommandError> {
    match &args.run {
        Some(run) => super::gpu_run::of_run(run, args, home, printer),
        None => here(args, printer).await,
    }
}

async fn here(args: &GpuArgs, printer: &mut Printer) -> Result<Exit, CommandError> {
    let named = std::env::var(SOURCE_VARIABLE).ok().filter(|named| !named.is_empty());
    let clock = Clock::start(None);
    let opened = gpu::open(named.as_deref()).and_then(|source| {
        let name = source.name();
        Sampler::start(source, clock.now()).map(|(sampler, devices)| (name, sampler, devices))
    });
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    let (source, sampler, devices) = match opened {
        Ok(found) => found,
        Err(Unavailable { why }) => return none(&why, visible.as_deref(), args.json, printer),
    };
    let cuda = match gpu::probe() {
        Gpus::Found { driver, .. } if source == "nvml" => driver.cuda,
        _ => None,
    };
    let mut page = Page { source, cuda, visible, devices, latest: BTreeMap::new() };
    let is_live = !args.json && (args.watch || printer.out().is_terminal());
    let (sink, mut arriving) = mpsc::channel(CHANNEL);
    // Whoever is slow sees fewer of them.
    let sink = Box::new(move |done: Vec<Sampled>| drop(sink.try_send(done)));
    let sampling = Sampling::start(sampler, Box::new(move || clock.now()), sink)?;
    let mut drawn = 0;
    loop {
        tokio::select! {
            done = arriving.recv() => match done {
                Some(done) => page.take(done),
                None => break,
            },
            _ = tokio::signal::ctrl_c() => break,
        }
        if !page.is_whole() {
            continue;
        }
        if args.json {
            printer.line(&page.to_json().to_string())?;
            break;
        }
        let text = page.text();
        let back = match drawn {
            lines if lines > 0 && printer.out().is_terminal() => format!("\x1b[{lines}A\x1b[J"),
            _ => String::new(),
        };
        drawn = text.lines().count();
        printer.data(&format!("{back}{text}"))?;
        if !is_live {
            break;
        }
    }
    sampling.stop();
    Ok(Exit::Done)
}

/// Says that there is nothing to look at, why, and what to do.
fn none(why: &str, visible: Option<&str>, json: bool, printer: &mut Printer) -> Result<Exit, CommandError> {
    if json {
        let told = json!({ "available": false, "reason": why, "cuda_visible_devices": visible, "devices": [] });
        printer.line(&told.to_string())?;
        return Ok(Exit::Done);
    }
    printer.line(&inert(why))?;
    printer.line(&paint(
        DIM,
        "runs go on without: their journals have no samples.\n\
         With an NVIDIA device here: install its driver (`nvidia-smi` must work); in a container, start it with\n\
         --gpus all (docker) or the device plugin (Kubernetes): that brings libnvidia-ml.so.1.",
    ))?;
    Ok(Exit::Done)
}

/// What is drawn.
struct Page {
    source: &'static str,
    cuda: Option<String>,
    visible: Option<String>,
    devices: Vec<GpuDevice>,
    latest: BTreeMap<Arc<str>, Seen>,
}

/// What was seen of one device.
#[derive(Default)]
struct Seen {
    sample: Option<GpuSample>,
    users: Option<Vec<GpuUser>>,
    busy: VecDeque<Option<u32>>,
}

impl Page {
    fn take(&mut self, sampled: Vec<Sampled>) {
        for one in sampled {
            let Sampled::Sample(sample) = one else { continue };
            let seen = self.latest.entry(Arc::clone(&sample.device)).or_default();
            seen.busy.push_back(mean(&sample));
            if seen.busy.len() > REMEMBERED {
                seen.busy.pop_front();
            }
            if sample.users.is_some() {
                seen.users.clone_from(&sample.users);
            }
            seen.sample = Some(sample);
        }
    }

    /// Tells whether every device has been seen.
    fn is_whole(&self) -> bool {
        self.devices.iter().all(|device| self.latest.contains_key(&device.id))
    }

    fn text(&self) -> String {
        let driver = self.devices.first().and_then(|device| device.driver.as_deref());
        let mut head = vec![match self.source {
            "replay" => "a recording".to_owned(),
            _ => format!("NVIDIA driver {}", driver.unwrap_or("of unknown version")),
        }];
        head.extend(self.cuda.as_ref().map(|cuda| format!("CUDA up to {cuda}")));
        head.push(match &self.visible {
            Some(visible) => format!("CUDA_VISIBLE_DEVICES={}", inert(visible)),
            None => "CUDA_VISIBLE_DEVICES is not set: all are used".to_owned(),
        });
        let mut text = format!("{}\n", head.join(" · "));
        for device in &self.devices {
            let seen = self.latest.get(&device.id);
            // Processes of a recording are none of this machine.
            let name = |pid| command(pid).filter(|_| self.source == "nvml");
            write!(text, "\n{}", of_device(device, seen, &name)).expect("a text takes all");
        }
        text
    }

    fn to_json(&self) -> Value {
        let driver = self.devices.first().and_then(|device| device.driver.clone());
        let devices: Vec<Value> = self.devices.iter().map(|device| self.device_json(device)).collect();
        json!({
            "available": true, "source": self.source, "driver": driver, "cuda": self.cuda,
            "cuda_visible_devices": self.visible, "devices": devices,
        })
    }

    fn device_json(&self, device: &GpuDevice) -> Value {
        let seen = self.latest.get(&device.id);
        let sample = seen.and_then(|seen| seen.sample.as_ref());
        let user = |GpuUser(pid, bytes, percent): &GpuUser| json!({ "pid": pid, "bytes": bytes, "percent": percent });
        let users = seen.and_then(|seen| seen.users.as_ref());
        json!({
            "id": &*device.id, "index": device.index, "name": device.name, "mig": device.mig,
            "parent": device.parent.as_deref(), "sampled": device.can,
            "memory_bytes": sample.and_then(|sample| sample.memory), "memory_total_bytes": device.memory,
            "busy_percent": sample.and_then(mean), "power_w": sample.and_then(watts),
            "celsius": sample.and_then(|sample| sample.celsius),
            "throttled": sample.map(|sample| &sample.throttled), "lost": sample.map(|sample| sample.lost),
            "processes": users.map(|users| users.iter().map(user).collect::<Vec<_>>()),
        })
    }
}

fn watts(sample: &GpuSample) -> Option<f64> {
    sample.power_mw.map(|power| f64::from(power) / 1e3)
}

/// Returns in how much of a sample its device computed, in percent; none when nobody knows.
fn mean(sample: &GpuSample) -> Option<u32> {
    let count = u32::try_from(sample.busy.len()).ok().filter(|count| *count > 0)?;
    Some(sample.busy.iter().map(|(_, percent)| *percent).sum::<u32>() / count)
}

fn of_device(device: &GpuDevice, seen: Option<&Seen>, command: &dyn Fn(u32) -> Option<String>) -> String {
    let part = if device.parent.is_some() { "  instance" } else { "GPU" };
    let name = inert(&device.name);
    let mut text = paint(BOLD, &format!("{part} {} {name}", device.index)) + &paint(DIM, &format!("  {}", device.id));
    text.push('\n');
    let Some((seen, sample)) = seen.and_then(|seen| Some((seen, seen.sample.as_ref()?))) else { return text };
    if sample.lost {
        text.push_str("  it is lost: the driver tells no more of it (see dmesg for Xid)\n");
        return text;
    }
    let mut now = Vec::new();
    now.extend(mean(sample).map(|percent| format!("{percent:>3} % busy")));
    now.extend(watts(sample).map(|watts| format!("{watts:.0} W")));
    now.extend(sample.celsius.map(|celsius| format!("{celsius} °C")));
    if !sample.throttled.is_empty() {
        let words: Vec<&str> = sample.throttled.iter().map(|why| why.word()).collect();
        now.push(format!("clocks held down: {}", words.join(", ")));
    }
    if !now.is_empty() {
        writeln!(text, "  {}  {}", sparkline(&seen.busy), now.join("  ")).expect("a text takes all");
    }
    if let Some(used) = sample.memory {
        let of = device.memory.map_or(String::new(), |all| format!(" of {}", grouped(all / MIB)));
        writeln!(text, "  memory  {}{of} MiB in use", grouped(used / MIB)).expect("a text takes all");
    }
    if device.mig && device.parent.is_none() {
        text.push_str("  cut into instances (MIG): of each only memory is told\n");
    }
    for GpuUser(pid, bytes, percent) in seen.users.iter().flatten() {
        let holds = bytes.map_or_else(|| "memory".to_owned(), |bytes| format!("{} MiB", grouped(bytes / MIB)));
        let computes = percent.map_or(String::new(), |percent| format!(", computes {percent} % of the time"));
        let name = command(*pid).map(|name| format!(" ({})", inert(&name))).unwrap_or_default();
        writeln!(text, "  process {pid}{name} holds {holds}{computes}").expect("a text takes all");
    }
    text
}

fn sparkline(busy: &VecDeque<Option<u32>>) -> String {
    let bar = |percent: &Option<u32>| match percent {
        None => ' ',
        Some(percent) => height(f64::from(*percent) / 100.0),
    };
    busy.iter().map(bar).collect()
}

/// Names a process, where it is one of this machine and not only of the driver's.
fn command(pid: u32) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_shows_how_busy_and_where_nobody_knows() {
        let busy: VecDeque<Option<u32>> = [Some(0), Some(50), None, Some(100)].into();
        assert_eq!(sparkline(&busy), "▁▅ █");
    }
}
