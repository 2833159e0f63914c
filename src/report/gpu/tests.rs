//! Runs made by hand, with devices beside them.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::base::Timestamp;
use crate::event::{
    Capacity, CapacityChanged, Event, FailureKind, FinishReason, GpuCan, GpuDevice, GpuSample, GpuUser, InMemory,
    Recorded, RunPaused, RunUnpaused, Throttle,
};
use crate::report::testing::Story;

/// Samples of a second each: the counter every 100 ms by `watts`, the ring every 100 ms by `percent`, both of the time in
/// milliseconds since `from`.
fn samples(
    from: Timestamp,
    seconds: i64,
    watts: impl Fn(i64) -> f64,
    percent: impl Fn(i64) -> u32,
) -> Vec<GpuSample> {
    let mut total = 1_000_000.0;
    let mut made = Vec::new();
    for second in 0..seconds {
        let at = Timestamp(from.0 + second * 1_000_000);
        let mut sample = GpuSample { until: Timestamp(at.0 + 1_000_000), ..GpuSample::empty(Arc::from("a"), at) };
        for tenth in 0..10 {
            let ms = second * 1_000 + tenth * 100;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter of a test")]
            sample.energy.push((tenth * 100_000, total as u64));
            sample.busy.push((tenth * 100_000, percent(ms)));
            total += watts(ms) * 100.0;
        }
        made.push(sample);
    }
    made
}

/// Joins as a reader does: page by page.
fn join(events: &[Recorded], samples: &[GpuSample], page: usize) -> (GpuReport, Vec<Flown>) {
    let devices = [GpuDevice::for_tests("a")];
    let mut known = First::new(&devices);
    let mut next = 0;
    for events in events.chunks(page) {
        events.iter().for_each(|event| known.event(event));
        let read = events.last().unwrap().at;
        while next < samples.len() && samples[next].at <= read {
            known.sample(&samples[next]);
            next += 1;
        }
        known.settle(read);
    }
    samples[next..].iter().for_each(|sample| known.sample(sample));
    let mut second = Second::new(&devices, known.finish());
    let (mut next, mut flown) = (0, Vec::new());
    let tell = &mut |one: &Flown| flown.push(one.clone());
    for events in events.chunks(page) {
        events.iter().for_each(|event| second.event(event));
        let read = events.last().unwrap().at;
        while next < samples.len() && samples[next].at <= read {
            second.sample(&samples[next]);
            next += 1;
        }
        second.settle(read, tell);
    }
    samples[next..].iter().for_each(|sample| second.sample(sample));
    let report = second.finish(tell);
    (report, flown)
}

/// A run of a few requests, each event a second after the other.
fn talk(requests: u32) -> Story {
    let mut story = Story::begin("debate");
    story.admit(0, "m0", &serde_json::json!({}));
    for number in 1..=requests {
        let call = story.start(0, "debate", &format!("turn/{number}"), 1, "pro");
        story.answer(&call, "Tea.", FinishReason::Stop);
    }
    story
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() < 1.0
}

#[test]
fn requests_idle_time_and_nobodys_add_up_to_the_counter() {
    let story = talk(4);
    let began = story.log[0].at;
    let samples =
        samples(began, 30, |ms| if ms < 9_000 { 70.0 } else { 20.0 }, |ms| if ms < 9_000 { 100 } else { 0 });
    for page in [1, 3, 1_000] {
        let (report, flown) = join(&story.log, &samples, page);
        let device = &report.devices[0];
        let counted = device.millijoules.unwrap();
        assert!(close(counted, 9_000.0 * 70.0 + 20_900.0 * 20.0), "{counted}");
        assert!(close(device.idle_mj + device.unattributed_mj + device.requests_mj, counted), "{device:?}");
        assert!(close(flown.iter().map(|one| one.millijoules).sum(), device.requests_mj));
        assert_eq!(device.idle_watts.map(f64::round), Some(20.0));
        assert_eq!((flown.len(), report.requests), (4, 4));
        assert!(flown.iter().all(|one| one.method() == "tokens" && one.coverage() > 0.99), "{flown:?}");
        assert!(report.coverage().unwrap() > 0.99);
        // 450 ms each, alone: what the device used beyond idling.
        for one in &flown {
            assert!((one.millijoules - 450.0 * 50.0).abs() < 2.0 * 100.0 * 50.0, "{one:?}");
            assert!((one.concurrency().unwrap() - 1.0).abs() < 1e-9);
        }
        assert_eq!(report.steps.keys().collect::<Vec<_>>(), ["debate"]);
        assert!(report.steps["debate"].joules_per_thousand().unwrap() > 0.0);
    }
}

#[test]
fn while_a_run_goes_requests_are_told_the_same_soon_after_their_end() {
    let story = talk(12);
    let began = story.log[0].at;
    let samples =
        samples(began, 30, |ms| if ms % 700 < 300 { 70.0 } else { 20.0 }, |ms| u32::from(ms % 700 < 300) * 100);
    let (_, expected) = join(&story.log, &samples, 1_000);
    let mut live = Live::default();
    let (mut next, mut told, mut waiting) = (0, Vec::new(), 0);
    for event in &story.log {
        while next < samples.len() && samples[next].until <= event.at {
            live.devices(&[GpuDevice::for_tests("a")]);
            assert!(live.knows("a") && !live.knows("b"));
            live.sample(&samples[next]);
            next += 1;
        }
        waiting += usize::from(live.event(event));
        live.settle(event.at, &mut |one| {
            assert!(event.at.micros_since(one.work.end) < 5_000_000, "{one:?} at {:?}", event.at);
            told.push(one);
        });
    }
    let last = told.len();
    assert!(last >= 8 && last < waiting, "{last} of {waiting}");
    let id = &expected[last].id;
    assert!(live.so_far(id).is_some() && live.so_far(&expected[0].id).is_none());
    samples[next..].iter().for_each(|sample| live.sample(sample));
    live.settle(Timestamp(i64::MAX), &mut |one| told.push(one));
    assert_eq!(waiting, 12);
    assert_eq!(
        told.iter().map(|one| &one.id).collect::<Vec<_>>(),
        expected.iter().map(|one| &one.id).collect::<Vec<_>>()
    );
    for (one, other) in told.iter().zip(&expected) {
        assert!(one.millijoules > 0.0 && (one.busy_s - other.busy_s).abs() < 1e-9, "{one:?} {other:?}");
        assert!((one.coverage() - other.coverage()).abs() < 1e-9, "{one:?} {other:?}");
        // Nothing is known of a quiet device yet: the report takes off what it uses when idle.
        assert!(one.millijoules >= other.millijoules - 1e-6, "{one:?} {other:?}");
    }
}

#[test]
fn a_lost_device_and_one_that_tells_nothing_keep_nobody_waiting() {
    let story = talk(6);
    let began = story.log[0].at;
    let mut silent = GpuDevice::for_tests("a");
    silent.can = vec![GpuCan::Memory];
    let mut lost = samples(began, 3, |_| 50.0, |_| 100);
    lost[2].lost = true;
    for (device, samples) in [(silent, Vec::new()), (GpuDevice::for_tests("a"), lost)] {
        let mut live = Live::default();
        live.devices(&[device]);
        samples.iter().for_each(|sample| live.sample(sample));
        let mut told = Vec::new();
        for event in &story.log {
            live.event(event);
            live.settle(event.at, &mut |one| told.push(one));
        }
        assert_eq!(told.len(), 6, "{told:?}");
        assert!(told.last().unwrap().concurrency().is_none());
    }
}

#[test]
fn bursts_between_two_looks_are_told() {
    let story = talk(3);
    // 200 ms of work in the middle of each second: whoever looks on the second sees nothing.
    let burst = |ms: i64| if matches!(ms % 1_000, 400 | 500) { 100 } else { 0 };
    let began = Timestamp(story.log[0].at.0 / 1_000_000 * 1_000_000);
    let (report, _) = join(&story.log, &samples(began, 12, |_| 50.0, burst), 2);
    let device = &report.devices[0];
    assert!(device.polls >= 10 && device.idle_polls == device.polls, "{device:?}");
    assert_eq!(device.hidden_bursts, device.polls - 1);
    assert!((device.busy_s - 2.4).abs() < 0.11, "{}", device.busy_s);
}

#[test]
fn gaps_say_what_they_waited_for() {
    let mut story = talk(1);
    let shift = |story: &mut Story, seconds: i64, event: Event| {
        let at = Timestamp(story.log.last().unwrap().at.0 + seconds * 1_000_000);
        story.log.push(Recorded { at, event });
    };
    shift(&mut story, 1, Event::RunPaused(RunPaused {}));
    shift(&mut story, 20, Event::RunUnpaused(RunUnpaused {}));
    let began = story.log[0].at;
    let (report, _) = join(&story.log, &samples(began, 28, |_| 20.0, |_| 0), 2);
    let device = &report.devices[0];
    assert_eq!(device.gaps.len(), 1);
    assert_eq!(device.gaps[0].cause, Cause::Paused);
    assert!((device.idle_s[&Cause::Paused] - 20.0).abs() < 0.2, "{:?}", device.idle_s);
    assert!((device.idle_s[&Cause::InFlight] - 0.45).abs() < 0.2, "{:?}", device.idle_s);
    assert!(device.idle_s.contains_key(&Cause::NothingToAsk));
}

#[test]
fn a_rate_limit_is_told_from_a_failure_and_from_a_breaker() {
    let waits = |kind: FailureKind, breaks: bool| {
        let mut story = Story::begin("debate");
        story.admit(0, "m0", &serde_json::json!({}));
        let call = story.start(0, "debate", "turn/1", 1, "pro");
        story.fail_again(&call, kind, "later");
        if breaks {
            let (backend, reason) = ("auto".into(), "too many".to_owned());
            let at = story.log.last().unwrap().at;
            let changed = CapacityChanged { model: None, backend, change: Capacity::BreakerOpened, reason };
            story.log.push(Recorded { at, event: Event::CapacityChanged(changed) });
        }
        let began = story.log[0].at;
        let (report, _) = join(&story.log, &samples(began, 60, |_| 20.0, |_| 0), 2);
        let causes = &report.devices[0].idle_s;
        let most = causes.iter().max_by(|one, other| one.1.total_cmp(other.1));
        *most.unwrap().0
    };
    assert_eq!(waits(FailureKind::Throttled, false), Cause::RateLimit);
    assert_eq!(waits(FailureKind::Overloaded, false), Cause::Backoff);
    assert_eq!(waits(FailureKind::Overloaded, true), Cause::Breaker);
}

#[test]
fn work_done_elsewhere_is_suspected_with_reasons() {
    let story = talk(20);
    let began = story.log[0].at;
    let idle = samples(began, 45, |_| 20.0, |_| 0);
    let (report, _) = join(&story.log, &idle, 7);
    let reasons = report.fallback().unwrap();
    assert!(reasons[0].starts_with("devices computed in 0.0 %"), "{reasons:?}");
    let mut served = idle;
    for sample in &mut served {
        sample.busy.iter_mut().for_each(|entry| entry.1 = 60);
    }
    assert_eq!(join(&story.log, &served, 7).0.fallback(), None);
}

#[test]
fn what_a_server_told_of_a_model_beside_devices_is_named_however_busy_they_were() {
    let mut story = talk(20);
    let began = story.log[0].at;
    let Event::RunStarted(started) = &mut story.log[0].event else { panic!("a run begins") };
    started.backends[0].server = "ollama".to_owned();
    started.backends[0].memory = vec![
        ("llama3".into(), InMemory { bytes: 6_591_830_464, on_device: 2_504_895_577 }),
        ("tiny".into(), InMemory { bytes: 100, on_device: 100 }),
        ("slow".into(), InMemory { bytes: 100, on_device: 0 }),
    ];
    let (report, _) = join(&story.log, &samples(began, 45, |_| 60.0, |_| 90), 7);
    assert_eq!(
        report.fallback().unwrap(),
        [
            "the server told: 38 % of llama3 is in GPU memory: the rest computes on the CPU",
            "the server told: nothing of slow is in GPU memory: it computes on the CPU",
        ]
    );
    // All but a byte is not all.
    assert_eq!(InMemory { bytes: 1_000, on_device: 999 }.percent(), 99);
}

#[test]
fn other_processes_heat_and_losses_are_told() {
    let story = talk(2);
    let mut samples = samples(story.log[0].at, 8, |_| 60.0, |_| 50);
    samples[1].users =
        Some(vec![GpuUser(7, Some(9 << 30), Some(80), Some("vllm".into())), GpuUser(8, None, Some(3), None)]);
    samples[2].throttled = vec![Throttle::Heat];
    samples[3].celsius = Some(91);
    samples[4].holes = 2;
    samples[7].lost = true;
    let device = &join(&story.log, &samples, 3).0.devices[0];
    assert!(device.foreign);
    assert_eq!(device.processes[&7].held, Some(9 << 30));
    assert_eq!((device.throttled_s["heat"], device.celsius, device.holes), (1.0, Some(91), 2));
    assert_eq!(device.lost, Some(samples[7].until));
}

#[test]
fn what_was_counted_between_two_processes_is_nobodys() {
    let mut story = talk(1);
    let late = Timestamp(story.log.last().unwrap().at.0 + 3_600_000_000);
    story.log.push(Recorded {
        at: late,
        event: Event::RunResumed(crate::event::RunResumed {
            segment: 1,
            version: "0".to_owned(),
            backends: Vec::new(),
            cases: None,
            parent: None,
            provenance: None,
        }),
    });
    let mut all = samples(story.log[0].at, 5, |_| 50.0, |_| 50);
    let mut later = samples(late, 5, |_| 50.0, |_| 50);
    later.iter_mut().flat_map(|sample| &mut sample.energy).for_each(|(_, total)| *total += 900_000_000);
    all.extend(later);
    let device = &join(&story.log, &all, 2).0.devices[0];
    assert!(close(device.millijoules.unwrap(), 2.0 * 4_900.0 * 50.0), "{:?}", device.millijoules);
}

proptest! {
    #[test]
    fn whatever_overlaps_and_is_missing_the_parts_add_up(
        starts in prop::collection::vec((0..40_000_i64, 1..20_000_i64, any::<bool>()), 0..20),
        missing in prop::collection::vec(any::<bool>(), 60),
        watts in prop::collection::vec(5..700_u32, 60),
        page in 1..40_usize,
    ) {
        let mut story = Story::begin("debate");
        story.admit(0, "m0", &serde_json::json!({}));
        let began = story.log[0].at;
        let mut made: Vec<Recorded> = Vec::new();
        for (number, (start, length, is_told)) in starts.iter().enumerate() {
            let mut one = Story::begin("debate");
            one.admit(0, "m0", &serde_json::json!({}));
            let call = one.start(0, "debate", &format!("turn/{}", number + 1), 1, "pro");
            if *is_told {
                one.answer(&call, "Tea.", FinishReason::Stop);
            } else {
                one.fail(&call, FailureKind::Overloaded, "no");
            }
            for (event, at) in one.log.drain(2..).zip([*start, start + length]) {
                let mut event = event;
                event.at = Timestamp(began.0 + at * 1_000);
                if let Event::AttemptEnded(ended) = &mut event.event {
                    ended.timings.total_us = u64::try_from(length * 1_000).unwrap();
                    ended.timings.first_token_us = is_told.then(|| u64::try_from(length * 300).unwrap());
                }
                made.push(event);
            }
        }
        made.sort_by_key(|event| event.at);
        story.log.extend(made);
        let power = |ms: i64| f64::from(watts[usize::try_from(ms / 1_000).unwrap()]);
        let all = samples(began, 60, power, |ms| u32::try_from(ms % 101).unwrap());
        let kept: Vec<GpuSample> =
            all.into_iter().zip(&missing).filter(|(_, is_missing)| !**is_missing).map(|(sample, _)| sample).collect();
        let (report, flown) = join(&story.log, &kept, page);
        let device = &report.devices[0];
        let counter: Vec<u64> = kept.iter().flat_map(|sample| sample.energy.iter().map(|(_, total)| *total)).collect();
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let counted = counter.last().map_or(0, |last| last - counter[0]) as f64;
        let told: f64 = flown.iter().map(|one| one.millijoules).sum();
        prop_assert!(close(device.millijoules.unwrap_or(0.0), counted));
        prop_assert!(close(device.idle_mj + device.unattributed_mj + told, counted), "{told} {device:?}");
        prop_assert_eq!(flown.len(), starts.len());
        // However it is read, the same is told.
        let (again, _) = join(&story.log, &kept, 1_000);
        prop_assert!(close(again.devices[0].requests_mj, device.requests_mj));
        prop_assert!((again.devices[0].flight_s - device.flight_s).abs() < 1e-6);
    }
}
