//! How long an answer would take: see the module's formulas. Whole microseconds, so every machine agrees.

use std::time::Duration;

/// A round trip on the same desk, in microseconds.
const NET: u64 = 1_000;
/// Work per request whatever its length, in microseconds.
const BASE: u64 = 30_000;
/// Prompt tokens a second.
const PREFILL_RATE: u64 = 3_000;
/// Prompt length at which prefill is half as fast.
const PREFILL_HALF: u64 = 16_384;
/// Answer tokens a second.
const DECODE_RATE: u64 = 55;
/// Context length at which decoding is half as fast.
const DECODE_HALF: u64 = 32_768;

/// Returns the times from the request to its first and to its last token.
pub(super) fn times(input: u64, output: u64) -> (Duration, Duration) {
    let prefill = input * 1_000_000 * (PREFILL_HALF + input) / (PREFILL_RATE * PREFILL_HALF);
    let first = NET + BASE + prefill;
    let context = input + output / 2;
    let decode = output.saturating_sub(1) * 1_000_000 * (DECODE_HALF + context) / (DECODE_RATE * DECODE_HALF);
    (Duration::from_micros(first), Duration::from_micros(first + decode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_question_takes_what_the_profile_says() {
        let (first, total) = times(300, 56);
        assert_eq!(first, Duration::from_micros(31_000 + 101_831));
        assert_eq!(total, first + Duration::from_micros(1_010_009));
        assert_eq!(times(10, 0).0, times(10, 0).1);
    }
}
