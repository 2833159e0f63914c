//! Waits in words: `Please try again in 1m2.5s.`
//! Start at [`find`].

/// What stands before a wait. The last two are followed by seconds where no unit is named.
const BEFORE: &[&str] = &[
    "try again in",
    "try again after",
    "again in",
    "retry in",
    "retrying in",
    "available in",
    "available again in",
    "reset in",
    "resets in",
    "reset after",
    "resets after",
    "wait",
    "wait for",
    "cooldown of",
    "retry after",
    "retry-after",
];
/// How many of them need a unit.
const WITH_UNIT: usize = BEFORE.len() - 2;
/// What may stand between that and the number.
const FILLERS: &[&str] = &["for", "about", "approximately", "another", "at least", "~", ":", "=", "of"];
/// Units in milliseconds, longer names first.
const UNITS: &[(&str, f64)] = &[
    ("milliseconds", 1.0),
    ("millisecond", 1.0),
    ("msec", 1.0),
    ("ms", 1.0),
    ("seconds", 1e3),
    ("second", 1e3),
    ("secs", 1e3),
    ("sec", 1e3),
    ("minutes", 6e4),
    ("minute", 6e4),
    ("mins", 6e4),
    ("min", 6e4),
    ("hours", 3.6e6),
    ("hour", 3.6e6),
    ("hrs", 3.6e6),
    ("hr", 3.6e6),
    ("days", 8.64e7),
    ("day", 8.64e7),
    ("s", 1e3),
    ("m", 6e4),
    ("h", 3.6e6),
    ("d", 8.64e7),
];

/// Finds the first wait that a text names, in milliseconds.
pub(super) fn find(text: &str) -> Option<f64> {
    let text = text.to_lowercase();
    let mut found: Option<(usize, f64)> = None;
    for (number, before) in BEFORE.iter().enumerate() {
        for (at, _) in text.match_indices(before) {
            let rest = &text[at + before.len()..];
            let Some(wait) = after(rest, number >= WITH_UNIT) else { continue };
            if found.is_none_or(|(first, _)| at < first) {
                found = Some((at, wait));
            }
        }
    }
    found.map(|(_, wait)| wait)
}

fn after(text: &str, may_lack_unit: bool) -> Option<f64> {
    let mut rest = text.trim_start();
    while let Some(filler) = FILLERS.iter().find(|filler| rest.starts_with(**filler)) {
        rest = rest[filler.len()..].trim_start();
    }
    let (wait, _) = leading(rest);
    wait.or_else(|| {
        let (number, rest) = number(rest)?;
        let is_over = !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-' || c == ':');
        (may_lack_unit && is_over).then_some(number * 1e3)
    })
}

/// Reads a text that is a duration and nothing else, such as `1m2.5s`, in milliseconds; small letters.
pub(super) fn duration(text: &str) -> Option<f64> {
    let (wait, rest) = leading(text.trim());
    wait.filter(|_| rest.trim().is_empty())
}

/// Reads the numbers with units that a text begins with; returns their sum and what follows.
fn leading(mut text: &str) -> (Option<f64>, &str) {
    let mut sum = None;
    while let Some((number, rest)) = number(text) {
        let rest = rest.trim_start();
        let unit = UNITS.iter().find(|(name, _)| {
            rest.strip_prefix(name).is_some_and(|after| !after.starts_with(|c: char| c.is_alphabetic()))
        });
        let Some((name, size)) = unit else { break };
        sum = Some(sum.unwrap_or(0.0) + number * size);
        text = rest[name.len()..].trim_start();
        let joined = text.strip_prefix("and ").or_else(|| text.strip_prefix(", ")).unwrap_or(text);
        if joined.starts_with(|c: char| c.is_ascii_digit()) {
            text = joined;
        }
    }
    (sum, text)
}

fn number(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    // A full stop at the end is the sentence's.
    let digits = text[..end].trim_end_matches('.');
    let value = digits.parse().ok().filter(|_| digits.starts_with(|c: char| c.is_ascii_digit()))?;
    Some((value, &text[digits.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_found_in_the_words_of_many_servers() {
        for (text, expected) in [
            ("Please try again in 1.2s. Need more tokens?", Some(1_200.0)),
            ("Please retry after 6 seconds. To increase your limit", Some(6_000.0)),
            ("Please retry in 1.4 s", Some(1_400.0)),
            ("Please retry in 34.074824224s.", Some(34_074.824)),
            ("Please try again in 1h2m. Visit", Some(3_720_000.0)),
            ("try again in 6ms", Some(6.0)),
            ("Please try again in 1m2.5s", Some(62_500.0)),
            ("You must wait 30 seconds before", Some(30_000.0)),
            ("wait for about 2 minutes and 5 seconds", Some(125_000.0)),
            ("Retry after 5", Some(5_000.0)),
            ("retry after: 7.", Some(7_000.0)),
            ("quota resets in 3 hours, 10 min", Some(11_400_000.0)),
            ("Limit 6000, Used 5034, Requested 1443. Please try again in 8.64s", Some(8_640.0)),
            ("Please try again later", None),
            ("try again in a few minutes", None),
            ("retry after 2026-01-01", None),
            ("limited to 20 requests per minute", None),
            ("wait until it is your turn", None),
        ] {
            assert_eq!(find(text).map(|wait| (wait * 1e3).round() / 1e3), expected, "{text}");
        }
    }

    #[test]
    fn a_duration_is_nothing_but_a_duration() {
        assert_eq!(duration("5.4s"), Some(5_400.0));
        assert_eq!(duration("1h 2m 3s"), Some(3_723_000.0));
        assert_eq!(duration("12"), None);
        assert_eq!(duration("6s ago"), None);
    }
}
