//! Money: whole millionths of a US dollar, and what a model takes for a million tokens.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An amount of money in millionths of a US dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MicroUsd(pub u64);

/// What a model takes for a million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Of prompts.
    pub input: MicroUsd,
    /// Of answers.
    pub output: MicroUsd,
    /// Of prompts that the server found in a cache; as `input` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<MicroUsd>,
}

impl MicroUsd {
    /// Returns the amount in dollars, for readers that have floating point only.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "amounts of a run stay below 2^53 millionths")]
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Returns the sum, at most the largest amount there is.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Price {
    /// Returns what tokens cost, each sum rounded up to a whole millionth; `cached` ones are part of `input`.
    #[must_use]
    pub fn of(&self, input: u64, output: u64, cached: u64) -> MicroUsd {
        let cached = cached.min(input);
        let parts =
            [(input - cached, self.input), (cached, self.cached.unwrap_or(self.input)), (output, self.output)];
        let sum: u128 = parts.iter().map(|(tokens, MicroUsd(rate))| u128::from(*tokens) * u128::from(*rate)).sum();
        MicroUsd(u64::try_from(sum.div_ceil(1_000_000)).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for MicroUsd {
    /// Writes dollars with two digits after the point, and with two that say something below ten cents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(micros) = *self;
        let digits = match micros {
            0 | 100_000.. => 2,
            10_000.. => 3,
            1_000.. => 4,
            100.. => 5,
            1.. => 6,
        };
        let unit = 10_u64.pow(6 - digits);
        let rounded = micros.saturating_add(unit / 2) / unit;
        let scale = 10_u64.pow(digits);
        let (whole, part) = (rounded / scale, rounded % scale);
        write!(f, "{whole}.{part:0width$} USD", width = digits as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_as_people_read_them() {
        let check = |micros: u64, expected: &str| assert_eq!(MicroUsd(micros).to_string(), expected);
        check(0, "0.00 USD");
        check(3, "0.000003 USD");
        check(420, "0.00042 USD");
        check(4_260, "0.0043 USD");
        check(12_345, "0.012 USD");
        check(2_499_999, "2.50 USD");
        check(1_234_000_000, "1234.00 USD");
    }

    #[test]
    fn cached_tokens_have_a_price_of_their_own() {
        let price = Price { input: MicroUsd(150_000), output: MicroUsd(600_000), cached: Some(MicroUsd(75_000)) };
        assert_eq!(price.of(1_000_000, 1_000_000, 400_000), MicroUsd(90_000 + 30_000 + 600_000));
        assert_eq!(Price { cached: None, ..price }.of(1_000_000, 0, 400_000), MicroUsd(150_000));
        assert_eq!(price.of(1, 0, 0), MicroUsd(1), "rounded up");
        let dear = Price { input: MicroUsd(u64::MAX), ..price };
        assert_eq!(dear.of(u64::MAX, 0, 0), MicroUsd(u64::MAX), "never more than there is");
    }
}
