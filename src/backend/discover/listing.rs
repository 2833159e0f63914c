//! What `GET /models` says of whoever answers it.

use std::time::Duration;

use http::{HeaderMap, StatusCode, Uri};
use serde_json::Value;

use crate::backend::http::{Page, Scrub, redirect_target, retry_after};
use crate::event::{Failure, FailureKind, TimeoutPhase};

/// How much of a foreign page is shown, in characters.
const EXCERPT: usize = 60;
/// How much of a server's own words is shown, in characters.
const WORDS: usize = 120;

/// The answer to `GET /models`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Listing {
    /// A list.
    Models(Vec<Listed>),
    /// 503: the model is being loaded.
    Loading,
    /// An answer that is no list; the rest of the API may be there.
    Refused(NoList),
    /// An answer, but not in the protocol that the URL names; in words.
    OtherProtocol(String),
    /// Nothing; in words.
    NoAnswer(String),
}

/// Why there is no list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoList {
    /// In which way.
    pub(crate) sort: NoListSort,
    /// What came, for people: `answered 500 to GET /models: "No connected db."`.
    pub(crate) words: String,
    /// How long the server tells to wait before another try.
    pub(crate) wait: Option<Duration>,
}

/// Ways in which a list is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoListSort {
    /// There is no such page.
    NotServed,
    /// 401 or 403 by the server itself.
    NeedsKey,
    /// Another try may get it.
    Passing,
    /// The request is refused, answered elsewhere or not in time.
    Refused,
    /// What comes is no list of models.
    NotAList,
}

/// One entry of a list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) name: String,
    /// Who made it, by the server's word: several servers name themselves here.
    pub(super) owner: String,
    /// Whether it is in memory, where the list tells.
    pub(super) is_loaded: Option<bool>,
}

/// Reads the answer to a GET of `asked`.
pub(super) fn read(answer: Result<Page, Failure>, asked: &Uri, scrub: &Scrub) -> Listing {
    match answer {
        Ok(page) if page.status.is_success() => read_list(&page, scrub),
        Ok(page) => read_refusal(&page, asked, scrub),
        Err(failure) => read_failure(&failure, scrub),
    }
}

fn read_failure(failure: &Failure, scrub: &Scrub) -> Listing {
    let words = scrub.line(&failure.detail);
    let sort = match failure.kind {
        FailureKind::Malformed if failure.status.is_none() => return Listing::OtherProtocol(words),
        FailureKind::Unreachable | FailureKind::TimedOut(TimeoutPhase::Connect) => return Listing::NoAnswer(words),
        FailureKind::CutOff => NoListSort::Passing,
        _ => NoListSort::Refused,
    };
    let words = match failure.kind {
        FailureKind::TooLarge => format!("the list of models is too long: {words}"),
        FailureKind::CutOff => format!("the list of models was cut off: {words}"),
        _ => format!("GET /models: {words}"),
    };
    Listing::Refused(NoList { sort, words, wait: None })
}

fn read_refusal(page: &Page, asked: &Uri, scrub: &Scrub) -> Listing {
    let Page { status, headers, body } = page;
    let text = String::from_utf8_lossy(&body[..body.len().min(WORDS * 16)]).to_lowercase();
    // The words of nginx, Go and Apache.
    if *status == StatusCode::BAD_REQUEST && text.contains("http request") && text.contains("https") {
        return Listing::OtherProtocol("speaks TLS; write https:// in the URL".to_owned());
    }
    let is_page = is_page(headers, body);
    let sort = match status.as_u16() {
        503 if !is_page && text.contains("loading") => return Listing::Loading,
        404 | 405 | 501 => NoListSort::NotServed,
        401 => NoListSort::NeedsKey,
        // A page is of something in front of the server: no key helps against it.
        403 if !is_page && !headers.contains_key("cf-mitigated") => NoListSort::NeedsKey,
        408 | 425 | 429 | 500..=599 => NoListSort::Passing,
        _ => NoListSort::Refused,
    };
    let said = match redirect_target(headers, asked).filter(|_| status.is_redirection()) {
        Some(place) => format!(", which points to {}", scrub.line(&place)),
        None => said(headers, body, scrub).map(|said| format!(": {said}")).unwrap_or_default(),
    };
    let words = format!("answered {} to GET /models{said}", status.as_u16());
    Listing::Refused(NoList { sort, words, wait: retry_after::read(headers).map(Duration::from_millis) })
}

fn read_list(page: &Page, scrub: &Scrub) -> Listing {
    let none = |words| Listing::Refused(NoList { sort: NoListSort::NotAList, words, wait: None });
    let Ok(value) = serde_json::from_slice::<Value>(&page.body) else {
        let what = page.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let what = what.and_then(|what| what.split(';').next()).unwrap_or("something");
        return none(format!(
            "answered {what}, not JSON: not an OpenAI-compatible server (starts with {:?})",
            scrub.excerpt(&page.body, EXCERPT)
        ));
    };
    match entries(&value) {
        Some(entries) => {
            let mut models: Vec<Listed> = Vec::new();
            // Equal entries are one; a list may have thousands of them.
            let mut names = std::collections::BTreeSet::new();
            for model in entries.iter().filter_map(listed) {
                if names.insert(model.name.clone()) {
                    models.push(model);
                }
            }
            Listing::Models(models)
        }
        None => none(format!(
            "answered JSON without a list of models: not an OpenAI-compatible server (starts with {:?})",
            scrub.excerpt(&page.body, EXCERPT)
        )),
    }
}

fn is_page(headers: &HeaderMap, body: &[u8]) -> bool {
    let label = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    label.contains("html") || body.trim_ascii_start().starts_with(b"<")
}

/// Quotes what a refusal says: its message, the title of its page, or its start; none when it says nothing.
fn said(headers: &HeaderMap, body: &[u8], scrub: &Scrub) -> Option<String> {
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(value) => message(&value)?,
        Err(_) if is_page(headers, body) => {
            let page = String::from_utf8_lossy(body);
            let title = page.split_once("<title>").and_then(|(_, rest)| Some(rest.split_once("</title>")?.0.trim()));
            match title.filter(|title| !title.is_empty()) {
                Some(title) => return Some(format!("a page titled {:?}", scrub.excerpt(title.as_bytes(), WORDS))),
                None => page.into_owned(),
            }
        }
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    let shown = scrub.excerpt(text.as_bytes(), WORDS);
    (!shown.is_empty()).then(|| format!("{shown:?}"))
}

/// Finds the words in an error of any shape; none in an empty one.
fn message(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Bool(_) => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => list.first().and_then(message),
        Value::Object(object) if object.is_empty() => None,
        Value::Object(object) => {
            let known = ["error", "message", "msg", "detail", "errors"];
            let found = known.iter().find_map(|name| object.get(*name).and_then(message));
            Some(found.unwrap_or_else(|| value.to_string()))
        }
        Value::Number(number) => Some(number.to_string()),
    }
}

/// Finds the list under `data` (OpenAI), under `models`, or bare.
fn entries(value: &Value) -> Option<&Vec<Value>> {
    match value {
        Value::Array(entries) => Some(entries),
        // Ollama without any model says `"data": null`.
        Value::Object(object) if object.get("object").is_some_and(|kind| kind == "list") => {
            const NONE: &Vec<Value> = &Vec::new();
            Some(object.get("data").and_then(Value::as_array).unwrap_or(NONE))
        }
        Value::Object(object) => object.get("data").or_else(|| object.get("models"))?.as_array(),
        _ => None,
    }
}

fn listed(entry: &Value) -> Option<Listed> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str);
    let name = text("id").or_else(|| text("name")).or_else(|| entry.as_str())?.trim().to_owned();
    if name.is_empty() {
        return None;
    }
    let owner = text("owned_by").unwrap_or_default().to_lowercase();
    let is_loaded = entry.pointer("/status/value").and_then(Value::as_str).map(|status| status == "loaded");
    Some(Listed { name, owner, is_loaded })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, body: &str, expected: &str) {
        check_with(status, &[], body, expected);
    }

    fn check_with(status: u16, more: &[(&'static str, &str)], body: &str, expected: &str) {
        let mut headers = HeaderMap::new();
        let content_type = if body.starts_with('<') { "text/html; charset=utf-8" } else { "application/json" };
        headers.insert("content-type", content_type.parse().expect("a header value"));
        for (name, value) in more {
            headers.insert(*name, value.parse().expect("a header value"));
        }
        let status = StatusCode::from_u16(status).expect("a status");
        let page = Page { status, headers, body: body.as_bytes().to_vec() };
        let asked = Uri::from_static("http://h/v1/models");
        let got = match read(Ok(page), &asked, &Scrub::default()) {
            Listing::Models(models) => models.into_iter().map(|model| model.name).collect::<Vec<_>>().join(" "),
            Listing::Refused(NoList { sort, words, wait }) => {
                format!("{sort:?}: {words}{}", wait.map(|wait| format!(" ({wait:?})")).unwrap_or_default())
            }
            other => format!("{other:?}"),
        };
        assert_eq!(got, expected, "{body}");
    }

    #[test]
    fn reads_lists_of_many_shapes() {
        check(200, r#"{"object":"list","data":[{"id":"a"},{"id":"b"}]}"#, "a b");
        check(200, r#"{"object":"list","data":null}"#, "");
        check(200, r#"{"models":[{"name":"a"}]}"#, "a");
        check(200, r#"["a","","a"]"#, "a");
        check(200, r#"{"data":[{"id":"models/a"},{"id":"models/a"}]}"#, "models/a");
    }

    #[test]
    fn names_every_way_in_which_a_list_is_refused() {
        check(404, "{}", "NotServed: answered 404 to GET /models");
        check(401, "{}", "NeedsKey: answered 401 to GET /models");
        check(
            401,
            r#"{"type":"error","error":{"type":"authentication_error","message":"x-api-key header is required"}}"#,
            r#"NeedsKey: answered 401 to GET /models: "x-api-key header is required""#,
        );
        check(
            403,
            r#"{"message":"Missing Authentication Token"}"#,
            r#"NeedsKey: answered 403 to GET /models: "Missing Authentication Token""#,
        );
        check(
            403,
            "<!DOCTYPE html><title>Just a moment...</title>",
            r#"Refused: answered 403 to GET /models: a page titled "Just a moment...""#,
        );
        check(
            422,
            r#"{"detail":[{"loc":["query","x"],"msg":"field required"}]}"#,
            r#"Refused: answered 422 to GET /models: "field required""#,
        );
        check(
            400,
            r#"[{"error":{"code":400,"message":"API key not valid."}}]"#,
            r#"Refused: answered 400 to GET /models: "API key not valid.""#,
        );
        check(503, r#"{"error":{"message":"Loading model"}}"#, "Loading");
        check(500, "", "Passing: answered 500 to GET /models");
        check(
            500,
            r#"{"error":{"message":"No connected db."}}"#,
            r#"Passing: answered 500 to GET /models: "No connected db.""#,
        );
        check_with(
            429,
            &[("retry-after", "1")],
            r#"{"error":{"message":"Rate limit reached"}}"#,
            r#"Passing: answered 429 to GET /models: "Rate limit reached" (1s)"#,
        );
        check_with(
            308,
            &[("location", "https://models.example.com/v1/models?key=1")],
            "",
            "Refused: answered 308 to GET /models, which points to https://models.example.com/v1/models",
        );
        check(
            400,
            "Client sent an HTTP request to an HTTPS server.\n",
            r#"OtherProtocol("speaks TLS; write https:// in the URL")"#,
        );
    }

    #[test]
    fn names_what_is_no_list() {
        check(
            200,
            "<!DOCTYPE html>",
            r#"NotAList: answered text/html, not JSON: not an OpenAI-compatible server (starts with "<!DOCTYPE html>")"#,
        );
        check(
            200,
            r#"{"hello":1}"#,
            r#"NotAList: answered JSON without a list of models: not an OpenAI-compatible server (starts with "{\"hello\":1}")"#,
        );
    }

    #[test]
    fn a_failure_is_an_answer_or_none() {
        let of = |kind, status| {
            let failure = Failure { status, ..Failure::new(kind, "why") };
            format!("{:?}", read(Err(failure), &Uri::from_static("http://h/models"), &Scrub::default()))
        };
        assert_eq!(of(FailureKind::Unreachable, None), r#"NoAnswer("why")"#);
        assert_eq!(of(FailureKind::TimedOut(TimeoutPhase::Connect), None), r#"NoAnswer("why")"#);
        assert_eq!(of(FailureKind::Malformed, None), r#"OtherProtocol("why")"#);
        assert!(of(FailureKind::Malformed, Some(200)).contains("Refused"));
        assert!(of(FailureKind::TooLarge, None).contains("the list of models is too long: why"));
        assert!(of(FailureKind::CutOff, None).contains("Passing"));
        assert!(of(FailureKind::TimedOut(TimeoutPhase::FirstToken), None).contains("sort: Refused"));
    }
}
