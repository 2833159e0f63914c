//! Metrics of the SDK as OTLP writes them in protocol buffers.
//!
//! Numbers of fields are those of `opentelemetry/proto/metrics/v1` in `opentelemetry-proto` 1.9.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::KeyValue;
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, Metric, MetricData, ResourceMetrics, ScopeMetrics};

use crate::telemetry::own::attribute;
use crate::telemetry::wire::{attributes, bytes, fixed64, nested, number};

/// A number as a point has it.
#[derive(Clone, Copy)]
enum Number {
    Whole(i64),
    Real(f64),
}

/// What a kind of number needs to be written.
trait Numeric: Copy {
    fn number(self) -> Number;
}

impl Numeric for f64 {
    fn number(self) -> Number {
        Number::Real(self)
    }
}

impl Numeric for i64 {
    fn number(self) -> Number {
        Number::Whole(self)
    }
}

impl Numeric for u64 {
    fn number(self) -> Number {
        // The format has no unsigned whole numbers.
        Number::Whole(i64::try_from(self).unwrap_or(i64::MAX))
    }
}

impl Number {
    #[expect(clippy::cast_precision_loss, reason = "sums of tokens and requests are fewer than 2^52")]
    const fn real(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Real(real) => real,
        }
    }
}

/// Returns an export request of everything that a reader collected.
pub(super) fn request(collected: &ResourceMetrics) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 << 10);
    nested(&mut out, 1, |out| {
        let about = collected.resource().iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        nested(out, 1, |out| pairs(out, 1, about));
        collected.scope_metrics().for_each(|scope| nested(out, 2, |out| write_scope(out, scope)));
    });
    out
}

fn write_scope(out: &mut Vec<u8>, scope: &ScopeMetrics) {
    nested(out, 1, |out| {
        bytes(out, 1, scope.scope().name().as_bytes());
        scope.scope().version().iter().for_each(|version| bytes(out, 2, version.as_bytes()));
    });
    scope.metrics().for_each(|metric| nested(out, 2, |out| write_metric(out, metric)));
    scope.scope().schema_url().iter().for_each(|url| bytes(out, 3, url.as_bytes()));
}

fn write_metric(out: &mut Vec<u8>, metric: &Metric) {
    bytes(out, 1, metric.name().as_bytes());
    bytes(out, 2, metric.description().as_bytes());
    bytes(out, 3, metric.unit().as_bytes());
    match metric.data() {
        AggregatedMetrics::F64(data) => write_data(out, data),
        AggregatedMetrics::U64(data) => write_data(out, data),
        AggregatedMetrics::I64(data) => write_data(out, data),
    }
}

fn write_data<T: Numeric>(out: &mut Vec<u8>, data: &MetricData<T>) {
    match data {
        MetricData::Gauge(gauge) => nested(out, 5, |out| {
            for point in gauge.data_points() {
                nested(out, 1, |out| {
                    point_at(out, gauge.start_time(), gauge.time());
                    value(out, point.value().number());
                    pairs(out, 7, point.attributes().cloned());
                });
            }
        }),
        MetricData::Sum(sum) => nested(out, 7, |out| {
            for point in sum.data_points() {
                nested(out, 1, |out| {
                    point_at(out, Some(sum.start_time()), sum.time());
                    value(out, point.value().number());
                    pairs(out, 7, point.attributes().cloned());
                });
            }
            number(out, 2, temporality(sum.temporality()));
            number(out, 3, u64::from(sum.is_monotonic()));
        }),
        MetricData::Histogram(histogram) => nested(out, 9, |out| {
            for point in histogram.data_points() {
                nested(out, 1, |out| {
                    point_at(out, Some(histogram.start_time()), histogram.time());
                    fixed64(out, 4, point.count());
                    fixed64(out, 5, point.sum().number().real().to_bits());
                    packed(out, 6, point.bucket_counts());
                    packed(out, 7, point.bounds().map(f64::to_bits));
                    pairs(out, 9, point.attributes().cloned());
                    point.min().iter().for_each(|min| fixed64(out, 11, min.number().real().to_bits()));
                    point.max().iter().for_each(|max| fixed64(out, 12, max.number().real().to_bits()));
                });
            }
            number(out, 2, temporality(histogram.temporality()));
        }),
        // No instrument of ours is one: all histograms have their bounds.
        MetricData::ExponentialHistogram(_) => {}
    }
}

fn point_at(out: &mut Vec<u8>, start: Option<SystemTime>, time: SystemTime) {
    start.iter().for_each(|start| fixed64(out, 2, nanos(*start)));
    fixed64(out, 3, nanos(time));
}

fn value(out: &mut Vec<u8>, number: Number) {
    match number {
        Number::Real(real) => fixed64(out, 4, real.to_bits()),
        Number::Whole(whole) => fixed64(out, 6, whole.cast_unsigned()),
    }
}

fn packed(out: &mut Vec<u8>, field: u32, values: impl Iterator<Item = u64>) {
    let values: Vec<u8> = values.flat_map(u64::to_le_bytes).collect();
    bytes(out, field, &values);
}

fn pairs(out: &mut Vec<u8>, field: u32, pairs: impl Iterator<Item = KeyValue>) {
    let list: Vec<_> = pairs.map(attribute).collect();
    attributes(out, field, &list);
}

const fn temporality(temporality: Temporality) -> u64 {
    match temporality {
        Temporality::Delta => 1,
        _ => 2,
    }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
