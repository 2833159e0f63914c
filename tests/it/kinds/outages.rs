//! A server that is gone from the start, and one that goes and comes back. F3, and what shows the issue.

use std::time::{Duration, Instant};

use super::{Case, Ended, Exit, Failed, Resumes, Way, Within, always, bounded, chats, check_at_once, fine};
use crate::scripted_server::{Reply, well};

#[test]
fn an_outage_from_the_start_stops_the_run_and_is_resumed() {
    let gone = |name: &str, reply: Reply| {
        always(&format!("gone from the start: {name}"), reply)
            .items(8)
            .concurrency(4)
            .retries("within: 5s, backoff: 50ms..400ms")
            .expect([Exit(&[4]), Failed(0), Within(35), Resumes])
    };
    let cases = vec![
        gone("502", Reply::page(502, "502 Bad Gateway")),
        gone("503", Reply::new(503, "text/plain", "no healthy upstream")),
        gone("closed connections", Reply::closes()),
    ];
    check_at_once(6, &cases);
}

/// Five answers, and then nothing for 20 s.
const AWAY: Duration = Duration::from_secs(20);

#[test]
fn an_outage_after_an_answer_is_waited_out() {
    let case = |name: &str, reply: Reply| -> Case {
        let begun = std::sync::Mutex::new([None::<Instant>; 2]);
        chats(&format!("outage: {name}"), move |ask| {
            if ask.number <= 5 {
                return well(ask);
            }
            let mut begun = begun.lock().expect("nothing panics while it holds this");
            let since = begun[usize::from(ask.streams())].get_or_insert_with(Instant::now);
            if since.elapsed() < AWAY { reply.clone() } else { well(ask) }
        })
        .items(12)
        .concurrency(2)
        .retries("within: 10s, backoff: 50ms..400ms")
        .expect(fine(12))
        .expect([Within(100)])
        .is("what was answered was asked again", |ended| ended.chats().iter().filter(|one| one.good).count() == 12)
    };
    let cases = vec![case("502", Reply::page(502, "502 Bad Gateway")), case("closed connections", Reply::closes())];
    let wrong = std::thread::scope(|scope| {
        let restarting = scope.spawn(restarts);
        check_at_once(4, &cases);
        restarting.join().expect("no panic")
    });
    assert!(wrong.is_empty(), "a restart: {}", wrong.join("\n"));
}

/// What is wrong with runs at a server whose port goes for that long.
fn restarts() -> Vec<String> {
    let case = chats("a restart", well).items(12).retries("within: 10s, backoff: 50ms..400ms");
    let restart = |way: Way| {
        let (project, server) = case.stage();
        let arguments = case.arguments(way, &server.address);
        let begun = Instant::now();
        // The script is as it is: what goes is the port.
        let output = std::thread::scope(|scope| {
            let running = scope.spawn(|| bounded(&project, &arguments, Duration::from_secs(120)));
            while server.ledger().iter().filter(|entry| entry.is_chat).count() < 5 {
                assert!(begun.elapsed() < Duration::from_secs(60), "five are never asked");
                std::thread::yield_now();
            }
            server.leave();
            std::thread::sleep(AWAY);
            server.come_back();
            running.join().expect("no panic")
        });
        let ended = Ended::new(project, server, &output, begun.elapsed(), case.items, arguments);
        let wrong: Vec<String> =
            fine(12).iter().chain([&Within(100)]).filter_map(|expect| ended.against(expect)).collect();
        (!wrong.is_empty()).then(|| format!("{way:?}: {}\n{}", wrong.join("; "), ended.told))
    };
    std::thread::scope(|scope| {
        let threads = [Way::Whole, Way::Streamed].map(|way| scope.spawn(move || restart(way)));
        threads.into_iter().filter_map(|thread| thread.join().expect("no panic")).collect()
    })
}
