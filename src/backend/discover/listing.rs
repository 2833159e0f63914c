//! What `GET /models` says of whoever answers it.

use http::StatusCode;
use serde_json::Value;

use crate::backend::http::{Page, Scrub};
use crate::event::{Failure, FailureKind};

/// How much of a foreign page is shown, in characters.
const EXCERPT: usize = 60;

/// The answer to `GET /models`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Listing {
    /// A list.
    Models(Vec<Listed>),
    /// No such page here; the rest of the API may be.
    NotServed,
    /// 401 or 403.
    NeedsKey,
    /// 503: the model is being loaded.
    Loading,
    /// Something that is no such server.
    Other(String),
    /// Nothing.
    NoAnswer(String),
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

/// Reads the answer.
pub(super) fn read(answer: Result<Page, Failure>, scrub: &Scrub) -> Listing {
    let page = match answer {
        Ok(page) => page,
        Err(failure) if failure.kind == FailureKind::Malformed => return Listing::Other(scrub.line(&failure.detail)),
        Err(failure) => return Listing::NoAnswer(scrub.line(&failure.detail)),
    };
    match page.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Listing::NeedsKey,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
            return Listing::NotServed;
        }
        StatusCode::SERVICE_UNAVAILABLE if contains(&page.body, "loading") => return Listing::Loading,
        status if !status.is_success() => {
            return Listing::Other(format!("answered {} to GET /models", status.as_u16()));
        }
        _ => {}
    }
    let Ok(value) = serde_json::from_slice::<Value>(&page.body) else {
        let what = page.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let what = what.and_then(|what| what.split(';').next()).unwrap_or("something");
        return Listing::Other(format!(
            "answered {what}, not JSON: not an OpenAI-compatible server (starts with {:?})",
            scrub.excerpt(&page.body, EXCERPT)
        ));
    };
    match entries(&value) {
        Some(entries) => Listing::Models(entries.iter().filter_map(listed).collect()),
        None => Listing::Other(format!(
            "answered JSON without a list of models: not an OpenAI-compatible server (starts with {:?})",
            scrub.excerpt(&page.body, EXCERPT)
        )),
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
    let name = text("id").or_else(|| text("name")).or_else(|| entry.as_str())?.to_owned();
    let owner = text("owned_by").unwrap_or_default().to_lowercase();
    let is_loaded = entry.pointer("/status/value").and_then(Value::as_str).map(|status| status == "loaded");
    Some(Listed { name, owner, is_loaded })
}

fn contains(body: &[u8], word: &str) -> bool {
    String::from_utf8_lossy(body).to_lowercase().contains(word)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn check(status: u16, body: &str, expected: &str) {
        let mut headers = HeaderMap::new();
        let content_type = if body.starts_with('<') { "text/html; charset=utf-8" } else { "application/json" };
        headers.insert("content-type", content_type.parse().expect("a header value"));
        let status = StatusCode::from_u16(status).expect("a status");
        let page = Page { status, headers, body: body.as_bytes().to_vec() };
        let got = match read(Ok(page), &Scrub::default()) {
            Listing::Models(models) => models.into_iter().map(|model| model.name).collect::<Vec<_>>().join(" "),
            other => format!("{other:?}"),
        };
        assert_eq!(got, expected, "{body}");
    }

    #[test]
    fn reads_lists_of_many_shapes_and_names_what_is_none() {
        check(200, r#"{"object":"list","data":[{"id":"a"},{"id":"b"}]}"#, "a b");
        check(200, r#"{"object":"list","data":null}"#, "");
        check(200, r#"{"models":[{"name":"a"}]}"#, "a");
        check(200, r#"["a"]"#, "a");
        check(404, "{}", "NotServed");
        check(401, "{}", "NeedsKey");
        check(503, r#"{"error":{"message":"Loading model"}}"#, "Loading");
        check(500, "", r#"Other("answered 500 to GET /models")"#);
        check(
            200,
            "<!DOCTYPE html>",
            r#"Other("answered text/html, not JSON: not an OpenAI-compatible server (starts with \"<!DOCTYPE html>\")")"#,
        );
        check(
            200,
            r#"{"hello":1}"#,
            r#"Other("answered JSON without a list of models: not an OpenAI-compatible server (starts with \"{\\\"hello\\\":1}\")")"#,
        );
    }
}
