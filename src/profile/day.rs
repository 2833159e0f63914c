//! A day of the calendar, UTC.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::{Timestamp, Utc};

/// Microseconds of a day.
const LENGTH: i64 = 86_400_000_000;

/// A day, counted from 1 January 1970; written as `2026-12-01`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(i64);

/// A text that is no day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a day such as 2026-12-01")]
pub struct NotADay;

impl Day {
    /// Returns the day that a moment lies in.
    #[must_use]
    pub const fn of(moment: Timestamp) -> Self {
        Self(moment.0.div_euclid(LENGTH))
    }

    /// Returns true when it is at most so many days before `today`, and not after it.
    #[must_use]
    pub const fn is_within(self, days: i64, today: Self) -> bool {
        let age = today.0 - self.0;
        0 <= age && age <= days
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Utc { year, month, day, .. } = Utc::of(Timestamp(self.0.saturating_mul(LENGTH)));
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl FromStr for Day {
    type Err = NotADay;

    fn from_str(text: &str) -> Result<Self, NotADay> {
        let mut parts = text.split('-').map(|part| part.parse::<i64>().ok());
        let (Some(Some(year)), Some(Some(month)), Some(Some(day)), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotADay);
        };
        if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return Err(NotADay);
        }
        // Counted in years that begin in March, so that the leap day comes last.
        let (shifted_year, shifted_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
        let leap_days = shifted_year / 4 - shifted_year / 100 + shifted_year / 400;
        Ok(Self(shifted_year * 365 + leap_days + day_of_year - 719_468))
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_as_it_is_read() {
        for text in ["1970-01-01", "2024-02-29", "2026-12-01", "2100-03-01"] {
            assert_eq!(text.parse::<Day>().unwrap().to_string(), text);
        }
        assert_eq!("1970-01-02".parse(), Ok(Day(1)));
        assert_eq!(Day::of(Timestamp(1_709_208_000_000_000)).to_string(), "2024-02-29");
        for text in ["", "2026-12", "2026-13-01", "2026-12-01-1", "today", "-1-2-3"] {
            assert_eq!(text.parse::<Day>(), Err(NotADay), "{text}");
        }
    }
}
