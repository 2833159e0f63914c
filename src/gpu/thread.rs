//! The thread that samples: every call to a driver may block, so none is made elsewhere.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::Builder;
use std::time::Duration;

use super::sampler::{Sampler, TICK_US};
use crate::base::Timestamp;
use crate::event::Sampled;

/// How long the end of a run waits for a driver that does not answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// Where samples go, on the sampling thread.
pub type Sink = Box<dyn FnMut(Vec<Sampled>) + Send>;
/// What time it is for whoever reads them.
pub type Now = Box<dyn Fn() -> Timestamp + Send>;

/// A thread at work.
pub struct Sampling {
    stop: mpsc::SyncSender<()>,
    stopped: mpsc::Receiver<()>,
}

impl Sampling {
    /// Starts it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(mut sampler: Sampler, now: Now, mut sink: Sink) -> std::io::Result<Self> {
        let (stop, asked) = mpsc::sync_channel(1);
        let (say, stopped) = mpsc::sync_channel(1);
        Builder::new().name("gpu".to_owned()).spawn(move || {
            let tick = Duration::from_micros(TICK_US.unsigned_abs());
            let mut done = Vec::new();
            while !sampler.is_over() && matches!(asked.recv_timeout(tick), Err(RecvTimeoutError::Timeout)) {
                sampler.tick(now(), &mut done);
                if !done.is_empty() {
                    sink(std::mem::take(&mut done));
                }
            }
            sampler.finish(now(), &mut done);
            sink(done);
            drop(sink);
            // Whoever asked may have lost patience.
            say.send(()).ok();
        })?;
        Ok(Self { stop, stopped })
    }

    /// Ends it and waits until its last sample is handed over, though not for a driver that hangs: that thread ends with
    /// the process.
    pub fn stop(self) {
        // A thread that is over has nobody left to hear it.
        self.stop.send(()).ok();
        if self.stopped.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the driver of the graphics devices does not answer: the newest samples are lost");
        }
    }
}
