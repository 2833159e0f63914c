//! The host of a repository is told how its commits stand; whatever it does then, the runs are those of the branch.

use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::follower::{Follower, SECRET, signal};
use crate::git_server::Host;
use crate::project::{CHAT, Project, text};
use crate::web::{Request, hang, serve};

const TOKEN: &str = "t0ken-of-statuses";
const OTHER_TOKEN: &str = "t0ken-of-git";

/// What a host does with a status.
#[derive(Clone, Debug)]
enum Mood {
    /// Takes it.
    Takes,
    /// Answers so: status line with more headers, body.
    Says(String, &'static str),
    /// Says nothing for as long as it is listened to.
    Hangs,
}

/// One status as it came.
#[derive(Clone, Debug)]
struct Told {
    request: Request,
    body: Value,
}

impl Told {
    fn header(&self, name: &str) -> Option<&str> {
        self.request.header(name)
    }

    fn state(&self) -> &str {
        self.body["state"].as_str().expect("a state")
    }

    /// The commit that it is of, and how that stands.
    fn says(&self) -> (String, String) {
        let commit = self.request.target.rsplit('/').next().expect("a commit").to_owned();
        (commit, self.state().to_owned())
    }
}

/// The API of a host, which keeps what it was told.
struct Api {
    address: String,
    mood: Arc<Mutex<Mood>>,
    told: Arc<Mutex<Vec<Told>>>,
}

impl Api {
    fn start() -> Self {
        let (mood, told) = (Arc::new(Mutex::new(Mood::Takes)), Arc::new(Mutex::new(Vec::new())));
        let (moods, tells) = (Arc::clone(&mood), Arc::clone(&told));
        let address = serve(move |reader, stream| answer(reader, stream, &moods, &tells));
        Self { address, mood, told }
    }

    fn mood(&self, mood: Mood) {
        *self.mood.lock().expect("whole") = mood;
    }

    fn told(&self) -> Vec<Told> {
        self.told.lock().expect("whole").clone()
    }

    /// What was said of commits, in order.
    fn says(&self) -> Vec<(String, String)> {
        self.told().iter().map(Told::says).collect()
    }
}

fn answer(mut reader: BufReader<TcpStream>, mut stream: TcpStream, mood: &Mutex<Mood>, told: &Mutex<Vec<Told>>) {
    let Some(request) = Request::read(&mut reader) else { return };
    let body = serde_json::from_slice(&request.body).unwrap_or_default();
    told.lock().expect("whole").push(Told { request, body });
    let mood = mood.lock().expect("whole").clone();
    let (head, body) = match mood {
        Mood::Takes => ("201 Created".to_owned(), "{}"),
        Mood::Says(head, body) => (head, body),
        Mood::Hangs => return hang(reader),
    };
    let length = body.len();
    let whole = format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    // A client that has left is no failure of the host.
    stream.write_all(whole.as_bytes()).ok();
}

/// A host with a project of one pipeline, and its API.
fn hosts() -> (Project, Host, Api) {
    let host = Host::start();
    host.write("pipelines/hello.yaml", CHAT);
    host.write("pipe.yaml", "version: 1\npipelines:\n  hello: { file: pipelines/hello.yaml, backend: sim }\n");
    (Project::new(), host, Api::start())
}

fn command(project: &Project, host: &Host, api: &Api, more: &[&str]) -> Command {
    let (url, api) = (host.url_in("team"), format!("{}/api/v3", api.address));
    let fixed = ["gitops", "--repo", &url, "--allow-protocol", "http", "--json", "--statuses-api", &api];
    let kind = if more.contains(&"--statuses") { &[][..] } else { &["--statuses", "github"] };
    let mut command = project.pipe(&[&fixed[..], kind, more].concat());
    command.env("PIPE_GIT_TOKEN", OTHER_TOKEN).env("PIPE_GIT_STATUS_TOKEN", TOKEN);
    command.env("PIPE_GIT_WEBHOOK_SECRET", SECRET);
    command
}

fn follow(project: &Project, host: &Host, api: &Api) -> Follower {
    Follower::of(command(project, host, api, &[]))
}

/// Waits until the host was told so of a commit.
fn told(follower: &mut Follower, commit: &str, state: &str) {
    loop {
        let event = follower.next("told");
        if (event["commit"].as_str(), event["state"].as_str()) == (Some(commit), Some(state)) {
            return;
        }
    }
}

/// Waits until a commit is applied and the host could not be told something, in any order; returns the latter.
fn applied_and_untold(follower: &mut Follower, commit: &str) -> Value {
    let (mut is_applied, mut untold) = (false, None);
    loop {
        let event = follower.event();
        match event["event"].as_str() {
            Some("applied") => is_applied = event["commit"] == commit && event["exit"] == 0,
            Some("untold") if untold.is_none() => untold = Some(event),
            _ => {}
        }
        if let Some(untold) = untold.take_if(|_| is_applied) {
            return untold;
        }
    }
}

fn once(project: &Project, host: &Host, api: &Api, more: &[&str]) -> Output {
    command(project, host, api, &[&["--once"], more].concat()).output().expect("pipe starts")
}

fn pair(commit: &str, state: &str) -> (String, String) {
    (commit.to_owned(), state.to_owned())
}

/// Every file of a home that has one of these words in it.
fn files_with(project: &Project, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![project.path(".pipe")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("readable").flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if let Ok(bytes) = std::fs::read(&path)
                && words.iter().any(|word| String::from_utf8_lossy(&bytes).contains(word))
            {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

#[test]
fn a_push_an_edit_a_mistake_and_its_revert_are_told() {
    let (project, host, api) = hosts();
    let first = host.push();
    let mut follower = follow(&project, &host, &api);
    told(&mut follower, &first, "success");
    host.write("pipelines/hello.yaml", &CHAT.replace("Say it again", "Once more"));
    let second = host.push();
    follower.wake();
    told(&mut follower, &second, "success");
    host.write("pipelines/hello.yaml", &CHAT.replace("steps.greet.text", "steps.gret.text"));
    let bad = host.push();
    follower.wake();
    assert_eq!(follower.next("refused")["doing"], "plan");
    told(&mut follower, &bad, "failure");
    host.git(&["revert", "--no-edit", "HEAD"]);
    let reverted = host.push_head();
    follower.wake();
    told(&mut follower, &reverted, "success");

    let expected: Vec<_> = [(&first, "success"), (&second, "success"), (&bad, "failure"), (&reverted, "success")]
        .iter()
        .flat_map(|(commit, end)| [pair(commit, "pending"), pair(commit, end)])
        .collect();
    assert_eq!(api.says(), expected);
    let all = api.told();
    for told in &all {
        assert_eq!(told.request.method, "POST");
        assert!(told.request.target.starts_with("/api/v3/repos/team/project/statuses/"), "{}", told.request.target);
        assert_eq!(told.header("authorization"), Some(&*format!("Bearer {TOKEN}")));
        assert_eq!(told.header("content-type"), Some("application/json"));
        assert!(told.header("user-agent").is_some_and(|agent| agent.starts_with("pipe/")));
        assert!(told.header("x-github-api-version").is_some());
        assert_eq!(told.body["context"], "pipe/gitops");
        assert_eq!(told.body.as_object().map(serde_json::Map::len), Some(3), "{}", told.body);
    }
    let descriptions: Vec<&str> = all.iter().filter_map(|told| told.body["description"].as_str()).collect();
    assert_eq!(descriptions[1], "1 pipeline in sync, 1 ran");
    assert_eq!(descriptions[5], "refused: pipelines/hello.yaml:9 is wrong");
    assert_eq!(descriptions[7], "1 pipeline in sync");
    let status = follower.status();
    assert_eq!(status["statuses"]["commits"].as_array().map(Vec::len), Some(4));
    assert_eq!(status["statuses"]["error"], Value::Null);
    assert_eq!(follower.leave(), Some(143));
    assert_eq!(files_with(&project, &[TOKEN, OTHER_TOKEN, SECRET]), Vec::<String>::new());
    let status = project.stdout(&["gitops", "--status"]);
    assert!(status.contains("pipe/gitops of team/project") && status.contains("success: 1 pipeline"), "{status}");
}

#[test]
fn a_host_that_is_away_delays_nothing_and_is_told_later_and_once() {
    let (project, host, api) = hosts();
    api.mood(Mood::Says("503 Service Unavailable\r\nretry-after: 1".to_owned(), ""));
    let first = host.push();
    let mut follower = follow(&project, &host, &api);
    let untold = applied_and_untold(&mut follower, &first);
    assert!(untold["why"].as_str().is_some_and(|why| why.contains("503")), "{untold}");
    assert!(
        untold["again_us"].as_i64().is_some_and(|again| again - untold["at_us"].as_i64().unwrap_or(0) <= 1_000_000)
    );
    assert_eq!(follower.status()["state"], "in_sync");
    assert!(api.says().iter().all(|(commit, _)| *commit == first));
    assert!(follower.status()["statuses"]["error"].as_str().is_some_and(|why| why.contains("503")));
    api.mood(Mood::Takes);
    told(&mut follower, &first, "success");
    assert_eq!(api.says().last(), Some(&pair(&first, "success")));
    let taken = api.says().len();
    // Killed and started again, it says nothing twice.
    signal(follower.child.id(), "KILL");
    follower.child.wait().expect("it ends");
    let mut next = follow(&project, &host, &api);
    next.next("in_sync");
    assert_eq!(next.leave(), Some(143));
    assert_eq!(api.says().len(), taken);
}

#[test]
fn what_was_not_told_before_a_kill_is_told_once_after_it() {
    let (project, host, api) = hosts();
    api.mood(Mood::Says("502 Bad Gateway\r\nretry-after: 3600".to_owned(), "<html>"));
    let first = host.push();
    let mut follower = follow(&project, &host, &api);
    applied_and_untold(&mut follower, &first);
    let tried = api.says().len();
    assert_eq!(tried, 1, "it asked not to be asked");
    signal(follower.child.id(), "KILL");
    follower.child.wait().expect("it ends");
    api.mood(Mood::Takes);
    let mut next = follow(&project, &host, &api);
    told(&mut next, &first, "success");
    assert_eq!(next.leave(), Some(143));
    let after: Vec<_> = api.says().split_off(tried);
    assert_eq!(after.iter().filter(|(_, state)| state == "success").count(), 1, "{after:?}");
}

#[test]
fn a_token_that_may_not_is_told_what_it_lacks() {
    let (project, host, api) = hosts();
    let said = r#"{"message": "Resource not accessible by personal access token t0ken-of-statuses"}"#;
    api.mood(Mood::Says("403 Forbidden".to_owned(), said));
    let first = host.push();
    let mut follower = follow(&project, &host, &api);
    let untold = applied_and_untold(&mut follower, &first);
    let why = untold["why"].as_str().expect("a reason");
    assert!(why.contains("403 (Resource not accessible") && why.contains("`repo:status`"), "{why}");
    assert!(!untold.to_string().contains(TOKEN), "{untold}");
    assert_eq!(follower.leave(), Some(143));
    let status = project.stdout(&["gitops", "--status"]);
    assert!(status.contains("not told") && status.contains("`repo:status`"), "{status}");
    assert_eq!(files_with(&project, &[TOKEN]), Vec::<String>::new());
    // Another process, another token: it is told then.
    api.mood(Mood::Says("401 Unauthorized".to_owned(), "{}"));
    let output = once(&project, &host, &api, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("does not know the token"), "{}", text(&output.stdout));
    api.mood(Mood::Takes);
    let output = once(&project, &host, &api, &[]);
    assert!(text(&output.stdout).contains("\"event\":\"told\""), "{}", text(&output.stdout));
    assert_eq!(api.says().last(), Some(&pair(&first, "success")));
}

#[test]
fn a_host_that_hangs_holds_nobody_up() {
    let (project, host, api) = hosts();
    api.mood(Mood::Hangs);
    let first = host.push();
    let mut follower = follow(&project, &host, &api);
    follower.applied(&first);
    assert_eq!(follower.status()["state"], "in_sync");
    host.write("more.md", "x");
    let second = host.push();
    follower.wake();
    follower.applied(&second);
    assert_eq!(follower.leave(), Some(143));
    assert_eq!(api.says().first(), Some(&pair(&first, "pending")), "it was asked");
}

#[test]
fn a_redirect_is_not_followed_and_nobody_else_is_shown_the_token() {
    let (project, host, api) = hosts();
    let elsewhere = Api::start();
    api.mood(Mood::Says(format!("307 Temporary Redirect\r\nlocation: {}/x", elsewhere.address), ""));
    let first = host.push();
    let mut follower = follow(&project, &host, &api);
    let untold = applied_and_untold(&mut follower, &first);
    assert!(untold["why"].as_str().is_some_and(|why| why.contains("--statuses-api")), "{untold}");
    assert_eq!(follower.leave(), Some(143));
    assert!(elsewhere.told().is_empty());
    assert!(host.requests().iter().all(|request| !request.contains("statuses")));
}

#[test]
fn each_host_is_spoken_to_in_its_own_way() {
    for (kind, path, header, value, words) in [
        (
            "gitea",
            "/api/v3/repos/team/project/statuses/",
            "authorization",
            format!("token {TOKEN}"),
            "pending success",
        ),
        (
            "gitlab",
            "/api/v3/projects/team%2Fproject/statuses/",
            "private-token",
            TOKEN.to_owned(),
            "pending running success",
        ),
    ] {
        let (project, host, api) = hosts();
        host.push();
        let url = "https://runs.example.org/?a=b";
        let more = ["--statuses", kind, "--statuses-url", url, "--statuses-context", "pipe nightly"];
        let output = once(&project, &host, &api, &more);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let all = api.told();
        // The first may be replaced before it is on its way; the last is what counts.
        assert!(all.iter().all(|told| words.contains(told.state())), "{all:?}");
        assert_eq!(all.last().map(Told::state), Some("success"));
        for told in &all {
            assert!(told.request.target.starts_with(path), "{}", told.request.target);
            assert_eq!(told.header(header), Some(&*value));
            assert_eq!((&told.body["target_url"], &told.body["context"]), (&url.into(), &"pipe nightly".into()));
            assert_eq!(told.body["ref"].as_str(), (kind == "gitlab").then_some("main"));
        }
        assert_eq!(all.iter().filter(|told| told.header("authorization").is_some()).count() > 0, kind == "gitea");
    }
}

#[test]
fn a_failed_gate_is_a_failure_and_words_that_are_wrong_are_refused() {
    let (project, host, api) = hosts();
    let failing = format!("{CHAT}  hold: {{ assert: {{ value: '{{{{ item.who }}}}', equals: tea }} }}\n");
    host.write("pipelines/hello.yaml", &failing);
    let first = host.push();
    let output = once(&project, &host, &api, &[]);
    assert_eq!(output.status.code(), Some(1), "{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(api.says().last(), Some(&pair(&first, "failure")));
    assert_eq!(api.told().last().expect("told").body["description"], "1 of 1 pipeline failed: hello");

    for (more, token, word) in [
        (&["--repo=https://github.com/a"][..], "t", "owner/name"),
        (&["--repo=https://github.com/a/b"], "", "PIPE_GIT_STATUS_TOKEN"),
        (&["--repo=https://h.org/a/b", "--statuses-api=http://h.org"], "t", "--allow-protocol http"),
        (&["--repo=https://h.org/a/b", "--statuses-api=h"], "t", "is no address"),
    ] {
        let mut command = project.pipe(&[&["gitops", "--once", "--statuses=github"][..], more].concat());
        let output = command.env("PIPE_GIT_STATUS_TOKEN", token).output().expect("pipe starts");
        let told = text(&output.stderr);
        assert!(output.status.code() == Some(2) && told.contains(word), "{more:?}: {told}");
    }
}
