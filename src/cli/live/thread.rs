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

/// Runs a display until every sender is gone. Join the thread before anything else is printed.
///
/// # Errors
/// The system gives no thread or no timer.
pub fn start(mut display: Display, mut receiver: Receiver<Live>) -> io::Result<JoinHandle<Tally>> {
    let clock = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    Builder::new().name("display".to_owned()).spawn(move || {
        loop {
            match clock.block_on(async { tokio::time::timeout(TICK, receiver.recv()).await }) {
                Ok(Some(live)) => display.take(&live, now()),
                Ok(None) => return display.finish(),
                Err(_) => display.tick(now()),
            }
        }
    })
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
