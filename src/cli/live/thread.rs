//! The thread that a display lives on: a terminal that is held (Ctrl-S) blocks nothing else.

use std::io;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc::Receiver;

use super::Display;
use crate::base::Timestamp;
use crate::report::Tally;
use crate::run::Live;

/// Messages that may wait for the display: some seconds of pieces of a fast model. When it is full, pieces are left
/// out (`try_send`), facts wait for room.
pub const CHANNEL: usize = 1_024;
/// How often times and rates are brought up to date while nothing happens.
const TICK: Duration = Duration::from_millis(250);

/// Makes a display on a thread of its own and runs it until every sender is gone. Join the thread before anything else
/// is printed; what it returns is the tally, or why there is no display.
///
/// # Errors
/// The system gives no thread or no timer.
pub fn start<E: Send + 'static>(
    make: impl FnOnce() -> Result<Display, E> + Send + 'static,
    mut receiver: Receiver<Live>,
) -> io::Result<JoinHandle<Result<Tally, E>>> {
    let clock = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    Builder::new().name("display".to_owned()).spawn(move || {
        let mut display = make()?;
        loop {
            match clock.block_on(async { tokio::time::timeout(TICK, receiver.recv()).await }) {
                Ok(Some(live)) => display.take(&live, now()),
                Ok(None) => return Ok(display.finish()),
                Err(_) => display.tick(now()),
            }
        }
    })
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
