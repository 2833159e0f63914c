//! The time of a process: the wall clock once, the monotonic clock from then on.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::base::Timestamp;

/// Tells the time without ever going backwards, whatever happens to the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall_us: i64,
    start: Instant,
}

impl Clock {
    /// Reads the wall clock, for the only time.
    ///
    /// `not_before` is the latest moment that the journal knows of: a resumed run never goes back before it.
    #[must_use]
    pub fn start(not_before: Option<Timestamp>) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let wall_us = i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX);
        let wall_us = not_before.map_or(wall_us, |Timestamp(latest)| wall_us.max(latest));
        Self { wall_us, start: Instant::now() }
    }

    /// Returns the time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX);
        Timestamp(self.wall_us.saturating_add(elapsed))
    }

    /// Returns the runtime's instant for a moment.
    #[must_use]
    pub fn instant(&self, at: Timestamp) -> tokio::time::Instant {
        let micros = u64::try_from(at.0.saturating_sub(self.wall_us)).unwrap_or(0);
        tokio::time::Instant::from_std(self.start + Duration::from_micros(micros))
    }
}
