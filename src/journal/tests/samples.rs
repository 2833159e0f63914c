//! Samples of devices beside the log.

use std::path::Path;
use std::sync::{Arc, Mutex};

use super::{admitted, batch, started};
use crate::base::Timestamp;
use crate::event::{GpuDevice, GpuSample, GpuUser, Sampled, Throttle};
use crate::journal::{
    Committed, Durability, EventLog as _, EventSeq, Reader, Salvage, Samples, Sqlite, Writer, compact,
};

fn sample(id: &str, second: i64) -> GpuSample {
    GpuSample {
        until: Timestamp((second + 1) * 1_000_000),
        energy: vec![(100_000, 12_345_678), (200_000, 12_352_678)],
        busy: vec![(-50_000, 0), (116_000, 100)],
        power_mw: Some(70_000),
        memory: Some(9 << 30),
        celsius: Some(61),
        throttled: vec![Throttle::Power, Throttle::Heat],
        users: Some(vec![GpuUser(4_242, Some(9 << 30), Some(93), Some("vllm".into())), GpuUser(7, None, None, None)]),
        holes: 1,
        ..GpuSample::empty(Arc::from(id), Timestamp(second * 1_000_000))
    }
}

fn read(path: &Path, wanted: &Samples) -> Vec<GpuSample> {
    let mut found = Vec::new();
    let reader = Reader::open(path).unwrap();
    let visit = &mut |sample| {
        found.push(sample);
        Ok(())
    };
    reader.gpu_samples(wanted, visit).unwrap();
    found
}

#[test]
fn samples_come_back_as_they_were_with_the_events_that_they_came_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let mut log = Sqlite::create(&path, Durability::Process).unwrap();
    log.append(&[batch([started()])]).unwrap();
    assert!(read(&path, &Samples::ALL).is_empty() && Reader::open(&path).unwrap().gpu_devices().unwrap().is_empty());
    log.add_samples(vec![Sampled::Device(GpuDevice::for_tests("a")), Sampled::Device(GpuDevice::for_tests("b"))]);
    log.add_samples(vec![Sampled::Sample(sample("a", 1)), Sampled::Sample(sample("b", 1))]);
    assert!(read(&path, &Samples::ALL).is_empty(), "not durable yet");
    log.append(&[batch([admitted(0)])]).unwrap();
    log.add_samples(vec![Sampled::Sample(sample("a", 2))]);
    log.append(&[batch([admitted(1)])]).unwrap();

    assert_eq!(
        Reader::open(&path).unwrap().gpu_devices().unwrap(),
        [GpuDevice::for_tests("a"), GpuDevice::for_tests("b")]
    );
    assert_eq!(read(&path, &Samples::ALL), [sample("a", 1), sample("b", 1), sample("a", 2)]);
    // What was durable before the second event is what a reader of that one may count on.
    let early = Samples { through: EventSeq(1), ..Samples::ALL };
    assert_eq!(read(&path, &early), [sample("a", 1), sample("b", 1)]);
    let window = Samples { from: Timestamp(1_000_001), until: Timestamp(2_000_001), ..Samples::ALL };
    assert_eq!(read(&path, &window), [sample("a", 2)]);
}

#[test]
fn many_samples_are_read_page_by_page() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let mut log = Sqlite::create(&path, Durability::Process).unwrap();
    log.add_samples(vec![Sampled::Device(GpuDevice::for_tests("a")), Sampled::Device(GpuDevice::for_tests("b"))]);
    let many = (0..1_300).flat_map(|second| ["a", "b"].map(|id| Sampled::Sample(sample(id, second))));
    log.add_samples(many.collect());
    log.append(&[]).unwrap();
    let found = read(&path, &Samples::ALL);
    assert_eq!(found.len(), 2_600);
    assert!(found.windows(2).all(|pair| pair[0].at <= pair[1].at));
}

#[test]
fn compacting_and_looking_through_leave_samples_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let mut log = Sqlite::create(&path, Durability::Process).unwrap();
    log.add_samples(vec![Sampled::Device(GpuDevice::for_tests("a")), Sampled::Sample(sample("a", 1))]);
    log.append(&[batch([started()])]).unwrap();
    log.finish().unwrap();
    drop(log);
    compact(&path).unwrap();
    assert_eq!(read(&path, &Samples::ALL), [sample("a", 1)]);
    let salvage = Salvage::open(&path).unwrap();
    assert_eq!(salvage.unsound(), [""; 0]);
    assert_eq!(salvage.sampled(), [Sampled::Device(GpuDevice::for_tests("a")), Sampled::Sample(sample("a", 1))]);
}

#[test]
fn samples_that_no_event_comes_with_are_written_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let log = Sqlite::create(&path, Durability::Process).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&told);
    let on_commit = Box::new(move |commit: Committed| hears.lock().unwrap().push(commit.through));
    let writer = Writer::start(Box::new(log), on_commit).unwrap();
    let sink = writer.samples();
    sink.put(vec![Sampled::Device(GpuDevice::for_tests("a")), Sampled::Sample(sample("a", 1))]);
    writer.submit(batch([started()]));
    sink.put(vec![Sampled::Sample(sample("a", 2))]);
    writer.close().unwrap();
    assert_eq!(read(&path, &Samples::ALL), [sample("a", 1), sample("a", 2)]);
    // Nobody hears of samples: only batches have tickets.
    assert_eq!(*told.lock().unwrap(), [1]);
}
