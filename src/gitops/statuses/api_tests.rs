use proptest::prelude::*;
use serde_json::Value;

use super::super::super::commit::Commit;
use super::*;

const HTTP: &[Protocol] = &[Protocol::Http];

fn words(kind: HostKind, api: Option<&str>) -> StatusWords<'_> {
    StatusWords { kind, api, target: None, context: None, branch: "main", folder: "", allowed: HTTP }
}

fn of(url: &str, words: StatusWords<'_>) -> Result<StatusApi, StatusApiError> {
    let remote = Remote::parse(url, &[Protocol::Http, Protocol::File]).unwrap();
    StatusApi::of(&remote, words, Some("s3cret"))
}

fn status(state: CommitState, description: &str) -> CommitStatus {
    CommitStatus { commit: Commit::of(&"a".repeat(40)), state, description: description.to_owned() }
}

fn uri(url: &str, kind: HostKind, api: Option<&str>) -> String {
    match of(url, words(kind, api)) {
        Ok(api) => api.request(&status(CommitState::Success, "x")).uri.to_string().replace(&"a".repeat(40), "SHA"),
        Err(error) => error.to_string(),
    }
}

fn body(request: &StatusRequest) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

#[test]
fn the_api_is_found_from_the_repository() {
    use HostKind::{Gitea, Github, Gitlab};
    for (url, kind, expected) in [
        ("https://github.com/team/a.b-c.git", Github, "https://api.github.com/repos/team/a.b-c/statuses/SHA"),
        ("git@github.com:team/a.git", Github, "https://api.github.com/repos/team/a/statuses/SHA"),
        ("ssh://git@ssh.github.com:443/team/a.git", Github, "https://api.github.com/repos/team/a/statuses/SHA"),
        ("https://acme.ghe.com/team/a", Github, "https://api.acme.ghe.com/repos/team/a/statuses/SHA"),
        ("https://git.acme.org:8443/team/a", Github, "https://git.acme.org:8443/api/v3/repos/team/a/statuses/SHA"),
        ("https://Codeberg.org/team/a.git/", Gitea, "https://codeberg.org/api/v1/repos/team/a/statuses/SHA"),
        ("https://h.org/git/tea/team/a", Gitea, "https://h.org/git/tea/api/v1/repos/team/a/statuses/SHA"),
        ("ssh://git@h.org:2222/team/a.git", Gitea, "https://h.org/api/v1/repos/team/a/statuses/SHA"),
        ("http://127.0.0.1:3000/team/a", Gitea, "http://127.0.0.1:3000/api/v1/repos/team/a/statuses/SHA"),
        ("https://[::1]:3000/team/a", Gitea, "https://[::1]:3000/api/v1/repos/team/a/statuses/SHA"),
        ("ssh://git@[::1]:22/team/a", Gitea, "https://[::1]/api/v1/repos/team/a/statuses/SHA"),
        ("https://gitlab.com/a/b/c/d.git", Gitlab, "https://gitlab.com/api/v4/projects/a%2Fb%2Fc%2Fd/statuses/SHA"),
        ("git@gitlab.com:/a/b.git", Gitlab, "https://gitlab.com/api/v4/projects/a%2Fb/statuses/SHA"),
        ("ssh://git@altssh.gitlab.com:443/a/b.git", Gitlab, "https://gitlab.com/api/v4/projects/a%2Fb/statuses/SHA"),
    ] {
        assert_eq!(uri(url, kind, None), expected, "{url}");
    }
}

#[test]
fn an_api_that_is_given_is_taken_as_it_is() {
    use HostKind::{Gitea, Github, Gitlab};
    for (url, kind, api, expected) in [
        ("git@h.org:team/a.git", Github, "https://x.org/api/v3/", "https://x.org/api/v3/repos/team/a/statuses/SHA"),
        (
            "https://h.org/tea/team/a",
            Gitea,
            "https://h.org/tea/api/v1",
            "https://h.org/tea/api/v1/repos/team/a/statuses/SHA",
        ),
        (
            "https://h.org/lab/a/b/c",
            Gitlab,
            "https://h.org/lab/api/v4",
            "https://h.org/lab/api/v4/projects/a%2Fb%2Fc/statuses/SHA",
        ),
        (
            "https://h.org/lab2/a/b",
            Gitlab,
            "https://h.org/lab/api/v4",
            "https://h.org/lab/api/v4/projects/lab2%2Fa%2Fb/statuses/SHA",
        ),
        ("git@h.org:team/a.git", Github, "http://127.0.0.1:9", "http://127.0.0.1:9/repos/team/a/statuses/SHA"),
    ] {
        assert_eq!(uri(url, kind, Some(api)), expected, "{url} {api}");
    }
}

#[test]
fn what_cannot_be_told_is_refused_before_anything_is_done() {
    let told = |url: &str, kind, api: Option<&str>| uri(url, kind, api);
    for (url, kind, api, expected) in [
        ("file:///srv/a.git", HostKind::Gitea, None, "no host that could be told"),
        ("https://github.com/a", HostKind::Github, None, "\"a\" is no owner/name of a GitHub"),
        ("https://github.com/a/b/c", HostKind::Github, None, "is no owner/name"),
        ("https://gitlab.com/a", HostKind::Gitlab, None, "is no group/project of a GitLab"),
        ("https://h.org/a/../b", HostKind::Gitlab, None, "is no group/project"),
        ("https://h.org/a%2Fb/c", HostKind::Gitea, None, "is no owner/name"),
        ("https://h.org/a/b", HostKind::Gitea, Some("h.org/api/v1"), "--statuses-api \"h.org/api/v1\" is no address"),
        (
            "https://h.org/a/b",
            HostKind::Gitea,
            Some("https://me:hunter2@h.org"),
            "such as https://git.example.org/api/v1",
        ),
        ("https://h.org/a/b", HostKind::Gitea, Some("https://h.org/api?x=1"), "is no address"),
        ("https://h.org/a/b", HostKind::Gitea, Some("ftp://h.org"), "is no address"),
    ] {
        let told = told(url, kind, api);
        assert!(told.contains(expected) && !told.contains("hunter2"), "{url}: {told}");
    }
    let remote = Remote::parse("https://h.org/a/b", &[]).unwrap();
    let closed = StatusWords { allowed: &[], ..words(HostKind::Gitea, Some("http://h.org/api/v1")) };
    let told = StatusApi::of(&remote, closed, Some("t")).err().unwrap().to_string();
    assert!(told.contains("--allow-protocol http"), "{told}");
    let closed = words(HostKind::Gitea, None);
    assert_eq!(StatusApi::of(&remote, closed, None).err(), Some(StatusApiError::NoToken));
    assert_eq!(StatusApi::of(&remote, closed, Some("a b")).err(), Some(StatusApiError::OddToken));
    assert_eq!(StatusApi::of(&remote, closed, Some("a\nb")).err(), Some(StatusApiError::OddToken));
    let odd = StatusWords { target: Some("javascript:alert(1)"), ..closed };
    assert!(matches!(StatusApi::of(&remote, odd, Some("t")).err(), Some(StatusApiError::Address { .. })));
}

#[test]
fn each_host_is_asked_as_it_wants_to_be() {
    for (kind, state, word) in [
        (HostKind::Github, CommitState::Running, "pending"),
        (HostKind::Github, CommitState::Failure, "failure"),
        (HostKind::Github, CommitState::Superseded, "error"),
        (HostKind::Gitea, CommitState::Pending, "pending"),
        (HostKind::Gitea, CommitState::Error, "error"),
        (HostKind::Gitlab, CommitState::Running, "running"),
        (HostKind::Gitlab, CommitState::Failure, "failed"),
        (HostKind::Gitlab, CommitState::Superseded, "canceled"),
    ] {
        let words = StatusWords { target: Some("https://h.org/runs?a=b"), folder: "x/y", ..words(kind, None) };
        let api = of("https://h.org/team/a", words).unwrap();
        let request = api.request(&status(state, "one\u{1b}[31m\ntwo"));
        let body = body(&request);
        assert_eq!(body["state"], word);
        assert_eq!(body["context"], "pipe/gitops main:x/y");
        assert_eq!(body["description"], "one [31m two");
        assert_eq!(body["target_url"], "https://h.org/runs?a=b");
        assert_eq!(body["ref"], if kind == HostKind::Gitlab { Value::from("main") } else { Value::Null });
        let (name, value) = match kind {
            HostKind::Github => ("authorization", "Bearer s3cret"),
            HostKind::Gitea => ("authorization", "token s3cret"),
            HostKind::Gitlab => ("private-token", "s3cret"),
        };
        assert_eq!(request.headers[name], value);
        assert!(request.headers[name].is_sensitive() && !format!("{request:?}").contains("s3cret"));
        assert_eq!(request.headers.contains_key("x-github-api-version"), kind == HostKind::Github);
    }
}

#[test]
fn two_reconcilers_of_one_repository_have_names_of_their_own() {
    let context = |branch: &str, folder: &str| {
        let words = StatusWords { branch, folder, ..words(HostKind::Gitlab, None) };
        of("https://h.org/team/a", words).unwrap().context().to_owned()
    };
    assert_eq!(context("main", ""), "pipe/gitops");
    assert_eq!(context("main", "nightly"), "pipe/gitops main:nightly");
    let named = StatusWords { context: Some("pipe staging"), ..words(HostKind::Github, None) };
    assert_eq!(of("https://h.org/team/a", named).unwrap().context(), "pipe staging");
    let long = "x".repeat(300);
    let (one, other) = (context("main", &format!("{long}1")), context("main", &format!("{long}2")));
    assert_ne!(one, other);
    assert_eq!(one.chars().count(), StatusApi::LONGEST_CONTEXT);
}

fn name() -> impl Strategy<Value = String> {
    // No `.git` at its end, which is no part of a name.
    "[A-Za-z0-9_]([A-Za-z0-9_.+-]{0,12}[0-9])?"
}

proptest! {
    #[test]
    fn a_request_names_one_repository_of_one_host(
        host in "[a-z][a-z0-9]{0,8}\\.org",
        port in proptest::option::of(1_u16..),
        names in proptest::collection::vec(name(), 2..5),
        over_ssh: bool,
        description in ".{0,300}",
    ) {
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let scheme = if over_ssh { "ssh://git@" } else { "https://" };
        for kind in [HostKind::Github, HostKind::Gitea, HostKind::Gitlab] {
            let names = if kind == HostKind::Gitlab { &names[..] } else { &names[..2] };
            let path = names.join("/");
            let api = of(&format!("{scheme}{host}{port}/{path}.git"), words(kind, None)).unwrap();
            let request = api.request(&status(CommitState::Failure, &description));
            let authority = if over_ssh { host.clone() } else { format!("{host}{port}") };
            prop_assert_eq!(request.uri.authority().unwrap().as_str(), &authority);
            prop_assert_eq!(request.uri.scheme_str(), Some("https"));
            prop_assert_eq!(request.uri.query(), None);
            let segments: Vec<String> = request.uri.path().split('/').map(|part| part.replace("%2F", "/")).collect();
            let (before, after) = (&segments[..segments.len() - 2], &segments[segments.len() - 2..]);
            prop_assert_eq!(after, ["statuses".to_owned(), "a".repeat(40)]);
            prop_assert!(before.join("/").ends_with(&path), "{before:?}");
            let body = body(&request);
            let told = body["description"].as_str().unwrap();
            prop_assert!(told.chars().count() <= kind.longest_description() && !told.contains(char::is_control));
        }
    }
}
