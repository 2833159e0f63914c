//! `pipe gpu`: the graphics devices of this machine; of a run, see [`super::gpu_run`].

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::exit::{CommandError, Exit};
use super::gpu_args::GpuArgs;
use super::printer::{BOLD, DIM, Printer, inert, paint};
use crate::event::{GpuCan, GpuDevice, GpuSample, GpuUser, Sampled};
use crate::gpu::{self, Gpus, SOURCE_VARIABLE, Sampler, Sampling, Trouble, Unavailable};
use crate::journal::Home;
use crate::report::{columns, grouped, height, wrapped};
use crate::run::Clock;

/// Seconds that a sparkline tells of.
const REMEMBERED: usize = 60;
/// Messages that may wait to be drawn: some seconds of many devices.
const CHANNEL: usize = 64;
/// Processes that are told of each device.
const MOST_PROCESSES: usize = 8;
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
        Err(missing) => return none(&missing, visible.as_deref(), args.json, printer),
    };
    let asked = (source == "nvml").then(|| gpu::probe(None));
    let cuda = match asked {
        Some(Gpus::Found { driver, .. }) => driver.cuda,
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
        let text = page.text(printer.out().width());
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
fn none(
    missing: &Unavailable,
    visible: Option<&str>,
    json: bool,
    printer: &mut Printer,
) -> Result<Exit, CommandError> {
    let Unavailable { why, trouble } = missing;
    if json {
        let told = json!({
            "available": false, "reason": why, "state": trouble.map(Trouble::word), "remedy": trouble.map(Trouble::remedy),
            "cuda_visible_devices": visible, "devices": [],
        });
        printer.line(&told.to_string())?;
        return Ok(Exit::Done);
    }
    let width = printer.out().reading_width();
    printer.line(&wrapped(&inert(why), width, 0))?;
    printer.line(&paint(DIM, "runs go on without: their journals have no samples"))?;
    if let Some(trouble) = trouble {
        printer.line(&wrapped(&format!("what helps: {}", trouble.remedy()), width, 0))?;
    }
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

    /// Tells whether every device that tells anything has been seen.
    fn is_whole(&self) -> bool {
        self.devices.iter().filter(|device| !device.can.is_empty()).all(|device| self.latest.contains_key(&device.id))
    }

    fn text(&self, width: usize) -> String {
        let driver = self.devices.first().and_then(|device| device.driver.as_deref());
        let mut head = vec![match self.source {
            "replay" => "a recording".to_owned(),
            "sysfs" => format!("AMD driver {}", driver.unwrap_or("of unknown version")),
            _ => format!("NVIDIA driver {}", driver.unwrap_or("of unknown version")),
        }];
        head.extend(self.cuda.as_ref().map(|cuda| format!("CUDA up to {cuda}")));
        head.extend((self.source != "sysfs").then(|| match self.visible.as_deref() {
            Some("") => "CUDA_VISIBLE_DEVICES is empty: none is used".to_owned(),
            Some(visible) => format!("CUDA_VISIBLE_DEVICES={}", inert(visible)),
            None => "CUDA_VISIBLE_DEVICES is not set: all are used".to_owned(),
        }));
        let mut text = format!("{}\n", wrapped(&head.join(" · "), width, 0));
        for device in &self.devices {
            let seen = self.latest.get(&device.id);
            write!(text, "\n{}", of_device(device, seen, width)).expect("a text takes all");
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
        let user = |GpuUser(pid, bytes, percent, name): &GpuUser| json!({ "pid": pid, "name": name, "bytes": bytes, "percent": percent });
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

/// Tells of one device; no line is wider than `width`, so that a page that is drawn again covers the one before.
fn of_device(device: &GpuDevice, seen: Option<&Seen>, width: usize) -> String {
    let title = titled(device.index, &device.name, device.parent.is_some());
    let is_wide = columns(&title) + 2 + columns(&device.id) > width;
    let id = paint(DIM, &device.id);
    let mut text = format!("{}{}{id}\n", paint(BOLD, &title), if is_wide { "\n  " } else { "  " });
    let mut say = |says: &str| writeln!(text, "{}", wrapped(says, width, 2)).expect("a text takes all");
    if device.can.is_empty() {
        say("nothing is told of it: the driver supports no reading, or does not let this user read");
    }
    let Some((seen, sample)) = seen.and_then(|seen| Some((seen, seen.sample.as_ref()?))) else { return text };
    if sample.lost {
        say("it is lost: the driver tells no more of it (see dmesg for Xid)");
        return text;
    }
    let mut now = Vec::new();
    now.extend(mean(sample).map(|percent| format!("{percent:>3} % busy")));
    now.extend(watts(sample).map(|watts| format!("{watts:.0} W")));
    now.extend(sample.celsius.map(|celsius| format!("{celsius} °C")));
    if !now.is_empty() {
        let now = now.join("  ");
        let room = width.saturating_sub(columns(&now) + 4);
        say(&format!("{}  {now}", sparkline(&seen.busy, room)));
    }
    if let Some(used) = sample.memory {
        let of = device.memory.map_or(String::new(), |all| format!(" of {}", grouped(all / MIB)));
        say(&format!("memory  {}{of} MiB in use", grouped(used / MIB)));
    }
    if now.is_empty() && sample.memory.is_none() {
        say("no reading came of it just now");
    }
    if !sample.throttled.is_empty() {
        let words: Vec<&str> = sample.throttled.iter().map(|why| why.word()).collect();
        say(&format!("clocks held down: {}", words.join(", ")));
    }
    if device.mig && device.parent.is_none() {
        say("cut into instances (MIG): of each only memory is told");
    }
    if !device.mig && !device.can.contains(&GpuCan::Energy) {
        let which = if device.vendor.is_none() { " (Volta and newer have one)" } else { "" };
        say(&format!("no counter of energy is told{which}: no request is told its energy"));
    }
    if !device.mig && !device.can.contains(&GpuCan::Busy) {
        say("no utilisation is told: nobody can say whether it worked");
    }
    let users = seen.users.as_deref().unwrap_or_default();
    for GpuUser(pid, bytes, percent, name) in users.iter().take(MOST_PROCESSES) {
        let holds = bytes.map_or_else(|| "memory".to_owned(), |bytes| format!("{} MiB", grouped(bytes / MIB)));
        let computes = percent.map_or(String::new(), |percent| format!(", computes {percent} % of the time"));
        let name = name.as_ref().map(|name| format!(" ({})", inert(name))).unwrap_or_default();
        say(&format!("process {pid}{name} holds {holds}{computes}"));
    }
    if users.len() > MOST_PROCESSES {
        say(&format!("and {} more processes", users.len() - MOST_PROCESSES));
    }
    text
}

/// Names a device by its place, and an instance of one by what it is: the place is that of the whole.
pub(super) fn titled(index: u32, name: &str, is_part: bool) -> String {
    let name = inert(name);
    let place = format!("GPU {index}");
    match is_part {
        true => format!("  instance {name}"),
        false if name == place => place,
        false => format!("{place} {name}"),
    }
}

/// Draws as many of the newest as there is room for.
fn sparkline(busy: &VecDeque<Option<u32>>, room: usize) -> String {
    let bar = |percent: &Option<u32>| match percent {
        None => ' ',
        Some(percent) => height(f64::from(*percent) / 100.0),
    };
    busy.iter().skip(busy.len().saturating_sub(room)).map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_shows_how_busy_and_where_nobody_knows() {
        let busy: VecDeque<Option<u32>> = [Some(0), Some(50), None, Some(100)].into();
        assert_eq!(sparkline(&busy, 60), "▁▅ █");
        assert_eq!(sparkline(&busy, 2), " █");
    }
}
