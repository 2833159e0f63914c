//! How long processes have worked on a run.

use crate::base::Timestamp;

/// How long processes have worked on a run, the time between two of them left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// Those before the present one, in microseconds.
    pub earlier_us: u64,
    /// When the present one began.
    pub began: Option<Timestamp>,
    /// The latest event.
    pub latest: Option<Timestamp>,
}

impl Clock {
    pub(super) fn tick(&mut self, at: Timestamp, takes_over: bool) {
        if let (true, Some(began), Some(latest)) = (takes_over, self.began, self.latest) {
            self.earlier_us += latest.micros_since(began);
            self.began = Some(at);
        }
        self.began.get_or_insert(at);
        self.latest = Some(at);
    }
}
