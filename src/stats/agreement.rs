//! Krippendorff's alpha: how far several who judge the same things agree, beyond chance.

use std::collections::BTreeMap;

/// Judgements as names or as numbers.
///
/// Source: K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), University of Pennsylvania, sections
/// C (nominal data) and E (interval data): 1 − observed through expected disagreement. Units with one value count as
/// missing. 1 is full agreement, 0 what chance gives, below 0 is worse than that.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Agreement {
    names: Nominal,
    numbers: Interval,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Nominal {
    /// How often each name was given.
    counts: BTreeMap<String, u64>,
    /// The diagonal of the coincidence matrix, summed.
    agreed: f64,
    values: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Interval {
    values: u64,
    sum: f64,
    squares: f64,
    /// Squared differences within units, each unit's through its number of values less one.
    within: f64,
}

impl Agreement {
    /// Counts one unit that was judged by names.
    pub fn add_names(&mut self, names: &[String]) {
        if names.len() < 2 {
            return;
        }
        let mut here: BTreeMap<&str, u64> = BTreeMap::new();
        for name in names {
            *here.entry(name).or_default() += 1;
            *self.names.counts.entry(name.clone()).or_default() += 1;
        }
        let pairs: u64 = here.values().map(|&count| count * (count - 1)).sum();
        self.names.agreed += exact(pairs) / exact(names.len() as u64 - 1);
        self.names.values += names.len() as u64;
    }

    /// Counts one unit that was judged by numbers.
    pub fn add_numbers(&mut self, numbers: &[f64]) {
        if numbers.len() < 2 {
            return;
        }
        let m = exact(numbers.len() as u64);
        let sum: f64 = numbers.iter().sum();
        let squares: f64 = numbers.iter().map(|number| number * number).sum();
        self.numbers.within += 2.0 * (m * squares - sum * sum) / (m - 1.0);
        self.numbers.values += numbers.len() as u64;
        self.numbers.sum += sum;
        self.numbers.squares += squares;
    }

    /// Counts one unit less that was judged by names, of those that were counted; exact but for rounding.
    pub fn remove_names(&mut self, names: &[String]) {
        let mut unit = Self::default();
        unit.add_names(names);
        for (name, here) in unit.names.counts {
            if let Some(count) = self.names.counts.get_mut(&name) {
                *count = count.saturating_sub(here);
            }
        }
        self.names.counts.retain(|_, count| *count > 0);
        self.names.agreed -= unit.names.agreed;
        self.names.values = self.names.values.saturating_sub(unit.names.values);
    }

    /// Counts one unit less that was judged by numbers, of those that were counted; exact but for rounding.
    pub fn remove_numbers(&mut self, numbers: &[f64]) {
        let mut unit = Self::default();
        unit.add_numbers(numbers);
        self.numbers.values = self.numbers.values.saturating_sub(unit.numbers.values);
        self.numbers.sum -= unit.numbers.sum;
        self.numbers.squares -= unit.numbers.squares;
        self.numbers.within -= unit.numbers.within;
    }

    /// Returns alpha; none without two values for the same unit, or when all values are the same.
    #[must_use]
    pub fn alpha(&self) -> Option<f64> {
        if self.numbers.values > 0 { self.numbers.alpha() } else { self.names.alpha() }
    }
}

impl Nominal {
    fn alpha(&self) -> Option<f64> {
        let n = exact(self.values);
        let by_chance: f64 = self.counts.values().map(|&count| exact(count) * (exact(count) - 1.0)).sum();
        let expected = n * (n - 1.0) - by_chance;
        (expected > 0.0).then(|| ((n - 1.0) * self.agreed - by_chance) / expected)
    }
}

impl Interval {
    fn alpha(&self) -> Option<f64> {
        let n = exact(self.values);
        let expected = 2.0 * (n * self.squares - self.sum * self.sum) / (n * (n - 1.0));
        (expected > 1e-12).then(|| 1.0 - self.within / n / expected)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a run has fewer than 2^53 votes")]
const fn exact(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of Krippendorff (2011): four observers, twelve units, some values missing.
    const OBSERVERS: [&str; 4] = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."];

    fn units() -> Vec<Vec<u32>> {
        (0..12).map(|unit| OBSERVERS.iter().filter_map(|row| row[unit..=unit].parse().ok()).collect()).collect()
    }

    #[test]
    fn the_published_example_comes_out() {
        let mut names = Agreement::default();
        let mut numbers = Agreement::default();
        for unit in units() {
            names.add_names(&unit.iter().map(u32::to_string).collect::<Vec<_>>());
            numbers.add_numbers(&unit.iter().map(|&value| f64::from(value)).collect::<Vec<_>>());
        }
        let rounded = |agreement: &Agreement| format!("{:.3}", agreement.alpha().expect("there is variation"));
        assert_eq!((rounded(&names).as_str(), rounded(&numbers).as_str()), ("0.743", "0.849"));
    }

    #[test]
    fn what_is_removed_leaves_the_others() {
        let (mut all, mut others) = (Agreement::default(), Agreement::default());
        let named = |unit: &[u32]| unit.iter().map(u32::to_string).collect::<Vec<_>>();
        let numbered = |unit: &[u32]| unit.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
        for (place, unit) in units().iter().enumerate() {
            all.add_names(&named(unit));
            all.add_numbers(&numbered(unit));
            if place % 3 > 0 {
                others.add_names(&named(unit));
                others.add_numbers(&numbered(unit));
            }
        }
        for unit in units().iter().step_by(3) {
            all.remove_names(&named(unit));
            all.remove_numbers(&numbered(unit));
        }
        let alphas = |agreement: &Agreement| {
            (agreement.names.alpha().expect("some"), agreement.numbers.alpha().expect("some"))
        };
        let ((one, two), (three, four)) = (alphas(&all), alphas(&others));
        assert!((one - three).abs() + (two - four).abs() < 1e-9, "{one} {three} {two} {four}");
    }

    #[test]
    fn without_pairs_or_variation_there_is_none() {
        let mut agreement = Agreement::default();
        assert_eq!(agreement.alpha(), None);
        agreement.add_numbers(&[3.0]);
        assert_eq!(agreement.alpha(), None);
        agreement.add_numbers(&[3.0, 3.0]);
        assert_eq!(agreement.alpha(), None);
        agreement.add_numbers(&[1.0, 1.0]);
        assert_eq!(agreement.alpha(), Some(1.0));
    }
}
