//! Gauges: what is true at the moment of a look.

use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

use super::names::{self, Name};
use super::reader::{Allowed, Now};
use crate::base::MicroUsd;
use crate::report::{LaneNow, Tally, Watch};
use crate::telemetry::names as words;

type Shared = Arc<Mutex<Now>>;

/// Registers every gauge.
pub(super) fn register(meter: &Meter, now: &Shared) {
    whole(meter, now, names::CASES, |now, gauge| {
        let cases = now.watch.tally.cases;
        let open = cases.admitted.saturating_sub(cases.settled());
        let stands = [("ok", cases.ok), ("unscored", cases.unscored), ("failed", cases.failed), ("open", open)];
        stands.iter().for_each(|(word, count)| gauge.observe(*count, &[KeyValue::new(words::CASE_STATUS, *word)]));
    });
    whole(meter, now, names::CASE_EXPECTED, |now, gauge| {
        now.watch.total().iter().for_each(|total| gauge.observe(*total, &[]));
    });
    lanes(meter, now, names::CALL_IN_FLIGHT, |lane| lane.started.min(u64::from(lane.slots)));
    lanes(meter, now, names::CALL_QUEUED, |lane| lane.started.saturating_sub(u64::from(lane.slots)));
    lanes(meter, now, names::CALL_WAITING, |lane| lane.again);
    lanes(meter, now, names::BACKEND_SLOTS, |lane| u64::from(lane.slots));
    lanes(meter, now, names::BACKEND_BROKEN, |lane| u64::from(lane.broken));
    whole(meter, now, names::RUN_STATE, |now, gauge| {
        let current = state(&now.watch);
        for word in ["running", "paused", "stopping", "over"] {
            gauge.observe(u64::from(word == current), &[KeyValue::new("pipe.run.state", word)]);
        }
    });
    real(meter, now, names::RUN_LAST_ANSWER, |now, gauge| {
        now.last_answer.iter().for_each(|at| gauge.observe(seconds(at.0), &[]));
    });
    real(meter, now, names::RUN_COST, |now, gauge| {
        now.watch.tally.cost().iter().for_each(|cost| gauge.observe(cost.usd, &[]));
    });
    real(meter, now, names::BUDGET_USED, |now, gauge| {
        for (word, share) in budgets(now.allowed, &now.watch.tally) {
            gauge.observe(share, &[KeyValue::new("pipe.budget", word)]);
        }
    });
}

/// Names the state of a run in one word.
pub(super) fn state(watch: &Watch) -> &'static str {
    let tally = &watch.tally;
    match () {
        () if tally.outcome.is_some() || tally.bug.is_some() => "over",
        () if tally.draining.is_some() => "stopping",
        () if tally.paused => "paused",
        () => "running",
    }
}

/// Returns what is spent of each budget, as a share of it.
fn budgets(allowed: Allowed, tally: &Tally) -> Vec<(&'static str, f64)> {
    let count = |tokens: Option<crate::base::TokenCount>| tokens.map_or(0, |count| count.0);
    let parts = [tally.usage.input, tally.usage.output, tally.estimated.input, tally.estimated.output];
    let tokens = parts.into_iter().fold(0_u64, |sum, part| sum.saturating_add(count(part)));
    let spent = tally.cost().map(|cost| cost.micro_usd);
    let of = |most: u64, used: u64| if most == 0 { 1.0 } else { number(used) / number(most) };
    let shares = [
        ("tokens", allowed.tokens.map(|most| of(most, tokens))),
        ("cost", allowed.cost.zip(spent).map(|(MicroUsd(most), MicroUsd(used))| of(most, used))),
        ("time", allowed.time.map(|most| of(most.0.saturating_mul(1_000), tally.active_us()))),
    ];
    shares.into_iter().filter_map(|(word, share)| Some((word, share?))).collect()
}

#[expect(clippy::cast_precision_loss, reason = "tokens, micro-dollars and microseconds are fewer than 2^52")]
const fn number(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "microseconds since 1970 are fewer than 2^52")]
const fn seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}

fn look(now: &Shared, what: impl FnOnce(&Now)) {
    what(&now.lock().unwrap_or_else(PoisonError::into_inner));
}

fn whole(
    meter: &Meter,
    now: &Shared,
    name: Name,
    observe: impl Fn(&Now, &dyn AsyncInstrument<u64>) + Send + Sync + 'static,
) {
    let now = Arc::clone(now);
    let gauge = meter.u64_observable_gauge(name.name).with_unit(name.unit).with_description(name.says);
    gauge.with_callback(move |gauge| look(&now, |now| observe(now, gauge))).build();
}

fn real(
    meter: &Meter,
    now: &Shared,
    name: Name,
    observe: impl Fn(&Now, &dyn AsyncInstrument<f64>) + Send + Sync + 'static,
) {
    let now = Arc::clone(now);
    let gauge = meter.f64_observable_gauge(name.name).with_unit(name.unit).with_description(name.says);
    gauge.with_callback(move |gauge| look(&now, |now| observe(now, gauge))).build();
}

fn lanes(meter: &Meter, now: &Shared, name: Name, value: impl Fn(&LaneNow) -> u64 + Send + Sync + 'static) {
    whole(meter, now, name, move |now, gauge| {
        for (backend, lane) in &now.watch.lanes {
            gauge.observe(value(lane), &[KeyValue::new(words::BACKEND_NAME, backend.to_string())]);
        }
    });
}
