//! How long a server asks us to wait: in its headers, in the fields of its body, in its words.
//! Start at [`told`].

use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, HeaderName};
use serde_json::Value;

use super::wait_words;

/// Longest wait that is believed, in milliseconds: one day.
const LONGEST_MS: u64 = 86_400_000;
/// How deep a body is searched; known waits stand at the fifth level.
const DEPTH: usize = 8;
/// Larger numbers are no seconds to wait but a time, in seconds since the epoch: the year 2001.
const EPOCH_SECONDS: f64 = 1e9;
/// Larger numbers are a time in milliseconds.
const EPOCH_MS: f64 = 1e11;

/// Finds the wait that a refusal dictates, as milliseconds from 1 to a day.
///
/// Headers beat the body's fields, and those its words. None when nothing is there, or what is there makes no sense.
pub(crate) fn told(headers: &HeaderMap, body: Option<&Value>, words: &str) -> Option<u64> {
    read(headers)
        .or_else(|| reset(&Limits::of_headers(headers), server_clock(headers)))
        .or_else(|| in_body(body?, server_clock(headers), 0))
        .or_else(|| sane(wait_words::find(words)?))
}

/// Reads `retry-after-ms`, `x-ms-retry-after-ms` or `Retry-After` (seconds or a date) as milliseconds, at most a day.
///
/// None when neither is there, or what is there makes no sense: no wait at all (0, negative, past), for a wait that a
/// server dictates is not charged to the call and a wait of nothing would invite a storm; or more than a day, for which
/// no run should stand still because of a broken header. Then our own back-off decides. A date is measured from the
/// server's own `Date` where it sends one, so its clock may be wrong.
pub(crate) fn read(headers: &HeaderMap) -> Option<u64> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let from_ms = |name: &str| text(name).and_then(|text| sane(text.parse::<f64>().ok()?));
    from_ms("retry-after-ms").or_else(|| from_ms("x-ms-retry-after-ms")).or_else(|| {
        let text = text(RETRY_AFTER.as_str())?;
        sane(wait_of(text, server_clock(headers))?)
    })
}

/// What is left of some limits, and when they are filled up again.
struct Limits(Vec<(String, String)>);

impl Limits {
    fn of_headers(headers: &HeaderMap) -> Self {
        let of_one = |(name, value): (&HeaderName, &http::HeaderValue)| {
            let is_limit = name.as_str().contains("ratelimit") || name.as_str().contains("rate-limit");
            is_limit.then(|| Some((name.as_str().to_owned(), value.to_str().ok()?.trim().to_owned()))).flatten()
        };
        Self(headers.iter().filter_map(of_one).collect())
    }

    /// Headers of a server further on, which a gateway hands over inside of the body.
    fn of_body(object: &serde_json::Map<String, Value>) -> Self {
        let of_one = |(name, value): (&String, &Value)| {
            let name = name.to_ascii_lowercase();
            let is_limit = name.contains("ratelimit") || name.contains("rate-limit") || name.contains("retry-after");
            is_limit.then(|| (name, value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        };
        Self(object.iter().filter_map(of_one).collect())
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }
}

/// Returns the wait until the limit is filled up whose remainder is 0: the longest, if there are several.
fn reset(limits: &Limits, now: Option<i64>) -> Option<u64> {
    let remaining = || limits.0.iter().filter(|(name, _)| name.contains("remaining"));
    let is_spent = |value: &str| value.parse::<f64>().is_ok_and(|left| left <= 0.0);
    let until = |name: &str| sane(wait_of(limits.value(&name.replace("remaining", "reset"))?, now)?);
    let spent = remaining().filter(|(_, value)| is_spent(value)).filter_map(|(name, _)| until(name)).max();
    // `RateLimit: "default";r=0;t=30` of the draft that is to become the standard.
    let draft = limits.value("ratelimit").and_then(|value| {
        let part = |key: &str| {
            let parts = value.split([';', ',']).filter_map(|part| part.trim().split_once('='));
            parts.filter(|(have, _)| *have == key).find_map(|(_, number)| number.trim().parse::<f64>().ok())
        };
        if part("r")? > 0.0 { None } else { sane(part("t")? * 1e3) }
    });
    let alone = || {
        // Where nothing says what remains, the only reset is the one that is meant.
        let name = ["x-ratelimit-reset", "ratelimit-reset", "x-rate-limit-reset"];
        let is_open = remaining().next().is_some();
        name.iter().filter(|_| !is_open).find_map(|name| sane(wait_of(limits.value(name)?, now)?))
    };
    spent.or(draft).or_else(alone)
}

/// Finds a wait in the fields of a body, such as Google's `RetryInfo`.
fn in_body(value: &Value, now: Option<i64>, depth: usize) -> Option<u64> {
    if depth > DEPTH {
        return None;
    }
    match value {
        Value::Array(values) => values.iter().find_map(|value| in_body(value, now, depth + 1)),
        Value::Object(object) => {
            let here = object.iter().find_map(|(name, value)| {
                let name = name.to_ascii_lowercase().replace(['-', '_'], "");
                let number = match value {
                    Value::Number(number) => number.as_f64(),
                    Value::String(text) => text.trim().parse().ok(),
                    _ => None,
                };
                match name.as_str() {
                    "retryafterms" | "retrydelayms" | "xmsretryafterms" => sane(number?),
                    "retrydelay" | "retryafter" | "retryafterseconds" | "retryin" => match value {
                        Value::String(text) => sane(wait_of(text.trim(), now)?),
                        Value::Object(parts) => {
                            let part = |name: &str| {
                                let part = parts.get(name)?;
                                part.as_f64().or_else(|| part.as_str()?.parse().ok())
                            };
                            sane(part("seconds")? * 1e3 + part("nanos").unwrap_or(0.0) / 1e6)
                        }
                        _ => sane(number? * 1e3),
                    },
                    _ => None,
                }
            });
            here.or_else(|| reset(&Limits::of_body(object), now))
                .or_else(|| object.values().find_map(|value| in_body(value, now, depth + 1)))
        }
        // A gateway may quote the whole body of the server behind it as text.
        Value::String(text) if text.trim_start().starts_with(['{', '[']) => {
            in_body(&serde_json::from_str(text).ok()?, now, depth + 1)
        }
        _ => None,
    }
}

/// Reads a wait in milliseconds: seconds, a duration such as `1m2.5s`, or a time in one of the forms in use.
fn wait_of(text: &str, now: Option<i64>) -> Option<f64> {
    if let Ok(number) = text.parse::<f64>() {
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are exact in a double")]
        let since = |time_ms: f64| now.map(|now| time_ms - now as f64 * 1e3);
        return match number {
            number if number >= EPOCH_MS => since(number),
            number if number >= EPOCH_SECONDS => since(number * 1e3),
            number => Some(number * 1e3),
        };
    }
    if let Some(wait) = wait_words::duration(&text.to_ascii_lowercase()) {
        return Some(wait);
    }
    let until = http_date(text).or_else(|| text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second))?;
    #[expect(clippy::cast_precision_loss, reason = "a difference of times is exact in a double")]
    now.map(|now| (until - now) as f64 * 1e3)
}

/// Returns the server's own time, in seconds since the epoch; ours, where it does not say.
fn server_clock(headers: &HeaderMap) -> Option<i64> {
    headers.get(DATE).and_then(|value| http_date(value.to_str().ok()?)).or_else(our_clock)
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

    fn check_told(pairs: &[(&'static str, &str)], body: &str, expected: Option<u64>) {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().expect("a header value"));
        }
        let value = serde_json::from_str::<Value>(body).ok();
        assert_eq!(told(&headers, value.as_ref(), body), expected, "{pairs:?} {body}");
    }

    #[test]
    fn the_limit_that_is_spent_says_how_long() {
        let left = |left| ("x-ratelimit-remaining-requests", left);
        check_told(&[left("0"), ("x-ratelimit-reset-requests", "6s")], "", Some(6_000));
        check_told(&[left("0"), ("x-ratelimit-reset-requests", "6ms")], "", Some(6));
        check_told(&[left("0"), ("x-ratelimit-reset-requests", "1m2.5s")], "", Some(62_500));
        check_told(&[left("0"), ("x-ratelimit-reset-requests", "1h2m")], "", Some(3_720_000));
        check_told(&[left("3"), ("x-ratelimit-reset-requests", "6s")], "", None);
        let tokens = ("x-ratelimit-remaining-tokens", "0");
        let both = [left("7"), ("x-ratelimit-reset-requests", "2m"), tokens, ("x-ratelimit-reset-tokens", "5.4s")];
        check_told(&both, "", Some(5_400));
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        let anthropic = ("anthropic-ratelimit-requests-remaining", "0");
        check_told(
            &[date, anthropic, ("anthropic-ratelimit-requests-reset", "1994-11-06T08:50:07Z")],
            "",
            Some(30_000),
        );
        let today = ("date", "Tue, 01 Dec 2026 16:00:00 GMT");
        check_told(&[today, ("x-ratelimit-reset", "1796140813")], "", Some(13_000));
        check_told(&[today, ("x-ratelimit-reset", "1796140813500")], "", Some(13_500));
        check_told(&[("ratelimit-reset", "12")], "", Some(12_000));
        check_told(&[("ratelimit", "\"default\";r=0;t=30")], "", Some(30_000));
        check_told(&[("ratelimit", "\"default\";r=4;t=30")], "", None);
    }

    #[test]
    fn headers_beat_the_body_and_its_fields_beat_its_words() {
        let body = r#"[{"error":{"message":"Please retry in 9s.","details":[{"retryDelay":"6s"}]}}]"#;
        check_told(&[("retry-after", "2")], body, Some(2_000));
        check_told(&[("x-ms-retry-after-ms", "6000")], body, Some(6_000));
        check_told(&[], body, Some(6_000));
        check_told(&[], r#"{"error":{"message":"Please retry in 1.4s."}}"#, Some(1_400));
        check_told(&[], r#"{"retryDelay":{"seconds":"2","nanos":500000000}}"#, Some(2_500));
        check_told(&[], r#"{"error":{"metadata":{"retry_after_seconds":3}}}"#, Some(3_000));
        check_told(&[], r#"{"error":{"metadata":{"raw":"{\"retryDelay\":\"4s\"}"}}}"#, Some(4_000));
        check_told(
            &[("date", "Tue, 01 Dec 2026 16:00:00 GMT")],
            r#"{"error":{"metadata":{"headers":{"X-RateLimit-Remaining":"0","X-RateLimit-Reset":"1796140810000"}}}}"#,
            Some(10_000),
        );
        check_told(&[], r#"{"error":{"message":"slow down","retry_after":0}}"#, None);
        check_told(&[], r#"{"error":{"retryDelay":"172800s"}}"#, None);
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
