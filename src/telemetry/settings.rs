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
        let backends = || plan.into_iter().flat_map(|plan| plan.backends.iter());
        let keys = backends().filter_map(|backend| backend.api_key.clone());
        let headers = backends().flat_map(|backend| &backend.headers).flat_map(|(_, value)| secrets_in(value));
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
        Ok(Self { content, sample: told.sample, secrets: keys.chain(headers).collect() })
    }
}

/// Shorter values of headers are words such as the name of a team: taken out of every text, they would mangle it.
const SHORTEST: usize = 8;

/// Returns what of a header must appear nowhere: its value, and what follows a scheme such as `Bearer`.
fn secrets_in(value: &Secret) -> Vec<Secret> {
    let whole = value.expose();
    let token = whole.split_once(' ').map(|(_, token)| token);
    let found = [Some(whole), token].into_iter().flatten().filter(|text| text.len() >= SHORTEST);
    found.map(Secret::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_a_secret_with_its_scheme_and_without() {
        let found = |value: &str| {
            let found = secrets_in(&Secret::new(value));
            found.iter().map(|secret| secret.expose().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(found("Bearer sk-canary"), ["Bearer sk-canary", "sk-canary"]);
        assert_eq!(found("k-0123456789"), ["k-0123456789"]);
        assert!(found("lab").is_empty());
    }
}
