//! The mean of a few or many numbers, with its interval, in constant memory.

/// Student's t: 97.5 % quantiles for 1 to 30 degrees of freedom.
///
/// Source: "Student" (W. S. Gosset), Biometrika 6 (1908), 1–25; values as in NIST/SEMATECH e-Handbook of Statistical
/// Methods, 1.3.6.7.2.
const STUDENT_975: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];
/// The 97.5 % quantile of the standard normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Count, mean and squared distances from it.
///
/// Source: B. P. Welford, "Note on a Method for Calculating Corrected Sums of Squares and Products", Technometrics 4
/// (1962), 419–420.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    count: u64,
    mean: f64,
    squares: f64,
}

/// A mean with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// The mean.
    pub point: f64,
    /// Lower end of the interval; none for a single number.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// The standard deviation of the numbers; none for a single one.
    pub deviation: Option<f64>,
}

impl Moments {
    /// Counts one more number.
    pub fn add(&mut self, number: f64) {
        self.count += 1;
        let before = number - self.mean;
        self.mean += before / exact(self.count);
        self.squares += before * (number - self.mean);
    }

    /// Counts one number less, of those that were counted; exact but for rounding.
    pub fn remove(&mut self, number: f64) {
        if self.count < 2 {
            *self = Self::default();
            return;
        }
        self.count -= 1;
        let after = number - self.mean;
        self.mean -= after / exact(self.count);
        self.squares = (self.squares - after * (number - self.mean)).max(0.0);
    }

    /// Returns how many numbers there are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Returns the mean with its 95 % Student interval; none without numbers.
    ///
    /// It holds for independent numbers whose count was fixed beforehand, and about so when they are not normal.
    #[must_use]
    pub fn mean_95(&self) -> Option<Mean> {
        let point = (self.count > 0).then_some(self.mean)?;
        if self.count < 2 {
            return Some(Mean { point, low: None, high: None, deviation: None });
        }
        let n = exact(self.count);
        let deviation = (self.squares / (n - 1.0)).max(0.0).sqrt();
        let half = student_975(self.count - 1) * deviation / n.sqrt();
        Some(Mean { point, low: Some(point - half), high: Some(point + half), deviation: Some(deviation) })
    }
}

/// Returns the 97.5 % quantile of Student's t; beyond the table by the expansion in 1/ν of M. Abramowitz and
/// I. A. Stegun, "Handbook of Mathematical Functions" (1964), 26.7.5, which is right to 0.0001 there.
fn student_975(freedom: u64) -> f64 {
    let tabled = usize::try_from(freedom).ok().and_then(|freedom| STUDENT_975.get(freedom.checked_sub(1)?));
    if let Some(quantile) = tabled {
        return *quantile;
    }
    let nu = exact(freedom.max(1));
    Z + (Z.powi(3) + Z) / (4.0 * nu) + (5.0 * Z.powi(5) + 16.0 * Z.powi(3) + 3.0 * Z) / (96.0 * nu * nu)
}

#[expect(clippy::cast_precision_loss, reason = "a run has fewer than 2^53 cases")]
const fn exact(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(numbers: &[f64], expected: &str) {
        let mut moments = Moments::default();
        numbers.iter().for_each(|&number| moments.add(number));
        let got = moments.mean_95().map_or("none".to_owned(), |mean| match (mean.low, mean.high) {
            (Some(low), Some(high)) => format!("{:.3} [{low:.3}, {high:.3}]", mean.point),
            _ => format!("{:.3}", mean.point),
        });
        assert_eq!(got, expected);
    }

    #[test]
    fn known_values() {
        check(&[], "none");
        check(&[4.0], "4.000");
        check(&[3.0, 3.0, 3.0], "3.000 [3.000, 3.000]");
        // By hand: mean 3, deviation sqrt(2.5), t = 2.776 for 4 degrees, half = 2.776 × 1.5811 / sqrt(5) = 1.963.
        check(&[1.0, 2.0, 3.0, 4.0, 5.0], "3.000 [1.037, 4.963]");
    }

    #[test]
    fn what_is_removed_leaves_the_others() {
        let (mut all, mut others) = (Moments::default(), Moments::default());
        for (place, number) in [4.0, 1.5, 9.25, 4.0, -3.0].into_iter().enumerate() {
            all.add(number);
            if place % 2 == 0 {
                others.add(number);
            }
        }
        all.remove(1.5);
        all.remove(4.0);
        let (all, others) = (all.mean_95().expect("three"), others.mean_95().expect("three"));
        let apart = (all.point - others.point).abs()
            + (all.deviation.zip(others.deviation)).map_or(1.0, |(a, b)| (a - b).abs());
        assert!(apart < 1e-9, "{all:?} {others:?}");
        let mut one = Moments::default();
        one.add(2.0);
        one.remove(2.0);
        assert_eq!(one, Moments::default());
    }

    #[test]
    fn quantiles_join_where_the_table_ends() {
        assert!((student_975(30) - 2.042).abs() < 1e-9);
        // Tables: 40 → 2.021, 60 → 2.000, 120 → 1.980.
        for (freedom, expected) in [(40, 2.021), (60, 2.000), (120, 1.980)] {
            assert!((student_975(freedom) - expected).abs() < 5e-4, "{freedom}: {}", student_975(freedom));
        }
    }
}
