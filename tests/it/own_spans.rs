//! What `pipe` itself does is told to a collector, when there is one.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::git_server::Host;
use crate::project::{Project, text};
use crate::web::{Request, serve};

/// A collector that takes everything; returns its address and what it is sent.
fn collector() -> (String, Arc<Mutex<Vec<u8>>>) {
    let taken = Arc::new(Mutex::new(Vec::new()));
    let store = Arc::clone(&taken);
    let address = serve(move |mut reader, mut stream| {
        while let Some(request) = Request::read(&mut reader) {
            store.lock().expect("whole").extend(request.body);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("answered");
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
    let api = serve(|mut reader, mut stream| {
        while Request::read(&mut reader).is_some() {
            stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}").expect("answered");
        }
    });
    let url = host.url_in("team");
    let follow = ["gitops", "--repo", &url, "--allow-protocol", "http", "--once"];
    let statuses = ["--statuses", "github", "--statuses-api", &api];
    let mut pipe = project.pipe(&[&follow[..], &statuses].concat());
    pipe.env("PIPE_GIT_STATUS_TOKEN", "t0ken");
    pipe.env("OTEL_EXPORTER_OTLP_ENDPOINT", &address).env("OTEL_EXPORTER_OTLP_COMPRESSION", "none");
    let output = pipe.output().expect("pipe starts");
    assert!(output.status.success(), "{}", text(&output.stderr));
    for what in ["pipe.gitops.fetch", "pipe.gitops.plan", "pipe.gitops.apply", "pipe.gitops.tell", &commit] {
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

#[test]
fn spans_that_nobody_took_are_there_for_the_next_who_asks() {
    let project = Project::with_pipelines();
    let lines = [
        r#"{"replay":1,"loop_ms":1000}"#,
        r#"{"gpu":0,"id":"GPU-a","name":"NVIDIA L4","memory_mib":23034}"#,
        r#"{"ms":0,"gpu":0,"energy_mj":0,"busy":90}"#,
        r#"{"ms":1000,"gpu":0,"energy_mj":60000,"busy":90}"#,
    ];
    project.write("devices.jsonl", &lines.join("\n"));
    for source in ["", "replay:devices.jsonl"] {
        let mut pipe = project.pipe(&["run", "pipelines/debate.yaml", "--backend", "sim", "--new", "--quiet"]);
        assert!(pipe.env("PIPE_GPU_SOURCE", source).output().expect("pipe runs").status.success());
        let nobody = TcpListener::bind("127.0.0.1:0").expect("a port");
        let closed = format!("http://{}", nobody.local_addr().expect("an address"));
        drop(nobody);
        let mut made = String::new();
        // Asked twice: what was not taken is not forgotten by the first.
        for _ in 0..2 {
            let output = project.pipe(&["trace", "send", "last", "--patience", "0", "--to", &closed]).output();
            let output = output.expect("pipe runs");
            assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
            let said = text(&output.stdout);
            made = said.split(" made").next().expect("a count").to_owned();
            assert!(said.contains(&format!("{made} made, 0 acked")), "{said}");
            assert!(said.contains(&format!("{} pending", made.trim_start_matches("spans: "))), "{said}");
        }
        let (address, _) = collector();
        let sent = project.stdout(&["trace", "send", "last", "--to", &address]);
        let count = made.trim_start_matches("spans: ");
        assert!(sent.contains(&format!("{count} made, {count} acked, 0 rejected, 0 pending")), "{sent}");
    }
}
