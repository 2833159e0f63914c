//! Counters and histograms: what is recorded when something ends.

use opentelemetry::metrics::{Counter, Histogram, Meter};

use super::names::{self, Name};

/// Everything that is recorded.
pub(super) struct Instruments {
    pub(super) inference: Histogram<f64>,
    pub(super) first_chunk: Histogram<f64>,
    pub(super) input: Histogram<u64>,
    pub(super) output: Histogram<u64>,
    pub(super) usage_input: Counter<u64>,
    pub(super) usage_output: Counter<u64>,
    pub(super) usage_cached: Counter<u64>,
    pub(super) usage_reasoning: Counter<u64>,
    pub(super) agent: Histogram<f64>,
    pub(super) agent_calls: Histogram<u64>,
    pub(super) workflow: Histogram<f64>,
    pub(super) cases: Counter<u64>,
    pub(super) tasks: Counter<u64>,
    pub(super) retries: Counter<u64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            inference: seconds(meter, names::INFERENCE_DURATION, &names::CALL_SECONDS),
            first_chunk: seconds(meter, names::TIME_TO_FIRST_CHUNK, &names::CALL_SECONDS),
            input: counts(meter, names::OPERATION_INPUT, &names::TOKENS),
            output: counts(meter, names::OPERATION_OUTPUT, &names::TOKENS),
            usage_input: counter(meter, names::USAGE_INPUT),
            usage_output: counter(meter, names::USAGE_OUTPUT),
            usage_cached: counter(meter, names::USAGE_CACHE_READ),
            usage_reasoning: counter(meter, names::USAGE_REASONING),
            agent: seconds(meter, names::AGENT_DURATION, &names::AGENT_SECONDS),
            agent_calls: counts(meter, names::AGENT_CALLS, &names::AGENT_CALL_COUNTS),
            workflow: seconds(meter, names::WORKFLOW_DURATION, &names::WORKFLOW_SECONDS),
            cases: counter(meter, names::CASE_SETTLED),
            tasks: counter(meter, names::TASK_SETTLED),
            retries: counter(meter, names::CALL_RETRIES),
        }
    }
}

fn seconds(meter: &Meter, name: Name, bounds: &[f64]) -> Histogram<f64> {
    let histogram = meter.f64_histogram(name.name).with_unit(name.unit).with_description(name.says);
    histogram.with_boundaries(bounds.to_vec()).build()
}

fn counts(meter: &Meter, name: Name, bounds: &[f64]) -> Histogram<u64> {
    let histogram = meter.u64_histogram(name.name).with_unit(name.unit).with_description(name.says);
    histogram.with_boundaries(bounds.to_vec()).build()
}

fn counter(meter: &Meter, name: Name) -> Counter<u64> {
    meter.u64_counter(name.name).with_unit(name.unit).with_description(name.says).build()
}
