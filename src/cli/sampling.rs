//! Whether graphics devices are sampled beside a run, and which.

use super::args::GpuWhen;
use super::exit::{CommandError, Exit};
use super::printer::{DIM, Printer, paint};
use crate::backend::BaseUrl;
use crate::event::{BackendResolved, GpuDevice, GpuSeen};
use crate::gpu::{self, SOURCE_VARIABLE, Sampler, Trouble, Unavailable};
use crate::run::Clock;

/// What a run samples.
#[derive(Default)]
pub(super) struct Devices {
    /// What does it, and those that it found.
    pub(super) sampler: Option<(Sampler, Vec<GpuDevice>)>,
    /// What there is to record; none where nobody looked.
    pub(super) seen: Option<GpuSeen>,
}

/// Looks for devices where a backend is on this machine, or as asked; a recording is always played.
///
/// A machine without a driver is no failure: a run goes on as it would.
///
/// # Errors
/// A bug: the look at the devices, off the runtime's threads because a driver may take a second to wake them, panicked.
///
/// # Cancel safety
/// May be dropped at any time.
pub(super) async fn devices(
    when: GpuWhen,
    backends: &[BackendResolved],
    clock: Clock,
    printer: &mut Printer,
) -> Result<Devices, CommandError> {
    let named = std::env::var(SOURCE_VARIABLE).ok().filter(|named| !named.is_empty());
    let all = when == GpuWhen::On || named.is_some();
    let worked_on = backends.iter().filter(|backend| all || is_here(backend));
    let worked_on: Vec<_> = worked_on.map(|backend| backend.backend.clone()).collect();
    if when == GpuWhen::Off || worked_on.is_empty() {
        return Ok(Devices::default());
    }
    let look = move || gpu::open(named.as_deref()).and_then(|source| Sampler::start(source, clock.now()));
    let found: Result<_, Unavailable> =
        tokio::task::spawn_blocking(look).await.map_err(|error| CommandError::new(Exit::Bug, error.to_string()))?;
    Ok(match found {
        Ok((sampler, devices)) => {
            tracing::debug!(devices = devices.len(), "graphics devices are sampled");
            let seen = GpuSeen { reason: None, backends: worked_on };
            Devices { sampler: Some((sampler, devices)), seen: Some(seen) }
        }
        Err(Unavailable { why, trouble }) => {
            // Most machines have none: only who asked for it wants to hear so.
            if all || trouble.is_some_and(Trouble::is_surprising) {
                let helps = trouble.map_or("", |_| " (`pipe gpu` says what helps)");
                printer.say(&paint(DIM, &format!("no graphics device is sampled: {why}{helps}")));
            }
            Devices { sampler: None, seen: Some(GpuSeen { reason: Some(why), backends: worked_on }) }
        }
    })
}

/// Tells whether a backend's calls are worked on by this machine's devices.
fn is_here(backend: &BackendResolved) -> bool {
    let is_near = || BaseUrl::parse(&backend.endpoint).is_ok_and(|base| base.is_loopback());
    backend.endpoint == "embedded" || is_near()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(endpoint: &str, server: &str) -> BackendResolved {
        let (endpoint, server) = (endpoint.to_owned(), server.to_owned());
        BackendResolved {
            backend: "b".into(),
            endpoint,
            server,
            slots: 1,
            models: Vec::new(),
            memory: Vec::new(),
            version: None,
            digests: Vec::new(),
            lacks: crate::event::Features::NONE,
            models_lack: Vec::new(),
        }
    }

    #[test]
    fn only_what_is_served_here_is_worked_on_by_devices_here() {
        let here = ["http://127.0.0.1:8000/v1", "http://localhost:11434", "http://[::1]:80/v1", "embedded"];
        assert!(here.iter().all(|endpoint| is_here(&backend(endpoint, "vllm"))));
        let elsewhere = ["https://api.example.org/v1", "http://10.0.0.3:8000/v1", "http://localhost.example.org/"];
        assert!(!elsewhere.iter().any(|endpoint| is_here(&backend(endpoint, "vllm"))));
        assert!(!is_here(&backend("sim", "sim")));
    }
}
