//! What people ask of a live run: to hold calls back, and to let them go again.
//!
//! A pause is in the journal, so that limits in time can leave it out; it ends with its process, because whoever
//! takes a run up wants it to go on.

use super::call::Step;
use super::step::Engine;
use crate::event::{Event, RunPaused, RunUnpaused};

impl Engine {
    /// Tells whether calls are held back: the run is paused, or stopping.
    pub(super) const fn starts_nothing(&self) -> bool {
        self.state.paused_since.is_some() || self.flow.stopping.is_some()
    }

    pub(super) fn pause(&mut self, step: &mut Step) {
        if !self.starts_nothing() && !self.flow.finished {
            self.record(step, Event::RunPaused(RunPaused {}));
        }
    }

    pub(super) fn unpause(&mut self, step: &mut Step) {
        if self.state.paused_since.is_some() && !self.flow.finished {
            self.record(step, Event::RunUnpaused(RunUnpaused {}));
        }
    }
}
