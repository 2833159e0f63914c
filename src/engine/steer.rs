//! What people ask of a live run: to hold calls back, to let them go again, and how many at once.
//!
//! A pause is in the journal, so that limits in time can leave it out; it ends with its process, because whoever
//! takes a run up wants it to go on.

use std::num::NonZeroU32;

use super::call::{Effect, Step};
use super::step::Engine;
use crate::event::{Capacity, Event, RunPaused, RunUnpaused};
use crate::plan::BackendIdx;

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

    pub(super) fn resize(&mut self, step: &mut Step, backend: BackendIdx, slots: NonZeroU32) {
        if self.flow.finished {
            return;
        }
        self.flow.lanes[backend.0].resize(slots.get() as usize);
        self.change(step, backend, Capacity::Slots(slots.get()), "`pipe tune`");
        step.effects.push(Effect::Resize(backend, slots));
    }

    pub(super) fn unpause(&mut self, step: &mut Step) {
        if self.state.paused_since.is_some() && !self.flow.finished {
            self.record(step, Event::RunUnpaused(RunUnpaused {}));
        }
    }
}
