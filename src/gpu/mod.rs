//! What NVIDIA devices this machine has, what they hold just now, and what they do while a run goes.
//! Reads: the driver's library, loaded at run time, or a recording. Gives: [`Gpus`], plain data; samples. Never:
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
#[cfg(test)]
mod tests;
mod thread;

pub use replay::Replay;
pub use sampler::{Sampler, TICK_US};
pub use source::{Busy, Fault, SOURCE_VARIABLE, Source, Unavailable, open};
pub use state::{Driver, Gpu, GpuProcess, Gpus, Memory};
pub use thread::{Now, Sampling, Sink};

/// Looks once; takes some milliseconds, up to a second where the driver must wake the devices.
#[must_use]
pub fn probe() -> Gpus {
    #[cfg(feature = "gpu")]
    return nvml::probe();
    #[cfg(not(feature = "gpu"))]
    return Gpus::NotBuiltIn;
}
