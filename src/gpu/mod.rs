//! What graphics devices this machine has, what they hold just now, and what they do while a run goes.
//! Reads: the NVIDIA driver's library, loaded at run time, the files of AMD's, or a recording. Gives: [`Gpus`], plain data; samples. Never:
//! scheduling, a failure of a run, words for a terminal.
//! Start at [`probe`] for one look, at [`Source`] and [`Sampler`] for samples.

#[cfg(feature = "gpu")]
mod nvml;
#[cfg(feature = "gpu")]
mod nvml_source;
mod replay;
mod sampler;
mod source;
mod state;
mod sysfs;
#[cfg(test)]
mod tests;
mod thread;

pub use replay::Replay;
pub use sampler::{Sampler, TICK_US};
pub use source::{Busy, Fault, SOURCE_VARIABLE, Source, Unavailable, open};
pub use state::{Driver, Gpu, GpuProcess, Gpus, Memory, Trouble};
pub use thread::{Now, Sampling, Sink};

/// Looks once; takes some milliseconds, up to a second where the driver must wake the devices.
///
/// A variable that names a folder of cards is heeded, as by [`open`]; a recording is no machine.
#[must_use]
pub fn probe(named: Option<&str>) -> Gpus {
    let folder = named.and_then(|named| named.strip_prefix(source::FOLDER));
    if let Some(found) = folder.and_then(|folder| sysfs::probe(std::path::Path::new(folder))) {
        return found;
    }
    #[cfg(feature = "gpu")]
    return match nvml::probe() {
        // One that fails hides no other: what is wrong with it is told instead.
        none @ Gpus::None { trouble, .. } if !trouble.is_surprising() => {
            sysfs::probe(std::path::Path::new(sysfs::ROOT)).unwrap_or(none)
        }
        told => told,
    };
    #[cfg(not(feature = "gpu"))]
    return Gpus::NotBuiltIn;
}
