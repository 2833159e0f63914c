//! What people ask of a live run: to hold calls back, to let them go again, how many at once, and
//! within which limits.
//!
//! A pause is in the journal, so that limits in time can leave it out; it ends with its process, because whoever
//! takes a run up wants it to go on.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::call::{Effect, Step};
use super::step::Engine;
use crate::event::{Capacity, Event, RunPaused, RunTuned, RunUnpaused};
use crate::plan::{BackendIdx, Plan};

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

    /// Goes on by another plan, which differs in nothing that the state speaks of. What is in flight keeps its limits.
    pub(super) fn retune(&mut self, step: &mut Step, tuned: RunTuned, plan: Arc<Plan>) {
        if self.flow.finished {
            return;
        }
        assert_eq!(plan.hash, self.plan.hash, "bug: a run is tuned to ask something else");
        self.plan = plan;
        self.record(step, Event::RunTuned(tuned));
    }

    pub(super) fn unpause(&mut self, step: &mut Step) {
        if self.state.paused_since.is_some() && !self.flow.finished {
            self.record(step, Event::RunUnpaused(RunUnpaused {}));
        }
    }
}
