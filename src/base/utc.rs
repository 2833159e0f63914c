//! Moments as UTC text, for folder names and messages.

use super::Timestamp;

/// Writes a moment as `YYYY-MM-DD HH:MM:SS UTC`.
#[must_use]
pub fn plain_utc(moment: Timestamp) -> String {
    Utc::of(moment).plain()
}

/// Writes a moment as [`plain_utc`] does, without the date where that is the one of `now`.
#[must_use]
pub fn clock_utc(moment: Timestamp, now: Timestamp) -> String {
    let (plain, today) = (plain_utc(moment), plain_utc(now));
    match (plain.split_once(' '), today.split_once(' ')) {
        (Some((day, time)), Some((other, _))) if day == other => time.to_owned(),
        _ => plain,
    }
}

/// A moment taken apart on the Gregorian calendar, UTC.
pub struct Utc {
    /// Of the common era.
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to 31.
    pub day: i64,
    /// 0 to 23.
    pub hour: i64,
    /// 0 to 59.
    pub minute: i64,
    /// 0 to 59.
    pub second: i64,
    /// 0 to 999,999.
    pub micros: i64,
}

impl Utc {
    /// Takes a moment apart.
    #[must_use]
    pub const fn of(moment: Timestamp) -> Self {
        let (seconds, micros) = (moment.0.div_euclid(1_000_000), moment.0.rem_euclid(1_000_000));
        let (days, second_of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // Counted in eras of 400 years from 1 March of year 0, so that the leap day is the last of its year.
        let days = days + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Self {
            year: era * 400 + year_of_era + if month <= 2 { 1 } else { 0 },
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            hour: second_of_day / 3_600,
            minute: second_of_day / 60 % 60,
            second: second_of_day % 60,
            micros,
        }
    }

    /// Returns `YYYYMMDD-HHMMSS`.
    #[must_use]
    pub fn compact(&self) -> String {
        let Self { year, month, day, hour, minute, second, .. } = self;
        format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}")
    }

    /// Returns `YYYY-MM-DD HH:MM:SS UTC`.
    #[must_use]
    pub fn plain(&self) -> String {
        let Self { year, month, day, hour, minute, second, .. } = self;
        format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(seconds: i64, expected: &str) {
        assert_eq!(Utc::of(Timestamp(seconds * 1_000_000)).plain(), expected);
    }

    #[test]
    fn moments_fall_on_their_days() {
        check(0, "1970-01-01 00:00:00 UTC");
        check(-1, "1969-12-31 23:59:59 UTC");
        check(951_782_400, "2000-02-29 00:00:00 UTC");
        check(1_000_000_000, "2001-09-09 01:46:40 UTC");
        check(4_107_542_399, "2100-02-28 23:59:59 UTC");
        check(4_107_542_400, "2100-03-01 00:00:00 UTC");
    }
}
