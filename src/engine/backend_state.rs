//! What is known of a backend in a run.

use std::collections::BTreeMap;

use super::state::RunState;
use crate::base::{ModelName, Timestamp};
use crate::event::{BackendResolved, Capacity, Feature, Features};
use crate::plan::Plan;

/// What is known of a backend.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BackendState {
    /// Since when the breaker has been open.
    pub open_since: Option<Timestamp>,
    /// How long it was open before that, in milliseconds.
    pub open_ms: u64,
    /// What it does not take, as far as is known.
    pub lacks: Features,
    /// The same of single models, by the name that the file asks for.
    pub models_lack: BTreeMap<ModelName, Features>,
    /// It has answered a call of this run.
    pub answered: bool,
}

impl BackendState {
    /// Returns what it does not take in requests for a model, by the name that the file asks for.
    #[must_use]
    pub fn lacks_of(&self, model: &str) -> Features {
        if self.models_lack.is_empty() {
            return self.lacks;
        }
        let of_model = self.models_lack.iter().find(|(name, _)| name.as_str() == model);
        self.lacks.union(of_model.map(|(_, lacks)| *lacks).unwrap_or_default())
    }

    /// Returns how long the breaker has been open in all, up to `now`.
    pub(super) fn open_ms_until(&self, now: Timestamp) -> u64 {
        self.open_ms + self.open_since.map_or(0, |since| now.since(since).0)
    }

    pub(super) fn change(&mut self, at: Timestamp, change: Capacity, model: Option<&ModelName>) {
        match change {
            Capacity::BreakerOpened => self.open_since = Some(at),
            Capacity::BreakerClosed => {
                self.open_ms = self.open_ms_until(at);
                self.open_since = None;
            }
            Capacity::FormatUnsupported => self.lacks = self.lacks.with(Feature::ResponseFormat),
            Capacity::Lacks(feature) => match model {
                None => self.lacks = self.lacks.with(feature),
                Some(model) => {
                    let lacks = self.models_lack.entry(model.clone()).or_default();
                    *lacks = lacks.with(feature);
                }
            },
            // Both end with their process: the next one works on as many as it finds.
            Capacity::HeldUntil(_) | Capacity::Slots(_) => {}
        }
    }
}

impl RunState {
    /// Takes in what earlier runs have learned of backends.
    pub(super) fn know(&mut self, plan: &Plan, resolved: &[BackendResolved]) {
        for (backend, state) in plan.backends.iter().zip(&mut self.backends) {
            let Some(resolved) = resolved.iter().find(|one| one.backend == backend.name) else { continue };
            state.lacks = state.lacks.union(resolved.lacks);
            for (model, lacks) in &resolved.models_lack {
                let known = state.models_lack.entry(model.clone()).or_default();
                *known = known.union(*lacks);
            }
        }
    }
}
