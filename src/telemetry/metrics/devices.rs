//! Graphics devices among the metrics: by the conventions for hardware, and our own for what those lack.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

use super::names::{self, Name};
use crate::event::{GpuDevice, GpuSample, GpuUser, Sampled, Throttle};
use crate::telemetry::names as words;

/// Devices as they were last seen.
#[derive(Clone, Default)]
pub(super) struct Devices(Arc<Mutex<BTreeMap<Arc<str>, Seen>>>);

/// One device.
#[derive(Default)]
struct Seen {
    labels: Vec<KeyValue>,
    total: Option<u64>,
    sample: Option<GpuSample>,
    users: Vec<GpuUser>,
    /// The counter, first and last.
    energy: Option<(u64, u64)>,
}

impl Devices {
    /// Takes what was sampled.
    pub(super) fn take(&self, sampled: &[Sampled]) {
        let mut devices = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for one in sampled {
            match one {
                Sampled::Device(device) => {
                    let seen = devices.entry(Arc::clone(&device.id)).or_default();
                    (seen.labels, seen.total) = (labels(device), device.memory);
                }
                Sampled::Sample(sample) => {
                    let Some(seen) = devices.get_mut(&sample.device) else { continue };
                    for (_, total) in &sample.energy {
                        seen.energy = Some((seen.energy.map_or(*total, |(first, _)| first), *total));
                    }
                    if let Some(users) = &sample.users {
                        seen.users.clone_from(users);
                    }
                    seen.sample = Some(sample.clone());
                }
            }
        }
        // What is lost is not told as it last was.
        devices.retain(|_, seen| !seen.sample.as_ref().is_some_and(|sample| sample.lost));
    }

    /// Registers what is told of each.
    pub(super) fn register(&self, meter: &Meter) {
        self.real(meter, names::GPU_UTILIZATION, |seen| {
            let sample = seen.sample.as_ref()?;
            let count = u32::try_from(sample.busy.len()).ok().filter(|count| *count > 0)?;
            let sum: u32 = sample.busy.iter().map(|(_, percent)| *percent).sum();
            Some(f64::from(sum) / f64::from(count) / 100.0)
        });
        self.real(meter, names::GPU_MEMORY_USAGE, |seen| Some(number(seen.sample.as_ref()?.memory?)));
        self.real(meter, names::GPU_MEMORY_LIMIT, |seen| Some(number(seen.total?)));
        self.real(meter, names::POWER, |seen| Some(f64::from(seen.sample.as_ref()?.power_mw?) / 1e3));
        self.real(meter, names::TEMPERATURE, |seen| Some(f64::from(seen.sample.as_ref()?.celsius?)));
        let devices = self.clone();
        let Name { name, unit, says } = names::ENERGY;
        let counter = meter.f64_observable_counter(name).with_unit(unit).with_description(says);
        let joules = |seen: &Seen| seen.energy.map(|(first, last)| number(last.saturating_sub(first)) / 1e3);
        counter.with_callback(move |counter| devices.observe(counter, &joules)).build();
        self.several(meter, names::GPU_THROTTLED, |seen, tell| {
            let Some(sample) = &seen.sample else { return };
            for why in
                [Throttle::Power, Throttle::Heat, Throttle::PowerBrake, Throttle::Hardware, Throttle::SyncBoost]
            {
                tell(
                    f64::from(u8::from(sample.throttled.contains(&why))),
                    KeyValue::new("pipe.gpu.reason", why.word()),
                );
            }
        });
        self.several(meter, names::GPU_PROCESS_MEMORY, |seen, tell| {
            for GpuUser(pid, bytes, ..) in &seen.users {
                if let Some(bytes) = bytes {
                    tell(number(*bytes), KeyValue::new("process.pid", i64::from(*pid)));
                }
            }
        });
    }

    fn observe(&self, instrument: &dyn AsyncInstrument<f64>, value: &dyn Fn(&Seen) -> Option<f64>) {
        let devices = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for seen in devices.values() {
            value(seen).iter().for_each(|value| instrument.observe(*value, &seen.labels));
        }
    }

    fn real(&self, meter: &Meter, name: Name, value: impl Fn(&Seen) -> Option<f64> + Send + Sync + 'static) {
        let devices = self.clone();
        let gauge = meter.f64_observable_gauge(name.name).with_unit(name.unit).with_description(name.says);
        gauge.with_callback(move |gauge| devices.observe(gauge, &value)).build();
    }

    /// Registers a gauge that tells several values of each device, told apart by one more label.
    fn several(
        &self,
        meter: &Meter,
        name: Name,
        values: impl Fn(&Seen, &mut dyn FnMut(f64, KeyValue)) + Send + Sync + 'static,
    ) {
        let devices = self.clone();
        let gauge = meter.f64_observable_gauge(name.name).with_unit(name.unit).with_description(name.says);
        let observe = move |gauge: &dyn AsyncInstrument<f64>| {
            let devices = devices.0.lock().unwrap_or_else(PoisonError::into_inner);
            for seen in devices.values() {
                values(seen, &mut |value, label| {
                    let labels: Vec<KeyValue> = seen.labels.iter().cloned().chain([label]).collect();
                    gauge.observe(value, &labels);
                });
            }
        };
        gauge.with_callback(observe).build();
    }
}

fn labels(device: &GpuDevice) -> Vec<KeyValue> {
    let mut labels = vec![
        KeyValue::new(words::HW_ID, Arc::clone(&device.id)),
        KeyValue::new(words::HW_TYPE, "gpu"),
        KeyValue::new(words::HW_NAME, format!("GPU {}", device.index)),
        KeyValue::new(words::HW_MODEL, device.name.clone()),
    ];
    labels.extend(device.parent.as_ref().map(|parent| KeyValue::new(words::HW_PARENT, Arc::clone(parent))));
    labels
}

#[expect(clippy::cast_precision_loss, reason = "bytes and millijoules are fewer than 2^52")]
const fn number(count: u64) -> f64 {
    count as f64
}
