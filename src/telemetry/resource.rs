//! What the SDK's signals of this process say of whom they come from.

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};

use super::names;
use crate::base::RunId;

/// The pipeline's name.
pub(super) const PIPELINE: &str = "pipe.pipeline";

/// Returns the resource of a run's metrics; `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` say more, or otherwise.
pub(super) fn of_run(run: &RunId, pipeline: &str) -> Resource {
    let own = [
        KeyValue::new("service.name", "pipe"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new(names::RUN_ID, run.to_string()),
        KeyValue::new(PIPELINE, pipeline.to_owned()),
    ];
    let named = std::env::var("OTEL_SERVICE_NAME").ok().filter(|name| !name.is_empty());
    Resource::builder_empty()
        .with_attributes(own)
        .with_detectors(&[Box::new(TelemetryResourceDetector), Box::new(EnvResourceDetector::new())])
        .with_attributes(named.map(|name| KeyValue::new("service.name", name)))
        .build()
}
