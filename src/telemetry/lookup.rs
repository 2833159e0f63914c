//! Asks the place that shows traces what it has of one: Jaeger's query API, version 3.
//!
//! Collectors only take; what others told in a trace is seen where it is stored. Sends no key of the collector's: the
//! query API is another server.

use std::fmt;
use std::time::Duration;

use http::Uri;
use serde_json::{Deserializer, Value};

use super::collector::{Collector, CollectorError};
use crate::backend::{Delivery, Messenger};
use crate::base::SpanContext;

/// Where Jaeger shows what it takes at port 4318.
const JAEGER_PORT: u16 = 16_686;
/// The port of OTLP over HTTP.
const OTLP_PORT: u16 = 4_318;
/// For each page.
const LIMIT: Duration = Duration::from_secs(3);
/// Most that is read of a trace: two spans of ours, and what a server tells of one request.
const SIZE: usize = 1 << 20;
const FLAG: &str = "--query";

/// A query API of Jaeger's.
pub struct Lookup {
    base: String,
    messenger: Messenger,
}

/// What is seen of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// There is no query API at this address; what is there instead.
    NoApi(String),
    /// It does not know the trace, or not yet.
    Unknown,
    /// The trace is there, with nothing in it but our own.
    Alone,
    /// Spans of others are in it.
    Joined(Vec<Other>),
}

/// A span that somebody else told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// Its name.
    pub name: String,
    /// `service.name` of whoever told it.
    pub service: String,
    /// True when the request is its parent: it went by the header of this very request.
    pub is_child: bool,
}

impl Lookup {
    /// Returns the query API that `named` names, else the one that is usually beside a collector; none where nothing is.
    ///
    /// # Errors
    /// `named` is no address, or no request can be made on this machine.
    pub fn beside(collector: &Collector, named: Option<&str>) -> Result<Option<Self>, CollectorError> {
        let base = match named {
            Some(named) => Some(read(named)?),
            None => usual(&collector.to),
        };
        let Some(base) = base else { return Ok(None) };
        let messenger = collector.messenger().map_err(CollectorError::Client)?;
        Ok(Some(Self { base, messenger }))
    }

    /// Looks once for what is in the trace beside `root` and `request`.
    pub(super) async fn look(&self, request: SpanContext, root: SpanContext) -> Seen {
        let page = match self.get("/api/v3/services").await {
            Ok(Delivery { status, body, .. }) if status.is_success() => {
                let services = serde_json::from_slice::<Value>(&body).ok();
                services
                    .filter(|page| page.get("services").is_some())
                    .ok_or_else(|| "something else answers".to_owned())
            }
            Ok(Delivery { status, .. }) => Err(format!("it answers {status}")),
            Err(why) => Err(why),
        };
        if let Err(why) = page {
            return Seen::NoApi(why);
        }
        match self.get(&format!("/api/v3/traces/{}", request.trace)).await {
            Ok(Delivery { status, body, .. }) if status.is_success() => seen(&body, request, root),
            // It answers 404 for a trace that it does not know, or not yet; and what else it has is not for long.
            Ok(_) | Err(_) => Seen::Unknown,
        }
    }

    async fn get(&self, path: &str) -> Result<Delivery, String> {
        let uri: Uri = format!("{}{path}", self.base).parse().map_err(|_| "no address".to_owned())?;
        self.messenger.get(uri, LIMIT, SIZE).await.map_err(|failure| failure.detail)
    }
}

impl fmt::Display for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

fn read(named: &str) -> Result<String, CollectorError> {
    let text = named.trim().trim_end_matches('/');
    if text.contains('@') {
        return Err(CollectorError::Credentials(FLAG));
    }
    let uri: Option<Uri> = text.parse().ok();
    let is_one = uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none());
    if is_one { Ok(text.to_owned()) } else { Err(CollectorError::Query { text: text.to_owned() }) }
}

fn usual(traces: &Uri) -> Option<String> {
    let is_usual = traces.port_u16() == Some(OTLP_PORT) && traces.path() == "/v1/traces";
    let (scheme, host) = (traces.scheme_str()?, traces.host()?);
    is_usual.then(|| format!("{scheme}://{host}:{JAEGER_PORT}"))
}

/// Reads an answer of OTLP's JSON under `result`; long traces come in several, one after the other.
fn seen(body: &[u8], request: SpanContext, root: SpanContext) -> Seen {
    let ours = [request.span.to_string(), root.span.to_string()];
    let (mut is_there, mut others) = (false, Vec::new());
    for page in Deserializer::from_slice(body).into_iter::<Value>().map_while(Result::ok) {
        for resource in list(&page["result"]["resourceSpans"]) {
            for span in list(&resource["scopeSpans"]).iter().flat_map(|scope| list(&scope["spans"])) {
                let id = span["spanId"].as_str().unwrap_or_default().to_ascii_lowercase();
                if ours.contains(&id) {
                    is_there = true;
                    continue;
                }
                let parent = span["parentSpanId"].as_str().unwrap_or_default();
                others.push(Other {
                    name: span["name"].as_str().unwrap_or("a span without a name").to_owned(),
                    service: service(resource),
                    is_child: parent.eq_ignore_ascii_case(&ours[0]),
                });
            }
        }
    }
    match (is_there, others.is_empty()) {
        (_, false) => {
            // What went by our header first.
            others.sort_by_key(|other| !other.is_child);
            Seen::Joined(others)
        }
        (true, true) => Seen::Alone,
        (false, true) => Seen::Unknown,
    }
}

fn service(resource: &Value) -> String {
    let attributes = list(&resource["resource"]["attributes"]);
    let named = attributes.iter().find(|attribute| attribute["key"] == "service.name");
    named.and_then(|named| named["value"]["stringValue"].as_str()).unwrap_or("a service without a name").to_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const ROOT: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

    fn check(spans: &str, expected: &Seen) {
        let body = format!(
            r#"{{"result":{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"vllm"}}}}]}},
            "scopeSpans":[{{"spans":[{spans}]}}]}}]}}}}"#
        );
        let context = |text: &str| text.parse().expect("a traceparent");
        assert_eq!(seen(body.as_bytes(), context(REQUEST), context(ROOT)), *expected);
    }

    #[test]
    fn whose_spans_are_in_a_trace_is_told_apart() {
        let ours = r#"{"spanId":"00F067AA0BA902B7","name":"pipe.doctor"}"#;
        let child = r#"{"spanId":"0000000000000001","parentSpanId":"B7ad6b7169203331","name":"llm_request"}"#;
        let other = r#"{"spanId":"0000000000000002","parentSpanId":"0000000000000001","name":"queue"}"#;
        let theirs = |name: &str, is_child| Other { name: name.to_owned(), service: "vllm".to_owned(), is_child };
        check("", &Seen::Unknown);
        check(ours, &Seen::Alone);
        let both = Seen::Joined(vec![theirs("llm_request", true), theirs("queue", false)]);
        check(&format!("{ours},{other},{child}"), &both);
        check(child, &Seen::Joined(vec![theirs("llm_request", true)]));
    }

    #[test]
    fn a_query_api_is_looked_for_where_jaeger_has_it() {
        let place = |url: &str| usual(&url.parse().expect("an address"));
        assert_eq!(place("http://jaeger:4318/v1/traces").as_deref(), Some("http://jaeger:16686"));
        assert_eq!(place("http://[::1]:4318/v1/traces").as_deref(), Some("http://[::1]:16686"));
        assert_eq!(place("https://otlp.example.org/v1/traces"), None);
        assert_eq!(place("http://phoenix:6006/v1/traces"), None);
        assert_eq!(read("http://localhost:16686/").ok().as_deref(), Some("http://localhost:16686"));
        assert!(read("localhost:16686").is_err());
    }
}
