//! The Wilson score interval of a proportion.

/// The 97.5 % quantile of the standard normal distribution: 95 % lie within so many deviations.
const Z_95: f64 = 1.959_963_984_540_054;

/// A share of a whole with its 95 % interval; all three numbers lie in 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proportion {
    /// Hits through trials.
    pub point: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// Returns the share of `hits` among `trials` with its 95 % Wilson score interval; none without trials.
///
/// Source: E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", Journal of the
/// American Statistical Association 22 (1927), 209–212. Unlike the textbook interval it stays inside 0 to 1 and
/// keeps its coverage for small counts and shares near the ends (Brown, Cai and `DasGupta`, Statistical Science 16
/// (2001), 101–133). It holds for a number of trials fixed beforehand, not for a run that stopped on its result.
///
/// More hits than trials count as all of them.
#[must_use]
pub fn wilson_95(hits: u64, trials: u64) -> Option<Proportion> {
    if trials == 0 {
        return None;
    }
    let hits = hits.min(trials);
    let n = exact(trials);
    let point = exact(hits) / n;
    let z2 = Z_95 * Z_95;
    let shrink = 1.0 + z2 / n;
    let middle = (point + z2 / (2.0 * n)) / shrink;
    let half = Z_95 / shrink * (point * (1.0 - point) / n + z2 / (4.0 * n * n)).sqrt();
    // At the ends the formula gives 0, 1 or the point exactly; rounding must not move them past it.
    let low = if hits == 0 { 0.0 } else { (middle - half).clamp(0.0, point) };
    let high = if hits == trials { 1.0 } else { (middle + half).clamp(point, 1.0) };
    Some(Proportion { point, low, high })
}

/// Counts stay below 2^53, where every whole number has its own `f64`.
#[expect(clippy::cast_precision_loss, reason = "a run has fewer than 2^53 cases")]
const fn exact(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(hits: u64, trials: u64, expected: &str) {
        let Proportion { point, low, high } = wilson_95(hits, trials).unwrap();
        assert_eq!(format!("{point:.4} [{low:.4}, {high:.4}]"), expected);
    }

    #[test]
    fn known_values() {
        // Computed by hand from the 1927 formula; 0 of 10 is z²/(n + z²) = 3.8415/13.8415.
        check(0, 10, "0.0000 [0.0000, 0.2775]");
        check(10, 10, "1.0000 [0.7225, 1.0000]");
        check(104, 200, "0.5200 [0.4510, 0.5882]");
        check(1, 1, "1.0000 [0.2065, 1.0000]");
        assert_eq!(wilson_95(0, 0), None);
        assert_eq!(wilson_95(5, 4), wilson_95(4, 4));
    }

    proptest! {
        #[test]
        fn lies_in_the_unit_interval_around_its_point(trials in 1u64..10_000_000, share in 0.0f64..=1.0) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a small count")]
            let hits = (share * exact(trials)) as u64;
            let found = wilson_95(hits, trials).unwrap();
            prop_assert!(0.0 <= found.low && found.low <= found.point);
            prop_assert!(found.point <= found.high && found.high <= 1.0);
            prop_assert!(found.high - found.low > 0.0);
        }

        #[test]
        fn narrows_with_more_trials(trials in 1u64..10_000, hits in 0u64..10_000, times in 2u64..100) {
            let hits = hits.min(trials);
            let width = |few: Proportion| few.high - few.low;
            let few = width(wilson_95(hits, trials).unwrap());
            let many = width(wilson_95(hits * times, trials * times).unwrap());
            prop_assert!(many < few, "{many} is not below {few}");
        }

        #[test]
        fn is_a_mirror(trials in 1u64..100_000, hits in 0u64..100_000) {
            let hits = hits.min(trials);
            let one = wilson_95(hits, trials).unwrap();
            let other = wilson_95(trials - hits, trials).unwrap();
            prop_assert!((one.low - (1.0 - other.high)).abs() < 1e-9);
        }
    }
}
