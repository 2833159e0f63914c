//! A journal on its way to collectors that take it, fail, or fall silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::courier::{Courier, Delivered, Patience};
use super::settings::Settings;
use super::signal::Signal;
use super::teller_tests::{all, story};
use super::{Collector, cursor::Sent};
use crate::backend::scripted::{Reply, Scripted};
use crate::base::RunId;
use crate::journal::{Batch, Durability, EventLog as _, Reader, RunDir, Sqlite};

/// Waits for nothing.
struct Hurry;

impl Patience for Hurry {
    fn is_over(&self) -> bool {
        false
    }

    async fn wait(&mut self, _: Duration) -> bool {
        false
    }
}

/// A run of so many cases, and how many spans it is told in.
struct Run {
    folder: tempfile::TempDir,
    spans: u64,
}

impl Run {
    fn of(cases: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let mut log = Sqlite::create(&path, Durability::Process).unwrap();
        log.append(&[Batch { events: story(cases).log.into(), ..Batch::default() }]).unwrap();
        log.finish().unwrap();
        let reader = Reader::open(&path).unwrap();
        let spans = all(&reader, &Settings::default()).len() as u64;
        Self { folder, spans }
    }

    fn courier(&self, server: &Scripted) -> Courier {
        let dir = RunDir { id: RunId::from("debate-1"), path: self.folder.path().to_owned() };
        let collector = Collector::find(Signal::Traces, Some(&server.url()), &|_| None);
        let collector = collector.expect("an address").expect("one that is named");
        Courier::open(&dir, None, Settings::default(), collector, false).expect("a journal")
    }

    fn taken(&self) -> Delivered {
        let sent = Sent { acked: self.spans, ..Sent::default() };
        Delivered { signal: Signal::Traces, sent, pending: 0 }
    }
}

fn counts(delivered: Delivered) -> (u64, u64) {
    (delivered.sent.acked, delivered.pending)
}

fn taken() -> Reply {
    Reply::json(200, "")
}

#[tokio::test]
async fn all_of_several_batches_is_taken_once() {
    let run = Run::of(1_200);
    let server = Scripted::start(|_| taken()).await;
    let mut courier = run.courier(&server);
    courier.finish(&mut Hurry).await.unwrap();
    let requests = server.seen().len();
    assert!(requests as u64 >= run.spans / 512 && run.spans > 2_048, "{requests} requests");
    assert_eq!(counts(courier.delivered().await.unwrap()), counts(run.taken()));
    // Whoever comes next has nothing to bring.
    let mut next = run.courier(&server);
    next.finish(&mut Hurry).await.unwrap();
    assert_eq!((counts(next.delivered().await.unwrap()), server.seen().len()), (counts(run.taken()), requests));
}

#[tokio::test]
async fn what_was_given_up_is_not_passed_by_what_comes_after_it() {
    for cases in [20, 1_200] {
        let run = Run::of(cases);
        let is_up = Arc::new(AtomicBool::new(false));
        let script = Arc::clone(&is_up);
        let server = Scripted::start(move |_| match script.load(Ordering::SeqCst) {
            true => taken(),
            false => Reply::json(503, ""),
        })
        .await;
        let mut courier = run.courier(&server);
        courier.deliver(&mut Hurry).await.unwrap();
        let requests = server.seen().len();
        // It is there again, but what comes now would be remembered as all that there is.
        is_up.store(true, Ordering::SeqCst);
        courier.deliver(&mut Hurry).await.unwrap();
        assert_eq!(server.seen().len(), requests);
        assert_eq!(counts(courier.delivered().await.unwrap()), (0, run.spans));
        let mut next = run.courier(&server);
        next.finish(&mut Hurry).await.unwrap();
        assert_eq!(counts(next.delivered().await.unwrap()), counts(run.taken()));
    }
}

#[tokio::test]
async fn a_collector_that_falls_silent_leaves_the_rest_in_the_journal() {
    let run = Run::of(1_200);
    let answered = Arc::new(AtomicUsize::new(0));
    let script = Arc::clone(&answered);
    let server = Scripted::start(move |_| match script.fetch_add(1, Ordering::SeqCst) {
        // The first batch and a part of the second.
        0..=5 => taken(),
        _ => Reply::Silence,
    })
    .await;
    let mut courier = run.courier(&server);
    let mut hurry = Hurry;
    tokio::select! {
        delivered = courier.deliver(&mut hurry) => panic!("nobody answered: {delivered:?}"),
        () = asked(&answered, 8) => {}
    }
    let (acked, pending) = counts(courier.delivered().await.unwrap());
    assert!(acked >= 2_048 && acked < run.spans, "{acked} of {}", run.spans);
    assert_eq!(acked + pending, run.spans);
    let whole = Scripted::start(|_| taken()).await;
    let mut next = run.courier(&whole);
    next.finish(&mut Hurry).await.unwrap();
    assert_eq!(counts(next.delivered().await.unwrap()), (run.spans, 0), "another collector gets all of it");
}

/// Waits until a server was asked so often.
async fn asked(count: &AtomicUsize, times: usize) {
    while count.load(Ordering::SeqCst) < times {
        tokio::task::yield_now().await;
    }
}
