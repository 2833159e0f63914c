//! What `pipe` itself does is told to a collector, when there is one.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::git_server::Host;
use crate::project::{Project, text};

/// A collector that takes everything; returns its address and what it is sent.
fn collector() -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let taken = Arc::new(Mutex::new(Vec::new()));
    let store = Arc::clone(&taken);
    // It lives as long as the tests: whoever wants to send may.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, store) = (stream.expect("a connection"), Arc::clone(&store));
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().expect("a reader"));
                loop {
                    let mut length = 0;
                    loop {
                        let mut line = String::new();
                        if reader.read_line(&mut line).unwrap_or(0) == 0 {
                            return;
                        }
                        let line = line.trim().to_ascii_lowercase();
                        if let Some(value) = line.strip_prefix("content-length:") {
                            length = value.trim().parse().expect("a length");
                        }
                        if line.is_empty() {
                            break;
                        }
                    }
                    let mut body = vec![0; length];
                    reader.read_exact(&mut body).expect("a body");
                    store.lock().expect("whole").extend(body);
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("answered");
                }
            });
        }
    });
    (address, taken)
}

fn has(taken: &Mutex<Vec<u8>>, what: &str) -> bool {
    taken.lock().expect("whole").windows(what.len()).any(|window| window == what.as_bytes())
}

#[test]
fn commands_and_connects_are_spans_of_their_own() {
    let project = Project::with_pipelines();
    let (address, taken) = collector();
    let mut pipe = project.pipe(&["run", "pipelines/debate.yaml", "--backend", "sim", "--quiet"]);
    pipe.env("OTEL_EXPORTER_OTLP_ENDPOINT", &address).env("OTEL_EXPORTER_OTLP_COMPRESSION", "none");
    pipe.env("OTEL_SERVICE_NAME", "a-service-of-mine");
    let output = pipe.output().expect("pipe starts");
    assert!(output.status.success(), "{}", text(&output.stderr));
    for what in ["pipe.command", "pipe.connect", "a-service-of-mine"] {
        assert!(has(&taken, what), "{what} is told");
    }
    let run = project.run_folder().file_name().expect("a name").to_string_lossy().into_owned();
    assert!(has(&taken, &run), "with the run's id");
}

#[test]
fn a_branch_that_is_followed_is_told_commit_by_commit() {
    let (project, host) = (Project::new(), Host::start());
    let pipeline =
        "version: 1\nname: hi\nactors: { a: { system: x } }\nsteps: { say: { chat: { actor: a, prompt: Hi } } }\n";
    host.write("hi.yaml", pipeline);
    host.write("pipe.yaml", "version: 1\npipelines: { hi: { file: hi.yaml, backend: sim } }\n");
    let commit = host.push();
    let (address, taken) = collector();
    let mut pipe = project.pipe(&["gitops", "--repo", &host.url(), "--allow-protocol", "http", "--once"]);
    pipe.env("OTEL_EXPORTER_OTLP_ENDPOINT", &address).env("OTEL_EXPORTER_OTLP_COMPRESSION", "none");
    let output = pipe.output().expect("pipe starts");
    assert!(output.status.success(), "{}", text(&output.stderr));
    for what in ["pipe.gitops.fetch", "pipe.gitops.plan", "pipe.gitops.apply", &commit] {
        assert!(has(&taken, what), "{what} is told");
    }
}

#[test]
fn logs_and_metrics_go_to_the_address_for_all_when_they_are_asked_for() {
    let project = Project::with_pipelines();
    let run = |exporters: &str| {
        let (address, taken) = collector();
        let mut pipe = project.pipe(&["run", "pipelines/debate.yaml", "--backend", "sim", "--new", "--quiet"]);
        pipe.env("OTEL_EXPORTER_OTLP_ENDPOINT", &address).env("OTEL_EXPORTER_OTLP_COMPRESSION", "none");
        pipe.env("OTEL_LOGS_EXPORTER", exporters).env("OTEL_METRICS_EXPORTER", exporters);
        pipe.env("OTEL_TRACES_EXPORTER", "none");
        let output = pipe.output().expect("pipe starts");
        assert!(output.status.success(), "{}", text(&output.stderr));
        taken
    };
    let taken = run("otlp");
    for what in ["gen_ai.evaluation.result", "gen_ai.client.inference.duration", "pipe.case.settled", "debate-"] {
        assert!(has(&taken, what), "{what} is told");
    }
    assert!(!has(&taken, "pipe.run.segment"), "spans are not asked for");
    assert!(run("none").lock().expect("whole").is_empty());
}

#[test]
fn a_disabled_sdk_tells_nothing() {
    let project = Project::with_pipelines();
    let (address, taken) = collector();
    let mut pipe = project.pipe(&["run", "pipelines/debate.yaml", "--backend", "sim", "--quiet"]);
    pipe.env("OTEL_EXPORTER_OTLP_ENDPOINT", &address).env("OTEL_SDK_DISABLED", "true");
    assert!(pipe.output().expect("pipe starts").status.success());
    assert!(taken.lock().expect("whole").is_empty());
}

#[test]
fn ctrl_c_ends_the_wait_for_a_collector_that_never_answers() {
    let project = Project::with_pipelines();
    // Connections are taken by the system, and nobody reads from them.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let mut pipe = project.pipe(&["run", "pipelines/debate.yaml", "--backend", "sim", "--trace-to", &address]);
    let mut child = pipe.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("pipe starts");
    let mut said = String::new();
    for line in BufReader::new(child.stderr.take().expect("piped")).lines() {
        let line = line.expect("text");
        if line.contains("waiting up to") {
            let kill = Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status();
            assert!(kill.expect("a shell").success());
        }
        said.push_str(&line);
        said.push('\n');
    }
    assert_eq!(child.wait().expect("it ends").code(), Some(0), "the run was over: {said}");
    let told = |what: &str| assert!(said.contains(what), "{what} in {said}");
    told("made, 0 acked, 0 rejected, ");
    told(&format!("the rest stays in the journal: pipe trace send last --to {address}"));
}
