//! What a whole run makes of each fault of a backend (`design/reliability.md`, section 5): how often it asks, how the
//! step ends, and what stands in the journal; streamed and not. The adapter alone: `backend_faults.rs`.
//!
//! Faults that leave a backend usable stand in one run, each a backend and a step of its own; those that end a run
//! have runs of their own.

use std::collections::BTreeMap;
use std::fmt::Write;

use pipe::base::Timestamp;
use pipe::event::{AttemptEnded, Event, Outcome, TaskOutput, TaskStatus, Verdict};
use pipe::journal::{EventSeq, Reader};

use crate::backend_faults::{FaultServer, KEY};
use crate::project::{Project, text};

/// Each fault, what a run makes of it, and what a streamed run makes of it.
///
/// `overloaded ×4` is four requests that were all charged, each of which failed so; `+` says that the start of the
/// server's answer is kept with the failure; `ok` is an answer, `cut` one that ended at its length. The runs allow
/// four requests a call: a failure of four is transient, of three transient and hopeless, of one permanent.
const TABLE: &[(&str, &str, &str)] = &[
    // 429, and what its Retry-After may say
    ("throttled", "throttled+ ×4", "throttled+ ×4"),
    ("throttled-past", "throttled+ ×4", "throttled+ ×4"),
    ("throttled-negative", "throttled+ ×4", "throttled+ ×4"),
    ("throttled-absurd", "throttled+ ×4", "throttled+ ×4"),
    ("throttled-seconds/times/1", "throttled+ waits 2000, ok", "throttled+ waits 2000, ok"),
    ("throttled-ms/times/1", "throttled+ waits 1500, ok", "throttled+ waits 1500, ok"),
    ("throttled-date/times/1", "throttled+ waits 3000, ok", "throttled+ waits 3000, ok"),
    // server errors, with and without Retry-After
    ("status-408", "overloaded+ ×4", "overloaded+ ×4"),
    ("status-409", "overloaded+ ×4", "overloaded+ ×4"),
    ("status-500", "overloaded+ ×4", "overloaded+ ×4"),
    ("status-502", "overloaded+ ×4", "overloaded+ ×4"),
    ("status-503", "overloaded+ ×4", "overloaded+ ×4"),
    ("status-504", "overloaded+ ×4", "overloaded+ ×4"),
    ("status-529", "overloaded+ ×4", "overloaded+ ×4"),
    ("wait-408/times/1", "overloaded+ waits 1000, ok", "overloaded+ waits 1000, ok"),
    ("wait-409/times/1", "overloaded+ waits 1000, ok", "overloaded+ waits 1000, ok"),
    ("wait-500/times/1", "overloaded+ waits 1000, ok", "overloaded+ waits 1000, ok"),
    ("wait-502/times/1", "overloaded+ waits 1000, ok", "overloaded+ waits 1000, ok"),
    ("wait-504/times/1", "overloaded+ waits 1000, ok", "overloaded+ waits 1000, ok"),
    ("wait-529/times/1", "overloaded+ waits 1000, ok", "overloaded+ waits 1000, ok"),
    ("loading/times/1", "loading+ waits, ok", "loading+ waits, ok"),
    ("unloaded/times/1", "loading+ waits, ok", "loading+ waits, ok"),
    // refusals
    ("status-400", "refused+", "refused+"),
    ("status-403", "forbidden+", "forbidden+"),
    ("status-404", "refused+", "refused+"),
    ("status-422", "refused+", "refused+"),
    ("overflow-llamacpp", "context overflow+", "context overflow+"),
    ("overflow-openai", "context overflow+", "context overflow+"),
    ("overflow-vllm", "context overflow+", "context overflow+"),
    ("overflow-anthropic", "context overflow+", "context overflow+"),
    ("overflow-cohere", "context overflow+", "context overflow+"),
    ("overflow-gemini", "context overflow+", "context overflow+"),
    ("overflow-mistral", "context overflow+", "context overflow+"),
    ("overflow-ollama", "context overflow+", "context overflow+"),
    ("overflow-sglang", "context overflow+", "context overflow+"),
    ("overflow-tabby", "context overflow+", "context overflow+"),
    ("overflow-tgi", "context overflow+", "context overflow+"),
    ("overflow-as-500", "context overflow+", "context overflow+"),
    // connections
    ("close-before-headers", "unreachable ×4", "unreachable ×4"),
    ("reset-before-headers", "unreachable ×4", "unreachable ×4"),
    ("reset-during-headers", "unreachable ×4", "unreachable ×4"),
    ("reset-mid-body", "cut off+ ×4", "cut off+ ×4"),
    ("short-body", "cut off+ ×4", "cut off+ ×4"),
    // answers that are none
    ("error-in-200", "overloaded+ ×4", "overloaded+ ×4"),
    ("empty-choices", "malformed+ ×3", "malformed+ ×3"),
    ("null-content", "no answer+ ×3", "no answer+ ×3"),
    ("judge-silent", "no answer+ ×3", "no answer+ ×3"),
    ("html", "malformed+ ×3", "malformed+ ×3"),
    ("html-as-json", "malformed+ ×3", "malformed+ ×3"),
    ("empty-body", "malformed ×3", "malformed ×3"),
    ("truncated-json", "malformed+ ×3", "cut off+ ×4"),
    ("bom", "ok", "ok"),
    ("invalid-utf8", "malformed+ ×3", "malformed+ ×3"),
    ("not-a-number", "malformed+ ×3", "malformed+ ×3"),
    ("deep-nesting", "malformed+ ×3", "malformed+ ×3"),
    ("duplicate-keys", "ok", "cut off+ ×4"),
    ("evidence", "malformed+ ×3", "malformed+ ×3"),
    // too much
    ("too-large", "too large+", "too large+"),
    ("gzip-unasked", "too large", "too large"),
    ("endless-headers", "too large", "too large"),
    ("tiny-chunks", "ok", "ok"),
    // streams
    ("no-finish-reason", "ok", "cut off+ ×4"),
    ("done-without-reason", "ok", "ok"),
    ("malformed-chunk", "ok", "malformed+ ×3"),
    ("split-utf8", "ok", "ok"),
    ("crlf-and-comments", "ok", "ok"),
    ("error-mid-stream", "ok", "overloaded+ ×4"),
    ("error-event-mid-stream", "ok", "throttled+ ×4"),
    ("no-done", "ok", "ok"),
    ("data-after-done", "ok", "ok"),
    ("hang-after-finish", "ok", "ok"),
    // reasons to end
    ("finish-length", "cut", "cut"),
    ("finish-content-filter", "content filtered+", "content filtered+"),
    ("finish-abort", "cut off+ ×4", "cut off+ ×4"),
    ("finish-unknown", "ok", "ok"),
    // redirects, and who answered
    ("other-model", "ok by somebody-else", "ok by somebody-else"),
    ("wrong-id", "ok", "ok"),
];

/// Answers of a judge, and what they count as: never a default.
const VERDICTS: &[(&str, &str)] = &[
    ("judge-fenced", "con"),
    ("judge-prose", "unscored"),
    ("judge-out-of-range", "unscored"),
    ("judge-wrong-type", "unscored"),
    ("judge-two", "unscored"),
    ("judge-broken", "unscored"),
    ("judge-refuses", "unscored"),
    ("judge-apologises", "unscored"),
];

/// A pipeline with a backend, an actor and a step for each fault.
fn pipeline(url: &str, limits: &str, faults: &[&str], step: &dyn Fn(usize) -> String) -> String {
    let mut file = format!("version: 1\nname: faults\nlimits: {limits}\nbackends:\n");
    let (mut actors, mut steps) = (String::from("actors:\n"), String::from("steps:\n"));
    for (number, fault) in faults.iter().enumerate() {
        let base = if fault.is_empty() { url.to_owned() } else { format!("{url}/fault/{fault}") };
        writeln!(file, "  b{number}: {{ base_url: '{base}/v1', api_key: '${{FAULT_KEY}}' }}").expect("a text");
        writeln!(actors, "  a{number}: {{ model: m{number}, max_tokens: 40 }}").expect("a text");
        writeln!(steps, "  s{number}: {}", step(number)).expect("a text");
    }
    file.push_str("models:\n");
    for number in 0..faults.len() {
        writeln!(file, "  m{number}: {{ backend: b{number}, model: fault-model }}").expect("a text");
    }
    file + &actors + &steps
}

fn chat(number: usize) -> String {
    format!("{{ chat: {{ actor: a{number}, prompt: 'Question {number}?' }} }}")
}

/// What the journal of the only run says.
struct Journal {
    /// By step: when each request was over, and how.
    attempts: BTreeMap<String, Vec<(Timestamp, AttemptEnded)>>,
    /// By step: when each request was begun.
    starts: BTreeMap<String, Vec<Timestamp>>,
    tasks: BTreeMap<String, (TaskStatus, Option<TaskOutput>)>,
    reader: Reader,
}

impl Journal {
    fn of(project: &Project) -> Self {
        let reader = Reader::open(&project.run_folder().join("journal.db")).expect("the journal opens");
        let mut attempts = BTreeMap::<String, Vec<(Timestamp, AttemptEnded)>>::new();
        let (mut starts, mut tasks) = (BTreeMap::<String, Vec<Timestamp>>::new(), BTreeMap::new());
        reader
            .events_after(EventSeq::default(), &mut |_, recorded| {
                match recorded.event {
                    Event::AttemptEnded(ended) => {
                        attempts.entry(ended.id.step.to_string()).or_default().push((recorded.at, ended));
                    }
                    Event::AttemptStarted(started) => {
                        starts.entry(started.id.step.to_string()).or_default().push(recorded.at);
                    }
                    Event::TaskSettled(task) => {
                        tasks.insert(task.step.to_string(), (task.status, task.output));
                    }
                    _ => {}
                }
                Ok(())
            })
            .expect("the journal reads");
        Self { attempts, starts, tasks, reader }
    }

    /// Says what happened in a step, in the words of the table.
    fn story(&self, step: &str) -> String {
        let mut parts: Vec<(String, usize)> = Vec::new();
        for (number, (at, ended)) in self.attempts.get(step).into_iter().flatten().enumerate() {
            let part = self.part(ended);
            let next = self.starts[step].get(number + 1);
            if let (Outcome::Failed(failure), Some(next)) = (&ended.outcome, next) {
                let waited = next.since(*at).0;
                assert!(waited >= failure.retry_after_ms.unwrap_or(0), "{step} waited {waited} ms: {failure:?}");
            }
            match parts.last_mut() {
                Some((last, count)) if *last == part => *count += 1,
                _ => parts.push((part, 1)),
            }
        }
        let times = |(part, count): (String, usize)| if count == 1 { part } else { format!("{part} ×{count}") };
        parts.into_iter().map(times).collect::<Vec<_>>().join(", ")
    }

    fn part(&self, ended: &AttemptEnded) -> String {
        match &ended.outcome {
            Outcome::Answered(answer) => {
                assert!(
                    self.reader.text(Some(ended.id.case), &answer.text).expect("it reads").is_some(),
                    "the answer is kept"
                );
                let cut = if answer.finish == pipe::event::FinishReason::Length { "cut" } else { "ok" };
                match answer.model.as_deref() {
                    None | Some("fault-model") => cut.to_owned(),
                    Some(other) => format!("{cut} by {other}"),
                }
            }
            Outcome::Failed(failure) => {
                assert!(!failure.detail.contains(KEY) && failure.detail.chars().count() <= 400, "{failure:?}");
                let is_placed =
                    failure.detail.starts_with("http://") || failure.detail.contains("limits.timeouts.total");
                assert!(is_placed, "the endpoint or the limit is named: {failure:?}");
                let evidence = failure.evidence.map(|digest| {
                    let kept =
                        self.reader.text(Some(ended.id.case), &digest).expect("it reads").expect("evidence is kept");
                    assert!(kept.len() <= 2_048 && !kept.contains("sk-test"), "{kept}");
                });
                let word = failure.kind.word();
                let mark = if evidence.is_some() { "+" } else { "" };
                let wait = match (ended.charged, failure.retry_after_ms) {
                    (true, _) => String::new(),
                    (false, None) => " waits".to_owned(),
                    (false, Some(wait)) => format!(" waits {wait}"),
                };
                format!("{word}{mark}{wait}")
            }
        }
    }
}

/// Runs a table and tells what differs from it.
fn check(limits: &str, table: &[(&str, &str)]) -> FaultServer {
    let (project, server) = (Project::new(), FaultServer::start());
    let faults: Vec<&str> = table.iter().map(|(fault, _)| *fault).collect();
    project.write("faults.yaml", &pipeline(&server.url, limits, &faults, &chat));
    let output = project
        .pipe(&["run", "faults.yaml", "--out", "rows.jsonl"])
        .env("FAULT_KEY", KEY)
        .output()
        .expect("pipe starts");
    let talk = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "some cases fail, and the run is whole: {talk}");
    assert!(!talk.contains(KEY), "{talk}");
    let journal = Journal::of(&project);
    let mut wrong = Vec::new();
    for (number, (fault, expected)) in table.iter().enumerate() {
        let step = format!("s{number}");
        let story = journal.story(&step);
        if story != *expected {
            wrong.push(format!("{fault}: {story:?}, not {expected:?}"));
        }
        let asked = server.asked_at(&format!("/fault/{fault}/v1/chat/completions"));
        let recorded = journal.attempts.get(&step).map_or(0, Vec::len);
        if asked != recorded {
            wrong.push(format!("{fault}: {asked} requests arrived, {recorded} are recorded"));
        }
        let is_ok = story.ends_with("ok") || story.contains("ok by") || story == "cut";
        let status = journal.tasks.get(&step).map(|(status, _)| *status);
        if status != Some(if is_ok { TaskStatus::Ok } else { TaskStatus::Failed }) {
            wrong.push(format!("{fault}: the step is {status:?}"));
        }
    }
    assert_eq!(server.asked_at("/v1/chat/completions"), 0, "no redirect is followed");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    server
}

const RETRIES: &str = "retries: { attempts: 4, within: 10m, backoff: 1ms..5ms }";

#[test]
fn every_fault_is_read_as_the_table_says() {
    let table: Vec<_> = TABLE.iter().map(|&(fault, whole, _)| (fault, whole)).collect();
    let server = check(&format!("{{ {RETRIES} }}"), &table);
    assert!(server.streamed().iter().all(|streamed| !streamed));
}

#[test]
fn every_fault_is_read_as_the_table_says_streamed() {
    let table: Vec<_> = TABLE.iter().map(|&(fault, _, streamed)| (fault, streamed)).collect();
    let limits = format!("{{ {RETRIES}, timeouts: {{ first_token: 5m }} }}");
    let server = check(&limits, &table);
    assert!(server.streamed().iter().all(|streamed| *streamed), "a limit for the first token asks for streams");
}

#[test]
fn whatever_stands_still_is_ended_by_the_limit_that_is_meant_for_it() {
    // Not streamed, nothing shows that a token came, so the total limit alone ends what hangs.
    let whole: Vec<_> = HANGING.iter().map(|&(fault, whole, _)| (fault, whole)).collect();
    check("{ retries: { attempts: 2, backoff: 1ms..5ms }, timeouts: { total: 1s } }", &whole);
    let streamed: Vec<_> = HANGING.iter().map(|&(fault, _, streamed)| (fault, streamed)).collect();
    let times = "timeouts: { first_token: 700ms, idle: 600ms, total: 2s }";
    check(&format!("{{ retries: {{ attempts: 2, backoff: 1ms..5ms }}, {times} }}"), &streamed);
}

/// Faults that hang; the runs allow two requests a call.
const HANGING: &[(&str, &str, &str)] = &[
    ("hang-before-headers", "timed out (total) ×2", "timed out (first token) ×2"),
    ("hang-before-text", "timed out (total) ×2", "timed out (first token) ×2"),
    ("hang-mid-body", "timed out (total) ×2", "timed out (idle)+ ×2"),
    ("slow-drip", "timed out (total) ×2", "timed out (first token)+ ×2"),
];

#[test]
fn a_judge_that_says_nothing_countable_has_no_verdict() {
    for limits in ["{}", "{ timeouts: { first_token: 5m } }"] {
        let (project, server) = (Project::new(), FaultServer::start());
        let faults: Vec<&str> = VERDICTS.iter().map(|(fault, _)| *fault).collect();
        let judge = |number| format!("{{ judge: {{ actor: a{number}, question: 'Who?', choose: [pro, con] }} }}");
        project.write("faults.yaml", &pipeline(&server.url, limits, &faults, &judge));
        let output = project.pipe(&["run", "faults.yaml"]).env("FAULT_KEY", KEY).output().expect("pipe starts");
        assert!(output.status.success(), "{}", text(&output.stderr));
        let journal = Journal::of(&project);
        for (number, (fault, expected)) in VERDICTS.iter().enumerate() {
            let (status, output) = &journal.tasks[&format!("s{number}")];
            let Some(TaskOutput::Judge(judgement)) = output else { panic!("{fault}: {output:?}") };
            let choice = match &judgement.verdict {
                Verdict::Choice(choice) => Some(choice.as_str()),
                Verdict::Unscored(_) => None,
                other => panic!("{fault}: a judge with options said {other:?}"),
            };
            match *expected {
                "unscored" => assert_eq!((*status, choice), (TaskStatus::Unscored, None), "{fault}"),
                option => assert_eq!((*status, choice), (TaskStatus::Ok, Some(option)), "{fault}"),
            }
            assert!(server.asked_at(&format!("/fault/{fault}/v1/chat/completions")) <= 4, "{fault}: asked too often");
        }
    }
}

/// Runs six items against a backend with one fault; returns what was said, the exit code, and the requests.
fn six(limits: &str, url: &str, server: &FaultServer) -> (Project, String, Option<i32>, usize) {
    let project = Project::new();
    let items = "items: { values: [{ id: a }, { id: b }, { id: c }, { id: d }, { id: e }, { id: f }] }\n";
    let file = pipeline(url, limits, &[""], &|_| "{ chat: { actor: a0, prompt: '{{ item.id }}?' } }".to_owned());
    project.write("faults.yaml", &(file + items));
    let before = server.asked().len();
    let output = project.pipe(&["run", "faults.yaml"]).env("FAULT_KEY", KEY).output().expect("pipe starts");
    let asked = server.asked().len() - before;
    (project, text(&output.stderr), output.status.code(), asked)
}

#[test]
fn a_backend_that_is_of_no_use_stops_the_run_and_nothing_is_lost() {
    let cases = [
        ("quota", 1, "quota exhausted"),
        ("status-402", 1, "quota exhausted"),
        ("status-401", 1, "unauthorized"),
        ("echo-key", 1, "unauthorized"),
        ("model-missing", 1, "model missing"),
        ("model-missing-ollama", 1, "model missing"),
        ("redirect", 1, "redirected"),
        ("redirect-abroad", 1, "redirected"),
        ("redirect-at-home", 1, "redirected"),
        ("status-403", 3, "forbidden"),
    ];
    for limits in ["{ concurrency: 1 }", "{ concurrency: 1, timeouts: { first_token: 5m } }"] {
        for (fault, most, word) in cases {
            let server = FaultServer::start();
            let url = format!("{}/fault/{fault}/first/{most}", server.url);
            let (project, talk, code, asked) = six(limits, &url, &server);
            assert_eq!(code, Some(4), "{fault}: {talk}");
            // With one slot, one more is begun ahead.
            assert!((most..=most + 1).contains(&asked), "{fault}: {asked} requests: {talk}");
            assert!(talk.contains(word) && talk.contains("pipe resume") && !talk.contains(KEY), "{fault}: {talk}");
            let again = project.pipe(&["resume"]).env("FAULT_KEY", KEY).output().expect("pipe starts");
            assert_eq!(again.status.code(), Some(0), "{fault}: {}", text(&again.stderr));
            assert_eq!((project.settled(), server.asked().len()), (6, 6 + most), "{fault}: nothing is lost");
            assert_eq!(server.asked_at("/v1/chat/completions"), 0, "no redirect is followed");
        }
    }
}
