//! Values of options that are more than a text.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::str::FromStr;

use crate::base::Millis;

/// `name=value`, split at the first `=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Before the `=`; never empty.
    pub name: String,
    /// After it; may be empty.
    pub value: String,
}

/// An option's value that cannot be read; the message says what would be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(String);

impl FromStr for Assignment {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => {
                Ok(Self { name: name.trim().to_owned(), value: value.to_owned() })
            }
            Some(_) | None => Err(ValueError("write name=value, such as rounds=5".to_owned())),
        }
    }
}

/// What `--seed` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeedChoice {
    /// This one.
    Fixed(u64),
    /// A new one, which the run records.
    Random,
}

impl SeedChoice {
    /// Returns the seed: the one given, or one that nobody has seen yet.
    #[must_use]
    pub fn number(self) -> u64 {
        match self {
            Self::Fixed(seed) => seed,
            // The standard library seeds each of these from the system's randomness; 32 bits are easy to type again.
            Self::Random => RandomState::new().build_hasher().finish() >> 32,
        }
    }
}

impl FromStr for SeedChoice {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "random" {
            return Ok(Self::Random);
        }
        text.parse()
            .map(Self::Fixed)
            .map_err(|_| ValueError("write a whole number, 0 or more, or `random`".to_owned()))
    }
}

/// Reads a length of time with its unit: `500ms`, `30s`, `2m`, `1h`.
///
/// # Errors
/// No number, no unit, or another unit.
pub fn grace(text: &str) -> Result<Millis, ValueError> {
    let refuse = || ValueError("write a time with its unit, such as 500ms, 30s, 2m or 1h".to_owned());
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| refuse())?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        // Nothing to misread in no time at all.
        "" if number == 0 => 0,
        _ => return Err(refuse()),
    };
    number.checked_mul(factor).map(Millis).ok_or_else(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_split_at_the_first_sign() {
        let read = |text: &str| text.parse::<Assignment>().map(|found| (found.name, found.value));
        assert_eq!(read("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(read("a="), Ok(("a".to_owned(), String::new())));
        assert!(read("a").is_err() && read("=b").is_err());
    }

    #[test]
    fn times_need_their_unit() {
        assert_eq!(grace("30s"), Ok(Millis(30_000)));
        assert_eq!(grace("2m"), Ok(Millis(120_000)));
        assert_eq!(grace("0"), Ok(Millis(0)));
        for wrong in ["30", "s", "", "1.5s", "5 s", "99999999999999999999s", "18446744073709551615h"] {
            assert!(grace(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn seeds_are_numbers_or_random() {
        assert_eq!("7".parse(), Ok(SeedChoice::Fixed(7)));
        assert_eq!("random".parse(), Ok(SeedChoice::Random));
        assert_eq!(SeedChoice::Fixed(7).number(), 7);
        assert_ne!(SeedChoice::Random.number(), SeedChoice::Random.number());
        assert!("-1".parse::<SeedChoice>().is_err());
    }
}
