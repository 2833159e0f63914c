//! Journals made by hand, told while they grow, when they are whole, and by whoever goes on.

use std::sync::Arc;

use super::names;
use super::settings::Settings;
use super::span::{Span, Value};
use super::teller::{Sink, Teller, spans_of};
use crate::base::{RunId, Timestamp};
use crate::event::{CaseStatus, Event, FinishReason, GpuDevice, GpuSample, GpuSeen, RunOutcome, Sampled, TaskStatus};
use crate::journal::{Batch, Durability, EventLog as _, EventSeq, Reader, Sqlite};
use crate::plan::SpanSample;
use crate::report::testing::Story;

/// Adds a second of 50 W and always busy, from a second after `began`.
fn sample(began: Timestamp, second: i64) -> Sampled {
    let at = Timestamp(began.0 + second * 1_000_000);
    let mut sample = GpuSample { until: Timestamp(at.0 + 1_000_000), ..GpuSample::empty(Arc::from("GPU-a"), at) };
    for tenth in 0..10_i64 {
        sample.energy.push((tenth * 100_000, u64::try_from(9_000_000 + (second * 10 + tenth) * 5_000).unwrap()));
        sample.busy.push((tenth * 100_000, 100));
    }
    Sampled::Sample(sample)
}

/// A run of so many cases of one request each, on a device that is sampled.
pub(super) fn story(cases: u64) -> Story {
    let mut story = Story::begin("debate");
    if let Event::RunStarted(started) = &mut story.log[0].event {
        started.gpu = Some(GpuSeen { reason: None, backends: vec!["auto".into()] });
    }
    for case in 0..cases {
        story.admit(case, &format!("m{case}"), &serde_json::json!({}));
        let call = story.start(case, "debate", "say", 1, "pro");
        story.answer(&call, "Tea.", FinishReason::Stop);
        story.settle(case, "debate", TaskStatus::Ok, None);
        story.over(case, CaseStatus::Ok);
    }
    story.end(RunOutcome::Complete);
    story
}

/// Writes a run event by event, each with the samples that were over before it; `grown` is called after each, and once more
/// between the last but one and the last, when more samples came alone.
fn write(story: &Story, grown: &mut dyn FnMut(&Reader)) -> (tempfile::TempDir, Reader) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let mut log = Sqlite::create(&path, Durability::Process).unwrap();
    let began = story.log[0].at;
    let (mut second, mut reader) = (0, None);
    for (place, event) in story.log.iter().enumerate() {
        while began.0 + (second + 1) * 1_000_000 <= event.at.0 {
            if second == 0 {
                log.add_samples(vec![Sampled::Device(GpuDevice::for_tests("GPU-a"))]);
            }
            log.add_samples(vec![sample(began, second)]);
            second += 1;
        }
        if place + 1 == story.log.len() {
            log.append(&[]).unwrap();
            grown(reader.as_ref().unwrap());
        }
        log.append(&[Batch { events: [event.clone()].into(), ..Batch::default() }]).unwrap();
        grown(reader.get_or_insert_with(|| Reader::open(&path).unwrap()));
    }
    log.finish().unwrap();
    drop(log);
    (folder, Reader::open(&path).unwrap())
}

fn run() -> RunId {
    RunId::from("debate-1")
}

pub(super) fn all(reader: &Reader, settings: &Settings) -> Vec<Span> {
    let mut spans = Vec::new();
    spans_of(reader, &run(), settings.clone(), None, &mut |span| {
        spans.push(span);
        Ok(())
    })
    .unwrap();
    spans
}

/// Tells on, as far as a journal has grown.
fn read_on(teller: &mut Teller, reader: &Reader, spans: &mut Vec<Span>) {
    let mut sink = Sink { reader, texts: &|_, _| None, emit: &mut |span| spans.push(span) };
    reader.events_after(teller.read(), &mut |seq, recorded| teller.add(seq, recorded, &mut sink)).unwrap();
    teller.catch_up(&mut sink).unwrap();
}

fn calls(spans: &[Span]) -> impl Iterator<Item = &Span> {
    spans.iter().filter(|span| span.attribute(names::OPERATION).and_then(Value::as_text) == Some(names::CHAT))
}

fn joules(spans: &[Span]) -> Vec<f64> {
    let number = |span: &Span| match span.attribute(names::GPU_ENERGY) {
        Some(Value::Float(number)) => *number,
        other => panic!("{other:?} in {span:?}"),
    };
    calls(spans).map(number).collect()
}

#[test]
fn every_request_says_what_devices_did_for_it() {
    let story = story(20);
    let (_folder, reader) = write(&story, &mut |_| {});
    let spans = all(&reader, &Settings::default());
    let joules = joules(&spans);
    assert_eq!(joules.len(), 20);
    // 450 ms each, alone, at 50 W; the counter moves every 100 ms, and what it moved by belongs to whoever was there. The
    // run ends before the last readings of the last one are there.
    assert!(joules[..19].iter().all(|joules| (20.0..=30.0).contains(joules)), "{joules:?}");
    let call = spans.iter().find(|span| span.attribute(names::GPU_METHOD).is_some()).unwrap();
    assert_eq!(call.attribute(names::GPU_METHOD).and_then(Value::as_text), Some("share-v1"));
    assert_eq!(call.attribute(names::GPU_METHOD_BY).and_then(Value::as_text), Some("tokens"));
    let fraction = |key| match call.attribute(key) {
        Some(Value::Float(number)) => *number,
        other => panic!("{other:?}"),
    };
    assert!(fraction(names::GPU_COVERAGE) > 0.99 && (fraction(names::GPU_CONCURRENCY) - 1.0).abs() < 1e-9);
    assert!((fraction(names::GPU_BUSY) - 0.45).abs() < 0.1);
    // Spans stand where they stood without.
    let mut plain = self::story(20);
    if let Event::RunStarted(started) = &mut plain.log[0].event {
        started.gpu = None;
    }
    let (_other, reader) = write(&plain, &mut |_| {});
    let contexts = |spans: &[Span]| spans.iter().map(|span| (span.name.clone(), span.context)).collect::<Vec<_>>();
    assert_eq!(contexts(&all(&reader, &Settings::default())), contexts(&spans));
}

#[test]
fn told_while_it_grows_and_told_when_it_is_whole_are_the_same() {
    let story = story(20);
    let mut teller = Teller::new(run(), Settings::default(), None, EventSeq::default(), true);
    let (mut spans, mut behind) = (Vec::new(), 0);
    let (_folder, reader) = write(&story, &mut |reader| {
        read_on(&mut teller, reader, &mut spans);
        behind = behind.max(teller.read().0 - teller.told().0);
    });
    assert_eq!(spans, all(&reader, &Settings::default()));
    assert!(joules(&spans)[0] > 15.0, "the first waits, too, until it is known which devices there are");
    assert!(behind > 0 && behind < 40, "some events wait for readings: {behind}");
    assert_eq!(teller.told(), teller.read());
}

#[test]
fn whoever_goes_on_tells_what_is_left_and_the_same() {
    let story = story(20);
    let (_folder, reader) = write(&story, &mut |_| {});
    for sample in [None, Some(SpanSample { ratio: 1.0, keep: Vec::new() })] {
        let settings = Settings { sample, ..Settings::default() };
        let spans = all(&reader, &settings);
        for passed in [1, 4, 20, 50, 80, story.log.len() as u64] {
            let mut teller = Teller::new(run(), settings.clone(), None, EventSeq(passed), true);
            let mut rest = Vec::new();
            read_on(&mut teller, &reader, &mut rest);
            assert!(spans.ends_with(&rest), "after {passed}: {} of {}", rest.len(), spans.len());
            assert_eq!(rest.is_empty(), passed == story.log.len() as u64);
        }
    }
}

#[test]
fn a_request_of_minutes_keeps_the_others_waiting_for_half_a_minute() {
    let mut long = Story::begin("debate");
    if let Event::RunStarted(started) = &mut long.log[0].event {
        started.gpu = Some(GpuSeen { reason: None, backends: vec!["auto".into()] });
    }
    long.admit(0, "long", &serde_json::json!({}));
    let open = long.start(0, "debate", "say", 1, "pro");
    for case in 1..=100 {
        long.admit(case, &format!("m{case}"), &serde_json::json!({}));
        let call = long.start(case, "debate", "say", 1, "pro");
        long.answer(&call, "Tea.", FinishReason::Stop);
    }
    long.answer(&open, "Tea at last.", FinishReason::Stop);
    long.end(RunOutcome::Complete);
    let mut teller = Teller::new(run(), Settings::default(), None, EventSeq::default(), true);
    let (mut spans, mut behind) = (Vec::new(), 0);
    let (_folder, reader) = write(&long, &mut |reader| {
        read_on(&mut teller, reader, &mut spans);
        behind = behind.max(teller.read().0 - teller.told().0);
    });
    assert!((10..200).contains(&behind), "{behind}");
    assert_eq!(calls(&spans).count(), 101);
    assert_eq!(spans, all(&reader, &Settings::default()));
}
