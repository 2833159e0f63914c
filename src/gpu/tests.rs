//! What the sampler makes of recordings, in told time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::base::Timestamp;
use crate::event::{GpuCan, GpuSample, GpuUser, Sampled, Throttle};

/// When a run begins, in microseconds.
const BEGAN: i64 = 1_760_000_000_000_000;

/// Plays a recording for some seconds; `skipped` says at which ticks the thread was held up.
fn played(
    recording: &str,
    seconds: i64,
    skipped: impl Fn(i64) -> bool,
) -> (Vec<crate::event::GpuDevice>, Vec<GpuSample>) {
    let elapsed = Arc::new(AtomicI64::new(0));
    let source = Replay::at_times(recording, Arc::clone(&elapsed)).unwrap();
    let (mut sampler, devices) = Sampler::start(Box::new(source), Timestamp(BEGAN)).unwrap();
    let mut done = Vec::new();
    for tick in (1..=seconds * 10).filter(|tick| !skipped(*tick)) {
        elapsed.store(tick * TICK_US, Ordering::Relaxed);
        sampler.tick(Timestamp(BEGAN + tick * TICK_US), &mut done);
    }
    sampler.finish(Timestamp(BEGAN + seconds * 10 * TICK_US), &mut done);
    let only_samples = done.into_iter().map(|one| match one {
        Sampled::Sample(sample) => sample,
        Sampled::Device(device) => panic!("{device:?}"),
    });
    (devices, only_samples.collect())
}

/// A device whose counter moves every 100 ms, whose ring has six entries a second.
fn steady(seconds: i64, watts: i64, percent: impl Fn(i64) -> i64) -> String {
    let mut lines = vec![
        r#"{"replay":1,"driver":"550.54.15"}"#.to_owned(),
        r#"{"gpu":0,"id":"GPU-a","name":"NVIDIA L4","memory_mib":23034}"#.to_owned(),
    ];
    for ms in (0..=seconds * 1_000).step_by(50) {
        if ms % 100 == 0 {
            lines.push(format!(r#"{{"ms":{ms},"gpu":0,"energy_mj":{}}}"#, 5_000 + ms * watts));
        }
        if ms % 150 == 0 {
            lines.push(format!(r#"{{"ms":{ms},"gpu":0,"busy":{}}}"#, percent(ms)));
        }
    }
    lines.join("\n")
}

#[test]
fn a_probe_says_one_of_the_named_states() {
    match probe(None) {
        #[cfg(feature = "gpu")]
        Gpus::NotBuiltIn => panic!("these tests are built with the feature gpu"),
        #[cfg(not(feature = "gpu"))]
        Gpus::NotBuiltIn => {}
        Gpus::None { why, .. } => assert!(!why.is_empty()),
        Gpus::Found { driver, gpus } => {
            assert!(driver.version.is_some() || !gpus.is_empty());
            assert!(gpus.iter().zip(0..).all(|(gpu, index)| gpu.index == index && !gpu.name.is_empty()));
        }
    }
}

#[test]
fn every_change_of_the_counter_and_every_entry_of_the_ring_is_kept() {
    let (devices, samples) = played(&steady(4, 70, |ms| ms / 100), 4, |_| false);
    assert_eq!(devices[0].can, [GpuCan::Energy, GpuCan::Busy]);
    assert_eq!(
        samples.iter().map(|sample| sample.until.0 - sample.at.0).sum::<i64>(),
        3_900_000,
        "from the first look on"
    );
    let counter: Vec<u64> = samples.iter().flat_map(|sample| sample.energy.iter().map(|(_, total)| *total)).collect();
    assert_eq!(counter.len(), 40, "{counter:?}");
    assert!(counter.windows(2).all(|pair| pair[1] - pair[0] == 7_000), "{counter:?}");
    // Each entry stands at its own moment, however late it was read.
    for sample in &samples {
        for (offset, percent) in &sample.busy {
            let ms = (sample.at.0 + offset - BEGAN) / 1_000;
            assert_eq!((ms % 150, i64::from(*percent)), (0, ms / 100));
        }
    }
    assert_eq!(samples.iter().map(|sample| sample.busy.len()).sum::<usize>(), 26);
    assert_eq!(samples.iter().map(|sample| sample.holes).sum::<u32>(), 0);
}

#[test]
fn a_burst_between_two_polls_is_in_the_ring() {
    let busy = |ms: i64| if (1_200..=1_350).contains(&ms) { 100 } else { 0 };
    let (_, samples) = played(&steady(3, 20, busy), 3, |_| false);
    let burst: Vec<u32> =
        samples[1].busy.iter().map(|(_, percent)| *percent).filter(|percent| *percent > 0).collect();
    assert_eq!(burst, [100, 100]);
}

#[test]
fn a_counter_that_stands_still_is_kept_once() {
    let recording = "{\"replay\":1}\n{\"gpu\":0,\"name\":\"X\"}\n{\"ms\":0,\"gpu\":0,\"energy_mj\":9}";
    let (devices, samples) = played(recording, 3, |_| false);
    assert_eq!(&*devices[0].id, "GPU-0");
    let counter: Vec<_> = samples.iter().flat_map(|sample| &sample.energy).collect();
    assert_eq!(counter, [&(0, 9)]);
}

#[test]
fn a_thread_that_was_held_up_is_a_hole() {
    let (_, samples) = played(&steady(8, 70, |_| 50), 8, |tick| (25..60).contains(&tick));
    assert_eq!(samples.iter().map(|sample| sample.holes).sum::<u32>(), 1);
    // The counter carries over it.
    let counter: Vec<u64> = samples.iter().flat_map(|sample| sample.energy.iter().map(|(_, total)| *total)).collect();
    assert_eq!(counter.last().unwrap() - counter[0], 7_000 * 79);
}

#[test]
fn entries_that_the_ring_has_lost_are_a_hole() {
    let recording = steady(6, 70, |_| 50);
    let without = |line: &&str| {
        !(line.contains("busy") && ["2100", "2250", "2400", "2550", "2700"].iter().any(|ms| line.contains(ms)))
    };
    let recording: Vec<&str> = recording.lines().filter(without).collect();
    let (_, samples) = played(&recording.join("\n"), 6, |_| false);
    let holes: Vec<u32> = samples.iter().map(|sample| sample.holes).collect();
    assert_eq!(holes.iter().sum::<u32>(), 1, "{holes:?}");
}

#[test]
fn a_lost_device_ends_and_the_others_go_on() {
    let recording = "{\"replay\":1}\n{\"gpu\":0,\"id\":\"a\",\"name\":\"X\"}\n{\"gpu\":1,\"id\":\"b\",\"name\":\"X\"}
        {\"ms\":0,\"gpu\":0,\"energy_mj\":1,\"power_mw\":5}\n{\"ms\":0,\"gpu\":1,\"energy_mj\":1,\"power_mw\":7}
        {\"ms\":1500,\"gpu\":0,\"lost\":true}";
    let (_, samples) = played(recording, 4, |_| false);
    let of = |id: &str| samples.iter().filter(|sample| &*sample.device == id).cloned().collect::<Vec<_>>();
    let lost: Vec<bool> = of("a").iter().map(|sample| sample.lost).collect();
    assert_eq!(lost, [false, true]);
    assert!(of("a")[1].power_mw.is_none());
    assert!(of("b").len() >= 4 && of("b").iter().all(|sample| !sample.lost && sample.power_mw == Some(7)));
}

#[test]
fn of_instances_only_memory_is_told() {
    let recording = "{\"replay\":1}\n{\"gpu\":0,\"id\":\"GPU-a\",\"name\":\"H100\",\"mig\":true}
        {\"gpu\":1,\"id\":\"MIG-b\",\"name\":\"H100 1g.10gb\",\"mig\":true,\"parent\":\"GPU-a\"}
        {\"ms\":0,\"gpu\":0,\"energy_mj\":1,\"power_mw\":5,\"busy\":3,\"memory_mib\":70}
        {\"ms\":0,\"gpu\":1,\"memory_mib\":9}";
    let (devices, samples) = played(recording, 2, |_| false);
    assert!(devices.iter().all(|device| device.mig && device.can == [GpuCan::Memory]));
    assert_eq!(devices[1].parent.as_deref(), Some("GPU-a"));
    assert!(
        samples.iter().all(|sample| sample.energy.is_empty() && sample.power_mw.is_none() && sample.busy.is_empty())
    );
    assert_eq!(samples[1].memory, Some(9 << 20));
}

#[test]
fn processes_are_looked_at_every_few_seconds_and_throttling_each() {
    let recording = "{\"replay\":1}\n{\"gpu\":0,\"name\":\"X\"}
        {\"ms\":0,\"gpu\":0,\"users\":[[7,100,null]],\"throttled\":[\"power\",\"heat\"],\"celsius\":83}";
    let (_, samples) = played(recording, 11, |_| false);
    let looked: Vec<bool> = samples.iter().map(|sample| sample.users.is_some()).collect();
    assert_eq!(looked.iter().filter(|looked| **looked).count(), 3, "{looked:?}");
    assert_eq!(samples[0].users.as_deref(), Some(&[GpuUser(7, Some(100 << 20), None, None)][..]));
    assert_eq!((samples[4].celsius, &samples[4].throttled[..]), (Some(83), &[Throttle::Power, Throttle::Heat][..]));
}

#[test]
fn a_recording_that_starts_over_goes_on_counting() {
    let recording = "{\"replay\":1,\"loop_ms\":1000}\n{\"gpu\":0,\"name\":\"X\"}
        {\"ms\":0,\"gpu\":0,\"energy_mj\":10,\"busy\":1}\n{\"ms\":500,\"gpu\":0,\"energy_mj\":30,\"busy\":2}";
    let (_, samples) = played(recording, 3, |_| false);
    let counter: Vec<u64> = samples.iter().flat_map(|sample| sample.energy.iter().map(|(_, total)| *total)).collect();
    assert_eq!(counter, [10, 30, 50, 70]);
    let ring: Vec<u32> = samples.iter().flat_map(|sample| sample.busy.iter().map(|(_, percent)| *percent)).collect();
    assert_eq!(ring, [2, 1, 2, 1, 2, 1]);
}

#[test]
fn a_machine_without_devices_and_a_wrong_recording_are_told_by_why() {
    let at = || Arc::new(AtomicI64::new(0));
    let none = Replay::at_times("{\"replay\":1,\"unavailable\":\"no NVIDIA driver\"}", at());
    assert_eq!(none.err().unwrap().why, "no NVIDIA driver");
    let empty = Replay::at_times("{\"replay\":1}", at()).unwrap();
    assert_eq!(Sampler::start(Box::new(empty), Timestamp(0)).err().unwrap().why, "the driver knows no device");
    let early = "{\"replay\":1}\n{\"ms\":0,\"gpu\":0,\"busy\":1}";
    assert_eq!(Replay::at_times(early, at()).err().unwrap().why, "line 2: device 0 was not introduced");
    let why = open(Some("record:x")).err().unwrap().why;
    assert!(why.contains("replay:FILE"), "{why}");
    let why = open(Some("replay:/nowhere/at/all")).err().unwrap().why;
    assert!(why.starts_with("/nowhere/at/all: "), "{why}");
}
