//! What must hold after every step; asserted in tests and debug builds.

use super::call::TaskKey;
use super::state::CallPhase;
use super::step::Engine;
use crate::plan::StepIdx;

/// Open cases above which a debug build checks no more: the check walks them all.
const CHECKED_UP_TO: usize = 256;

impl Engine {
    /// Panics in debug builds when an invariant is broken.
    pub(super) fn debug_check(&self) {
        if cfg!(debug_assertions)
            && self.state.open.len() <= CHECKED_UP_TO
            && let Err(broken) = self.check()
        {
            panic!("bug: {broken}");
        }
    }

    /// Checks every invariant.
    ///
    /// # Errors
    /// Names the first that is broken.
    pub fn check(&self) -> Result<(), String> {
        let cases = &self.state.cases;
        let of_cases = self.state.open.values().filter(|case| !self.plan.is_closing(case.cell));
        let open = of_cases.count() as u64;
        if cases.admitted != cases.settled() + open {
            return Err(format!("{} admitted, {} settled, {open} open", cases.admitted, cases.settled()));
        }
        let mut in_flight = 0;
        for (&case, state) in &self.state.open {
            for place in 0..state.tasks.len() {
                let step = StepIdx(place);
                let tasks = state.parts(step).map(|element| TaskKey { case, step, element });
                let calls =
                    tasks.flat_map(|task| state.calls(task).into_iter().flatten().map(move |call| (task, call)));
                for (task, (&call, state)) in calls {
                    let CallPhase::InFlight(attempt) = state.phase else { continue };
                    let key = task.call(call);
                    let lane = &self.flow.lanes[self.backend_of(key).0];
                    if lane.suspects.iter().any(|suspect| suspect.is(key, attempt)) {
                        continue;
                    }
                    in_flight += 1;
                    if lane.started.get(&key).is_none_or(|flight| flight.attempt != attempt) {
                        return Err(format!("{key:?} is in flight by the journal and nobody waits for it"));
                    }
                    if lane.ready.contains(&key) {
                        return Err(format!("{key:?} is in flight and queued"));
                    }
                }
            }
        }
        if in_flight != self.flow.in_flight() {
            return Err(format!("{in_flight} in flight by the journal, {} waited for", self.flow.in_flight()));
        }
        if let Some(case) = self.flow.observing.iter().find(|case| !self.state.open.contains_key(case)) {
            return Err(format!("case {case} is looked at and settled"));
        }
        for (lane, plan) in self.flow.lanes.iter().zip(&self.plan.backends) {
            if lane.started.len() > lane.limit() + lane.surplus {
                return Err(format!("backend {} has {} of {} requests", plan.name, lane.started.len(), lane.limit()));
            }
        }
        Ok(())
    }
}
