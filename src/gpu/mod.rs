//! What NVIDIA devices this machine has, and what they hold just now.
//! Reads: the driver's library, loaded at run time. Gives: [`Gpus`], plain data. Never: sampling over time, scheduling, words
//! for a terminal.
//! Start at [`probe`].

#[cfg(feature = "gpu")]
mod nvml;
mod state;

pub use state::{Driver, Gpu, GpuProcess, Gpus, Memory};

/// Looks once; takes some milliseconds, up to a second where the driver must wake the devices.
#[must_use]
pub fn probe() -> Gpus {
    #[cfg(feature = "gpu")]
    return nvml::probe();
    #[cfg(not(feature = "gpu"))]
    return Gpus::NotBuiltIn;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_says_one_of_the_named_states() {
        match probe() {
            Gpus::NotBuiltIn => assert!(!cfg!(feature = "gpu")),
            Gpus::NoDriver { why } | Gpus::Unusable { why } => assert!(!why.is_empty()),
            Gpus::Found { driver, gpus } => {
                assert!(driver.version.is_some() || !gpus.is_empty());
                assert!(gpus.iter().zip(0..).all(|(gpu, index)| gpu.index == index && !gpu.name.is_empty()));
            }
        }
    }
}
