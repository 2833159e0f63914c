//! How many retries a backend gets in a minute, and what happens when it needs more.
//! Volatile: a new process starts with a clean minute; that the breaker is open is an event.

use std::collections::VecDeque;

use crate::base::{Millis, Timestamp};

/// Retries that are always allowed in a minute, whatever the number of calls (`design/engine.md`).
const FREE_RETRIES: u32 = 20;
/// Share of a minute's calls that may be retries, as a divisor: a tenth.
const RETRY_SHARE: u32 = 10;
/// Length of the window.
const WINDOW: Millis = Millis::seconds(60);
/// Longest wait between two trial calls.
const LONGEST_TRIAL_WAIT: Millis = Millis::seconds(30);

/// Sends and retries of one backend over the last minute, by second.
#[derive(Debug, Default)]
pub(super) struct Minute {
    seconds: VecDeque<(Timestamp, u32, u32)>,
    sends: u32,
    retries: u32,
}

impl Minute {
    pub(super) fn sent(&mut self, now: Timestamp) {
        self.second(now).1 += 1;
        self.sends += 1;
    }

    /// Counts a retry; returns true when there are now too many.
    pub(super) fn retried(&mut self, now: Timestamp) -> bool {
        self.second(now).2 += 1;
        self.retries += 1;
        self.retries > FREE_RETRIES.max(self.sends / RETRY_SHARE)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn second(&mut self, now: Timestamp) -> &mut (Timestamp, u32, u32) {
        while let Some(&(start, sends, retries)) = self.seconds.front() {
            if now.since(start) < WINDOW {
                break;
            }
            self.sends -= sends;
            self.retries -= retries;
            self.seconds.pop_front();
        }
        let fresh = self.seconds.back().is_none_or(|&(start, ..)| now.since(start) >= Millis::seconds(1));
        if fresh {
            self.seconds.push_back((now, 0, 0));
        }
        self.seconds.back_mut().expect("one was pushed if there was none")
    }
}

/// When an open breaker lets its next single call through.
#[derive(Debug)]
pub(super) struct Trials {
    next: Timestamp,
    wait: Millis,
    running: bool,
}

impl Trials {
    /// Starts one second from now.
    pub(super) fn new(now: Timestamp) -> Self {
        let wait = Millis::seconds(1);
        Self { next: now.after(wait), wait, running: false }
    }

    /// Returns when the next trial may start; none while one runs.
    pub(super) fn due(&self) -> Option<Timestamp> {
        (!self.running).then_some(self.next)
    }

    pub(super) fn begin(&mut self) {
        self.running = true;
    }

    /// A call failed while open: the next trial waits twice as long, at most 30 s.
    pub(super) fn failed(&mut self, now: Timestamp) {
        if self.running {
            self.running = false;
            self.wait = Millis((self.wait.0 * 2).min(LONGEST_TRIAL_WAIT.0));
            self.next = now.after(self.wait);
        }
    }

    /// A trial came to nothing, good or bad, so another may start at its time.
    pub(super) fn returned(&mut self) {
        self.running = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_retries_are_free_and_a_tenth_after_that() {
        let mut minute = Minute::default();
        let now = Timestamp(0);
        assert!((0..20).all(|_| !minute.retried(now)));
        assert!(minute.retried(now));
        (0..300).for_each(|_| minute.sent(now));
        assert!(!minute.retried(now));
    }

    #[test]
    fn a_minute_forgets() {
        let mut minute = Minute::default();
        assert!((0..20).all(|_| !minute.retried(Timestamp(0))));
        assert!(!minute.retried(Timestamp(0).after(Millis::seconds(61))));
    }

    #[test]
    fn trials_wait_longer_each_time_up_to_half_a_minute() {
        let mut now = Timestamp(0);
        let mut trials = Trials::new(now);
        let mut waits = Vec::new();
        for _ in 0..7 {
            let due = trials.due().expect("none runs");
            waits.push(due.since(now).0 / 1_000);
            now = due;
            trials.begin();
            assert_eq!(trials.due(), None);
            trials.failed(now);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
    }
}
