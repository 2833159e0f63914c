//! Lists of models that do not decide, base URLs as they are pasted, and what stands at the wrong door. F9–F11, R9–R11.

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{AllRequests, Answered, Case, Chats, Exit, Hides, Shows, Text, Way, Within, case, check_all, fine};
use crate::project::{Project, text};
use crate::scripted_server::{Ask, MODEL, Reply, TEXT, listed, well};
use crate::web;

const NOT_FOUND: &str = r#"{"error":{"code":"404","message":"Resource not found"}}"#;

/// A server whose list of models is this, and whose chat answers.
fn lists(name: &str, asked: &str, list: Reply) -> Case {
    case(name, move |ask| (ask.request.method == "GET" && ask.path() == "/v1/models").then(|| list.clone()))
        .model(asked)
        .items(2)
        .expect(fine(2))
        .expect([Text(TEXT), Chats(2, 2)])
}

/// The same, with the backend in the file and by a flag.
fn served(name: &str, asked: &'static str, list: &Reply) -> [Case; 2] {
    let sends = |case: Case| {
        case.is("another model was asked for", move |ended| {
            ended.chats().iter().all(|one| one.body["model"] == asked)
        })
    };
    [
        sends(lists(&format!("F9 {name}"), asked, list.clone())),
        sends(lists(&format!("F9 {name}, by a flag"), asked, list.clone()).by_flag()),
    ]
}

#[test]
fn f09_a_model_that_is_served_though_not_listed_is_asked() {
    let others = ["gpt-4o-2024-11-20", "gpt-35-turbo", "text-embedding-3-small"];
    let data = |data: &str| Reply::json(200, format!(r#"{{"object":"list","data":{data}}}"#));
    let cases = [
        served("a pattern", "openai/gpt-4o", &listed(&["openai/*", "anthropic/*"])),
        served("a pattern for all", "openai/gpt-4o", &listed(&["*"])),
        served("a pattern that is not its own", "mistral/large", &listed(&["openai/*", "anthropic/*"])),
        served(
            "a suffix of routing",
            "openai/gpt-4o:online",
            &listed(&["meta-llama/llama-3.3-70b-instruct", "openai/gpt-4o"]),
        ),
        served("another suffix", "deepseek/deepseek-r1:free", &listed(&["deepseek/deepseek-r1", "openai/gpt-4o"])),
        served("two suffixes", "openai/gpt-4o:nitro:online", &listed(&["openai/gpt-4o"])),
        served("an alias", "my-deployment", &listed(&others)),
        served("an empty list", "test-7b", &listed(&[])),
        served("no list in it", "test-7b", &data("null")),
        served("equal entries", "test-7b", &listed(&["models/test-7b", "models/test-7b"])),
        served("equal entries of its own name", "test-7b", &listed(&["test-7b", "test-7b", "test-7b"])),
        served("entries without an id", "test-7b", &data(r#"[{"object":"model"},{"name":"other"}]"#)),
    ];
    check_all(cases.into_iter().flatten().collect());
}

#[test]
fn f09_what_is_not_listed_is_warned_of() {
    let others = ["gpt-4o-2024-11-20", "gpt-35-turbo", "text-embedding-3-small"];
    check_all(vec![
        lists("F9 warns: a deployment", "my-deployment", listed(&others)).expect([Shows(&["my-deployment"])]),
        lists("F9 warns: an alias", "fast", listed(&["qwen3:8b", "llama3.2:3b"])).expect([Shows(&["fast"])]),
        // Nothing to warn of.
        lists("F9 silent: listed", MODEL, listed(&[MODEL])).expect([Hides(&["warning", "not list"])]),
        lists("F9 silent: a pattern", "openai/gpt-4o", listed(&["openai/*"]))
            .expect([Hides(&["warning", "not list"])]),
    ]);
}

#[test]
fn f09_a_model_that_the_server_does_not_know_ends_with_its_name() {
    let unknown = |name: &str, asked: &'static str, list: &'static [&'static str], status: u16, body: &str| {
        let reply = Reply::json(status, body);
        case(&format!("F9 unknown: {name}"), move |ask| match ask {
            ask if ask.is_chat() => Some(reply.clone()),
            ask if ask.path() == "/v1/models" => Some(listed(list)),
            _ => None,
        })
        .model(asked)
        .items(8)
        .concurrency(2)
        .expect([Exit(&[4]), Answered(0), Chats(0, 2), Within(20)])
        .is("the model is not named", move |ended| ended.shows(asked))
    };
    let openai = r#"{"error":{"message":"The model `nope-9b` does not exist or you do not have access to it.","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#;
    let ollama = r#"{"error":{"message":"model 'Qwen3' not found","type":"api_error","param":null,"code":null}}"#;
    let vllm = r#"{"object":"error","message":"The model `llama3` does not exist.","type":"NotFoundError","param":null,"code":404}"#;
    check_all(vec![
        unknown("openai", "nope-9b", &["gpt-4o", "gpt-4o-mini"], 404, openai),
        unknown("an empty list", "nope-9b", &[], 404, openai),
        unknown("a pattern", "openai/nope-9b", &["openai/*"], 404, &openai.replace("nope-9b", "openai/nope-9b")),
        unknown("a near miss", "Qwen3", &["qwen3:8b", "llama3.2:3b"], 404, ollama).expect([Shows(&["qwen3:8b"])]),
        unknown("another near miss", "llama3", &["llama-3", "mistral"], 404, vllm).expect([Shows(&["llama-3"])]),
        unknown(
            "a 400",
            "nope-9b",
            &["mistral-small-latest"],
            400,
            r#"{"object":"error","message":"Invalid model: nope-9b","type":"invalid_model","param":null,"code":"1500"}"#,
        ),
    ]);
}

/// A list of 5 MB, the model at its end.
fn long_list() -> Reply {
    let ids: Vec<String> =
        (0..60_000).map(|n| format!("vendor-{}/model-with-a-long-name-for-padding-{n}-instruct", n % 97)).collect();
    let mut ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    ids.push(MODEL);
    let list = listed(&ids);
    assert!(list.length() > 4_500_000, "{}", list.length());
    list
}

#[test]
fn f10_a_list_that_is_refused_decides_nothing() {
    let does_not_list = |name: &str, reply: Reply| {
        [
            lists(&format!("F10 {name}"), MODEL, reply.clone()).expect([Hides(&["wants an api key"])]),
            lists(&format!("F10 {name}, by a flag"), MODEL, reply).by_flag(),
        ]
    };
    let warned = |name: &str, status: u16, body: &str, words: &'static [&'static str]| {
        does_not_list(name, Reply::json(status, body)).map(|case| case.expect([Shows(words)]))
    };
    let open_webui =
        Reply::new(200, "text/html", "<!doctype html><html><head><title>Open WebUI</title></head></html>");
    let cases = [
        warned(
            "401",
            401,
            r#"{"type":"error","error":{"type":"authentication_error","message":"x-api-key header is required"}}"#,
            &["x-api-key header is required", "list", "models"],
        ),
        warned(
            "403",
            403,
            r#"{"message":"Missing Authentication Token"}"#,
            &["Missing Authentication Token", "list", "models"],
        ),
        warned(
            "400",
            400,
            r#"{"error":{"message":"Invalid URL (GET /v1/models)"}}"#,
            &["Invalid URL", "list", "models"],
        ),
        does_not_list("422", Reply::json(422, r#"{"detail":[{"loc":["query","x"],"msg":"field required"}]}"#)),
        does_not_list("500", Reply::json(500, r#"{"error":{"message":"No connected db."}}"#)),
        does_not_list("a page", open_webui),
        does_not_list("405", Reply::json(405, r#"{"detail":"Method Not Allowed"}"#)),
        does_not_list("501", Reply::new(501, "text/plain", "Not implemented")),
        does_not_list("404", Reply::json(404, NOT_FOUND)),
        does_not_list("nothing", Reply::new(200, "", "")),
        does_not_list("204", Reply::new(204, "", "")),
        does_not_list("half", Reply::json(200, r#"{"object":"list","da"#)),
        does_not_list("an error in a 200", Reply::json(200, r#"{"error":{"message":"listing is disabled"}}"#)),
    ];
    let long = lists("F10 5 MB", MODEL, long_list());
    check_all(cases.into_iter().flatten().chain([long]).collect());
}

#[test]
fn f10_a_list_that_fails_once_is_fetched_again() {
    let once = |name: &str, reply: Reply| {
        let asked = AtomicUsize::new(0);
        case(&format!("F10 once: {name}"), move |ask| {
            let is_first = ask.request.method == "GET"
                && ask.path() == "/v1/models"
                && asked.fetch_add(1, Ordering::SeqCst) == 0;
            is_first.then(|| reply.clone())
        })
        .expect(fine(1))
        .expect([Text(TEXT), Chats(1, 1), Within(20)])
    };
    // A case runs twice, and only its first run meets the refusal: so each way has a case of its own.
    let both = |name: &str, reply: Reply| {
        [once(name, reply.clone()).only(Way::Whole), once(name, reply).only(Way::Streamed)]
    };
    let cases = [
        both("429", Reply::json(429, r#"{"error":{"message":"Rate limit reached"}}"#).header("retry-after", "1")),
        both("502", Reply::page(502, "502 Bad Gateway")),
        both(
            "503",
            Reply::json(503, r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#),
        ),
    ];
    check_all(cases.into_iter().flatten().collect());
}

#[test]
fn f10_a_server_that_refuses_both_is_quoted() {
    let both = |name: &str, status: u16, body: &str, words: &'static [&'static str]| {
        let reply = Reply::json(status, body);
        case(&format!("F10 both: {name}"), move |_| Some(reply.clone())).items(6).expect([
            Exit(&[4]),
            Answered(0),
            Chats(0, 8),
            AllRequests(20),
            Within(20),
            Shows(words),
        ])
    };
    check_all(vec![
        both("400", 400, r#"[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}]"#, &["API key not valid. Please pass a valid API key."]),
        both("401", 401, r#"{"error":{"message":"Incorrect API key provided: sk-te***56.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#, &["key"]).expect([Chats(0, 2)]),
        both("401 of a gateway", 401, r#"{"message":"Unauthorized"}"#, &["key"]).expect([Chats(0, 2)]),
        both("403", 403, r#"{"error":{"message":"Your project is suspended","code":403}}"#, &["Your project is suspended"]),
    ]);
}

/// Requests that find out which kind of server it is, and how many slots it has: as many as before.
const KIND: usize = 9;

/// A server that serves chat at one place, with one query, and nothing else.
fn at(name: &str, base: &str, path: &'static str, query: Option<&'static str>) -> [Case; 2] {
    let only_there = move |ask: &Ask| {
        let asked = ask.request.target.split_once('?').map(|(_, query)| query);
        let is_there = ask.path() == path && asked == query && ask.request.method == "POST";
        Some(if is_there { well(ask) } else { Reply::json(404, NOT_FOUND) })
    };
    let reached = |name: String| {
        case(&name, only_there)
            .base(base)
            .items(3)
            .expect(fine(3))
            .expect([Text(TEXT), AllRequests(3 + 2 + KIND)])
            .is("more than two requests looked for the place", |ended| {
                ended.ledger.iter().filter(|one| !one.good && (one.is_chat || one.target.contains("/models"))).count()
                    <= 2
            })
    };
    [reached(format!("F11 {name}")), reached(format!("F11 {name}, by a flag")).by_flag()]
}

#[test]
fn f11_a_base_url_is_taken_as_it_is_written() {
    let cases = [
        at("a prefix", "/inference", "/inference/chat/completions", None),
        at("a deployment", "/openai/deployments/gpt4o", "/openai/deployments/gpt4o/chat/completions", None),
        at(
            "a query",
            "/openai/deployments/gpt4o?api-version=2024-10-21",
            "/openai/deployments/gpt4o/chat/completions",
            Some("api-version=2024-10-21"),
        ),
        at("the endpoint itself", "/v1/chat/completions", "/v1/chat/completions", None),
        at("the bare host, with /v1", "", "/v1/chat/completions", None),
        at("the bare host, without /v1", "", "/chat/completions", None),
        at("the bare host, a slash", "/", "/chat/completions", None),
        at("/v1", "/v1", "/v1/chat/completions", None),
        at("/v1, a slash", "/v1/", "/v1/chat/completions", None),
        at("a prefix before /v1", "/api/openai/v1", "/api/openai/v1/chat/completions", None),
        at("a prefix that leaves /v1 out", "/gateway", "/gateway/v1/chat/completions", None),
        at("zhipu's version", "/api/paas/v4", "/api/paas/v4/chat/completions", None),
        at("gemini's version", "/v1beta/openai", "/v1beta/openai/chat/completions", None),
        at("databricks", "/serving-endpoints", "/serving-endpoints/chat/completions", None),
        at(
            "azure's endpoint, pasted",
            "/openai/deployments/gpt4o/chat/completions?api-version=2024-10-21",
            "/openai/deployments/gpt4o/chat/completions",
            Some("api-version=2024-10-21"),
        ),
        at(
            "a query of two",
            "/openai/v1?api-version=preview&tenant=lab",
            "/openai/v1/chat/completions",
            Some("api-version=preview&tenant=lab"),
        ),
    ];
    check_all(cases.into_iter().flatten().collect());
}

#[test]
fn f11_headers_of_the_file_are_sent_with_everything() {
    let wants = |name: &str, header: &'static str, value: &'static str, fields: &str| {
        case(&format!("F11 headers: {name}"), move |ask| {
            let is_there = ask.request.header(header) == Some(value);
            (!is_there)
                .then(|| Reply::json(400, format!(r#"{{"error":{{"message":"header {header} is required"}}}}"#)))
        })
        .backend(fields)
        .items(2)
        .expect(fine(2))
        .expect([Text(TEXT), Chats(2, 2)])
    };
    check_all(vec![
        wants("a team", "x-gateway-team", "lab", "headers: { X-Gateway-Team: lab }"),
        wants(
            "two",
            "x-title",
            "a title, with a comma",
            "headers: { HTTP-Referer: 'https://example.org', X-Title: 'a title, with a comma' }",
        ),
        wants("azure's key", "api-key", "secret-of-azure", "headers: { api-key: 'secret-of-azure' }"),
    ]);
}

/// When the first request to a chat endpoint came, in a run at a server that hangs where it knows no path.
fn begins_soon(name: &str, base: &str, hangs: fn(&Ask) -> bool) -> Case {
    case(&format!("R9 {name}"), move |ask| hangs(ask).then(Reply::hangs))
        .base(base)
        .expect(fine(1))
        .expect([Text(TEXT), Chats(1, 1)])
        .is("the first call came after 6 s", |ended| {
            ended.chats().first().is_some_and(|first| first.at < Duration::from_secs(6))
        })
}

#[test]
fn r09_paths_that_hang_hold_nothing_up() {
    check_all(vec![
        begins_soon("unknown paths", "/v1", |ask| !ask.is_chat() && ask.path() != "/v1/models"),
        begins_soon("all but chat", "/v1", |ask| !ask.is_chat()),
    ]);
}

#[test]
fn r10_a_redirect_is_named_with_its_place() {
    let moved = |status: u16, all: bool| {
        case(&format!("R10 {status}{}", if all { ", all" } else { "" }), move |ask| {
            let away = all || ask.path() == "/v1/models";
            away.then(|| {
                Reply::new(status, "text/html", "<h1>Moved</h1>")
                    .header("location", &format!("https://models.example.com{}", ask.path()))
            })
        })
        .expect([Shows(&["https://models.example.com/v1"])])
    };
    check_all(vec![
        moved(308, false),
        moved(308, true).expect([Exit(&[1, 4]), Answered(0)]),
        moved(301, true).expect([Exit(&[1, 4]), Answered(0)]),
        moved(307, true).expect([Exit(&[1, 4]), Answered(0)]),
    ]);
}

/// What `pipe run` prints for a base URL.
fn printed(base_url: &str) -> (Option<i32>, String) {
    let project = Project::new();
    let case = case("", |_| None);
    project.write("kinds.yaml", &case.yaml("http://address").replace("http://address/v1", base_url));
    let output = project.run(&["run", "kinds.yaml"]);
    (output.status.code(), format!("{}{}", text(&output.stderr), text(&output.stdout)))
}

#[test]
fn r11_https_to_a_port_that_speaks_http_is_named() {
    let answers_400 = web::serve(|_, mut stream| {
        stream.read(&mut [0; 512]).ok();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").ok();
    });
    let closes = web::serve(|_, mut stream| {
        stream.read(&mut [0; 512]).ok();
    });
    let speaks = web::serve(|_, mut stream| {
        stream.read(&mut [0; 512]).ok();
        stream.write_all(b"Invalid HTTP request received.").ok();
    });
    for address in [answers_400, speaks] {
        let (code, told) = printed(&address.replace("http://", "https://"));
        assert_eq!(code, Some(4), "{told}");
        assert!(told.contains("TLS") && told.contains("http://"), "{told}");
        for word in ["InvalidContentType", "corrupt message", "received corrupt", "InvalidMessage"] {
            assert!(!told.contains(word), "{word}: {told}");
        }
    }
    let (code, told) = printed(&closes.replace("http://", "https://"));
    assert_eq!(code, Some(4), "{told}");
}

#[test]
fn r11_a_user_name_in_a_base_url_is_told_once() {
    for url in ["http://lab@127.0.0.1:9/v1", "http://lab:secret@127.0.0.1:9/v1"] {
        let (code, told) = printed(url);
        assert!(matches!(code, Some(3 | 4)), "{told}");
        assert!(told.contains("user name"), "{told}");
        assert!(!told.contains("secret"), "{told}");
        for line in told.lines() {
            assert!(line.matches("user name").count() <= 1, "twice in one line: {line}");
        }
    }
}
