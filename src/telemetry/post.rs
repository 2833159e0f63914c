//! One request to a collector, and what its answer means.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};

use super::collector::Collector;
use super::wire;
use crate::backend::{Delivery, Messenger};
use crate::event::Failure;

/// What an answer means for the spans of a request.
pub(super) enum Answer {
    /// They are there, but for so many.
    Taken(u64),
    /// Not now; perhaps after so long.
    Busy(Option<Duration>),
    /// The collector has trouble of its own.
    Failed,
    /// More than it takes at once.
    TooLarge,
    /// It cannot read them.
    Unreadable,
    /// It will refuse all that follows, too.
    Never {
        /// What it said.
        answer: String,
        /// What to look at.
        help: &'static str,
    },
}

/// The way to one collector.
pub(super) struct Post {
    messenger: Messenger,
    to: Uri,
    headers: HeaderMap,
    timeout: Duration,
}

impl Post {
    pub(super) fn new(collector: &Collector) -> Result<Self, String> {
        let mut headers = collector.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if collector.compressed {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let messenger = collector.messenger()?;
        Ok(Self { messenger, to: collector.to.clone(), headers, timeout: collector.timeout })
    }

    pub(super) async fn send(&self, body: Bytes) -> Answer {
        let Ok(Delivery { status, headers, body }) = self.deliver(body).await else { return Answer::Busy(None) };
        match status.as_u16() {
            200..=299 => Answer::Taken(wire::rejected(&body).map_or(0, |(count, _)| count)),
            408 | 429 | 502 | 503 | 504 => Answer::Busy(wait(&headers)),
            413 => Answer::TooLarge,
            400 | 422 => Answer::Unreadable,
            500..=599 => Answer::Failed,
            code => Answer::Never { answer: says(status), help: help(code) },
        }
    }

    /// Sends once, for people: all of it must be taken.
    ///
    /// # Errors
    /// What stands in the way, and what to look at.
    pub(super) async fn try_once(&self, body: Bytes) -> Result<(), Untaken> {
        let untaken = |answer: String, help| Err(Untaken { answer, help });
        let Delivery { status, body, .. } = match self.deliver(body).await {
            Ok(delivery) => delivery,
            Err(failure) => return untaken(failure.detail, ABSENT),
        };
        if !status.is_success() {
            return untaken(format!("it answers {}", says(status)), help(status.as_u16()));
        }
        match wire::rejected(&body) {
            Some((_, why)) if why.is_empty() => untaken("it rejects spans and does not say why".to_owned(), OWN_LOG),
            Some((_, why)) => untaken(format!("it rejects spans: {why}"), OWN_LOG),
            None => Ok(()),
        }
    }

    async fn deliver(&self, body: Bytes) -> Result<Delivery, Failure> {
        self.messenger.post(self.to.clone(), self.headers.clone(), body, self.timeout).await
    }
}

/// Why a collector does not have a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untaken {
    /// What happened.
    pub answer: String,
    /// What to look at.
    pub help: &'static str,
}

const ABSENT: &str = "is it started, and does it listen for OTLP over HTTP there? usually port 4318";
const OWN_LOG: &str = "its own log says more";

fn wait(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse::<u64>().ok()?;
    Some(Duration::from_secs(seconds))
}

fn says(status: StatusCode) -> String {
    status.canonical_reason().map_or_else(|| status.to_string(), |reason| format!("{} {reason}", status.as_u16()))
}

const fn help(code: u16) -> &'static str {
    match code {
        401 | 403 => "put its key into OTEL_EXPORTER_OTLP_HEADERS, as authorization=Bearer%20…",
        404 | 405 => {
            "spans are posted to …/v1/traces below the address, evaluations to …/v1/logs; \
             OTEL_EXPORTER_OTLP_TRACES_ENDPOINT and …_LOGS_ENDPOINT give other paths"
        }
        400 | 408 | 413 | 422 | 429 | 500..=599 => OWN_LOG,
        415 => "it does not take protocol buffers over HTTP; look for its OTLP/HTTP address, usually port 4318",
        300..=399 => "it points elsewhere; give that address",
        _ => "is that the address of an OTLP/HTTP collector, usually port 4318?",
    }
}
