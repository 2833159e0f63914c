//! Metrics pushed to a collector every so often, by the SDK's own reader on its own thread.
//!
//! Counts, not facts: what a collector does not take is lost, and the next push says more. Never holds a run up.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use tokio::runtime::Handle;

use super::encode;
use crate::telemetry::collector::{Collector, CollectorError, Variable};
use crate::telemetry::post::{Post, Untaken};
use crate::telemetry::signal::{Signal, set};

const PREFERENCE: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";

/// Where metrics are pushed to, and how.
#[derive(Clone, Debug)]
pub struct Push {
    collector: Collector,
    temporality: Temporality,
}

impl Push {
    /// Finds where to; none where nobody wants them: see [`Collector::find`].
    ///
    /// # Errors
    /// What names a collector is no address, or the environment asks for what is not understood.
    pub fn find(variable: Variable<'_>) -> Result<Option<Self>, CollectorError> {
        let Some(collector) = Collector::find(Signal::Metrics, None, variable)? else { return Ok(None) };
        let preference = set(PREFERENCE, variable).map(|text| text.trim().to_ascii_lowercase());
        let temporality = match preference.as_deref() {
            None | Some("cumulative") => Temporality::Cumulative,
            Some("delta") => Temporality::Delta,
            Some("lowmemory") => Temporality::LowMemory,
            Some(text) => {
                let expected = "it is cumulative, delta or lowmemory";
                return Err(CollectorError::Odd { variable: PREFERENCE, text: text.to_owned(), expected });
            }
        };
        Ok(Some(Self { collector, temporality }))
    }
}

/// For people: where to.
impl fmt::Display for Push {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.collector.fmt(f)
    }
}

/// What became of what was pushed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// How often the collector took all.
    pub taken: u64,
    /// What it said when it last did not.
    pub trouble: Option<Untaken>,
}

/// Encodes what the SDK collects and posts it.
pub(super) struct Exporter {
    post: Arc<Post>,
    push: Push,
    pushed: Arc<Mutex<Pushed>>,
    runtime: Handle,
}

impl Exporter {
    /// Returns one that tells `pushed` what becomes of it; sockets belong to `runtime`.
    pub(super) fn new(push: Push, pushed: Arc<Mutex<Pushed>>, runtime: Handle) -> Result<Self, String> {
        let post = Arc::new(Post::new(&push.collector)?);
        Ok(Self { post, push, pushed, runtime })
    }
}

impl PushMetricExporter for Exporter {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let body = self.push.collector.body(&encode::request(metrics));
        let post = Arc::clone(&self.post);
        // The SDK calls from a thread of its own.
        let posted = self.runtime.spawn(async move { post.try_once(body).await }).await;
        let posted = posted.map_err(|error| OTelSdkError::InternalFailure(error.to_string()))?;
        let mut pushed = self.pushed.lock().unwrap_or_else(PoisonError::into_inner);
        pushed.taken += u64::from(posted.is_ok());
        pushed.trouble = posted.err();
        match &pushed.trouble {
            None => Ok(()),
            Some(untaken) => {
                tracing::debug!(answer = untaken.answer, "metrics were not taken");
                Err(OTelSdkError::InternalFailure(untaken.answer.clone()))
            }
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        self.push.temporality
    }
}
