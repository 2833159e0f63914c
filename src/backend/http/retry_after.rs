//! How long a server asks us to wait.

use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};

/// Longest wait that is believed, in milliseconds: one day.
const LONGEST_MS: u64 = 86_400_000;

/// Reads `retry-after-ms` or `Retry-After` (seconds or a date) as milliseconds, at most a day.
///
/// None when neither is there, or what is there makes no sense: no wait at all (0, negative, past), for a wait that a
/// server dictates is not charged to the call and a wait of nothing would invite a storm; or more than a day, for which
/// no run should stand still because of a broken header. Then our own back-off decides. A date is measured from the
/// server's own `Date` where it sends one, so its clock may be wrong.
pub(crate) fn read(headers: &HeaderMap) -> Option<u64> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let from_ms = text("retry-after-ms").and_then(|text| sane(text.parse::<f64>().ok()?));
    from_ms.or_else(|| {
        let text = text(RETRY_AFTER.as_str())?;
        if let Ok(seconds) = text.parse::<f64>() {
            return sane(seconds * 1_000.0);
        }
        let until = http_date(text)?;
        let now = headers.get(DATE).and_then(|value| http_date(value.to_str().ok()?)).or_else(our_clock)?;
        u64::try_from(until - now)
            .ok()
            .and_then(|wait| wait.checked_mul(1_000))
            .filter(|wait| (1..=LONGEST_MS).contains(wait))
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in a range that fits")]
#[expect(clippy::cast_precision_loss, reason = "a day in milliseconds is exact")]
fn sane(wait_ms: f64) -> Option<u64> {
    // A NaN is in no range.
    if (1.0..=LONGEST_MS as f64).contains(&wait_ms) { Some(wait_ms.ceil() as u64) } else { None }
}

fn our_clock() -> Option<i64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

/// Reads the three date forms of HTTP as seconds since the Unix epoch (RFC 9110, section 5.6.7).
fn http_date(text: &str) -> Option<i64> {
    let words: Vec<&str> = text.split([' ', ',', '-']).filter(|word| !word.is_empty()).collect();
    let ([_, day, month, year, time, "GMT"] | [_, month, day, time, year]) = words[..] else { return None };
    let month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        .iter()
        .position(|name| *name == month)?;
    let month = i64::try_from(month).ok()? + 1;
    let day: i64 = day.parse().ok().filter(|day| (1..=31).contains(day))?;
    let year = match (year.len(), year.parse::<i64>().ok()?) {
        (2, year) if year < 70 => 2_000 + year,
        (2, year) => 1_900 + year,
        (_, year) => year,
    };
    let mut clock = time.split(':').map(|part| part.parse::<i64>().ok().filter(|part| (0..=60).contains(part)));
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    // Days from a civil date, counted in years that begin in March so that the leap day comes last.
    let (shifted_year, shifted_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let leap_days = shifted_year.div_euclid(4) - shifted_year.div_euclid(100) + shifted_year.div_euclid(400);
    let days = shifted_year * 365 + leap_days + day_of_year - 719_468;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pairs: &[(&'static str, &str)], expected: Option<u64>) {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().expect("a header value"));
        }
        assert_eq!(read(&headers), expected, "{pairs:?}");
    }

    #[test]
    fn reads_every_spelling_and_believes_no_nonsense() {
        check(&[], None);
        check(&[("retry-after", "2")], Some(2_000));
        check(&[("retry-after", "1.5")], Some(1_500));
        check(&[("retry-after-ms", "250"), ("retry-after", "9")], Some(250));
        check(&[("retry-after-ms", "soon"), ("retry-after", "9")], Some(9_000));
        check(&[("retry-after", "0")], None);
        check(&[("retry-after", "-1")], None);
        check(&[("retry-after", "NaN")], None);
        check(&[("retry-after", "tomorrow")], None);
        check(&[("retry-after", "86400")], Some(LONGEST_MS));
        check(&[("retry-after", "315360000")], None);
        check(&[("retry-after", "1e300")], None);
        check(&[("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT")], None);
        check(&[("retry-after", "Sun, 06 Nov 2095 08:49:37 GMT")], None);
    }

    #[test]
    fn a_date_is_measured_by_the_servers_own_clock() {
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        check(&[("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT"), date], Some(30_000));
        check(&[("retry-after", "Sunday, 06-Nov-94 08:50:07 GMT"), date], Some(30_000));
        check(&[("retry-after", "Sun Nov  6 08:50:07 1994"), date], Some(30_000));
        check(&[("retry-after", "Sun, 06 Nov 1994 08:49:07 GMT"), date], None);
    }

    #[test]
    fn dates_are_counted_from_the_epoch() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(http_date("Thu, 29 Feb 2024 12:00:00 GMT"), Some(1_709_208_000));
        assert_eq!(http_date("Thu, 29 Abc 2024 12:00:00 GMT"), None);
    }
}
