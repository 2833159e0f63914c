//! `error.type`: a short list of words for everything that can go wrong.

use crate::event::{Failure, FailureKind, TimeoutPhase};

/// Returns the word for a failure: an HTTP status, or one of `timeout`, `connect`, `stream_aborted`,
/// `invalid_response`, `schema_mismatch`, `context_length_exceeded`, `content_filter`, `cancelled`, `assertion`,
/// `template`, `_OTHER`.
#[must_use]
pub fn error_type(failure: &Failure) -> String {
    let word = match failure.kind {
        FailureKind::TimedOut(TimeoutPhase::Connect) | FailureKind::Unreachable => "connect",
        FailureKind::TimedOut(TimeoutPhase::FirstToken | TimeoutPhase::Idle | TimeoutPhase::Total) => "timeout",
        FailureKind::ContextOverflow => "context_length_exceeded",
        FailureKind::ContentFiltered => "content_filter",
        FailureKind::Mismatched => "schema_mismatch",
        FailureKind::Interrupted | FailureKind::Cancelled | FailureKind::Unsent => "cancelled",
        FailureKind::Assertion => "assertion",
        FailureKind::Render => "template",
        FailureKind::CutOff => "stream_aborted",
        FailureKind::Malformed | FailureKind::NoAnswer | FailureKind::ReasoningCut | FailureKind::TooLarge => {
            "invalid_response"
        }
        FailureKind::Throttled
        | FailureKind::QuotaExhausted
        | FailureKind::Overloaded
        | FailureKind::Loading
        | FailureKind::Unauthorized
        | FailureKind::Forbidden
        | FailureKind::Refused
        | FailureKind::ModelMissing
        | FailureKind::FormatUnsupported
        | FailureKind::Unsupported(_)
        | FailureKind::Redirected => match failure.status {
            Some(status) if status >= 300 => return status.to_string(),
            Some(_) | None => "_OTHER",
        },
    };
    word.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_speaks_for_itself_and_what_says_more_goes_first() {
        let failure = |kind, status| Failure { status, ..Failure::new(kind, "") };
        assert_eq!(error_type(&failure(FailureKind::Throttled, Some(429))), "429");
        assert_eq!(error_type(&failure(FailureKind::ContextOverflow, Some(400))), "context_length_exceeded");
        assert_eq!(error_type(&failure(FailureKind::Malformed, Some(200))), "invalid_response");
        assert_eq!(error_type(&failure(FailureKind::Overloaded, Some(200))), "_OTHER", "an error inside a 200");
        assert_eq!(error_type(&failure(FailureKind::TimedOut(TimeoutPhase::Idle), None)), "timeout");
    }
}
