//! When an experiment is repeated: a line of cron's table.

use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions, parse_crontab_with};

use super::{FromScalar, Literal, Refusal};
use crate::base::Timestamp;

/// Times that come again, written as in cron: minute, hour, day of the month, month, day of the week; a time zone may
/// follow, else they are UTC.
#[derive(Clone, Debug)]
pub struct Schedule {
    table: Crontab,
}

impl Schedule {
    /// Returns the first time after a moment, to the second; none when there is none within the calendar.
    #[must_use]
    pub fn next_after(&self, moment: Timestamp) -> Option<Timestamp> {
        let start = MakeTimestamp::from_microsecond(moment.0).ok()?;
        let next = self.table.find_next(start).ok()?;
        Some(Timestamp(next.timestamp().as_microsecond()))
    }
}

impl FromScalar for Schedule {
    const EXPECTED: &'static str =
        "a line of cron: minute, hour, day, month, day of the week, and a time zone or not";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        const EXAMPLE: &str =
            "\"0 3 * * *\" is at 03:00 UTC every day, \"30 8 * * MON-FRI Europe/Berlin\" at 8:30 there";
        let Literal::Text(text) = literal else { return Err(Refusal::wrong_type(literal).help(EXAMPLE)) };
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        let table = parse_crontab_with(text.trim(), options)
            .map_err(|error| Refusal::out_of_range(reason(&error.to_string())).help(EXAMPLE))?;
        let schedule = Self { table };
        // "30 2 30 2 *" reads well and never comes.
        match schedule.next_after(Timestamp(0)) {
            Some(_) => Ok(schedule),
            None => Err(Refusal::out_of_range("no such day is in the calendar").help(EXAMPLE)),
        }
    }
}

/// Says what is wrong, and in which field, from what the library said: it draws the place below the line.
fn reason(said: &str) -> String {
    const FIELDS: [&str; 5] = ["minute", "hour", "day of the month", "month", "day of the week"];
    let mut lines = said.lines().rev();
    let last = lines.next().unwrap_or_default();
    let line = lines.next().unwrap_or_default();
    let (place, what) = last.split_once("^ ").unwrap_or(("", last));
    let what = what.to_lowercase();
    if line.starts_with('@') {
        return format!("names such as {line} are not known, only the five fields");
    }
    let before = line.get(..place.len()).unwrap_or_default();
    let field = before.matches(' ').count();
    let start = before.rfind(' ').map_or(0, |space| space + 1);
    let word = line[start..].split(' ').next().unwrap_or_default();
    match FIELDS.get(field) {
        _ if what.starts_with("missing") => what,
        Some(field) if what.starts_with("malformed") => format!("\"{word}\" is no {field}"),
        Some(field) => format!("{field}: {what}"),
        None => format!("the sixth word is a time zone, and none is named \"{}\"", &line[start..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let moment: jiff::Timestamp = text.parse().expect("a time");
        Timestamp(moment.as_microsecond())
    }

    fn read(text: &str) -> Result<Schedule, Refusal> {
        Schedule::from_scalar(&Literal::Text(text.to_owned()))
    }

    #[test]
    fn times_come_again() {
        let check = |text: &str, from: &str, expected: &str| {
            let next = read(text).expect("a schedule").next_after(at(from));
            assert_eq!(next, Some(at(expected)), "{text} after {from}");
        };
        check("0 3 * * *", "2026-11-21T02:59:59Z", "2026-11-21T03:00:00Z");
        // A time is not the next one after itself.
        check("0 3 * * *", "2026-11-21T03:00:00Z", "2026-11-22T03:00:00Z");
        check("*/15 * * * *", "2026-11-21T23:50:00Z", "2026-11-22T00:00:00Z");
        check("30 8 * * MON-FRI", "2026-11-21T00:00:00Z", "2026-11-23T08:30:00Z");
        check("0 3 29 2 *", "2026-11-21T00:00:00Z", "2028-02-29T03:00:00Z");
        check("30 8 * * * UTC", "2026-11-21T08:30:00Z", "2026-11-22T08:30:00Z");
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "empty"),
            ("0 3 * *", "missing days of week"),
            ("61 * * * *", "minute: value must be in range 0..=59; found 61"),
            ("  0   3 5-1 * *", "day of the month: range must be in ascending order"),
            ("*/0 * * * *", "minute: step must be"),
            ("0 3 30 2 *", "no such day"),
            ("every day", "\"every\" is no minute"),
            ("0 3 * FOO *", "\"FOO\" is no month"),
            ("0 3 * * MON,", "\"MON,\" is no day of the week"),
            ("@daily", "@daily are not known"),
            ("0 3 * * * Mars/Olympus", "time zone, and none is named \"Mars/Olympus\""),
            ("0 3 * * * *", "time zone, and none is named \"*\""),
            ("0 3 * * é", "\"é\" is no day of the week"),
        ] {
            let refusal = read(text).expect_err(text);
            assert!(refusal.reason.contains(reason), "{text}: {}", refusal.reason);
        }
        assert!(Schedule::from_scalar(&Literal::Integer(3)).is_err());
    }
}
