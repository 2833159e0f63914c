//! Where spans are sent: by a flag, else by the variables that every OpenTelemetry exporter reads, else by the pipeline.

use std::error::Error as _;
use std::fmt;
use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Uri};

use super::attributes::Attributes;
use super::signal::{Signal, set};
use super::span::Attribute;
use crate::backend::{Authority, Messenger};
use crate::base::Digest;

/// Reads a variable of the environment.
pub type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A collector that takes OTLP over HTTP. Headers may hold secrets: they are never shown.
#[derive(Clone)]
pub struct Collector {
    /// What is sent there.
    pub(super) signal: Signal,
    /// Where it is posted.
    pub(super) to: Uri,
    pub(super) headers: HeaderMap,
    pub(super) compressed: bool,
    pub(super) timeout: Duration,
    /// Whose certificates it may show.
    pub(super) authority: Option<Authority>,
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
    /// A certificate of our own is asked for.
    #[error(
        "{0} is set, but collectors are shown no certificate of our own; unset it, or put a collector that does between"
    )]
    OwnCertificate(&'static str),
    /// A protocol that is not spoken.
    #[error(
        "{variable} is {text:?}; what is sent goes by http/protobuf, which every collector takes, usually at port 4318"
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
const ANY: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// How long a collector may take to answer, by OpenTelemetry's specification.
const USUAL_TIMEOUT: Duration = Duration::from_secs(10);

impl Collector {
    /// Finds the collector that a signal is sent to; none where nobody names one.
    ///
    /// Spans go wherever a collector is named. Logs and metrics go where theirs is, and to the one for all only if
    /// `OTEL_LOGS_EXPORTER` or `OTEL_METRICS_EXPORTER` says `otlp`: Jaeger and others that store traces refuse both.
    ///
    /// # Errors
    /// What names one is no address, or asks for what is not spoken.
    pub fn find(signal: Signal, flag: Option<&str>, variable: Variable<'_>) -> Result<Option<Self>, CollectorError> {
        let Some(to) = endpoint(signal, flag, variable)? else { return Ok(None) };
        let variables = signal.variables();
        if let Some((variable, text)) = variables.protocol.read(variable)
            && text.trim() != "http/protobuf"
        {
            return Err(CollectorError::Protocol { variable, text });
        }
        if let Some((variable, _)) = variables.own_certificate.iter().find_map(|pair| pair.read(variable)) {
            return Err(CollectorError::OwnCertificate(variable));
        }
        let headers = match variables.headers.read(variable) {
            Some((variable, text)) => headers(variable, &text)?,
            None => HeaderMap::new(),
        };
        let compressed = match variables.compression.read(variable) {
            None => true,
            Some((_, text)) if text.trim() == "gzip" => true,
            Some((_, text)) if text.trim() == "none" => false,
            Some((variable, text)) => {
                return Err(CollectorError::Odd { variable, text, expected: "it is gzip or none" });
            }
        };
        let timeout = match variables.timeout.read(variable) {
            None => USUAL_TIMEOUT,
            Some((variable, text)) => match text.trim().parse::<u64>() {
                Ok(millis) if millis > 0 => Duration::from_millis(millis),
                Ok(_) | Err(_) => {
                    return Err(CollectorError::Odd { variable, text, expected: "it is a number of milliseconds" });
                }
            },
        };
        let authority = variables.certificate.read(variable);
        let authority = authority.map(|(variable, file)| Authority { variable, file: file.trim().into() });
        let collector = Self { signal, to, headers, compressed, timeout, authority, resource: resource(variable) };
        // A file of certificates that is of no use is told before a run, not at its end.
        collector.messenger().map_err(CollectorError::Client)?;
        Ok(Some(collector))
    }

    /// Returns a client that trusts whom this collector is to be trusted by.
    ///
    /// # Errors
    /// Certificates that cannot be read, or no TLS on this machine; in words.
    pub(super) fn messenger(&self) -> Result<Messenger, String> {
        Messenger::trusting(self.authority.as_ref()).map_err(|error| match error.source() {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        })
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
        Digest::of(self.to.to_string().as_bytes()).short()
    }
}

/// For people: where it is, without a query, which may hold a key.
impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host) = (self.to.scheme_str().unwrap_or_default(), self.to.authority());
        let host = host.map_or("", http::uri::Authority::as_str);
        write!(f, "{scheme}://{host}{}", self.to.path().trim_end_matches(self.signal.path()))
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

/// Returns where a signal is posted, if anywhere.
fn endpoint(signal: Signal, flag: Option<&str>, variable: Variable<'_>) -> Result<Option<Uri>, CollectorError> {
    let names = signal.variables();
    let exporter = set(names.exporter, variable);
    let exporters = || exporter.iter().flat_map(|text| text.split(',')).map(str::trim);
    let is_asked_for = exporters().any(|one| one == "otlp");
    let is_disabled = set("OTEL_SDK_DISABLED", variable).is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || exporters().any(|one| one == "none");
    let exact = || set(names.endpoint, variable);
    let found = match (signal, flag) {
        // A flag is nearer than anything in the environment.
        (Signal::Traces, Some(flag)) => return address(FLAG, flag, Some(signal)).map(Some),
        _ if is_disabled => None,
        (_, flag) => match exact() {
            Some(exact) => Some(address(names.endpoint, &exact, None)?),
            None if signal != Signal::Traces && !is_asked_for => None,
            None => match (flag, set(ANY, variable)) {
                (Some(flag), _) => Some(address(FLAG, flag.trim_end_matches(Signal::Traces.path()), Some(signal))?),
                (None, Some(base)) => Some(address(ANY, &base, Some(signal))?),
                (None, None) => None,
            },
        },
    };
    match exporter {
        Some(text) if found.is_some() && !is_asked_for => {
            let expected = "what is sent goes by otlp; it is otlp or none";
            Err(CollectorError::Odd { variable: names.exporter, text, expected })
        }
        Some(_) | None => Ok(found),
    }
}

/// Reads an address; with a signal it is that of the whole collector, else exactly where to post.
fn address(place: &'static str, text: &str, base_of: Option<Signal>) -> Result<Uri, CollectorError> {
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
    let Some(signal) = base_of.filter(|signal| !uri.path().ends_with(signal.path())) else { return Ok(uri) };
    if uri.query().is_some() {
        return Err(refuse());
    }
    format!("{}{}", text.trim_end_matches('/'), signal.path()).parse().map_err(|_| refuse())
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

    const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";

    fn find(flag: Option<&str>, set: &[(&str, &str)]) -> Result<Option<Collector>, CollectorError> {
        let variable = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Collector::find(Signal::Traces, flag, &variable)
    }

    fn place(flag: Option<&str>, set: &[(&str, &str)]) -> String {
        match find(flag, set) {
            Ok(None) => "none".to_owned(),
            Ok(Some(collector)) => collector.to.to_string(),
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
    fn logs_and_metrics_go_only_where_somebody_wants_them() {
        let to = |signal: Signal, flag: Option<&str>, set: &[(&str, &str)]| {
            let variable =
                |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            match Collector::find(signal, flag, &variable) {
                Ok(None) => "none".to_owned(),
                Ok(Some(collector)) => format!("{} {collector}", collector.to),
                Err(error) => error.to_string(),
            }
        };
        let any = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://any:4318");
        let wanted = ("OTEL_LOGS_EXPORTER", "otlp");
        assert_eq!(to(Signal::Logs, Some("http://flag:4318"), &[any]), "none", "Jaeger stores no logs");
        assert_eq!(to(Signal::Logs, None, &[any, wanted]), "http://any:4318/v1/logs http://any:4318");
        let flag = "http://flag:4318/v1/traces";
        assert_eq!(to(Signal::Logs, Some(flag), &[any, wanted]), "http://flag:4318/v1/logs http://flag:4318");
        let exact = ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://logs:1/otlp");
        assert_eq!(to(Signal::Logs, Some(flag), &[any, exact]), "http://logs:1/otlp http://logs:1/otlp");
        assert_eq!(to(Signal::Logs, None, &[exact, ("OTEL_LOGS_EXPORTER", "none")]), "none");
        assert_eq!(to(Signal::Metrics, None, &[any, wanted]), "none");
        let metrics = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://m:4318/v1/metrics");
        assert_eq!(to(Signal::Metrics, None, &[metrics]), "http://m:4318/v1/metrics http://m:4318");
        let told = to(Signal::Metrics, None, &[metrics, ("OTEL_METRICS_EXPORTER", "prometheus")]);
        assert!(told.contains("it is otlp or none"), "{told}");
    }

    #[test]
    fn certificates_are_read_before_anything_is_sent() {
        let error = place(Some("https://h"), &[("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem")]);
        assert!(error.contains("OTEL_EXPORTER_OTLP_CERTIFICATE names /nowhere.pem"), "{error}");
        let authority = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fault_server/tls/authority.pem");
        assert_eq!(place(Some("https://h"), &[("OTEL_EXPORTER_OTLP_CERTIFICATE", authority)]), "https://h/v1/traces");
        let error = place(Some("https://h"), &[("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "key.pem")]);
        assert!(error.contains("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY is set, but"), "{error}");
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
