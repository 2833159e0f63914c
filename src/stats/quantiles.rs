//! Quantiles of many whole numbers, in little memory and whatever their order.

use std::collections::BTreeMap;

/// Parts of each power of two, as bits: numbers in one part count as one.
const PARTS: u32 = 4;

/// Counts of numbers by their size: exact below 16, within 1 part in 32 above.
///
/// As G. Tene's `HdrHistogram` (2012) has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quantiles {
    counts: BTreeMap<u32, u64>,
    total: u64,
}

impl Quantiles {
    /// Counts one more number.
    pub fn add(&mut self, number: u64) {
        *self.counts.entry(part(number)).or_default() += 1;
        self.total += 1;
    }

    /// Returns the number below or at which so many per cent of all lie, 1 to 100; none where there are none.
    #[must_use]
    pub fn per_cent(&self, share: u64) -> Option<u64> {
        let rank = (self.total.saturating_mul(share)).div_ceil(100).max(1);
        let mut below = 0;
        let found = self.counts.iter().find(|(_, count)| {
            below += **count;
            below >= rank
        });
        found.map(|(part, _)| middle(*part))
    }
}

/// Returns the part of a number: below 16 itself, then 16 for each power of two.
const fn part(number: u64) -> u32 {
    let Some(power) = number.checked_ilog2() else { return 0 };
    let Some(shift) = power.checked_sub(PARTS) else { return low(number) };
    ((shift + 1) << PARTS) + low((number >> shift) & ((1 << PARTS) - 1))
}

/// Returns the number in the middle of a part.
const fn middle(part: u32) -> u64 {
    let Some(shift) = (part >> PARTS).checked_sub(1) else { return part as u64 };
    let first = ((1 << PARTS) + (part & ((1 << PARTS) - 1)) as u64) << shift;
    first + (1 << shift) / 2
}

/// Returns a number below 16 as a small one.
#[expect(clippy::cast_possible_truncation, reason = "it is below 16")]
const fn low(number: u64) -> u32 {
    number as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_near_the_exact_ones() {
        let mut quantiles = Quantiles::default();
        assert_eq!(quantiles.per_cent(50), None);
        for number in (1..=100_000_u64).rev() {
            quantiles.add(number * 37);
        }
        for share in [1, 50, 95, 99, 100] {
            let (found, exact) = (quantiles.per_cent(share).expect("there are some"), share * 37_000);
            assert!(found.abs_diff(exact) * 32 <= exact, "{share} %: {found}, exactly {exact}");
        }
    }

    #[test]
    fn small_and_largest_numbers_have_their_parts() {
        for number in [0, 1, 15, 16, 17, 31, 32, 1_000, u64::MAX] {
            let found = middle(part(number));
            assert!(found.abs_diff(number) <= number / 32, "{number}: {found}");
        }
        assert!((1..4_096_u64).all(|number| part(number) >= part(number - 1)));
    }
}
