//! What graphics devices did, a span for each minute of each.
//!
//! Samples lie beside the log, each with the event after which it became durable. A minute is told at the first event that
//! was recorded so much later that all samples of it should be there, or at the end of the process; one that comes later
//! still is left out. So what is told follows from the journal alone, whenever and however often it is read.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::attributes::Attributes;
use super::names;
use super::run_spans;
use super::span::{Kind, Span, SpanEvent, Status};
use crate::base::{RunId, SpanContext, SpanId, SpanParts, Timestamp, TraceId};
use crate::event::{Event, GpuDevice, GpuSample, Recorded};
use crate::journal::{EventSeq, JournalError, Reader, Samples};

/// What one span tells of.
const WINDOW_US: i64 = 60_000_000;
/// How much later than a window samples of it may become durable.
const LATE_US: i64 = 10_000_000;
/// How far back the reading lies that a window's first is compared with, at most.
const BEFORE_US: i64 = 3_000_000;
/// Most samples of a window that are told one by one.
const MOST_EVENTS: usize = 120;

/// Follows the processes of a run, and tells the windows that are over.
#[derive(Debug)]
pub(super) struct Windows {
    run: RunId,
    root: Option<SpanContext>,
    segment: u32,
    /// Where the next window begins, while a process works on the run.
    from: Option<Timestamp>,
    number: u32,
    latest: Timestamp,
}

impl Windows {
    pub(super) const fn new(run: RunId) -> Self {
        Self { run, root: None, segment: 0, from: None, number: 0, latest: Timestamp(0) }
    }

    /// Takes an event whose windows have been told already.
    pub(super) fn pass(&mut self, recorded: &Recorded) {
        let told = self.take(EventSeq::default(), recorded, &mut |_, _, _, _| Ok(()));
        debug_assert!(told.is_ok(), "bug: nothing is read");
    }

    /// Takes the next event of the log and tells the windows that are over with it.
    ///
    /// # Errors
    /// Damage, or trouble of the store.
    pub(super) fn add(
        &mut self,
        seq: EventSeq,
        recorded: &Recorded,
        reader: &Reader,
        emit: &mut dyn FnMut(Span),
    ) -> Result<(), JournalError> {
        let run = self.run.clone();
        self.take(seq, recorded, &mut |place, from, to, through| {
            let about = About { run: &run, place, from, to };
            about.spans(reader, through)?.into_iter().for_each(&mut *emit);
            Ok(())
        })
    }

    fn take(&mut self, seq: EventSeq, recorded: &Recorded, tell: &mut Tell<'_>) -> Result<(), JournalError> {
        let at = recorded.at;
        match &recorded.event {
            Event::RunStarted(started) => {
                let trace = started.traced.unwrap_or_default().trace(&self.run);
                self.root = Some(run_spans::context(&self.run, trace, 0, "run"));
                self.from = Some(at);
            }
            Event::RunResumed(resumed) => {
                // A process that was killed has not told its end.
                self.close(seq, self.latest, tell)?;
                (self.segment, self.number, self.from) = (resumed.segment, 0, Some(at));
            }
            Event::RunEnded(_) | Event::RunFailed(_) => self.close(seq, at, tell)?,
            _ => {
                while let Some(from) = self.from.filter(|from| at.0 - from.0 >= WINDOW_US + LATE_US) {
                    self.tell(seq, from, Timestamp(from.0 + WINDOW_US), tell)?;
                }
            }
        }
        self.latest = at;
        Ok(())
    }

    /// Tells what is left of a process.
    fn close(&mut self, seq: EventSeq, at: Timestamp, tell: &mut Tell<'_>) -> Result<(), JournalError> {
        while let Some(from) = self.from.filter(|from| *from < at) {
            self.tell(seq, from, Timestamp(from.0 + WINDOW_US).min(at), tell)?;
        }
        self.from = None;
        Ok(())
    }

    fn tell(
        &mut self,
        seq: EventSeq,
        from: Timestamp,
        to: Timestamp,
        tell: &mut Tell<'_>,
    ) -> Result<(), JournalError> {
        let Some(root) = self.root else { return Ok(()) };
        let place = Place { root, segment: self.segment, number: self.number };
        self.from = Some(to);
        self.number += 1;
        // What became durable with an event stands after the one before it.
        tell(place, from, to, EventSeq(seq.0.saturating_sub(1)))
    }
}

/// What is called for each window: which, from when until when, and the samples up to which event count.
type Tell<'a> = dyn FnMut(Place, Timestamp, Timestamp, EventSeq) -> Result<(), JournalError> + 'a;

/// Which window of which process.
#[derive(Clone, Copy, Debug)]
struct Place {
    root: SpanContext,
    segment: u32,
    number: u32,
}

/// One window.
struct About<'a> {
    run: &'a RunId,
    place: Place,
    from: Timestamp,
    to: Timestamp,
}

impl About<'_> {
    fn spans(&self, reader: &Reader, through: EventSeq) -> Result<Vec<Span>, JournalError> {
        let mut of_devices: BTreeMap<Arc<str>, Vec<GpuSample>> = BTreeMap::new();
        let wanted = Samples { from: Timestamp(self.from.0 - BEFORE_US), until: self.to, through };
        reader.gpu_samples(&wanted, &mut |sample| {
            of_devices.entry(Arc::clone(&sample.device)).or_default().push(sample);
            Ok(())
        })?;
        if of_devices.is_empty() {
            return Ok(Vec::new());
        }
        let devices = reader.gpu_devices()?;
        let told = devices.iter().filter_map(|device| {
            let (before, within): (Vec<GpuSample>, Vec<GpuSample>) =
                of_devices.remove(&device.id)?.into_iter().partition(|sample| sample.at < self.from);
            (!within.is_empty()).then(|| self.span(device, &before, &within))
        });
        Ok(told.collect())
    }

    fn span(&self, device: &GpuDevice, before: &[GpuSample], samples: &[GpuSample]) -> Span {
        let seconds = |from: i64, to: i64| number(u64::try_from(to - from).unwrap_or(0)) / 1e6;
        let mut sums = Sums::of(before);
        let events: Vec<SpanEvent> = samples.iter().map(|sample| sums.add(sample)).collect();
        let energy = sums.counted.then(|| number(sums.millijoules) / 1e3);
        let length = seconds(samples[0].at.0, samples[samples.len() - 1].until.0);
        let mut attributes = Attributes::of_span();
        attributes.put(names::RUN_ID, self.run.as_str()).put(names::SEGMENT, self.place.segment);
        identify(device, &mut attributes);
        attributes.maybe(names::GPU_UTIL_MEAN, (sums.known_s > 0.0).then(|| sums.busy_s / sums.known_s));
        attributes.maybe(names::GPU_UTIL_MAX, sums.most_busy.map(|percent| f64::from(percent) / 100.0));
        attributes.maybe(names::GPU_BUSY, (sums.known_s > 0.0).then_some(sums.busy_s));
        attributes.maybe(names::GPU_ENERGY, energy);
        attributes.maybe(names::GPU_POWER_MEAN, energy.filter(|_| length > 0.0).map(|energy| energy / length));
        attributes.maybe(names::GPU_MEMORY_MAX, samples.iter().filter_map(|sample| sample.memory).max());
        let users = samples.iter().filter_map(|sample| sample.users.as_ref());
        let computing =
            users.map(|users| users.iter().filter(|user| user.2.is_some_and(|percent| percent > 0)).count());
        attributes.put(names::GPU_THROTTLED, samples.iter().any(|sample| !sample.throttled.is_empty()));
        attributes.maybe(names::GPU_FOREIGN, computing.max().map(|most| most > 1));
        attributes.put(names::GPU_HOLES, samples.iter().map(|sample| sample.holes).sum::<u32>());
        attributes.maybe(names::GPU_MIG, device.mig.then_some(true));
        attributes.maybe(names::GPU_LOST, samples.iter().any(|sample| sample.lost).then_some(true));
        Span {
            context: self.context(device),
            parent: Some(self.place.root.span),
            name: names::GPU_WINDOW_SPAN.to_owned(),
            kind: Kind::Internal,
            start: self.from,
            end: self.to,
            attributes: attributes.take(),
            events: events.into_iter().take(MOST_EVENTS).collect(),
            links: Vec::new(),
            status: Status::Unset,
        }
    }

    fn context(&self, device: &GpuDevice) -> SpanContext {
        let Place { root, segment, number } = self.place;
        let about = TraceId::of_run(self.run);
        let parts = SpanParts { about, step: &device.id, each: "", call: &segment.to_string(), number, kind: "gpu" };
        SpanContext { trace: root.trace, span: SpanId::of(&parts) }
    }
}

/// Adds what the conventions for hardware say of a device.
fn identify(device: &GpuDevice, attributes: &mut Attributes) {
    attributes.put(names::HW_ID, &*device.id).put(names::HW_TYPE, "gpu");
    attributes.put(names::HW_NAME, format!("GPU {}", device.index)).put(names::HW_MODEL, device.name.as_str());
    attributes
        .put(names::HW_VENDOR, device.vendor.as_deref().unwrap_or("NVIDIA"))
        .maybe(names::HW_DRIVER, device.driver.as_deref());
    attributes.maybe(names::HW_PARENT, device.parent.as_deref());
}

/// What samples come to, in the order of time.
#[derive(Debug, Default)]
struct Sums {
    energy: Option<u64>,
    busy: Option<Timestamp>,
    counted: bool,
    millijoules: u64,
    known_s: f64,
    busy_s: f64,
    most_busy: Option<u32>,
}

impl Sums {
    /// Begins with the last readings of before.
    fn of(before: &[GpuSample]) -> Self {
        let energy = before.iter().flat_map(|sample| &sample.energy).next_back().map(|(_, total)| *total);
        let entries = before.iter().flat_map(|sample| sample.busy.iter().map(|(offset, _)| sample.at.0 + offset));
        Self { energy, busy: entries.last().map(Timestamp), ..Self::default() }
    }

    /// Adds a sample and tells it.
    fn add(&mut self, sample: &GpuSample) -> SpanEvent {
        let (mut moved, mut known_s, mut busy_s) = (None, 0.0, 0.0);
        for (_, total) in &sample.energy {
            self.counted = true;
            let step = self.energy.replace(*total).map_or(0, |before| total.saturating_sub(before));
            *moved.get_or_insert(0) += step;
        }
        for (offset, percent) in &sample.busy {
            let to = Timestamp(sample.at.0 + offset);
            let from = self.busy.replace(to).filter(|from| to.0 - from.0 <= BEFORE_US);
            let seconds = from.map_or(0.0, |from| number(to.micros_since(from)) / 1e6);
            known_s += seconds;
            busy_s += seconds * f64::from(*percent) / 100.0;
            self.most_busy = self.most_busy.max(Some(*percent));
        }
        self.millijoules += moved.unwrap_or(0);
        self.known_s += known_s;
        self.busy_s += busy_s;
        let mut attributes = Attributes::default();
        attributes.maybe(names::HW_GPU_UTILIZATION, (known_s > 0.0).then(|| busy_s / known_s));
        attributes.maybe(names::HW_GPU_MEMORY, sample.memory);
        attributes.maybe(names::HW_ENERGY, moved.map(|millijoules| number(millijoules) / 1e3));
        attributes.maybe(names::HW_POWER, sample.power_mw.map(|power| f64::from(power) / 1e3));
        attributes.maybe(names::HW_TEMPERATURE, sample.celsius);
        let words: Vec<String> = sample.throttled.iter().map(|why| why.word().to_owned()).collect();
        attributes.maybe(names::GPU_THROTTLED_BY, (!words.is_empty()).then_some(super::Value::Texts(words)));
        SpanEvent { at: sample.until, name: names::GPU_SAMPLE_EVENT, attributes: attributes.take() }
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds and millijoules are fewer than 2^52")]
const fn number(count: u64) -> f64 {
    count as f64
}
