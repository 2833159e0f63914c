//! The port through which devices are sampled: NVML, the files of `amdgpu`, or a recording.

use std::path::Path;
use std::sync::Arc;

use super::Trouble;
use super::sysfs::Sysfs;
use crate::event::{GpuDevice, GpuUser, Throttle};

/// Why a reading is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The device or the driver does not tell it, and never will.
    #[error("it is not told")]
    Unsupported,
    /// The device fell off the bus or must be reset: nothing more comes of it.
    #[error("the device is lost")]
    Lost,
    /// It could not be read this time.
    #[error("{0}")]
    Failed(String),
}

/// Why there is nothing to sample.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Unavailable {
    /// What was met, for people.
    pub why: String,
    /// What is the matter with the driver, where that is it.
    pub trouble: Option<Trouble>,
}

impl Unavailable {
    /// Something else than the driver.
    pub(super) const fn new(why: String) -> Self {
        Self { why, trouble: None }
    }
}

/// An entry of a device's ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy {
    /// When, in microseconds on the source's clock.
    pub at_us: i64,
    /// Percent of the time since the entry before in which the device computed.
    pub percent: u32,
}

/// Where readings of devices come from. All calls may block for milliseconds: make them from a thread of their own.
///
/// Devices are known by their place in [`Source::devices`]. A reading that is not told gives [`Fault::Unsupported`] from
/// the first call on, so that each is probed once.
pub trait Source: Send {
    /// Names the source: `nvml`, `sysfs` or `replay`.
    fn name(&self) -> &'static str;

    /// Returns the devices as they introduce themselves, without what they can: that is probed.
    ///
    /// # Errors
    /// They cannot be listed.
    fn devices(&mut self) -> Result<Vec<GpuDevice>, Unavailable>;

    /// Returns the time of the ring's entries, in microseconds.
    fn clock_us(&self) -> i64;

    /// Returns the counter of energy, in millijoules.
    ///
    /// # Errors
    /// See [`Fault`], here and below.
    fn energy_mj(&mut self, place: usize) -> Result<u64, Fault>;

    /// Returns the ring's entries after a moment, oldest first.
    fn busy(&mut self, place: usize, after_us: i64) -> Result<Vec<Busy>, Fault>;

    /// Returns the power in milliwatts.
    fn power_mw(&mut self, place: usize) -> Result<u32, Fault>;

    /// Returns the memory in use, in bytes.
    fn memory(&mut self, place: usize) -> Result<u64, Fault>;

    /// Returns who uses the device, and how much each computed since it was last asked.
    fn users(&mut self, place: usize) -> Result<Vec<GpuUser>, Fault>;

    /// Returns the temperature in degrees Celsius.
    fn celsius(&mut self, place: usize) -> Result<u32, Fault>;

    /// Returns why the clocks are held down.
    fn throttled(&mut self, place: usize) -> Result<Vec<Throttle>, Fault>;
}

/// The variable that names a recording to be taken for this machine's devices, `replay:FILE`, or a folder of cards as
/// `/sys/class/drm` is one, `sysfs:DIR`.
///
/// For tests, and for looking at what another machine's devices did.
pub const SOURCE_VARIABLE: &str = "PIPE_GPU_SOURCE";

/// How the variable names a folder of cards.
pub(super) const FOLDER: &str = "sysfs:";

/// Opens what the variable names, or else this machine's devices.
///
/// # Errors
/// There is no driver, or it does not answer; the recording cannot be read.
pub fn open(named: Option<&str>) -> Result<Box<dyn Source>, Unavailable> {
    match named.filter(|named| !named.is_empty()) {
        None => open_driver(),
        Some(named) => match (named.strip_prefix("replay:"), named.strip_prefix(FOLDER)) {
            (Some(file), _) => Ok(Box::new(super::replay::Replay::open(Path::new(file))?)),
            (None, Some(folder)) => Ok(Box::new(Sysfs::open(Path::new(folder))?)),
            (None, None) => Err(Unavailable::new(format!(
                "{SOURCE_VARIABLE}={named} names no source: write replay:FILE or sysfs:DIR"
            ))),
        },
    }
}

#[cfg(feature = "gpu")]
fn open_driver() -> Result<Box<dyn Source>, Unavailable> {
    let missing = match super::nvml_source::NvmlSource::open() {
        Ok(source) => return Ok(Box::new(source)),
        Err(missing) => missing,
    };
    // Beside devices of NVIDIA those of AMD are mostly what draws the screen: they are left out.
    match Sysfs::open(Path::new(super::sysfs::ROOT)) {
        Ok(source) if !missing.trouble.is_some_and(Trouble::is_surprising) => Ok(Box::new(source)),
        _ => Err(missing),
    }
}

#[cfg(not(feature = "gpu"))]
fn open_driver() -> Result<Box<dyn Source>, Unavailable> {
    Err(Unavailable::new("this pipe was built without a look at devices (feature gpu)".to_owned()))
}

/// Returns the name of a device that has no UUID.
pub(super) fn nameless(index: u32) -> Arc<str> {
    Arc::from(format!("GPU-{index}"))
}
