//! What `error.type` says of a failure: few words, the same in spans and metrics.

use std::borrow::Cow;

use crate::event::{Failure, FailureKind};

/// Returns the value of `error.type`: one of `timeout`, `connect`, `stream_aborted`, `invalid_response`,
/// `schema_mismatch`, `context_length_exceeded`, `content_filter`, `cancelled`; else the HTTP status; else `_OTHER`.
#[must_use]
pub fn error_type(failure: &Failure) -> Cow<'static, str> {
    let word = match failure.kind {
        FailureKind::TimedOut(_) => "timeout",
        FailureKind::Unreachable => "connect",
        FailureKind::CutOff => "stream_aborted",
        FailureKind::Malformed | FailureKind::TooLarge => "invalid_response",
        FailureKind::Mismatched => "schema_mismatch",
        FailureKind::ContextOverflow => "context_length_exceeded",
        FailureKind::ContentFiltered => "content_filter",
        FailureKind::Interrupted | FailureKind::Cancelled | FailureKind::Unsent => "cancelled",
        FailureKind::Throttled
        | FailureKind::QuotaExhausted
        | FailureKind::Overloaded
        | FailureKind::Loading
        | FailureKind::Unauthorized
        | FailureKind::Forbidden
        | FailureKind::Refused
        | FailureKind::ModelMissing
        | FailureKind::FormatUnsupported
        | FailureKind::Redirected
        | FailureKind::Render
        | FailureKind::Assertion => match failure.status {
            Some(status) => return Cow::Owned(status.to_string()),
            None => "_OTHER",
        },
    };
    Cow::Borrowed(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_told_where_no_word_says_more() {
        let told = |kind, status| {
            let failure = Failure { status, ..Failure::new(kind, "") };
            error_type(&failure).into_owned()
        };
        assert_eq!(told(FailureKind::Throttled, Some(429)), "429");
        assert_eq!(told(FailureKind::ContextOverflow, Some(400)), "context_length_exceeded");
        assert_eq!(told(FailureKind::CutOff, None), "stream_aborted");
        assert_eq!(told(FailureKind::Assertion, None), "_OTHER");
    }
}
