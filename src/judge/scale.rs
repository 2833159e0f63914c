//! The scale of a judge that scores: numbers at equal distances, some of them with a name.

use std::fmt::Write as _;

/// Most values of a scale.
const MOST_VALUES: u32 = 10_001;
/// Scales of so few values are listed to the model one by one.
const LISTED: u32 = 101;
/// Values are kept to so many parts of one, so that 0.1 + 0.2 is 0.3.
const PARTS: f64 = 1e6;

/// Numbers from `min` to `max`, `step` apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    min: f64,
    step: f64,
    /// How many values there are, at least 2.
    count: u32,
    /// Value and name, rising.
    levels: Vec<(f64, String)>,
}

/// Why there is no such scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScaleError {
    /// `max` is not above `min`.
    #[error("`max` is not above `min`")]
    Empty,
    /// `step` is no positive number that leads from `min` to `max`.
    #[error("`step` does not lead from `min` to `max`")]
    Step,
    /// There are too many values.
    #[error("the scale has more than 10,001 values")]
    TooFine,
}

impl Scale {
    /// Makes a scale without names.
    ///
    /// # Errors
    /// The numbers make no scale.
    pub fn new(min: f64, max: f64, step: f64) -> Result<Self, ScaleError> {
        if !(min.is_finite() && max.is_finite()) || max <= min {
            return Err(ScaleError::Empty);
        }
        if !step.is_finite() || step * PARTS < 1.0 {
            return Err(ScaleError::Step);
        }
        let steps = (max - min) / step;
        if steps + 1.0 > f64::from(MOST_VALUES) {
            return Err(ScaleError::TooFine);
        }
        if steps < 0.5 || (steps - steps.round()).abs() > 1e-6 {
            return Err(ScaleError::Step);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 10,000")]
        let count = steps.round() as u32 + 1;
        Ok(Self { min, step, count, levels: Vec::new() })
    }

    /// Names a value; false when it is not on the scale.
    #[must_use]
    pub fn name(&mut self, value: f64, name: String) -> bool {
        let Some(value) = self.nearest(value) else { return false };
        self.levels.push((value, name));
        self.levels.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        true
    }

    /// Returns the values, rising.
    pub fn values(&self) -> impl Iterator<Item = f64> + '_ {
        (0..self.count).map(|place| self.at(place))
    }

    /// Returns the names with their values, rising.
    #[must_use]
    pub fn levels(&self) -> &[(f64, String)] {
        &self.levels
    }

    /// Returns the lowest value, the highest, and the distance between two.
    #[must_use]
    pub fn bounds(&self) -> (f64, f64, f64) {
        (self.min, self.at(self.count - 1), self.step)
    }

    /// Returns the value of the scale that a number is; none when it lies beside the scale or between two values.
    #[must_use]
    pub fn nearest(&self, number: f64) -> Option<f64> {
        let place = (number - self.min) / self.step;
        if !(-0.5..f64::from(self.count)).contains(&place) || (place - place.round()).abs() > 1e-6 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 10,000")]
        let place = place.round().max(0.0) as u32;
        (place < self.count).then(|| self.at(place))
    }

    /// Returns the value that has a name, capitals aside.
    pub(super) fn named(&self, name: &str) -> Option<f64> {
        let folded = name.trim().to_lowercase();
        let found = self.levels.iter().find(|(_, level)| level.trim().to_lowercase() == folded);
        found.map(|(value, _)| *value)
    }

    /// Says which numbers there are: `a whole number from 1 to 5`.
    pub(super) fn describe(&self) -> String {
        let (min, max, step) = self.bounds();
        let whole = |number: f64| (number - number.round()).abs() < f64::EPSILON;
        match () {
            () if whole(step - 1.0) && whole(min) => format!("a whole number from {min} to {max}"),
            () => format!("a number from {min} to {max} in steps of {step}"),
        }
    }

    /// Says what the named values mean, one line each, with a line break before each.
    pub(super) fn legend(&self) -> String {
        let mut lines = String::new();
        for (value, name) in &self.levels {
            write!(lines, "\n{value}: {name}").expect("writing to a String cannot fail");
        }
        lines
    }

    /// Returns true when its values are few enough to be listed one by one.
    pub(super) const fn is_short(&self) -> bool {
        self.count <= LISTED
    }

    fn at(&self, place: u32) -> f64 {
        ((self.min + f64::from(place) * self.step) * PARTS).round() / PARTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_people_write() {
        let scale = Scale::new(0.0, 0.5, 0.1).expect("a scale");
        assert_eq!(scale.values().collect::<Vec<_>>(), [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]);
        assert_eq!(scale.describe(), "a number from 0 to 0.5 in steps of 0.1");
        assert_eq!(Scale::new(1.0, 5.0, 1.0).expect("a scale").describe(), "a whole number from 1 to 5");
    }

    #[test]
    fn a_number_is_on_the_scale_or_not() {
        let scale = Scale::new(1.0, 5.0, 1.0).expect("a scale");
        let check = |number: f64, expected: Option<f64>| assert_eq!(scale.nearest(number), expected, "{number}");
        check(1.0, Some(1.0));
        check(5.0, Some(5.0));
        check(0.0, None);
        check(0.6, None);
        check(6.0, None);
        check(3.5, None);
        check(f64::NAN, None);
        check(f64::INFINITY, None);
        check(-1e300, None);
    }

    #[test]
    fn numbers_that_make_no_scale_are_refused() {
        let check = |min, max, step, expected| assert_eq!(Scale::new(min, max, step), Err(expected));
        check(5.0, 1.0, 1.0, ScaleError::Empty);
        check(1.0, 1.0, 1.0, ScaleError::Empty);
        check(1.0, f64::NAN, 1.0, ScaleError::Empty);
        check(1.0, 5.0, 0.0, ScaleError::Step);
        check(1.0, 5.0, 3.0, ScaleError::Step);
        check(1.0, 5.0, 9.0, ScaleError::Step);
        check(0.0, 1.0, 0.000_01, ScaleError::TooFine);
    }
}
