//! What of a run leaves this machine in its spans.

use super::collector::{CollectorError, Variable};
use crate::plan::{Content, Plan, Secret, SpanSample};

/// How a run is told.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Whether prompts and answers go along.
    pub content: Content,
    /// Which cases are told; none is all.
    pub sample: Option<SpanSample>,
    /// Texts that must appear nowhere: wherever one stands in a prompt or an answer, it is replaced.
    pub secrets: Vec<Secret>,
}

/// The variable that OpenTelemetry's conventions name for content; it has the last word.
const CAPTURE: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";

impl Settings {
    /// Returns how a run is told: as its file says, and the environment above it. Without a plan, keys are not known.
    ///
    /// # Errors
    /// The environment says of content what is not understood.
    pub fn of(plan: Option<&Plan>, variable: Variable<'_>) -> Result<Self, CollectorError> {
        let keys =
            plan.into_iter().flat_map(|plan| plan.backends.iter()).filter_map(|backend| backend.api_key.clone());
        let told = plan.map(|plan| plan.telemetry.clone()).unwrap_or_default();
        let content = match variable(CAPTURE).filter(|text| !text.trim().is_empty()) {
            None => told.content,
            Some(text) => match text.trim().to_ascii_uppercase().as_str() {
                "TRUE" | "SPAN_ONLY" | "SPAN_AND_EVENT" => Content::Full,
                "FALSE" | "NO_CONTENT" | "EVENT_ONLY" => Content::None,
                _ => {
                    let expected = "it is true, false, SPAN_ONLY, SPAN_AND_EVENT, EVENT_ONLY or NO_CONTENT";
                    return Err(CollectorError::Odd { variable: CAPTURE, text, expected });
                }
            },
        };
        Ok(Self { content, sample: told.sample, secrets: keys.collect() })
    }
}
