//! Graphics devices beside a run: from the sampler's thread to the journal and to whoever follows.

use std::sync::Arc;

use super::audience::Audience;
use super::clock::Clock;
use super::live::Live;
use crate::event::{GpuDevice, Sampled};
use crate::gpu::{Sampler, Sampling};
use crate::journal::Writer;

/// Starts to sample; where the system gives no thread, a run goes on without.
pub(super) fn start(
    (sampler, devices): (Sampler, Vec<GpuDevice>),
    writer: &Writer,
    audience: &Audience,
    clock: Clock,
) -> Option<Sampling> {
    let (journal, readers) = (writer.samples(), audience.readers());
    let sink = move |sampled: Vec<Sampled>| {
        if !readers.is_empty() {
            let told: Arc<[Sampled]> = Arc::from(sampled.as_slice());
            // One that is slow misses them; they are in the journal.
            readers.iter().for_each(|reader| drop(reader.try_send(Live::Sampled(Arc::clone(&told)))));
        }
        journal.put(sampled);
    };
    sink(devices.into_iter().map(Sampled::Device).collect());
    let started = Sampling::start(sampler, Box::new(move || clock.now()), Box::new(sink));
    started.inspect_err(|error| tracing::warn!(%error, "graphics devices are not sampled")).ok()
}
