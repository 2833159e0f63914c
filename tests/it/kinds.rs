//! Servers as they are: each kind of behaviour that users of real servers met, against the real binary.
//!
//! A case is a script for the server, a pipeline and what must come of it. Every case runs twice: answers asked for
//! whole, and streamed. Nothing here knows how `pipe` reads a response: only what a user sees, and what was sent.

mod always;
mod bodies;
mod budgets;
mod cuts;
mod ends;
mod fields;
mod outages;
mod places;
mod refusals;
mod talks;
mod thoughts;
mod unchanged;
mod waits;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::project::{Project, text};
use crate::scripted_server::{Ask, Entry, MODEL, Reply, Script, Server};

/// What makes a run stream its answers.
const STREAMED: &str = "limits.timeouts.first_token=60s";
/// Runs at once of one table.
const AT_ONCE: usize = 6;
/// How long a run at a healed server may take.
const AGAIN: Duration = Duration::from_secs(60);

/// Which of the two ways of asking a case is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Whole,
    Streamed,
}

/// What the steps of a case are.
#[derive(Clone, Copy)]
enum Steps {
    /// `s`: a chat.
    Chat,
    /// `j`: a judge of two options.
    Judge,
    /// `s`: a chat, and `j`: a judge who reads it.
    ChatAndJudge,
    /// `s`: a chat with a schema.
    Schema,
    /// `d`: a dialogue of two actors and two rounds, and `j`: a judge who reads it.
    Talk,
    /// `d`: the same, ended early by AGREED.
    AgreedTalk,
}

impl Steps {
    fn is_talk(self) -> bool {
        matches!(self, Self::Talk | Self::AgreedTalk)
    }

    fn yaml(self) -> &'static str {
        match self {
            Self::Chat => "  s: { chat: { actor: a, prompt: '{{ item.ask }}' } }\n",
            Self::Judge => {
                "  j: { judge: { actor: a, question: 'Is it good? {{ item.ask }}', choose: [\"yes\", \"no\"] } }\n"
            }
            Self::ChatAndJudge => {
                "  s: { chat: { actor: a, prompt: '{{ item.ask }}' } }\n  \
                 j: { judge: { actor: a, question: 'About {{ item.id }}: {{ steps.s.text }} Is it good?', \
                 choose: [\"yes\", \"no\"] } }\n"
            }
            Self::Schema => {
                "  s:\n    chat: { actor: a, prompt: 'As an object: {{ item.ask }}' }\n    schema:\n      \
                 type: object\n      properties: { city: { type: string } }\n      required: [city]\n      \
                 additionalProperties: false\n"
            }
            Self::Talk => {
                "  d: { dialogue: { actors: [a, b], opening: 'Talk about {{ item.id }}.', stop: { rounds: 2 } } }\n  \
                 j: { judge: { actor: a, question: 'Is it good? {{ steps.d.transcript }}', choose: [\"yes\", \"no\"] } }\n"
            }
            Self::AgreedTalk => {
                "  d: { dialogue: { actors: [a, b], opening: 'Talk about {{ item.id }}.', \
                 stop: { any: [ { rounds: 2 }, { says: { pattern: AGREED } } ] } } }\n"
            }
        }
    }
}

/// A check of what came of a run: what is wrong, if anything.
type Check = Arc<dyn Fn(&Ended) -> Option<String> + Send + Sync>;

/// What must come of a case.
#[derive(Clone)]
enum Expect {
    /// One of these exit codes.
    Exit(&'static [i32]),
    /// So many cases are ok.
    Answered(usize),
    /// So many cases failed.
    Failed(usize),
    /// The text of step `s` in every row that has one.
    Text(&'static str),
    /// The choice of step `j` in every row.
    Choice(&'static str),
    /// Requests to the chat endpoint, from and to.
    Chats(usize, usize),
    /// Requests of any kind, at most.
    AllRequests(usize),
    /// One of these is shown, whatever the case of its letters.
    Shows(&'static [&'static str]),
    /// None of these is shown.
    Hides(&'static [&'static str]),
    /// A time of day is shown.
    ShowsTime,
    /// The run is over within so many seconds.
    Within(u64),
    /// Once the server is healed `pipe resume` completes the run and asks nothing that was answered.
    Resumes,
    /// Anything else.
    Is(Check),
}

use Expect::{
    AllRequests, Answered, Chats, Choice, Exit, Failed, Hides, Is, Resumes, Shows, ShowsTime, Text, Within,
};

/// One row of a table.
#[derive(Clone)]
struct Case {
    name: String,
    script: Script,
    steps: Steps,
    items: usize,
    concurrency: usize,
    ways: &'static [Way],
    /// Below the server's address.
    base: String,
    model: String,
    /// More fields of the actors, of the backend, of the file.
    actor: String,
    backend: String,
    model_fields: String,
    file: String,
    retries: String,
    /// The text of every item's prompt, after its id.
    prompt: String,
    /// By `--backend` and `--model` instead of in the file.
    by_flag: bool,
    expects: Vec<Expect>,
}

/// A case of which the script answers what it returns; for the rest the server is a usual one.
fn case(name: &str, script: impl Fn(&Ask) -> Option<Reply> + Send + Sync + 'static) -> Case {
    Case {
        name: name.to_owned(),
        script: Arc::new(script),
        steps: Steps::Chat,
        items: 1,
        concurrency: 1,
        ways: &[Way::Whole, Way::Streamed],
        base: "/v1".into(),
        model: MODEL.into(),
        actor: String::new(),
        backend: String::new(),
        model_fields: String::new(),
        file: String::new(),
        retries: "within: 1m, backoff: 50ms..400ms".into(),
        prompt: "What is the capital of Australia?".into(),
        by_flag: false,
        expects: vec![],
    }
}

/// A case of which every chat request is answered by one function.
fn chats(name: &str, script: impl Fn(&Ask) -> Reply + Send + Sync + 'static) -> Case {
    case(name, move |ask| ask.is_chat().then(|| script(ask)))
}

/// A case whose first chat requests are refused.
fn refused(name: &str, numbers: impl Fn(usize) -> bool + Send + Sync + 'static, reply: Reply) -> Case {
    case(name, move |ask| (ask.is_chat() && numbers(ask.number)).then(|| reply.clone()))
}

/// A case whose first chat request is refused.
fn once(name: &str, reply: Reply) -> Case {
    refused(name, |number| number == 1, reply)
}

/// A case whose chat requests are all refused.
fn always(name: &str, reply: Reply) -> Case {
    refused(name, |_| true, reply)
}

impl Case {
    fn steps(self, steps: Steps) -> Self {
        Self { steps, ..self }
    }

    fn items(self, items: usize) -> Self {
        Self { items, ..self }
    }

    fn concurrency(self, concurrency: usize) -> Self {
        Self { concurrency, ..self }
    }

    fn only(self, way: Way) -> Self {
        let ways: &[Way] = match way {
            Way::Whole => &[Way::Whole],
            Way::Streamed => &[Way::Streamed],
        };
        Self { ways, ..self }
    }

    fn base(self, base: &str) -> Self {
        Self { base: base.into(), ..self }
    }

    fn model(self, model: &str) -> Self {
        Self { model: model.into(), ..self }
    }

    fn actor(self, fields: &str) -> Self {
        Self { actor: format!(", {fields}"), ..self }
    }

    fn backend(self, fields: &str) -> Self {
        Self { backend: format!(", {fields}"), ..self }
    }

    fn model_fields(self, fields: &str) -> Self {
        Self { model_fields: format!(", {fields}"), ..self }
    }

    fn file(self, lines: &str) -> Self {
        Self { file: format!("{lines}\n"), ..self }
    }

    fn retries(self, fields: &str) -> Self {
        Self { retries: fields.into(), ..self }
    }

    fn prompt(self, prompt: &str) -> Self {
        Self { prompt: prompt.into(), ..self }
    }

    fn by_flag(self) -> Self {
        Self { by_flag: true, ..self }
    }

    fn expect(mut self, expects: impl IntoIterator<Item = Expect>) -> Self {
        self.expects.extend(expects);
        self
    }

    fn is(self, what: &'static str, check: impl Fn(&Ended) -> bool + Send + Sync + 'static) -> Self {
        self.expect([Is(Arc::new(move |ended| (!check(ended)).then(|| what.to_owned())))])
    }

    /// The pipeline.
    fn yaml(&self, address: &str) -> String {
        let rows: Vec<String> =
            (0..self.items).map(|n| format!("{{ id: i{n}, ask: 'i{n}: {}' }}", self.prompt)).collect();
        let (backends, models, model) = if self.by_flag {
            (String::new(), String::new(), String::new())
        } else {
            (
                format!("backends: {{ b: {{ base_url: '{address}{}'{} }} }}\n", self.base, self.backend),
                format!("models: {{ m: {{ backend: b, model: '{}'{} }} }}\n", self.model, self.model_fields),
                "model: m, ".to_owned(),
            )
        };
        let actor = format!("{{ {model}max_tokens: 20{} }}", self.actor);
        // An actor who takes part in nothing is warned of.
        let second = if self.steps.is_talk() { format!(", b: {actor}") } else { String::new() };
        format!(
            "version: 1\nname: kinds\n{}items: {{ id: id, values: [ {} ] }}\n\
             limits: {{ concurrency: {}, retries: {{ {} }} }}\n{backends}{models}\
             actors: {{ a: {actor}{second} }}\nsteps:\n{}results: {{ path: rows.jsonl }}\n",
            self.file,
            rows.join(", "),
            self.concurrency,
            self.retries,
            self.steps.yaml(),
        )
    }

    /// A project with the pipeline, and its server.
    fn stage(&self) -> (Project, Server) {
        let server = Server::start(Arc::clone(&self.script));
        let project = Project::new();
        project.write("kinds.yaml", &self.yaml(&server.address));
        (project, server)
    }

    fn arguments(&self, way: Way, address: &str) -> Vec<String> {
        let mut arguments: Vec<String> = ["run", "kinds.yaml", "--json"].map(str::to_owned).into();
        if self.by_flag {
            let backend = format!("{address}{}", self.base);
            arguments.extend(["--backend".to_owned(), backend, "--model".to_owned(), self.model.clone()]);
        }
        if way == Way::Streamed {
            arguments.extend(["--set".to_owned(), STREAMED.to_owned()]);
        }
        arguments
    }

    /// When a run is killed: some time after it should have been over.
    fn limit(&self) -> Duration {
        let seconds = |expect: &Expect| if let Within(seconds) = expect { Some(*seconds) } else { None };
        Duration::from_secs(self.expects.iter().filter_map(seconds).max().unwrap_or(30) + 15)
    }

    fn run(&self, way: Way) -> Ended {
        let (project, server) = self.stage();
        let arguments = self.arguments(way, &server.address);
        let begun = Instant::now();
        let output = bounded(&project, &arguments, self.limit());
        Ended::new(project, server, &output, begun.elapsed(), self.items, arguments)
    }

    /// What is wrong with what came of it.
    fn wrong(&self, way: Way) -> Vec<String> {
        let ended = self.run(way);
        let wrong: Vec<String> = self.expects.iter().filter_map(|expect| ended.against(expect)).collect();
        if wrong.is_empty() {
            return wrong;
        }
        let told: String = ended.told.chars().take(900).collect();
        let way = format!("{way:?}").to_lowercase();
        vec![format!("{} ({way}): {}\n      {told}", self.name, wrong.join("; "))]
    }
}

/// What came of a run.
struct Ended {
    project: Project,
    server: Server,
    code: i32,
    rows: Vec<Value>,
    summary: Value,
    /// Standard error and output, with single blanks.
    told: String,
    took: Duration,
    items: usize,
    /// How it was started.
    arguments: Vec<String>,
    ledger: Vec<Entry>,
}

impl Ended {
    fn new(
        project: Project,
        server: Server,
        output: &Output,
        took: Duration,
        items: usize,
        arguments: Vec<String>,
    ) -> Self {
        let told = format!("{} {}", text(&output.stderr), text(&output.stdout));
        let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
        let rows = rows(&project);
        let summary = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        let ledger = server.ledger();
        let code = output.status.code().unwrap_or(-1);
        Self { project, server, code, rows, summary, told, took, items, arguments, ledger }
    }

    fn chats(&self) -> Vec<&Entry> {
        self.ledger.iter().filter(|entry| entry.is_chat).collect()
    }

    fn cases(&self, word: &str) -> usize {
        self.summary["cases"][word].as_u64().map_or(0, |count| usize::try_from(count).expect("few"))
    }

    fn shows(&self, word: &str) -> bool {
        self.told.to_lowercase().contains(&word.to_lowercase())
    }

    /// Every case's `pipe show … --json`, as one text.
    fn shown(&self) -> String {
        let of_case = |case: usize| text(&self.project.run(&["show", "last", &case.to_string(), "--json"]).stdout);
        (0..self.items).map(of_case).collect()
    }

    fn against(&self, expect: &Expect) -> Option<String> {
        let unless = |fine: bool, what: String| (!fine).then_some(what);
        match expect {
            Exit(codes) => {
                let how = if self.code < 0 { "killed".to_owned() } else { format!("exit {}", self.code) };
                unless(codes.contains(&self.code), format!("{how} after {:.1?} and not {codes:?}", self.took))
            }
            Answered(count) => unless(self.cases("ok") == *count, format!("{} ok and not {count}", self.cases("ok"))),
            Failed(count) => {
                unless(self.cases("failed") == *count, format!("{} failed and not {count}", self.cases("failed")))
            }
            Text(text) => {
                let texts: Vec<&Value> = self.rows.iter().map(|row| &row["s.text"]).collect();
                let fine = !texts.is_empty() && texts.iter().all(|there| there.is_null() || *there == text);
                unless(fine, format!("texts {texts:?}"))
            }
            Choice(option) => {
                let choices: Vec<&Value> = self.rows.iter().map(|row| &row["j.choice"]).collect();
                unless(
                    !choices.is_empty() && choices.iter().all(|there| *there == option),
                    format!("choices {choices:?}"),
                )
            }
            Chats(from, to) => {
                let count = self.chats().len();
                unless((*from..=*to).contains(&count), format!("{count} requests and not {from} to {to}"))
            }
            AllRequests(most) => {
                let all: Vec<String> =
                    self.ledger.iter().map(|one| format!("{} {}", one.method, one.target)).collect();
                unless(all.len() <= *most, format!("{} requests of any kind and not {most}: {all:?}", all.len()))
            }
            Shows(words) => unless(words.iter().any(|word| self.shows(word)), format!("none of {words:?} is shown")),
            Hides(words) => {
                let seen: Vec<&&str> = words.iter().filter(|word| self.shows(word)).collect();
                unless(seen.is_empty(), format!("{seen:?} is shown"))
            }
            ShowsTime => unless(shows_time(&self.told), "no time of day is shown".into()),
            Within(seconds) => {
                let took = self.took.as_secs_f32();
                unless(took <= *seconds as f32, format!("took {took:.1} s and not {seconds}"))
            }
            Resumes => self.resumes(),
            Is(check) => check(self),
        }
    }

    /// Heals the server, resumes the run and compares.
    fn resumes(&self) -> Option<String> {
        self.server.heal();
        let before = self.server.ledger();
        let output = bounded(&self.project, &["resume", "--json"].map(str::to_owned), AGAIN);
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        let ok = summary["cases"]["ok"].as_u64();
        if output.status.code() != Some(0) || ok != Some(self.items as u64) {
            return Some(format!("resume: {}, {ok:?} ok: {}", output.status, text(&output.stderr)));
        }
        let mut answers: BTreeMap<String, u32> = BTreeMap::new();
        for entry in self.server.ledger().iter().filter(|entry| entry.good) {
            *answers.entry(entry.prompt.clone()).or_default() += 1;
        }
        let twice: Vec<&String> = answers.iter().filter(|(_, count)| **count > 1).map(|(prompt, _)| prompt).collect();
        let sent = self.server.ledger().len() - before.len();
        (!twice.is_empty()).then(|| format!("resume: of {sent} requests these were answered already: {twice:?}"))
    }
}

/// Runs the command to its end, or kills it: a run that never ends is a wrong result and not a hung test.
fn bounded(project: &Project, arguments: &[String], limit: Duration) -> Output {
    let kept = |name: &str| File::create(project.path(name)).expect("the folder takes files");
    let mut command = project.pipe(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let mut child = command.stdout(kept("stdout")).stderr(kept("stderr")).spawn().expect("pipe starts");
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("it can be looked at") {
            break status;
        }
        if begun.elapsed() > limit {
            child.kill().ok();
            break child.wait().expect("waited for");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let read = |name: &str| std::fs::read(project.path(name)).expect("the file is there");
    Output { status, stdout: read("stdout"), stderr: read("stderr") }
}

fn rows(project: &Project) -> Vec<Value> {
    let text = std::fs::read_to_string(project.path("rows.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("rows are JSON")).collect()
}

/// Whether a time of day such as 17:05 stands in a text.
fn shows_time(told: &str) -> bool {
    let time =
        regex::Regex::new(r"(^|[^0-9:.])([01][0-9]|2[0-3]):[0-5][0-9]([^0-9]|$|:[0-5][0-9])").expect("a pattern");
    time.is_match(told)
}

/// Runs every case in each of its ways, some at once, and reports all that is wrong.
fn check_all(cases: Vec<Case>) {
    check_at_once(AT_ONCE, &cases);
}

/// The same with so many at once: for cases that wait.
fn check_at_once(at_once: usize, cases: &[Case]) {
    let runs: Vec<(&Case, Way)> =
        cases.iter().flat_map(|case| case.ways.iter().map(move |way| (case, *way))).collect();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..at_once.min(runs.len()) {
            scope.spawn(|| {
                while let Some((case, way)) = runs.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let found = case.wrong(*way);
                    wrong.lock().expect("nothing panics while it holds this").extend(found);
                }
            });
        }
    });
    let mut wrong = wrong.into_inner().expect("nothing panicked");
    wrong.sort();
    let mut report = format!("{} of {} runs:\n", wrong.len(), runs.len());
    for line in &wrong {
        writeln!(report, "  {line}").expect("a text takes lines");
    }
    assert!(wrong.is_empty(), "{report}");
}

/// What a run of so many cases comes to when nothing is lost.
fn fine(items: usize) -> Vec<Expect> {
    vec![Exit(&[0]), Answered(items)]
}
