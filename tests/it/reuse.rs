//! Edit without fear: what was answered is not asked again, and what was edited is. A server that shares no code with
//! `pipe` counts the requests.

use std::collections::BTreeSet;
use std::fs;
use std::process::Output;

use serde_json::Value;

use crate::backend_faults::FaultServer;
use crate::project::{Project, python, text};

pub(crate) const FILE: &str = "pipelines/monte_carlo.yaml";
const QUESTION: (&str, &str) = ("Who argued better?", "Who was the better speaker?");

struct Bench {
    project: Project,
    server: FaultServer,
    seen: BTreeSet<String>,
    count: usize,
}

/// What came of one command.
struct Done {
    talk: String,
    /// Requests that it made.
    asked: usize,
    /// Of these, those that were made before, by their digests.
    again: usize,
}

impl Bench {
    fn new() -> Self {
        let (project, server) = (Project::with_pipelines(), FaultServer::start());
        Self { project, server, seen: BTreeSet::new(), count: 0 }
    }

    fn run(&mut self, arguments: &[&str]) -> Done {
        let url = self.server.url.clone();
        let out = self.project.run(&[&["run", FILE, "--backend", &url, "--force"], arguments].concat());
        self.done(&out)
    }

    fn done(&mut self, out: &Output) -> Done {
        let talk = text(&out.stderr);
        assert!(out.status.success(), "{talk}");
        let asked = self.server.asked().split_off(self.count);
        self.count += asked.len();
        let again = asked.iter().filter(|digest| self.seen.contains(*digest)).count();
        self.seen.extend(asked.iter().cloned());
        Done { talk, asked: asked.len(), again }
    }

    fn rows(&self, name: &str) -> String {
        fs::read_to_string(self.project.path(name)).expect("rows were written")
    }

    /// The newest run's journal holds, as an auditor who knows nothing of `pipe` sees it.
    fn audit(&self) -> Value {
        let runs = fs::read_dir(self.project.path(".pipe/runs")).expect("there are runs");
        let newest = runs.map(|run| run.expect("readable").path()).max().expect("there is one");
        let audit = python("python3", "tests/audit/audit.py").arg(newest).output().expect("the audit runs");
        assert!(audit.status.success(), "{}{}", text(&audit.stdout), text(&audit.stderr));
        serde_json::from_slice(&audit.stdout).expect("JSON")
    }
}

#[test]
fn another_question_asks_the_judge_alone() {
    let mut bench = Bench::new();
    let first = bench.run(&["--repeat", "20", "--out", "first.jsonl"]);
    assert_eq!((first.asked, first.again), (80, 0), "{}", first.talk);
    bench.project.edit(FILE, QUESTION.0, QUESTION.1);
    let second = bench.run(&["--repeat", "20", "--out", "second.jsonl"]);
    assert_eq!((second.asked, second.again), (40, 0), "no call of the debate is made again: {}", second.talk);
    assert!(second.talk.contains("reusing 20 of 40 tasks from monte_carlo-"), "{}", second.talk);
    assert!(second.talk.contains("reused     20 tasks of monte_carlo-"), "{}", second.talk);
    assert_eq!(bench.audit()["tasks_adopted"], 20);
    let fresh = bench.run(&["--repeat", "20", "--out", "fresh.jsonl", "--new"]);
    assert_eq!((fresh.asked, fresh.again), (80, 80));
    assert_eq!(bench.rows("second.jsonl"), bench.rows("fresh.jsonl"), "reuse changes nothing of the results");
}

#[test]
fn limits_and_comments_ask_nothing_and_more_repeats_only_those() {
    let mut bench = Bench::new();
    bench.run(&["--repeat", "20", "--out", "first.jsonl"]);
    bench.project.edit(FILE, "repeat: 200", "repeat: 200   # many\nlimits: { retries: { attempts: 3 } }");
    let tuned = bench.run(&["--repeat", "20", "--out", "tuned.jsonl"]);
    assert_eq!(tuned.asked, 0, "{}", tuned.talk);
    assert_eq!(bench.rows("first.jsonl"), bench.rows("tuned.jsonl"));
    let more = bench.run(&["--repeat", "30", "--out", "more.jsonl"]);
    assert_eq!((more.asked, more.again), (40, 0), "{}", more.talk);
    bench.run(&["--repeat", "30", "--out", "fresh.jsonl", "--new"]);
    assert_eq!(bench.rows("more.jsonl"), bench.rows("fresh.jsonl"));
}

#[test]
fn a_part_of_the_items_is_reused_by_the_whole() {
    let mut bench = Bench::new();
    let row = |number| format!("{{\"id\": {number}, \"who\": \"w{number}\", \"note\": \"a\"}}\n");
    let rows = (0..6).map(row).collect::<Vec<_>>().concat();
    bench.project.write("rows.jsonl", &rows);
    bench.project.write(
        FILE,
        "version: 1\nname: greet\nactors:\n  anna: { system: You are Anna. }\nitems: { path: ../rows.jsonl, id: id }\n\
         steps:\n  greet: { chat: { actor: anna, prompt: \"Greet {{ item.who }}.\" } }\n",
    );
    assert_eq!(bench.run(&["--limit", "4", "--out", "a.jsonl"]).asked, 4);
    assert_eq!(bench.run(&["--out", "b.jsonl"]).asked, 2, "the hundred are reused by all");
    bench.project.write("rows.jsonl", &rows.replace("\"note\": \"a\"", "\"note\": \"b\"").replace("w3", "w9"));
    let edited = bench.run(&["--out", "c.jsonl"]);
    assert_eq!(edited.asked, 1, "a field that no template reads asks nothing: {}", edited.talk);
    assert!(bench.rows("c.jsonl").contains("\"note\":\"b\""), "the row itself is the new one");
}

#[test]
fn what_failed_is_asked_again() {
    let mut bench = Bench::new();
    let url = bench.server.url.clone();
    let fault = format!("{url}/fault/status-400");
    let failed = bench.project.run(&["run", FILE, "--backend", &fault, "--repeat", "2", "--out", "a.jsonl"]);
    assert_eq!(failed.status.code(), Some(1), "{}", text(&failed.stderr));
    bench.count = bench.server.asked().len();
    let again = bench.run(&["--repeat", "2", "--out", "b.jsonl"]);
    assert_eq!(again.asked, 8, "{}", again.talk);
}

#[test]
fn a_plan_names_what_was_edited_and_what_is_below_it() {
    let mut bench = Bench::new();
    bench.run(&["--repeat", "20"]);
    let plan = |bench: &mut Bench, repeat: &str| -> Value {
        let out = bench.project.run(&["plan", FILE, "--repeat", repeat, "--json"]);
        assert_eq!(bench.done(&out).asked, 0, "a plan asks nothing");
        serde_json::from_slice(&out.stdout).expect("JSON")
    };
    let same = plan(&mut bench, "30");
    assert_eq!((&same["cases"], &same["known"]), (&30.into(), &20.into()));
    assert_eq!((&same["steps"][0]["change"], &same["steps"][0]["reused"]), (&"reused".into(), &20.into()));
    assert_eq!(same["steps"][1]["calls"]["most"], 20);
    assert_eq!(same["tokens"]["most_out"], 10 * (2 + 2) * 60, "two turns and two votes of at most 60 tokens");
    let about = same["tokens"]["about"]["output"].as_u64().expect("the server told its tokens");
    assert!((1..=2_400).contains(&about), "{about}");

    bench.project.edit(FILE, QUESTION.0, QUESTION.1);
    let said = text(&bench.project.run(&["plan", FILE, "--repeat", "20"]).stdout);
    assert!(said.contains("debate   dialogue  20 reused\n"), "{said}");
    assert!(said.contains("verdict  judge     20 changed (question): 40 calls (2 orders each)\n"), "{said}");

    bench.project.edit(FILE, QUESTION.1, QUESTION.0);
    bench.project.edit(FILE, "Is that a good idea?", "Is it?");
    let below = plan(&mut bench, "20");
    assert_eq!(below["steps"][0]["fields"], serde_json::json!(["opening"]));
    assert_eq!(
        (&below["steps"][1]["change"], &below["steps"][1]["depends_on"][0]),
        (&"depends".into(), &"debate".into())
    );
    let first = below["against"].as_str().expect("a run").to_owned();
    bench.run(&["--repeat", "20"]);
    assert_eq!(plan(&mut bench, "20")["known"], 20);
    let against = bench.project.stdout(&["plan", FILE, "--repeat", "20", "--against", &first]);
    assert!(against.contains("changed (opening)") && against.contains("depends on debate"), "{against}");
    assert!(bench.run(&["--repeat", "20", "--reuse", &first]).asked > 0);
}

#[test]
fn prompts_are_shown_as_far_as_they_exist_and_secrets_never() {
    let project = Project::with_pipelines();
    let shown = project.stdout(&["plan", FILE, "--prompts"]);
    assert!(shown.contains("Every child should learn to cook. Is that a good idea?"), "{shown}");
    assert!(shown.contains("reads what debate has not answered yet"), "{shown}");
    project.stdout(&["run", FILE, "--backend", "sim", "--repeat", "2", "--quiet"]);
    let shown = project.stdout(&["plan", FILE, "--prompts", "--repeat", "2"]);
    assert!(shown.contains("Who argued better?") && shown.contains("Answer with one JSON object"), "{shown}");

    project.edit(FILE, "repeat: 200", "backends: { here: { base_url: sim, api_key: \"${KEY}\" } }\nrepeat: 2");
    let pipe = |arguments: &[&str]| {
        let out = project.pipe(arguments).env("KEY", "sk-secret-1").output().expect("pipe starts");
        assert!(out.status.success(), "{}", text(&out.stderr));
        text(&out.stdout)
    };
    let resolved = pipe(&["plan", FILE, "--resolved"]);
    assert!(resolved.contains("api_key: set") && resolved.contains("first_token: 300s"), "{resolved}");
    assert!(!resolved.contains("sk-secret-1"), "{resolved}");
    pipe(&["run", FILE, "--new", "--quiet"]);
    let locks = fs::read_dir(project.path(".pipe/runs")).expect("there are runs");
    for run in locks {
        let lock =
            fs::read_to_string(run.expect("readable").path().join("pipeline.lock.yaml")).expect("every run has it");
        assert!(lock.contains("server: sim") && !lock.contains("sk-secret-1"), "{lock}");
    }
}

/// A run of forty cases, killed when some are settled.
fn interrupted() -> Project {
    interrupted_run_of(Project::with_pipelines())
}

/// The same of a project that is prepared.
pub(crate) fn interrupted_run_of(project: Project) -> Project {
    let run = ["run", FILE, "--backend", "sim:10", "--concurrency", "4", "--repeat", "40", "--out", "rows.jsonl"];
    let mut child = project.pipe(&run).stderr(std::process::Stdio::null()).spawn().expect("pipe starts");
    while project.settled() < 4 {
        assert!(child.try_wait().expect("known").is_none(), "the run is long enough to be hit");
        std::thread::yield_now();
    }
    child.kill().expect("killed");
    child.wait().expect("waited for");
    project
}

pub(crate) fn fresh(project: &Project) -> String {
    project.stdout(&["run", FILE, "--backend", "sim", "--repeat", "40", "--out", "fresh.jsonl", "--new", "--quiet"]);
    fs::read_to_string(project.path("fresh.jsonl")).expect("rows were written")
}

/// Resumes and returns what was said; how many runs there are then; whether the rows are those of a fresh run.
pub(crate) fn resume(project: &Project) -> (String, usize, bool) {
    let out = project.run(&["resume"]);
    let talk = text(&out.stderr);
    assert!(out.status.success(), "{talk}");
    let runs = fs::read_dir(project.path(".pipe/runs")).expect("there are runs").count();
    let rows = fs::read_to_string(project.path("rows.jsonl")).expect("rows were written");
    (talk, runs, rows == fresh(project))
}

#[test]
fn an_untouched_file_and_one_that_is_gone_go_on() {
    let project = interrupted();
    let (talk, runs, same) = resume(&project);
    assert!(talk.contains("resuming") && !talk.contains("edited"), "{talk}");
    assert!(runs == 1 && same);

    let project = interrupted();
    let kept = fs::read(project.path(FILE)).expect("it is there");
    fs::remove_file(project.path(FILE)).expect("removed");
    let out = project.run(&["resume"]);
    let talk = text(&out.stderr);
    assert!(out.status.success() && talk.contains("is gone; the run goes on with its own copy"), "{talk}");
    fs::write(project.path(FILE), kept).expect("written");
    let rows = fs::read_to_string(project.path("rows.jsonl")).expect("rows were written");
    assert_eq!(rows, fresh(&project));
}

#[test]
fn an_edit_outside_of_what_is_asked_goes_on_with_it() {
    let project = interrupted();
    project.edit(FILE, "repeat: 200", "repeat: 200   # many\nlimits: { retries: { attempts: 3 } }");
    let (talk, runs, same) = resume(&project);
    assert!(talk.contains("was edited: limits differs; the run goes on with that"), "{talk}");
    assert!(runs == 1 && same);
    let folder = fs::read_dir(project.path(".pipe/runs")).expect("there are runs").count();
    assert_eq!(folder, 2, "the one resumed, and the fresh one that it is compared with");
}

#[test]
fn an_edit_of_what_is_asked_is_a_new_run_that_takes_over() {
    let project = interrupted();
    project.edit(FILE, QUESTION.0, QUESTION.1);
    let (talk, runs, same) = resume(&project);
    assert!(talk.contains("asks something else: a new run takes over from monte_carlo-"), "{talk}");
    assert!(talk.contains("reusing ") && talk.contains("  reused "), "{talk}");
    assert!(runs == 2 && same);
}

#[test]
fn an_edit_of_a_file_that_a_prompt_is_in_counts_too() {
    let project = Project::with_pipelines();
    project.write("pipelines/judge.md", "You judge.");
    project.edit(FILE, "You judge debates by the quality of the arguments alone.", "file://judge.md");
    let run = ["run", FILE, "--backend", "sim", "--repeat", "5", "--quiet", "--out", "rows.jsonl", "--force"];
    project.stdout(&run);
    project.write("pipelines/judge.md", "You judge well.");
    let said = project.stdout(&["plan", FILE, "--repeat", "5"]);
    assert!(said.contains("5 reused\n") && said.contains("changed (actors.referee.system)"), "{said}");
    project.stdout(&run);
    let reused = fs::read(project.path("rows.jsonl")).expect("rows");
    project.stdout(&[&run[..], &["--new"]].concat());
    assert_eq!(reused, fs::read(project.path("rows.jsonl")).expect("rows"));
}

#[test]
fn a_mistake_in_the_edited_file_leaves_the_run_as_it_is() {
    let project = interrupted();
    let before = project.settled();
    project.edit(FILE, "rounds: 1", "round: 1");
    let out = project.run(&["resume"]);
    let talk = text(&out.stderr);
    assert_eq!(out.status.code(), Some(3), "{talk}");
    assert!(talk.contains("round") && talk.contains("the run waits"), "{talk}");
    assert_eq!(project.settled(), before);
    project.edit(FILE, "round: 1", "rounds: 1");
    let (_, runs, same) = resume(&project);
    assert!(runs == 1 && same);
}

#[test]
fn a_run_that_reuses_survives_a_kill() {
    let project = interrupted();
    project.stdout(&["resume", "--quiet"]);
    project.edit(FILE, QUESTION.0, QUESTION.1);
    let run = [
        "run",
        FILE,
        "--backend",
        "sim:10",
        "--concurrency",
        "4",
        "--repeat",
        "40",
        "--out",
        "rows.jsonl",
        "--force",
    ];
    let mut child = project.pipe(&run).stderr(std::process::Stdio::null()).spawn().expect("pipe starts");
    let settled = || {
        let runs = fs::read_dir(project.path(".pipe/runs")).expect("there are runs");
        let newest = runs.map(|run| run.expect("readable").path()).max().expect("there is one");
        let reader = pipe::journal::Reader::open(&newest.join("journal.db"));
        reader.ok().and_then(|reader| reader.case_counts().ok()).map_or(0, |counts| counts.settled())
    };
    while !(4..40).contains(&settled()) {
        assert!(child.try_wait().expect("known").is_none(), "the run is long enough to be hit");
        std::thread::yield_now();
    }
    child.kill().expect("killed");
    child.wait().expect("waited for");
    let (talk, runs, same) = resume(&project);
    assert!(talk.contains("40 tasks of monte_carlo-"), "every debate is reused, before the kill and after: {talk}");
    assert!(runs == 2 && same);
}
