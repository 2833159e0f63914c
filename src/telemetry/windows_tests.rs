//! Windows from journals made by hand.

use std::sync::Arc;

use super::names;
use super::span::{Span, Value};
use super::windows::Windows;
use crate::base::{RunId, Timestamp};
use crate::event::{Event, GpuDevice, GpuSample, GpuSeen, Recorded, RunOutcome, Sampled, SourceEnded};
use crate::journal::{Batch, Durability, EventLog as _, EventSeq, Reader, Sqlite};
use crate::report::testing::Story;

/// A second of 50 W and half busy, from a second after `began`.
fn sample(began: Timestamp, second: i64) -> Sampled {
    let at = Timestamp(began.0 + second * 1_000_000);
    let mut sample = GpuSample { until: Timestamp(at.0 + 1_000_000), ..GpuSample::empty(Arc::from("GPU-a"), at) };
    for tenth in 0..10_i64 {
        sample.energy.push((tenth * 100_000, u64::try_from(9_000_000 + (second * 10 + tenth) * 5_000).unwrap()));
        sample.busy.push((tenth * 100_000, if tenth % 2 == 0 { 100 } else { 0 }));
    }
    sample.memory = Some(9 << 30);
    Sampled::Sample(sample)
}

/// Writes a run of so many seconds, an event each second, samples with the event after them; `late` names those that come
/// with the last one only.
fn journal(seconds: i64, late: impl Fn(i64) -> bool) -> (tempfile::TempDir, Reader) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let mut log = Sqlite::create(&path, Durability::Process).unwrap();
    let mut story = Story::begin("debate");
    let began = story.log[0].at;
    if let Event::RunStarted(started) = &mut story.log[0].event {
        started.gpu = Some(GpuSeen { reason: None, backends: vec!["auto".into()] });
    }
    story.end(RunOutcome::Complete);
    let (first, mut last) = (story.log[0].clone(), story.log.last().unwrap().clone());
    last.at = Timestamp(began.0 + seconds * 1_000_000);
    let events = |event: &Recorded| [Batch { events: [event.clone()].into(), ..Batch::default() }];
    log.append(&events(&first)).unwrap();
    log.add_samples(vec![Sampled::Device(GpuDevice::for_tests("GPU-a"))]);
    let mut held = Vec::new();
    for second in 0..seconds {
        match late(second) {
            true => held.push(sample(began, second)),
            false => log.add_samples(vec![sample(began, second)]),
        }
        let at = Timestamp(began.0 + second * 1_000_000 + 999_000);
        let event = Event::SourceEnded(SourceEnded { cases: u64::try_from(second).unwrap() });
        log.append(&events(&Recorded { at, event })).unwrap();
    }
    log.add_samples(held);
    log.append(&events(&last)).unwrap();
    log.finish().unwrap();
    drop(log);
    let reader = Reader::open(&path).unwrap();
    (folder, reader)
}

/// Tells a journal's windows; those of the first `passed` events have been told.
fn told(reader: &Reader, passed: u64) -> Vec<Span> {
    let mut windows = Windows::new(RunId::from("debate-1"));
    let mut spans = Vec::new();
    let visit = &mut |seq: EventSeq, recorded: Recorded| {
        if seq.0 <= passed {
            windows.pass(&recorded);
            return Ok(());
        }
        windows.add(seq, &recorded, reader, &mut |span| spans.push(span))
    };
    reader.events_after(EventSeq::default(), visit).unwrap();
    spans
}

fn number(span: &Span, key: &str) -> f64 {
    match span.attribute(key) {
        Some(Value::Float(number)) => *number,
        other => panic!("{key}: {other:?}"),
    }
}

#[test]
fn every_minute_is_a_span_and_the_last_is_shorter() {
    let (_folder, reader) = journal(150, |_| false);
    let spans = told(&reader, 0);
    let lengths: Vec<u64> = spans.iter().map(|span| span.end.micros_since(span.start) / 1_000_000).collect();
    assert_eq!(lengths, [60, 60, 30]);
    let energy: f64 = spans.iter().map(|span| number(span, names::GPU_ENERGY)).sum();
    assert!((energy - 1_499.0 * 5.0).abs() < 1e-6, "all that the counter went up by: {energy}");
    for span in &spans {
        assert!((number(span, names::GPU_UTIL_MEAN) - 0.5).abs() < 0.01 && span.events.len() <= 60);
        assert!((number(span, names::GPU_POWER_MEAN) - 50.0).abs() < 0.2);
        assert_eq!(span.attribute(names::HW_ID).and_then(Value::as_text), Some("GPU-a"));
        assert!(span.attribute(names::OPERATION).is_none(), "it is none of a model's");
    }
    assert_eq!(spans[0].parent, spans[1].parent);
}

#[test]
fn whoever_goes_on_tells_what_is_left_and_the_same() {
    let (_folder, reader) = journal(150, |_| false);
    let all = told(&reader, 0);
    assert_eq!(told(&reader, 0), all);
    for passed in [1, 40, 72, 100, 140, 151, 152] {
        let rest = told(&reader, passed);
        assert!(all.ends_with(&rest), "after {passed}: {} of {}", rest.len(), all.len());
    }
}

#[test]
fn what_became_durable_too_late_is_left_out_for_ever() {
    let (_folder, reader) = journal(150, |second| second == 20 || second == 125);
    let spans = told(&reader, 0);
    assert_eq!(spans.iter().map(|span| span.events.len()).collect::<Vec<_>>(), [59, 60, 30]);
    // The counter carries over what is missing.
    let energy: f64 = spans.iter().map(|span| number(span, names::GPU_ENERGY)).sum();
    assert!((energy - 1_499.0 * 5.0).abs() < 1e-6, "{energy}");
}

#[test]
fn a_journal_without_samples_has_no_windows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let mut log = Sqlite::create(&path, Durability::Process).unwrap();
    let mut story = Story::begin("debate");
    story.end(RunOutcome::Complete);
    log.append(&[Batch { events: story.log.clone().into(), ..Batch::default() }]).unwrap();
    assert!(told(&Reader::open(&path).unwrap(), 0).is_empty());
}
