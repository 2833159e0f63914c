//! What a failure means: again or not, charged or not, and when.

use crate::base::{Digest, Hasher, Millis, Timestamp};
use crate::event::{Failure, FailureKind, Feature, Features, TimeoutPhase};

/// Broken answers are worth few questions: a server that answers HTML will do so again (`design/reliability.md` 5, "T few").
pub(super) const MALFORMED_ATTEMPTS: u32 = 3;

/// How much longer the waits are after a refusal for too many requests that names no wait. Limits are kept per minute: six
/// attempts with the default back-off of 1 s then last for 67 s at least, where they lasted for 15 s.
const THROTTLED: u64 = 5;

/// Answers of no use in a row, before any of use, after which the run stops: as many as four calls may have.
pub(super) const FLAWED_IN_A_ROW: u32 = 4 * MALFORMED_ATTEMPTS;

/// Denied calls in a row after which the run stops: one may be about its own words, three are about the key
/// (`design/reliability.md` 5, "pause the backend after few").
pub(super) const DENIED_IN_A_ROW: u32 = 3;

/// What a failure kind asks for, whatever the counts say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Try again after a back-off; counts, unless the breaker is open.
    Transient,
    /// The same; counts even then: the answer was under way, and may be billed.
    Broken,
    /// Try again a few times; counts. The server is there, and what it answers is of no use.
    Flawed,
    /// Try again when the server said, or at once; does not count.
    Excused,
    /// Never again: the same request will fail the same way.
    Permanent,
    /// The whole backend is of no use to anyone: the run stops, and the call is asked again when it is taken up.
    Backend,
    /// Never again, and a sign that the backend may be of no use to anyone: a few in a row stop the run.
    Denied,
    /// The backend does not take something that the request had: it is asked again without it.
    Lacks(Feature),
}

/// Returns the class of a failure of a request that went without what `lacked` names.
pub(super) fn class(failure: &Failure, lacked: Features) -> Class {
    match failure.kind {
        FailureKind::Loading | FailureKind::Interrupted | FailureKind::Cancelled | FailureKind::Unsent => {
            Class::Excused
        }
        FailureKind::Throttled | FailureKind::Overloaded => match failure.retry_after_ms {
            Some(_) => Class::Excused,
            None => Class::Transient,
        },
        FailureKind::TimedOut(TimeoutPhase::Connect) | FailureKind::Unreachable => Class::Transient,
        FailureKind::TimedOut(_) | FailureKind::CutOff => Class::Broken,
        FailureKind::Malformed | FailureKind::NoAnswer => Class::Flawed,
        FailureKind::Refused
        | FailureKind::ContextOverflow
        | FailureKind::ContentFiltered
        | FailureKind::ReasoningCut
        | FailureKind::TooLarge
        | FailureKind::Mismatched
        | FailureKind::Render
        | FailureKind::Assertion => Class::Permanent,
        FailureKind::QuotaExhausted
        | FailureKind::Unauthorized
        | FailureKind::ModelMissing
        | FailureKind::Redirected => Class::Backend,
        FailureKind::Forbidden => Class::Denied,
        FailureKind::FormatUnsupported => lacks(Feature::ResponseFormat, lacked),
        FailureKind::Unsupported(feature) => lacks(feature, lacked),
    }
}

/// Sent without it and still refused: the refusal is about something else.
const fn lacks(feature: Feature, lacked: Features) -> Class {
    if lacked.has(feature) { Class::Permanent } else { Class::Lacks(feature) }
}

/// Returns how long the server asks everyone to wait.
pub(super) fn dictated(failure: &Failure) -> Option<Millis> {
    match failure.kind {
        FailureKind::Loading => Some(Millis(failure.retry_after_ms.unwrap_or(1_000))),
        _ => failure.retry_after_ms.map(Millis),
    }
}

/// Returns the shortest wait of a back-off after a failure.
pub(super) fn base_of(failure: &Failure, base: Millis) -> Millis {
    match failure.kind {
        FailureKind::Throttled => Millis(base.0.saturating_mul(THROTTLED)),
        _ => base,
    }
}

/// Returns the longest wait before attempt `charged + 1`, before jitter: doubles from `base`, never above `cap`.
pub(super) fn backoff(charged: u32, base: Millis, cap: Millis) -> Millis {
    let doubled = base.0.saturating_mul(2_u64.saturating_pow(charged.saturating_sub(1)));
    Millis(doubled.min(cap.0))
}

/// Returns when to try again: after the upper half of `wait`, drawn from a hash so that order of arrival cannot change it.
///
/// "Equal jitter" in "Exponential Backoff And Jitter", AWS Architecture Blog, 2015: a server in trouble is never asked
/// again at once, and each wait is at least the one before. What full jitter saves there, the breaker saves here.
pub(super) fn jittered(now: Timestamp, wait: Millis, plan: Digest, name: &str) -> Timestamp {
    let draw = Hasher::new("pipe jitter 1").field(plan.as_bytes()).field(name.as_bytes()).finish().low_bits();
    let half = wait.0 / 2;
    now.after(Millis(half + draw % (wait.0 - half + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_cap() {
        let waits: Vec<u64> =
            (1..=8).map(|n| backoff(n, Millis::seconds(1), Millis::seconds(60)).0 / 1_000).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff(4_000_000_000, Millis::seconds(1), Millis::seconds(60)), Millis::seconds(60));
    }

    #[test]
    fn jitter_keeps_to_the_upper_half_and_its_waits_grow() {
        for name in ["a", "b", "c", "d", "e", "f"] {
            let at = |wait| jittered(Timestamp(0), Millis(wait), Digest::of(b"plan"), name).since(Timestamp(0)).0;
            assert!((500..=1_000).contains(&at(1_000)) && (1_000..=2_000).contains(&at(2_000)));
            assert!(at(0) == 0 && at(1) <= 1);
        }
    }

    #[test]
    fn a_wait_that_the_server_dictates_is_excused() {
        let mut failure = Failure::new(FailureKind::Throttled, "429");
        assert_eq!(class(&failure, Features::NONE), Class::Transient);
        failure.retry_after_ms = Some(2_000);
        assert_eq!(class(&failure, Features::NONE), Class::Excused);
        assert_eq!(dictated(&failure), Some(Millis(2_000)));
    }
}
