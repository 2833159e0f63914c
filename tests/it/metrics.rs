//! A live run is asked for its metrics.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::project::{Project, text};

const DEADLINE: Duration = Duration::from_secs(60);

/// Starts a run of some seconds with a metrics address of its own choice; returns it too.
fn live(project: &Project) -> (Child, String) {
    let arguments = ["run", "pipelines/monte_carlo.yaml", "--backend", "sim:10", "--concurrency", "8", "--new"];
    let mut pipe = project.pipe(&arguments);
    pipe.args(["--metrics-addr", "127.0.0.1:0"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = pipe.spawn().expect("pipe starts");
    let said = BufReader::new(child.stderr.as_mut().expect("piped")).lines();
    let mut said = said.map(|line| line.expect("text"));
    let line = said.find(|line| line.starts_with("metrics at http://")).expect("the address is said");
    let address = line.trim_start_matches("metrics at http://").trim_end_matches("/metrics").to_owned();
    (child, address)
}

fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time");
    write!(stream, "{request} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// Returns the sum over the samples of a metric that have all these labels.
fn sample(scraped: &str, metric: &str, labels: &str) -> f64 {
    let lines = scraped.lines().filter(|line| line.split('{').next() == Some(metric) && line.contains(labels));
    lines.map(|line| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).expect("a number")).sum()
}

/// Scrapes until this holds.
fn scrape_until(address: &str, holds: impl Fn(&str) -> bool) -> String {
    let begun = Instant::now();
    loop {
        let scraped = ask(address, "GET /metrics");
        if holds(&scraped) {
            return scraped;
        }
        assert!(begun.elapsed() < DEADLINE, "this never comes to hold: {scraped}");
        std::thread::yield_now();
    }
}

#[test]
fn a_live_run_is_scraped_and_its_port_is_its_own() {
    let project = Project::with_pipelines();
    let (child, address) = live(&project);
    scrape_until(&address, |scraped| sample(scraped, "pipe_case_settled_total", "pipe_case_status=\"ok\"") >= 1.0);

    let taken = project.run(&["run", "pipelines/debate.yaml", "--backend", "sim", "--metrics-addr", &address]);
    assert_eq!(taken.status.code(), Some(2), "{}", text(&taken.stderr));
    assert!(text(&taken.stderr).contains("another process listens there"), "{}", text(&taken.stderr));
    let run = project.run_folder().file_name().expect("a name").to_string_lossy().into_owned();

    project.stdout(&["pause"]);
    let paused = |scraped: &str| sample(scraped, "pipe_run_state", "pipe_run_state=\"paused\"") >= 1.0;
    let calm = |scraped: &str| sample(scraped, "pipe_call_in_flight", "") < 1.0;
    let scraped = scrape_until(&address, |scraped| paused(scraped) && calm(scraped));
    assert!(ask(&address, "GET /healthz").ends_with("\r\n\r\npaused\n"));
    assert!(scraped.contains(&format!("pipe_run_id=\"{run}\"")), "{scraped}");
    assert!((sample(&scraped, "pipe_case_expected", "") - 200.0).abs() < 0.5, "{scraped}");
    let answered = sample(&scraped, "gen_ai_client_inference_duration_seconds_count", "gen_ai_request_model=\"sim\"");
    let counted = sample(&scraped, "gen_ai_client_inference_operation_output_tokens_count", "");
    assert!(answered >= 4.0 && (answered - counted).abs() < 0.5, "{scraped}");
    assert!(ask(&address, "GET /").starts_with("HTTP/1.1 404"));
    assert!(ask(&address, "POST /metrics").starts_with("HTTP/1.1 405"));

    project.stdout(&["stop"]);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(143), "{}", text(&output.stderr));
    assert!(TcpStream::connect(&address).is_err(), "nobody listens after the end");

    // Another process counts on: cases from before are there, what it saw end is its own.
    let mut pipe = project.pipe(&["resume", "--quiet", "--metrics-addr", &address]);
    let resumed = pipe.stdout(Stdio::null()).spawn().expect("pipe starts");
    let begun = Instant::now();
    while TcpStream::connect(&address).is_err() {
        assert!(begun.elapsed() < DEADLINE, "it does not listen again");
        std::thread::yield_now();
    }
    let scraped = scrape_until(&address, |scraped| {
        sample(scraped, "pipe_case_settled_total", "pipe_case_status=\"ok\"") >= 1.0
    });
    let (all, own) =
        (sample(&scraped, "pipe_cases", "\"ok\""), sample(&scraped, "pipe_case_settled_total", "\"ok\""));
    assert!(all > own, "{scraped}");
    assert!(resumed.wait_with_output().expect("it ends").status.success());
}
