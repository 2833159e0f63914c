//! What `pipe` itself does, in spans of its own: commands, connecting, checkpoints; with what it logs in them.
//!
//! These are about the process and not about the run: they come from `tracing`, through the SDK, and may be lost when a
//! collector is away. What happened in a run is told by [`super::Projector`], and never lost.
//! Start at [`Own::start`].

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use opentelemetry::trace::{SpanKind, Status as SdkStatus, TracerProvider as _};
use opentelemetry::{KeyValue, Value as SdkValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use tokio::runtime::Handle;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

use super::collector::Collector;
use super::names;
use super::post::{Answer, Post};
use super::span::{Attribute, Kind, Span, SpanEvent, Status, Value};
use super::wire;
use crate::base::{SpanContext, SpanId, Timestamp, TraceId};

/// How long the end of a command waits for the last of its spans to be taken.
const PATIENCE: Duration = Duration::from_secs(2);
/// What of `tracing` is told: our own.
const OURS: &str = "pipe";

/// The telling of this process. Without one, nothing of it is set up.
pub struct Own(SdkTracerProvider);

impl Own {
    /// Begins to tell what this process does; false luck costs the telling, never the command.
    ///
    /// # Errors
    /// The message of what cannot be set up.
    pub fn start(collector: &Collector, runtime: Handle) -> Result<Self, String> {
        let collector = Collector { compressed: false, ..collector.clone() };
        let post = Arc::new(Post::new(&collector)?);
        let exporter = Exporter { post, resource: collector.resource, runtime };
        // What it is about stands in the exporter's own words.
        let provider = SdkTracerProvider::builder()
            .with_resource(Resource::builder_empty().build())
            .with_batch_exporter(exporter)
            .build();
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(names::SCOPE))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_filter(Targets::new().with_target(OURS, Level::DEBUG));
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer))
            .map_err(|error| error.to_string())?;
        Ok(Self(provider))
    }

    /// Sends what has not been sent, within two seconds. Blocks.
    pub fn finish(self) {
        if let Err(error) = self.0.shutdown_with_timeout(PATIENCE) {
            tracing::debug!(%error, "the last spans of this process were not taken");
        }
    }
}

/// Brings the SDK's spans to a collector in our own encoding.
struct Exporter {
    post: Arc<Post>,
    resource: Vec<Attribute>,
    runtime: Handle,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exporter")
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans: Vec<Vec<u8>> = batch.into_iter().filter_map(told).map(|span| wire::span(&span)).collect();
        let body = Bytes::from(wire::request(&self.resource, spans.iter().map(Vec::as_slice)));
        let post = Arc::clone(&self.post);
        // The SDK calls from a thread of its own; sockets belong to the runtime.
        match self.runtime.spawn(async move { post.send(body).await }).await {
            Ok(Answer::Taken(_)) => Ok(()),
            Ok(_) => Err(OTelSdkError::InternalFailure("the collector did not take them".to_owned())),
            Err(error) => Err(OTelSdkError::InternalFailure(error.to_string())),
        }
    }
}

/// Returns a span of the SDK in our words.
fn told(span: SpanData) -> Option<Span> {
    let trace = TraceId::from_bytes(span.span_context.trace_id().to_bytes())?;
    let own = SpanId::from_bytes(span.span_context.span_id().to_bytes())?;
    let events = span.events.events.into_iter().map(|event| SpanEvent {
        at: timestamp(event.timestamp),
        name: "log",
        attributes: std::iter::once(attribute(KeyValue::new("message", event.name.into_owned())))
            .chain(event.attributes.into_iter().map(attribute))
            .collect(),
    });
    let mut attributes: Vec<Attribute> = span.attributes.into_iter().map(attribute).collect();
    if matches!(span.status, SdkStatus::Error { .. }) {
        // What failed says why; `tracing` knows no more than the message.
        attributes.push(attribute(KeyValue::new(names::ERROR_TYPE, "_OTHER")));
    }
    Some(Span {
        context: SpanContext { trace, span: own },
        parent: SpanId::from_bytes(span.parent_span_id.to_bytes()),
        name: span.name.into_owned(),
        kind: if span.span_kind == SpanKind::Client { Kind::Client } else { Kind::Internal },
        start: timestamp(span.start_time),
        end: timestamp(span.end_time),
        attributes,
        events: events.collect(),
        links: Vec::new(),
        status: match span.status {
            SdkStatus::Error { description } => Status::Error(description.into_owned()),
            SdkStatus::Unset | SdkStatus::Ok => Status::Unset,
        },
    })
}

/// Returns an attribute of the SDK in our words.
pub(super) fn attribute(pair: KeyValue) -> Attribute {
    let value = match pair.value {
        SdkValue::Bool(flag) => Value::Bool(flag),
        SdkValue::I64(number) => Value::Int(number),
        SdkValue::F64(number) => Value::Float(number),
        other => Value::Text(other.to_string()),
    };
    Attribute { key: pair.key.to_string().into(), value }
}

fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
