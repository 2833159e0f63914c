//! The OpenAI adapter against a server that misbehaves (`tests/fault_server/server.py`): each fault by its name.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pipe::backend::openai::{OpenAi, OpenAiConfig};
use pipe::backend::{Backend, CallLimits, ChatRequest, Format, Message, Progress, Role};
use pipe::event::{Failure, FailureKind, FinishReason, TimeoutPhase};

use FailureKind::{
    ContentFiltered, ContextOverflow, CutOff, Forbidden, FormatUnsupported, Loading, Malformed, ModelMissing,
    NoAnswer, Overloaded, QuotaExhausted, Redirected, Refused, Throttled, TimedOut, TooLarge, Unauthorized,
    Unreachable,
};

pub(crate) const KEY: &str = "sk-test-123456";

/// A running fault server; it ends with this value, or with this process.
pub(crate) struct FaultServer {
    child: Child,
    pub(crate) url: String,
    stuck: String,
    ledger: tempfile::NamedTempFile,
}

impl FaultServer {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// One that speaks TLS, with the certificate and key of a file.
    pub(crate) fn start_tls(file: &Path) -> Self {
        Self::start_with(&[OsStr::new("--tls"), file.as_os_str()])
    }

    /// One with more arguments.
    pub(crate) fn start_with(arguments: &[&OsStr]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fault_server/server.py");
        let ledger = tempfile::NamedTempFile::new().expect("a temporary file");
        let mut child = Command::new("python3")
            .arg(script)
            .arg("--tied")
            .args(arguments)
            .arg("--ledger")
            .arg(ledger.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("these tests need python3 (3.9 or newer) in the path");
        let mut lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
        let mut line = || lines.next().expect("it prints two lines").expect("in UTF-8");
        let (url, stuck) = (line(), line());
        Self { child, url, stuck, ledger }
    }

    /// The digests of all requests so far, in the order of their arrival.
    pub(crate) fn asked(&self) -> Vec<String> {
        let digest = |entry: &serde_json::Value| entry["digest"].as_str().expect("a text").to_owned();
        self.ledger().iter().map(digest).collect()
    }

    /// The digests of all requests so far, with whether a fault was planned for each. Two that came at once may stand in
    /// another order than that in which they were counted.
    pub(crate) fn asked_and_failed(&self) -> Vec<(String, bool)> {
        let of_one = |entry: &serde_json::Value| {
            (entry["digest"].as_str().expect("a text").to_owned(), !entry["fault"].is_null())
        };
        self.ledger().iter().map(of_one).collect()
    }

    /// How many requests came to a path.
    pub(crate) fn asked_at(&self, path: &str) -> usize {
        self.ledger().iter().filter(|entry| entry["path"] == path).count()
    }

    /// Whether each request asked for a stream, in the order of their arrival.
    pub(crate) fn streamed(&self) -> Vec<bool> {
        self.ledger().iter().map(|entry| entry["stream"].as_bool().expect("a bool")).collect()
    }

    /// The requests of the ledger, in the order of their arrival.
    fn ledger(&self) -> Vec<serde_json::Value> {
        let ledger = std::fs::read_to_string(self.ledger.path()).expect("the ledger can be read");
        let entries = ledger.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
        entries.filter(|entry| entry["what"] == "request").collect()
    }

    fn requests(&self) -> usize {
        self.ledger().len()
    }
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn adapter(url: String) -> OpenAi {
    OpenAi::new(OpenAiConfig { base_url: url, api_key: Some(KEY.into()), pool: 2, ..OpenAiConfig::default() })
        .expect("a good configuration")
}

fn request(stream: bool, first_token: Duration, idle: Duration) -> ChatRequest {
    ChatRequest {
        model: "fault-model".into(),
        messages: vec![Message { role: Role::User, content: "Which is better?".into() }],
        temperature: Some(0.5),
        top_p: None,
        max_tokens: Some(40),
        stop: vec![],
        seed: 11,
        format: Format::Choice(vec!["pro".into(), "con".into()]),
        reasoning: None,
        extra: std::sync::Arc::default(),
        stream,
        lacks: pipe::event::Features::NONE,
        trace: None,
        limits: CallLimits { connect: Duration::from_secs(20), first_token, idle },
    }
}

/// What a test expects of one fault.
enum Expected {
    Fails(FailureKind, Option<u16>),
    Waits(FailureKind, u16, Option<u64>),
    Ends(FinishReason),
}

use Expected::{Ends, Fails, Waits};

/// Asks once and compares; returns what differs.
async fn check(server: &FaultServer, fault: &str, stream: bool, expected: &Expected) -> Option<String> {
    // Only what hangs is waited for: everything else has all the time that a busy machine may need.
    let (short, long) = (Duration::from_millis(150), Duration::from_secs(60));
    let (first_token, idle) = match fault {
        "hang-before-headers" => (short, long),
        // Not streamed, the limit for the first token ends with the headers, which came.
        "hang-before-text" if stream => (short, long),
        "hang-before-text" | "hang-mid-body" | "hang-after-finish" => (long, short),
        _ => (long, long),
    };
    let adapter = adapter(format!("{}/fault/{fault}", server.url));
    let pieces = Mutex::new(String::new());
    let before = server.requests();
    let watch = |progress: Progress<'_>| {
        if let Progress::Text(piece) = progress {
            pieces.lock().expect("nothing panics while it holds this").push_str(piece);
        }
    };
    let request = request(stream, first_token, idle);
    let outcome = adapter.chat(&request, &watch).await;
    let sent = server.requests() - before;
    let is_fine = match (&outcome, expected) {
        (Err(failure), Fails(kind, status)) => (failure.kind, failure.status) == (*kind, *status),
        (Err(failure), Waits(kind, status, wait)) => {
            (failure.kind, failure.status, failure.retry_after_ms) == (*kind, Some(*status), *wait)
        }
        (Ok(completion), Ends(finish)) => {
            completion.finish == *finish
                && !completion.text.is_empty()
                && (!stream || completion.text == *pieces.lock().expect("nothing panicked"))
        }
        _ => false,
    };
    let is_fit_to_show = match &outcome {
        Ok(_) => true,
        Err(failure) => is_fit_to_show(failure, server),
    };
    (!is_fine || !is_fit_to_show || sent != 1).then(|| {
        let how = if stream { "streamed" } else { "not streamed" };
        format!("{fault}, {how}, sent {sent} times: {outcome:?}")
    })
}

/// Every detail names the endpoint, on one short line, and holds no key.
fn is_fit_to_show(failure: &Failure, server: &FaultServer) -> bool {
    failure.detail.starts_with(&server.url)
        && failure.detail.chars().count() <= 400
        && !failure.detail.contains(char::is_control)
        && !failure.detail.contains(KEY)
        && !failure.detail.contains("secret")
}

async fn check_all(cases: &[(&str, Expected, Expected)]) {
    let server = FaultServer::start();
    let mut wrong = Vec::new();
    for (fault, whole, streamed) in cases {
        wrong.extend(check(&server, fault, false, whole).await);
        wrong.extend(check(&server, fault, true, streamed).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Both ways alike.
fn both(fault: &'static str, expected: fn() -> Expected) -> (&'static str, Expected, Expected) {
    (fault, expected(), expected())
}

#[tokio::test]
async fn statuses_are_told_apart() {
    check_all(&[
        both("status-400", || Fails(Refused, Some(400))),
        both("status-401", || Fails(Unauthorized, Some(401))),
        both("status-402", || Fails(QuotaExhausted, Some(402))),
        both("status-403", || Fails(Forbidden, Some(403))),
        both("status-404", || Fails(Refused, Some(404))),
        both("status-408", || Fails(Overloaded, Some(408))),
        both("status-409", || Fails(Overloaded, Some(409))),
        both("status-422", || Fails(Refused, Some(422))),
        both("status-500", || Fails(Overloaded, Some(500))),
        both("status-502", || Fails(Overloaded, Some(502))),
        both("status-503", || Fails(Overloaded, Some(503))),
        both("status-504", || Fails(Overloaded, Some(504))),
        both("status-529", || Fails(Overloaded, Some(529))),
        both("throttled", || Waits(Throttled, 429, None)),
        both("throttled-seconds", || Waits(Throttled, 429, Some(2_000))),
        both("throttled-ms", || Waits(Throttled, 429, Some(1_500))),
        both("throttled-date", || Waits(Throttled, 429, Some(3_000))),
        both("throttled-past", || Waits(Throttled, 429, None)),
        both("throttled-negative", || Waits(Throttled, 429, None)),
        both("throttled-absurd", || Waits(Throttled, 429, None)),
        both("overloaded-seconds", || Waits(Overloaded, 503, Some(4_000))),
        both("quota", || Fails(QuotaExhausted, Some(429))),
        both("loading", || Fails(Loading, Some(503))),
        both("overflow-llamacpp", || Fails(ContextOverflow, Some(400))),
        both("overflow-openai", || Fails(ContextOverflow, Some(400))),
        both("overflow-vllm", || Fails(ContextOverflow, Some(400))),
        both("model-missing", || Fails(ModelMissing, Some(404))),
        both("model-missing-ollama", || Fails(ModelMissing, Some(404))),
        both("format-unsupported", || Fails(FormatUnsupported, Some(400))),
        both("redirect", || Fails(Redirected, Some(307))),
        both("echo-key", || Fails(Unauthorized, Some(401))),
    ])
    .await;
}

#[tokio::test]
async fn broken_connections_are_told_apart() {
    let late = |phase| Fails(TimedOut(phase), Some(200));
    check_all(&[
        both("close-before-headers", || Fails(Unreachable, None)),
        both("reset-before-headers", || Fails(Unreachable, None)),
        both("reset-during-headers", || Fails(Unreachable, None)),
        ("reset-mid-body", Fails(CutOff, Some(200)), Fails(CutOff, Some(200))),
        ("short-body", Fails(CutOff, Some(200)), Fails(CutOff, Some(200))),
        both("hang-before-headers", || Fails(TimedOut(TimeoutPhase::FirstToken), None)),
        ("hang-before-text", late(TimeoutPhase::Idle), late(TimeoutPhase::FirstToken)),
        both("hang-mid-body", || Fails(TimedOut(TimeoutPhase::Idle), Some(200))),
        ("hang-after-finish", Ends(FinishReason::Stop), Ends(FinishReason::Stop)),
    ])
    .await;
}

#[tokio::test]
async fn answers_that_are_none_are_never_a_success() {
    check_all(&[
        ("error-in-200", Fails(Overloaded, Some(200)), Fails(Overloaded, Some(200))),
        both("empty-choices", || Fails(Malformed, Some(200))),
        both("null-content", || Fails(NoAnswer, Some(200))),
        both("html", || Fails(Malformed, Some(200))),
        ("html-as-json", Fails(Malformed, Some(200)), Fails(Malformed, Some(200))),
        ("empty-body", Fails(Malformed, Some(200)), Fails(Malformed, Some(200))),
        ("truncated-json", Fails(Malformed, Some(200)), Fails(CutOff, Some(200))),
        both("bom", || Ends(FinishReason::Stop)),
        ("invalid-utf8", Fails(Malformed, Some(200)), Fails(Malformed, Some(200))),
        ("not-a-number", Fails(Malformed, Some(200)), Fails(Malformed, Some(200))),
        ("deep-nesting", Fails(Malformed, Some(200)), Fails(Malformed, Some(200))),
        ("duplicate-keys", Ends(FinishReason::Stop), Fails(CutOff, Some(200))),
        ("too-large", Fails(TooLarge, Some(200)), Fails(TooLarge, Some(200))),
        both("gzip-unasked", || Fails(TooLarge, Some(200))),
        both("endless-headers", || Fails(TooLarge, None)),
        both("finish-content-filter", || Fails(ContentFiltered, Some(200))),
        both("finish-abort", || Fails(CutOff, Some(200))),
    ])
    .await;
}

#[tokio::test]
async fn streams_are_read_to_their_letter() {
    let fine = || Ends(FinishReason::Stop);
    check_all(&[
        ("no-finish-reason", fine(), Fails(CutOff, Some(200))),
        ("done-without-reason", fine(), Ends(FinishReason::Other)),
        ("malformed-chunk", fine(), Fails(Malformed, Some(200))),
        ("error-mid-stream", fine(), Fails(Overloaded, Some(200))),
        ("error-event-mid-stream", fine(), Fails(Throttled, Some(200))),
        ("split-utf8", fine(), fine()),
        ("crlf-and-comments", fine(), fine()),
        ("no-done", fine(), fine()),
        ("data-after-done", fine(), fine()),
        ("tiny-chunks", fine(), fine()),
        ("other-model", fine(), fine()),
        both("finish-length", || Ends(FinishReason::Length)),
        both("finish-unknown", || Ends(FinishReason::Other)),
    ])
    .await;
}

#[tokio::test]
async fn who_answered_and_what_it_cost_is_recorded() {
    let server = FaultServer::start();
    let long = Duration::from_secs(60);
    for stream in [false, true] {
        let asked = request(stream, long, long);
        let adapter = adapter(format!("{}/fault/other-model", server.url));
        let completion = adapter.chat(&asked, &|_| {}).await.expect("it answers");
        assert_eq!(completion.model.as_deref(), Some("somebody-else"));
        assert_eq!(completion.usage.input.map(|count| count.0), Some(7));
        assert_eq!(completion.usage.output.map(|count| count.0), Some(2));
    }
}

#[tokio::test]
async fn connections_that_never_stand_are_told_apart() {
    let server = FaultServer::start();
    let long = Duration::from_secs(60);
    let asked = request(false, long, long);
    let limits = CallLimits { connect: Duration::from_millis(150), ..asked.limits };
    let nowhere = format!("http://{}.invalid", "x".repeat(64));
    let cases = [
        (server.stuck.clone(), limits, TimedOut(TimeoutPhase::Connect)),
        ("http://127.0.0.1:1".to_owned(), asked.limits, Unreachable),
        (nowhere, asked.limits, Unreachable),
        (server.url.replace("http://", "https://"), asked.limits, Unreachable),
    ];
    for (url, limits, expected) in cases {
        let request = ChatRequest { limits, ..asked.clone() };
        let told = Arc::new(Mutex::new(0));
        let counter = Arc::clone(&told);
        let watch = move |_: Progress<'_>| *counter.lock().expect("nothing panics here") += 1;
        let failure = adapter(url.clone()).chat(&request, &watch).await.expect_err("nobody is there");
        assert_eq!(failure.kind, expected, "{url}: {}", failure.detail);
        assert_eq!(*told.lock().expect("nothing panicked"), 0, "{url}: nothing was sent");
    }
}

#[tokio::test]
async fn a_fault_that_passes_is_followed_by_the_same_answer_for_the_same_request() {
    let server = FaultServer::start();
    let long = Duration::from_secs(60);
    let adapter = adapter(format!("{}/fault/status-500/times/2", server.url));
    let asked = request(false, long, long);
    for _ in 0..2 {
        let failure = adapter.chat(&asked, &|_| {}).await.expect_err("twice it fails");
        assert_eq!(failure.kind, Overloaded);
    }
    let whole = adapter.chat(&asked, &|_| {}).await.expect("then it answers");
    // The ledger counts by body, so the streamed request meets the fault anew.
    let streamed = ChatRequest { stream: true, ..asked };
    for _ in 0..2 {
        adapter.chat(&streamed, &|_| {}).await.expect_err("twice it fails");
    }
    assert_eq!(adapter.chat(&streamed, &|_| {}).await.map(|completion| completion.text), Ok(whole.text));
}
