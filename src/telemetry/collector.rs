//! Where spans are sent: by a flag, else by the variables that every OpenTelemetry exporter reads, else by the pipeline.

use std::fmt;
use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Uri};

use super::attributes::Attributes;
use super::span::Attribute;
use crate::base::Digest;

/// Reads a variable of the environment.
pub type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A collector that takes OTLP over HTTP. Headers may hold secrets: they are never shown.
#[derive(Clone)]
pub struct Collector {
    /// Where spans are posted.
    pub(super) traces: Uri,
    pub(super) headers: HeaderMap,
    pub(super) compressed: bool,
    pub(super) timeout: Duration,
    /// What is said of this program beside its spans.
    pub(super) resource: Vec<Attribute>,
}

/// A collector that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CollectorError {
    /// No address.
    #[error("{place} is no address of a collector: {text:?}; write one such as \"http://localhost:4318\"")]
    Address {
        /// Where it is written.
        place: &'static str,
        /// What is written, without what may be a password.
        text: String,
    },
    /// No address of a query API.
    #[error("--query is no address of Jaeger's query API: {text:?}; write one such as \"http://localhost:16686\"")]
    Query {
        /// What is written.
        text: String,
    },
    /// Requests cannot be made on this machine.
    #[error("requests cannot be made: {0}")]
    Client(String),
    /// A user name or password in the address.
    #[error("{0} holds a user name or password; put them into OTEL_EXPORTER_OTLP_HEADERS")]
    Credentials(&'static str),
    /// A protocol that is not spoken.
    #[error(
        "{variable} is {text:?}; spans are sent by http/protobuf, which every collector takes, usually at port 4318"
    )]
    Protocol {
        /// The variable.
        variable: &'static str,
        /// Its value.
        text: String,
    },
    /// A header that no HTTP header may be; its value is not repeated.
    #[error("{variable} is no list of name=value, separated by commas: entry {entry}")]
    Header {
        /// The variable.
        variable: &'static str,
        /// Which entry, from 1.
        entry: usize,
    },
    /// A value that is not understood.
    #[error("{variable} is {text:?}; {expected}")]
    Odd {
        /// The variable.
        variable: &'static str,
        /// Its value.
        text: String,
        /// What it may be.
        expected: &'static str,
    },
}

const FLAG: &str = "the given URL";
const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const ANY: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// How long a collector may take to answer, by OpenTelemetry's specification.
const USUAL_TIMEOUT: Duration = Duration::from_secs(10);

impl Collector {
    /// Finds the collector to send to; none where nobody names one.
    ///
    /// # Errors
    /// What names one is no address, or asks for what is not spoken.
    pub fn find(flag: Option<&str>, variable: Variable<'_>) -> Result<Option<Self>, CollectorError> {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let disabled = set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
            || set("OTEL_TRACES_EXPORTER").is_some_and(|value| value.trim() == "none");
        let traces = match flag {
            Some(flag) => Some(address(FLAG, flag, true)?),
            None if disabled => None,
            None => match (set(TRACES), set(ANY)) {
                (Some(exact), _) => Some(address(TRACES, &exact, false)?),
                (None, Some(base)) => Some(address(ANY, &base, true)?),
                (None, None) => None,
            },
        };
        let Some(traces) = traces else { return Ok(None) };
        let either = |one: &'static str, other: &'static str| {
            set(one).map(|value| (one, value)).or_else(|| set(other).map(|value| (other, value)))
        };
        if let Some((variable, text)) = either("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
            && text.trim() != "http/protobuf"
        {
            return Err(CollectorError::Protocol { variable, text });
        }
        let headers = match either("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS") {
            Some((variable, text)) => headers(variable, &text)?,
            None => HeaderMap::new(),
        };
        let compressed = match either("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION") {
            None => true,
            Some((_, text)) if text.trim() == "gzip" => true,
            Some((_, text)) if text.trim() == "none" => false,
            Some((variable, text)) => {
                return Err(CollectorError::Odd { variable, text, expected: "it is gzip or none" });
            }
        };
        let timeout = match either("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT") {
            None => USUAL_TIMEOUT,
            Some((variable, text)) => match text.trim().parse::<u64>() {
                Ok(millis) if millis > 0 => Duration::from_millis(millis),
                Ok(_) | Err(_) => {
                    return Err(CollectorError::Odd { variable, text, expected: "it is a number of milliseconds" });
                }
            },
        };
        Ok(Some(Self { traces, headers, compressed, timeout, resource: resource(variable) }))
    }

    /// Returns a request as it is sent: packed, if this collector takes it so.
    pub(super) fn body(&self, request: &[u8]) -> Bytes {
        if !self.compressed {
            return Bytes::copy_from_slice(request);
        }
        let mut encoder = GzEncoder::new(Vec::with_capacity(request.len() / 4), Compression::fast());
        let packed = encoder.write_all(request).and_then(|()| encoder.finish()).expect("a vector takes all");
        Bytes::from(packed)
    }

    /// Returns the name under which it is remembered what was sent there.
    #[must_use]
    pub(super) fn key(&self) -> String {
        Digest::of(self.traces.to_string().as_bytes()).short()
    }
}

/// For people: where it is, without a query, which may hold a key.
impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host) = (self.traces.scheme_str().unwrap_or_default(), self.traces.authority());
        let host = host.map_or("", http::uri::Authority::as_str);
        write!(f, "{scheme}://{host}{}", self.traces.path().trim_end_matches("/v1/traces"))
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Collector({self})")
    }
}

/// Returns what is said of this program, the same on every machine, so that spans sent again are the same bytes.
#[must_use]
pub fn resource(variable: Variable<'_>) -> Vec<Attribute> {
    let mut attributes = Attributes::default();
    let mut name = variable("OTEL_SERVICE_NAME").filter(|name| !name.is_empty());
    let mut more = Vec::new();
    for pair in variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default().split(',') {
        let Some((key, value)) = pair.split_once('=') else { continue };
        let (key, value) = (key.trim().to_owned(), decoded(value.trim()));
        match key.as_str() {
            "service.name" => name = name.or(Some(value)),
            "" => {}
            _ => more.push((key, value)),
        }
    }
    attributes.put("service.name", name.unwrap_or_else(|| "pipe".to_owned()));
    attributes.put("service.version", env!("CARGO_PKG_VERSION"));
    attributes.put("telemetry.sdk.name", "pipe").put("telemetry.sdk.language", "rust");
    attributes.put("telemetry.sdk.version", env!("CARGO_PKG_VERSION"));
    for (key, value) in more {
        attributes.put(key, value);
    }
    attributes.take()
}

fn address(place: &'static str, text: &str, is_base: bool) -> Result<Uri, CollectorError> {
    let text = text.trim();
    if text.contains('@') {
        return Err(CollectorError::Credentials(place));
    }
    let refuse = || CollectorError::Address { place, text: text.to_owned() };
    let uri: Uri = text.parse().map_err(|_| refuse())?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    if !is_http || uri.host().is_none_or(str::is_empty) {
        return Err(refuse());
    }
    if !is_base || uri.path().ends_with("/v1/traces") {
        return Ok(uri);
    }
    if uri.query().is_some() {
        return Err(refuse());
    }
    format!("{}/v1/traces", text.trim_end_matches('/')).parse().map_err(|_| refuse())
}

fn headers(variable: &'static str, text: &str) -> Result<HeaderMap, CollectorError> {
    let mut headers = HeaderMap::new();
    for (place, pair) in text.split(',').enumerate().filter(|(_, pair)| !pair.trim().is_empty()) {
        let refuse = || CollectorError::Header { variable, entry: place + 1 };
        let (name, value) = pair.split_once('=').ok_or_else(refuse)?;
        let name: HeaderName = name.trim().parse().map_err(|_| refuse())?;
        let mut value: HeaderValue = decoded(value.trim()).parse().map_err(|_| refuse())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// Returns a text with `%20` and the like read.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.filter(|_| *first == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(flag: Option<&str>, set: &[(&str, &str)]) -> Result<Option<Collector>, CollectorError> {
        let variable = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Collector::find(flag, &variable)
    }

    fn place(flag: Option<&str>, set: &[(&str, &str)]) -> String {
        match find(flag, set) {
            Ok(None) => "none".to_owned(),
            Ok(Some(collector)) => collector.traces.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn who_is_nearer_decides_where_spans_go() {
        let both = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://any:4318/"), (TRACES, "http://exact:1/otlp?key=1")];
        assert_eq!(place(None, &[]), "none");
        assert_eq!(place(None, &both[..1]), "http://any:4318/v1/traces");
        assert_eq!(place(None, &both), "http://exact:1/otlp?key=1", "as it is");
        assert_eq!(place(Some("http://flag/v1/traces"), &both), "http://flag/v1/traces");
        let disabled = [("OTEL_SDK_DISABLED", "true"), both[0]];
        assert_eq!(place(None, &disabled), "none");
    }

    #[test]
    fn what_cannot_be_is_told_and_no_secret_repeated() {
        assert_eq!(
            place(Some("localhost:4318"), &[]),
            r#"the given URL is no address of a collector: "localhost:4318"; write one such as "http://localhost:4318""#
        );
        let error = place(Some("http://me:hunter2@h"), &[]);
        assert!(!error.contains("hunter2") && error.contains("OTEL_EXPORTER_OTLP_HEADERS"), "{error}");
        let set = [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
        assert!(place(Some("http://h:4317"), &set).contains("http/protobuf"));
        let set = [("OTEL_EXPORTER_OTLP_HEADERS", "a=1,hunter2")];
        let error = place(Some("http://h"), &set);
        assert!(!error.contains("hunter2") && error.contains("entry 2"), "{error}");
    }

    #[test]
    fn headers_are_decoded_and_never_shown() {
        let set = [("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20c2VjcmV0, x-scope = a%2Cb")];
        let collector = find(Some("http://h:4318/v1/traces?key=c2VjcmV0"), &set).expect("it is one");
        let collector = collector.expect("it is named");
        assert_eq!(collector.headers["authorization"], "Basic c2VjcmV0");
        assert_eq!(collector.headers["x-scope"], "a,b");
        assert!(!format!("{collector:?} {collector} {:?}", collector.headers).contains("c2VjcmV0"));
    }
}
