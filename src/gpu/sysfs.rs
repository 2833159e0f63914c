//! AMD devices, from the files that the kernel's `amdgpu` keeps below `/sys/class/drm`.
//!
//! See `Documentation/gpu/amdgpu` of Linux. There is no counter of energy, so no request is told its energy, and no ring:
//! `gpu_busy_percent` is a reading of the moment, looked at in every tick.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::source::{Busy, Fault, Source, Unavailable, nameless};
use super::{Driver, Gpu, Gpus, Memory};
use crate::event::{GpuDevice, GpuUser, Throttle};

/// Where the kernel keeps them.
#[cfg(feature = "gpu")]
pub(super) const ROOT: &str = "/sys/class/drm";
/// AMD's number among the makers of PCI devices.
const AMD: &str = "0x1002";
const MIB: u64 = 1 << 20;

/// Cards below a folder.
pub(super) struct Sysfs {
    cards: Vec<Card>,
}

struct Card {
    device: PathBuf,
    /// The sensors, where the card has some.
    sensors: Option<PathBuf>,
}

impl Sysfs {
    /// Looks for cards.
    ///
    /// # Errors
    /// There is none of AMD.
    pub(super) fn open(root: &Path) -> Result<Self, Unavailable> {
        let mut places: Vec<(u32, PathBuf)> = fs::read_dir(root)
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let entry = entry.ok()?;
                // Connectors stand beside their card, as `card0-DP-1`.
                let number = entry.file_name().to_str()?.strip_prefix("card")?.parse().ok()?;
                Some((number, entry.path().join("device")))
            })
            .filter(|(_, device)| text(&device.join("vendor")).is_some_and(|vendor| vendor == AMD))
            .collect();
        places.sort();
        if places.is_empty() {
            return Err(Unavailable::new(format!("no device of AMD in {}", root.display())));
        }
        let card = |(_, device): (u32, PathBuf)| {
            let sensors = fs::read_dir(device.join("hwmon")).ok().and_then(|mut all| all.next()?.ok());
            Card { sensors: sensors.map(|entry| entry.path()), device }
        };
        Ok(Self { cards: places.into_iter().map(card).collect() })
    }

    fn number(&self, place: usize, file: &str) -> Result<u64, Fault> {
        self.read(place, &self.cards[place].device.join(file))
    }

    fn sensor(&self, place: usize, files: &[&str]) -> Result<u64, Fault> {
        let sensors = self.cards[place].sensors.as_ref().ok_or(Fault::Unsupported)?;
        let found = files.iter().map(|file| sensors.join(file)).find(|path| path.exists());
        self.read(place, &found.ok_or(Fault::Unsupported)?)
    }

    fn read(&self, place: usize, path: &Path) -> Result<u64, Fault> {
        let text = fs::read_to_string(path).map_err(|error| self.fault(place, path, &error))?;
        text.trim().parse().map_err(|_| Fault::Failed(format!("{}: {:?} is no number", path.display(), text.trim())))
    }

    fn fault(&self, place: usize, path: &Path, error: &io::Error) -> Fault {
        // As <errno.h> of Linux has them.
        const ENODEV: i32 = 19;
        const EINVAL: i32 = 22;
        const EOPNOTSUPP: i32 = 95;
        let is_gone = error.raw_os_error() == Some(ENODEV) || !self.cards[place].device.exists();
        match error.raw_os_error() {
            _ if is_gone => Fault::Lost,
            Some(EINVAL | EOPNOTSUPP) => Fault::Unsupported,
            _ if error.kind() == io::ErrorKind::NotFound => Fault::Unsupported,
            // A card that is reset or asleep answers so for a while.
            _ => Fault::Failed(format!("{}: {error}", path.display())),
        }
    }
}

/// Looks once; nothing where there is no card of AMD.
pub(super) fn probe(root: &Path) -> Option<Gpus> {
    let mut source = Sysfs::open(root).ok()?;
    let devices = source.devices().ok()?;
    let version = devices.first().and_then(|device| device.driver.clone());
    let gpus = devices.iter().enumerate().map(|(place, device)| {
        let used = source.memory(place).ok();
        let memory = device.memory.zip(used).map(|(total, used)| Memory {
            total_mib: total / MIB,
            used_mib: used / MIB,
            free_mib: total.saturating_sub(used) / MIB,
        });
        let now = source.busy(place, 0).ok().and_then(|looks| looks.first().map(|look| look.percent));
        Gpu {
            index: device.index,
            name: device.name.clone(),
            memory,
            busy_percent: now,
            processes: None,
            mig: false,
            trouble: None,
        }
    });
    Some(Gpus::Found { gpus: gpus.collect(), driver: Driver { name: "AMD driver", version, cuda: None } })
}

fn text(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn introduce(index: u32, card: &Card, driver: &str) -> GpuDevice {
    let events = text(&card.device.join("uevent")).unwrap_or_default();
    let said = |key: &str| events.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    // Only server boards tell a number and a name of their own; their place on the bus is told by all.
    let unique = text(&card.device.join("unique_id")).or_else(|| said("PCI_SLOT_NAME").map(str::to_owned));
    let kind = said("PCI_ID").map_or_else(|| "AMD device".to_owned(), |id| format!("AMD device {id}"));
    let id = unique.map_or_else(|| nameless(index), |unique| Arc::from(format!("AMD-{unique}")));
    GpuDevice {
        driver: Some(driver.to_owned()),
        memory: text(&card.device.join("mem_info_vram_total")).and_then(|bytes| bytes.parse().ok()),
        vendor: Some("AMD".to_owned()),
        polled: true,
        ..GpuDevice::named(id, index, text(&card.device.join("product_name")).unwrap_or(kind))
    }
}

impl Source for Sysfs {
    fn name(&self) -> &'static str {
        "sysfs"
    }

    fn devices(&mut self) -> Result<Vec<GpuDevice>, Unavailable> {
        let kernel = text(Path::new("/proc/sys/kernel/osrelease")).unwrap_or_default();
        let driver = format!("amdgpu of Linux {kernel}");
        Ok((0..).zip(&self.cards).map(|(index, card)| introduce(index, card, driver.trim_end())).collect())
    }

    fn clock_us(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }

    fn energy_mj(&mut self, _: usize) -> Result<u64, Fault> {
        Err(Fault::Unsupported)
    }

    /// Returns what it does now.
    fn busy(&mut self, place: usize, _: i64) -> Result<Vec<Busy>, Fault> {
        let percent = self.number(place, "gpu_busy_percent")?.min(100);
        Ok(vec![Busy { at_us: self.clock_us(), percent: u32::try_from(percent).unwrap_or(100) }])
    }

    fn power_mw(&mut self, place: usize) -> Result<u32, Fault> {
        // Of the older boards the mean, of the newer ones the moment; both in microwatts.
        let microwatts = self.sensor(place, &["power1_average", "power1_input"])?;
        Ok(u32::try_from(microwatts / 1_000).unwrap_or(u32::MAX))
    }

    fn memory(&mut self, place: usize) -> Result<u64, Fault> {
        self.number(place, "mem_info_vram_used")
    }

    fn users(&mut self, _: usize) -> Result<Vec<GpuUser>, Fault> {
        Err(Fault::Unsupported)
    }

    fn celsius(&mut self, place: usize) -> Result<u32, Fault> {
        let millidegrees = self.sensor(place, &["temp1_input"])?;
        Ok(u32::try_from(millidegrees / 1_000).unwrap_or(u32::MAX))
    }

    fn throttled(&mut self, _: usize) -> Result<Vec<Throttle>, Fault> {
        Err(Fault::Unsupported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;
    use crate::event::{GpuCan, GpuSample, Sampled};
    use crate::gpu::{Sampler, TICK_US};

    fn write(root: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        }
    }

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let files = [
            ("card1/device/vendor", "0x1002"),
            ("card1/device/gpu_busy_percent", "40"),
            ("card1/device/mem_info_vram_total", "17163091968"),
            ("card1/device/mem_info_vram_used", "2147483648"),
            ("card1/device/uevent", "DRIVER=amdgpu\nPCI_ID=1002:744C\nPCI_SLOT_NAME=0000:03:00.0"),
            ("card1/device/product_name", ""),
            ("card1/device/hwmon/hwmon4/power1_average", "71000000"),
            ("card1/device/hwmon/hwmon4/temp1_input", "53000"),
            ("card1-DP-1/status", "connected"),
            ("card0/device/vendor", "0x8086"),
            ("renderD128/device/vendor", "0x1002"),
        ];
        write(root.path(), &files);
        root
    }

    #[test]
    fn a_card_is_looked_at_in_every_tick_and_ends_when_it_is_gone() {
        let root = tree();
        let start = Timestamp(1_760_000_000_000_000);
        let source = Sysfs::open(root.path()).unwrap();
        let (mut sampler, devices) = Sampler::start(Box::new(source), start).unwrap();
        assert_eq!((&*devices[0].id, devices[0].name.as_str()), ("AMD-0000:03:00.0", "AMD device 1002:744C"));
        assert_eq!(devices[0].can, [GpuCan::Busy, GpuCan::Power, GpuCan::Memory, GpuCan::Temperature]);
        let mut done = Vec::new();
        for tick in 1..=21 {
            // A burst of 200 ms.
            let busy = if (5..7).contains(&tick) { "100" } else { "0" };
            write(root.path(), &[("card1/device/gpu_busy_percent", busy)]);
            sampler.tick(Timestamp(start.0 + tick * TICK_US), &mut done);
        }
        fs::remove_dir_all(root.path().join("card1")).unwrap();
        sampler.tick(Timestamp(start.0 + 22 * TICK_US), &mut done);
        let seconds: Vec<GpuSample> = done
            .into_iter()
            .filter_map(|one| match one {
                Sampled::Sample(sample) => Some(sample),
                Sampled::Device(_) => None,
            })
            .collect();
        let [first, .., last] = &seconds[..] else { panic!("{seconds:?}") };
        let busy: Vec<u32> = first.busy.iter().map(|(_, percent)| *percent).collect();
        assert_eq!(busy, [0, 0, 0, 0, 100, 100, 0, 0, 0, 0, 0], "{first:?}");
        assert!(first.busy.windows(2).all(|pair| pair[1].0 - pair[0].0 == TICK_US), "{first:?}");
        assert_eq!((first.power_mw, first.celsius, first.memory), (Some(71_000), Some(53), Some(2 << 30)));
        assert!(first.energy.is_empty() && first.users.is_none() && first.holes == 0);
        assert!(last.lost && sampler.is_over(), "{last:?}");
    }

    #[test]
    fn where_no_card_is_of_amd_there_is_none() {
        let root = tree();
        fs::remove_dir_all(root.path().join("card1")).unwrap();
        let why = Sysfs::open(root.path()).err().unwrap().why;
        assert!(why.starts_with("no device of AMD in "), "{why}");
        assert!(probe(root.path()).is_none() && probe(Path::new("/nowhere/at/all")).is_none());
    }

    #[test]
    fn a_card_that_names_itself_and_tells_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let names = [
            ("card0/device/vendor", "0x1002"),
            ("card0/device/product_name", "AMD Instinct MI210"),
            ("card0/device/unique_id", "4f1a2b"),
        ];
        write(root.path(), &names);
        let (sampler, devices) = Sampler::start(Box::new(Sysfs::open(root.path()).unwrap()), Timestamp(0)).unwrap();
        assert_eq!((&*devices[0].id, devices[0].name.as_str()), ("AMD-4f1a2b", "AMD Instinct MI210"));
        assert!(devices[0].can.is_empty() && sampler.is_over());
    }
}
