//! What there is to tell of a run's devices in the end.

use std::collections::BTreeMap;

use serde::Serialize;

use super::device::{DeviceReport, LEAST_HELD};
use super::flights::Flown;
use crate::event::{BackendResolved, Event, Outcome};

/// Seconds in flight that are needed before anything is suspected.
const ENOUGH_S: f64 = 5.0;
/// Below this share of the time in flight, a device did not do the work.
const HARDLY: f64 = 0.02;

/// What some requests used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Used {
    /// How many.
    pub requests: u64,
    /// In millijoules.
    pub millijoules: f64,
    /// In seconds.
    pub busy_s: f64,
    /// Tokens of prompts, without those found in a cache.
    pub prompt: u64,
    /// Tokens of answers.
    pub answer: u64,
}

impl Used {
    pub(super) fn add(&mut self, flown: &Flown) {
        self.requests += 1;
        self.millijoules += flown.millijoules;
        self.busy_s += flown.busy_s;
        self.prompt += flown.work.prompt.unwrap_or(0);
        self.answer += flown.work.answer.unwrap_or(0);
    }

    /// Returns joules for a thousand tokens of answers.
    #[must_use]
    pub fn joules_per_thousand(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "tokens are fewer than 2^52")]
        let answer = self.answer as f64;
        (self.answer > 0 && self.millijoules > 0.0).then(|| self.millijoules / answer)
    }
}

/// What devices did while a run went.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct GpuReport {
    /// Each of them.
    pub devices: Vec<DeviceReport>,
    /// Requests made of backends that they work for.
    pub requests: u64,
    /// Their lengths in all, in seconds.
    pub request_s: f64,
    /// For how much of that the counter tells.
    pub covered_s: f64,
    /// What of their energy was shared by tokens, in millijoules.
    pub by_tokens_mj: f64,
    /// What a token of a prompt costs over one of an answer, where the run told it.
    pub prefill: BTreeMap<String, f64>,
    /// By the model that was asked.
    pub models: BTreeMap<String, Used>,
    /// By the step that asked.
    pub steps: BTreeMap<String, Used>,
    /// What servers told of models of which not all was on devices.
    pub beside: Vec<String>,
}

/// Collects what servers told of models of which not all was on devices: as a process of the run began, and after the
/// first answer of each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beside {
    /// Each thing once, in the order in which it was told.
    pub told: Vec<String>,
}

impl Beside {
    /// Takes the next event.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::RunStarted(started) => self.backends(&started.backends),
            Event::RunResumed(resumed) => self.backends(&resumed.backends),
            Event::AttemptEnded(ended) => {
                let Outcome::Answered(answer) = &ended.outcome else { return };
                let memory = ended.timings.claimed.and_then(|claimed| claimed.memory);
                if let Some((memory, model)) = memory.zip(answer.model.as_deref()) {
                    self.tell(memory.says(model));
                }
            }
            _ => {}
        }
    }

    fn backends(&mut self, backends: &[BackendResolved]) {
        for (model, memory) in backends.iter().flat_map(|backend| &backend.memory) {
            self.tell(memory.says(model.as_str()));
        }
    }

    fn tell(&mut self, says: Option<String>) {
        let Some(says) = says.map(|says| format!("the server told: {says}")) else { return };
        if !self.told.contains(&says) {
            self.told.push(says);
        }
    }
}

impl GpuReport {
    /// Returns the share of the requests' time that the counter tells of.
    #[must_use]
    pub fn coverage(&self) -> Option<f64> {
        let has_counter = self.devices.iter().any(|device| device.millijoules.is_some());
        (has_counter && self.request_s > 0.0).then(|| (self.covered_s / self.request_s).min(1.0))
    }

    /// Returns what was told to requests, in millijoules.
    #[must_use]
    pub fn requests_mj(&self) -> f64 {
        self.devices.iter().map(|device| device.requests_mj).sum()
    }

    /// Returns by how much a request that was alone may be wrong, as a share of it: it begins and ends between two changes
    /// of the counter.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "requests are fewer than 2^52")]
    pub fn error_alone(&self) -> Option<f64> {
        let period = self
            .devices
            .iter()
            .filter_map(|device| device.counter_ms)
            .fold(None, |most, period| Some(most.map_or(period, |most: f64| most.max(period))))?;
        let length = self.request_s / self.requests as f64;
        (self.requests > 0 && length > 0.0).then(|| (2.0 * period / 1e3 / length).min(1.0))
    }

    /// Says why the work, or a part of it, is suspected to have been done elsewhere, on the CPU mostly; nothing when it is
    /// not. What the server told stands first: devices may be busy with their part all the time.
    #[must_use]
    pub fn fallback(&self) -> Option<Vec<String>> {
        let told: Vec<&DeviceReport> = self.devices.iter().filter(|device| device.known_s > 0.0).collect();
        let most = |get: fn(&DeviceReport) -> f64| told.iter().map(|device| get(device)).fold(0.0, f64::max);
        let (flight, busy) = (most(|device| device.flight_s), most(|device| device.flight_busy_s));
        let mut reasons = self.beside.clone();
        if flight < ENOUGH_S || busy / flight >= HARDLY {
            return (!reasons.is_empty()).then_some(reasons);
        }
        reasons.push(format!(
            "devices computed in {:.1} % of the time in which requests were in flight",
            busy / flight * 100.0
        ));
        let looked = self.devices.iter().any(|device| device.looks > 0);
        let held =
            self.devices.iter().flat_map(|device| device.processes.values()).filter_map(|process| process.held);
        if looked && held.max().is_none_or(|held| held < LEAST_HELD) {
            reasons.push("no process holds more than 256 MiB of a device".to_owned());
        }
        let rose = |device: &DeviceReport| Some(device.memory?.saturating_sub(device.least_memory?));
        if self.devices.iter().filter_map(rose).all(|rise| rise < LEAST_HELD) {
            reasons.push("memory in use never rose by 256 MiB".to_owned());
        }
        Some(reasons)
    }
}
