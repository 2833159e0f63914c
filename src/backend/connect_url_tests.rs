//! Servers that are named by their URL: what of their lists and paths decides, and what does not.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::connect::{Connected, Target, Wanted, connect};
use super::contract;
use super::port::{ChatRequest, Completion};
use super::scripted::{Reply, Scripted, Seen};
use crate::event::{Failure, FailureKind, Feature, Features};

const WHOLE: &str = r#"{"model":"m","choices":[{"message":{"content":"Yes."},"finish_reason":"stop"}]}"#;
const NOT_FOUND: &str = r#"{"error":{"code":"404","message":"Resource not found"}}"#;

fn wanted(url: String, models: &[Option<&str>]) -> Wanted {
    Wanted {
        name: "b".into(),
        target: Target::Url(url),
        api_key: None,
        headers: Vec::new(),
        is_unlisted: false,
        models: models.iter().map(|model| model.map(Into::into)).collect(),
        concurrency: None,
    }
}

/// Connects and returns what came of it, and the notices; the server's own address is taken out of both.
async fn connected(wanted: Wanted, server: &Scripted) -> (Result<Connected, String>, String) {
    let said = Mutex::new(Vec::new());
    let notice = |line: &str| said.lock().expect("nothing panics here").push(line.to_owned());
    let outcome = connect(&[wanted], &|_| None, &notice).await;
    let plain = |text: String| text.replace(&server.url(), "URL");
    let outcome = match outcome {
        Ok(mut connected) => Ok(connected.remove(0)),
        Err(errors) => {
            Err(plain(errors.iter().map(|error| crate::cli::exit::with_causes(error)).collect::<Vec<_>>().join("\n")))
        }
    };
    (outcome, plain(said.into_inner().expect("nothing panicked").join("\n")))
}

/// Asks as an engine does: what is refused as a feature is left out.
async fn ask(connected: &Connected, model: &str) -> (Result<Completion, Failure>, Features) {
    let mut lacks = connected.resolved.lacks;
    loop {
        let request = ChatRequest { lacks, ..contract::request(model) };
        match connected.backend.chat(&request, &|_| {}).await {
            Err(Failure { kind: FailureKind::Unsupported(feature), .. }) if !lacks.has(feature) => {
                lacks = lacks.with(feature);
            }
            outcome => return (outcome, lacks),
        }
    }
}

/// What a list is refused with, how many requests that takes, and what is told of it.
type Refused = (fn(&str) -> Reply, usize, &'static str);

fn lines(server: &Scripted) -> Vec<String> {
    server.seen().into_iter().map(|seen| seen.line).collect()
}

fn listing(names: &[&str]) -> Reply {
    let entries: Vec<serde_json::Value> = names.iter().map(|name| serde_json::json!({ "id": name })).collect();
    Reply::json(200, serde_json::json!({ "object": "list", "data": entries }).to_string())
}

fn page(status: u16, body: &str) -> Reply {
    Reply::Whole { status, headers: vec![("content-type", "text/html".to_owned())], body: body.to_owned() }
}

#[tokio::test]
async fn every_base_answers_after_two_requests_at_most() {
    for (base, chat) in [
        ("/inference", "/inference/chat/completions"),
        ("/openai/deployments/gpt4o", "/openai/deployments/gpt4o/chat/completions"),
        (
            "/openai/deployments/gpt4o?api-version=2024-10-21",
            "/openai/deployments/gpt4o/chat/completions?api-version=2024-10-21",
        ),
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/x", "/x/v1/chat/completions"),
        ("", "/chat/completions"),
        ("", "/v1/chat/completions"),
        ("/?key=sesame", "/chat/completions?key=sesame"),
    ] {
        let line = format!("POST {chat}");
        let server =
            Scripted::start(
                move |seen| {
                    if seen.line == line { Reply::json(200, WHOLE) } else { Reply::json(404, NOT_FOUND) }
                },
            )
            .await;
        let url = format!("{}{base}", server.url());
        let (found, said) = connected(wanted(url.clone(), &[Some("gpt4o")]), &server).await;
        let found = found.expect("a named model on a named server");
        let (outcome, lacks) = ask(&found, "gpt4o").await;
        assert_eq!(outcome.expect("it answers").text, "Yes.", "{base}");
        let before = lines(&server);
        assert!(before.len() <= 3, "{before:?}");
        assert_eq!(said, "");
        // What was learned is used from the start.
        let again = Wanted { is_unlisted: true, ..wanted(url, &[Some("gpt4o")]) };
        let mut again = connected(again, &server).await.0.expect("as before");
        assert_eq!(again.lists, Some(false));
        again.resolved.lacks = lacks;
        ask(&again, "gpt4o").await.0.expect("it answers");
        assert_eq!(lines(&server).len(), before.len() + 1, "{base}: no probing");
    }
}

#[tokio::test]
async fn where_both_paths_are_missing_the_first_ones_refusal_counts() {
    let server = Scripted::start(|seen| match seen.line.as_str() {
        "POST /v1/chat/completions" => Reply::json(404, r#"{"error":{"message":"No endpoints match your policy"}}"#),
        _ => page(404, "<html>nothing</html>"),
    })
    .await;
    let found = connected(wanted(server.url(), &[Some("tiny")]), &server).await.0.expect("it may be there");
    let (outcome, _) = ask(&found, "tiny").await;
    let failure = outcome.expect_err("nothing answers");
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.detail.contains("/v1: 404: No endpoints match your policy"), "{}", failure.detail);
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn a_list_settles_the_path() {
    let server = Scripted::start(|seen| match seen.line.as_str() {
        "GET /models" | "GET /open/models" | "GET /api/v1/models" => listing(&["m"]),
        _ => Reply::json(404, NOT_FOUND),
    })
    .await;
    let versioned = Features::NONE.with(Feature::VersionedPath);
    for (base, endpoint, lacks) in
        [("", "URL", versioned), ("/open", "URL/open", versioned), ("/api", "URL/api/v1", Features::NONE)]
    {
        let url = format!("{}{base}", server.url());
        let (found, _) = connected(wanted(url, &[None]), &server).await;
        let resolved = found.expect("its list is there").resolved;
        assert_eq!(resolved.endpoint.replace(&server.url(), "URL"), endpoint);
        assert_eq!(resolved.lacks, lacks);
        assert_eq!(resolved.models, [("auto".into(), "m".into())]);
    }
}

#[tokio::test]
async fn whatever_a_list_is_refused_with_a_named_model_is_asked() {
    let long = serde_json::json!({ "data": [{ "id": "x".repeat(5 << 20) }] }).to_string();
    let rows: [Refused; 10] = [
        (
            |_| Reply::json(401, r#"{"type":"error","error":{"message":"x-api-key header is required"}}"#),
            1,
            r#"answered 401 to GET /models: "x-api-key header is required""#,
        ),
        (
            |_| Reply::json(403, r#"{"message":"Missing Authentication Token"}"#),
            1,
            r#"answered 403 to GET /models: "Missing Authentication Token""#,
        ),
        (
            |_| Reply::json(400, r#"{"error":{"message":"Invalid URL (GET /v1/models)"}}"#),
            1,
            r#"answered 400 to GET /models: "Invalid URL (GET /v1/models)""#,
        ),
        (
            |_| Reply::json(422, r#"{"detail":[{"loc":["query","x"],"msg":"field required"}]}"#),
            1,
            r#"answered 422 to GET /models: "field required""#,
        ),
        (
            |_| Reply::json(500, r#"{"error":{"message":"No connected db."}}"#),
            3,
            r#"answered 500 to GET /models: "No connected db.""#,
        ),
        (|_| page(200, "<!doctype html><title>Open WebUI</title>"), 1, "answered text/html, not JSON"),
        (|_| page(502, "<title>502 Bad Gateway</title>"), 3, r#"a page titled "502 Bad Gateway""#),
        (|_| page(403, "<title>Just a moment...</title>"), 1, r#"a page titled "Just a moment...""#),
        (|long| Reply::json(200, long), 1, "the list of models is too long"),
        (
            |_| Reply::Whole {
                status: 308,
                headers: vec![("location", "https://models.example.com/v1/models?x=1".to_owned())],
                body: String::new(),
            },
            1,
            "answered 308 to GET /models, which points to https://models.example.com/v1/models)",
        ),
    ];
    for (reply, requests, words) in rows {
        let long = long.clone();
        let server = Scripted::start(move |seen| match seen.line.as_str() {
            "POST /v1/chat/completions" => Reply::json(200, WHOLE),
            _ => reply(&long),
        })
        .await;
        let (found, said) = connected(wanted(format!("{}/v1", server.url()), &[Some("m")]), &server).await;
        let found = found.expect("a named model on a named server");
        assert!(said.starts_with("b: URL/v1 does not list its models (") && said.contains(words), "{said}");
        assert!(said.ends_with("); asking it for \"m\" anyway"), "{said}");
        assert_eq!(server.seen().len(), requests, "{words}");
        ask(&found, "m").await.0.expect("it answers");
        // `auto` needs the list: then each is an error with the same words.
        let error = connected(wanted(format!("{}/v1", server.url()), &[None]), &server).await.0.err().expect(words);
        assert!(error.contains(words.trim_end_matches(')')), "{error}");
    }
}

#[tokio::test]
async fn a_list_that_is_refused_in_passing_is_asked_for_again() {
    let replies: [fn() -> Reply; 2] = [
        || Reply::Whole {
            status: 429,
            headers: vec![("retry-after", "1".to_owned())],
            body: r#"{"error":{"message":"Rate limit reached"}}"#.to_owned(),
        },
        || page(502, "<html>502</html>"),
    ];
    for reply in replies {
        let count = AtomicUsize::new(0);
        let server = Scripted::start(move |seen| match seen.line.as_str() {
            "GET /v1/models" if count.fetch_add(1, Ordering::Relaxed) == 0 => reply(),
            "GET /v1/models" => listing(&["m"]),
            _ => Reply::json(404, NOT_FOUND),
        })
        .await;
        let (found, said) = connected(wanted(server.url(), &[None]), &server).await;
        assert_eq!(found.expect("the second one lists").resolved.models, [("auto".into(), "m".into())]);
        assert_eq!(said, "");
    }
}

#[tokio::test]
async fn a_list_has_more_names_than_it_spells_out() {
    for (listed, asked) in [
        (&["openai/*", "anthropic/*"][..], "openai/gpt-4o"),
        (&["meta-llama/llama-3.3-70b-instruct", "openai/gpt-4o"], "openai/gpt-4o:online"),
        (&["models/test-7b", "models/test-7b"], "test-7b"),
    ] {
        let server = Scripted::start(move |seen| match seen.line.as_str() {
            "GET /v1/models" => listing(listed),
            _ => Reply::json(404, NOT_FOUND),
        })
        .await;
        let (found, said) = connected(wanted(server.url(), &[Some(asked)]), &server).await;
        assert_eq!(found.expect(asked).resolved.models, [(asked.into(), asked.into())]);
        assert_eq!(said, "", "{asked}");
    }
}

#[tokio::test]
async fn a_model_that_is_not_listed_is_asked_under_its_name_and_the_doubt_is_told() {
    for (listed, asked, told) in [
        (
            &["gpt-4o-2024-11-20", "gpt-35-turbo", "text-embedding-3-small"][..],
            "my-deployment",
            "it lists gpt-4o-2024-11-20, gpt-35-turbo, text-embedding-3-small",
        ),
        (&["qwen3:8b", "a"], "Qwen3", r#"it lists qwen3:8b, a; did you mean "qwen3:8b"?"#),
        (&[], "test-7b", "its list is empty"),
    ] {
        let server = Scripted::start(move |seen| match seen.line.as_str() {
            "GET /v1/models" => listing(listed),
            "POST /v1/chat/completions" => Reply::json(200, WHOLE),
            _ => Reply::json(404, NOT_FOUND),
        })
        .await;
        let (found, said) = connected(wanted(server.url(), &[Some(asked)]), &server).await;
        let found = found.expect("the server has the last word");
        assert_eq!(
            said,
            format!("b: URL/v1 does not list {asked:?} ({told}); asking it anyway: the first answer decides")
        );
        let asking = (0..4).map(|_| ask(&found, asked));
        assert!(join_all(asking).await.iter().all(|(outcome, _)| outcome.is_ok()));
        let sent: Vec<Seen> = server.seen().into_iter().filter(|seen| seen.line.starts_with("POST")).collect();
        assert!(sent.len() == 4 && sent.iter().all(|seen| seen.body.contains(&format!("{asked:?}"))));
    }
}

#[tokio::test]
async fn a_model_that_is_not_there_costs_one_call_however_many_are_on_their_way() {
    for listed in [&["gpt-4o"][..], &["gpt-*"], &[]] {
        costs_one_call(listed).await;
    }
}

async fn costs_one_call(listed: &'static [&'static str]) {
    let missing = r#"{"error":{"message":"The model `gpt-5` does not exist","code":"model_not_found"}}"#;
    let server = Scripted::start(move |seen| match seen.line.as_str() {
        "GET /v1/models" => listing(listed),
        "POST /v1/chat/completions" => Reply::json(404, missing),
        _ => Reply::json(404, NOT_FOUND),
    })
    .await;
    let found = connected(wanted(server.url(), &[Some("gpt-5")]), &server).await.0.expect("it may be there");
    let calls = || lines(&server).iter().filter(|line| line.starts_with("POST")).count();
    // A call that is given up leaves the first turn to another.
    drop(found.backend.chat(&contract::request("gpt-5"), &|_| {}));
    for (outcome, _) in join_all((0..16).map(|_| ask(&found, "gpt-5"))).await {
        let failure = outcome.expect_err("it is not there");
        assert_eq!(failure.kind, FailureKind::ModelMissing);
        assert!(failure.detail.contains("gpt-5"), "{}", failure.detail);
    }
    assert_eq!(calls(), 1);
}

#[tokio::test]
async fn a_wrong_path_costs_one_call_however_many_are_on_their_way() {
    let server = Scripted::start(|seen| match seen.line.as_str() {
        "POST /chat/completions" => Reply::json(200, WHOLE),
        _ => Reply::json(404, NOT_FOUND),
    })
    .await;
    let found = connected(wanted(server.url(), &[Some("tiny")]), &server).await.0.expect("it may be there");
    for (outcome, lacks) in join_all((0..16).map(|_| ask(&found, "tiny"))).await {
        outcome.expect("it answers at the other path");
        assert!(lacks.has(Feature::VersionedPath) && !lacks.has(Feature::PlainPath));
    }
    let lines = lines(&server);
    assert_eq!(lines.iter().filter(|line| *line == "POST /v1/chat/completions").count(), 1, "{lines:?}");
    assert_eq!(lines.len(), 18);
}

#[tokio::test]
async fn other_failures_do_not_keep_an_unlisted_model_waiting_for_ever() {
    let server = Scripted::start(|seen| match seen.line.as_str() {
        "GET /v1/models" => listing(&["gpt-4o"]),
        _ => Reply::json(500, r#"{"error":{"message":"upstream"}}"#),
    })
    .await;
    let found = connected(wanted(server.url(), &[Some("mine")]), &server).await.0.expect("it may be there");
    let outcomes = join_all((0..8).map(|_| ask(&found, "mine"))).await;
    assert!(outcomes.iter().all(|(outcome, _)| outcome.as_ref().is_err_and(|failure| failure.status == Some(500))));
    assert_eq!(lines(&server).iter().filter(|line| line.starts_with("POST")).count(), 8);
}

#[tokio::test]
async fn headers_go_with_every_request_and_are_never_shown() {
    let server = Scripted::start(|seen| {
        if seen.header("x-gateway-team") != Some("lab-secret") {
            return Reply::json(400, r#"{"error":{"message":"no team"}}"#);
        }
        match seen.line.as_str() {
            "GET /v1/models" => listing(&["m"]),
            "POST /v1/chat/completions" => {
                Reply::json(400, r#"{"error":{"message":"team lab-secret with token of the lab"}}"#)
            }
            _ => Reply::json(404, NOT_FOUND),
        }
    })
    .await;
    let headers =
        vec![("X-Gateway-Team".into(), "lab-secret".into()), ("Authorization".into(), "Token t0ken-1".into())];
    let asked = Wanted { headers, api_key: Some("sk-12345".into()), ..wanted(server.url(), &[None]) };
    let found = connected(asked, &server).await.0.expect("the header lets it in");
    let failure = ask(&found, "m").await.0.expect_err("this server refuses");
    assert!(failure.detail.contains("team *** with"), "{}", failure.detail);
    let seen = server.seen();
    assert!(seen.len() > 3, "the list, pages beside it, and a call");
    assert!(seen.iter().all(|seen| seen.header("authorization") == Some("Token t0ken-1")));

    let bad = |name: &str, value: &str| Wanted {
        headers: vec![(name.into(), value.into())],
        ..wanted(server.url(), &[Some("m")])
    };
    let error = connected(bad("x-team", "a\nsecret"), &server).await.0.err().expect("no header may hold that");
    assert!(error.contains(r#"the header "x-team" for URL/v1 has a value with a line break"#), "{error}");
    assert!(!error.contains("secret") && error.contains("`headers` of the backend"), "{error}");
    let error = connected(bad("Content-Length", "7"), &server).await.0.err().expect("that one is ours");
    assert!(error.contains(r#"the header "Content-Length" for URL/v1 belongs to the connection"#), "{error}");
}

#[tokio::test]
async fn a_server_that_hangs_on_its_list_is_asked_within_six_seconds() {
    let server = Scripted::start(|seen| match seen.line.as_str() {
        "POST /v1/chat/completions" => Reply::json(200, WHOLE),
        _ => Reply::Silence,
    })
    .await;
    let began = Instant::now();
    let (found, said) = connected(wanted(server.url(), &[Some("m")]), &server).await;
    ask(&found.expect("a named model"), "m").await.0.expect("it answers");
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    assert!(said.contains("does not list its models (GET /models: no answer within 4 s)"), "{said}");
}

#[tokio::test]
async fn another_protocol_is_named_with_the_url_to_write() {
    for (answer, words) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "does not speak TLS; write http:// in the URL"),
        (b"", "the connection was closed before TLS began; if it does not speak TLS, write http:// in the URL"),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("https://{}", listener.local_addr().expect("an address"));
        let plain = async {
            let (mut stream, _) = listener.accept().await.expect("a client");
            assert!(stream.read(&mut [0; 4 << 10]).await.expect("its first words") > 0);
            stream.write_all(answer).await.expect("it is there");
        };
        let wanted = [wanted(url.clone(), &[Some("m")])];
        let (outcome, ()) = tokio::join!(connect(&wanted, &|_| None, &|_| {}), plain);
        let error = outcome.err().expect("it speaks plain HTTP")[0].to_string();
        assert_eq!(error, format!("backend \"b\": {url}/v1: {words}"));
    }

    let server = Scripted::start(|_| Reply::Raw(b"\x15\x03\x01\x00\x02\x02\x0a".to_vec())).await;
    let error = connected(wanted(server.url(), &[Some("m")]), &server).await.0.err().expect("it speaks TLS");
    assert_eq!(error, "backend \"b\": URL/v1: does not answer in HTTP; if it speaks TLS, write https:// in the URL");
    let error =
        connected(wanted("http://me:word@h/v1".to_owned(), &[Some("m")]), &server).await.0.err().expect("a secret");
    assert_eq!(error.matches("user name").count(), 1, "{error}");
}

#[tokio::test]
async fn a_local_program_lists_all_that_it_has() {
    let server = Scripted::start(|seen| match seen.line.as_str() {
        "GET /v1/models" => Reply::json(200, r#"{"data":[{"id":"Qwen3-8B","owned_by":"vllm"}]}"#),
        _ => Reply::json(404, NOT_FOUND),
    })
    .await;
    let error =
        connected(wanted(server.url(), &[Some("qwen3_8b")]), &server).await.0.err().expect("it has one model");
    assert_eq!(
        error,
        "backend \"b\": URL/v1 has no model \"qwen3_8b\"; did you mean \"Qwen3-8B\"?; it has Qwen3-8B; start the server \
         with it (`vllm serve qwen3_8b`)"
    );
}
