//! Numbers as people read them.

/// Writes a count with its thousands apart: `81,234`.
#[must_use]
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes a number with one decimal and its thousands apart: `3,078.0`.
#[must_use]
pub fn tenths(number: f64) -> String {
    let text = format!("{number:.1}");
    match text.split_once('.') {
        Some((whole, tenth)) => match whole.parse() {
            Ok(whole) => format!("{}.{tenth}", grouped(whole)),
            // Negative, or beyond all counts.
            Err(_) => text,
        },
        // Not finite.
        None => text,
    }
}

/// Writes an energy in joules: `44.5 J`, `12.3 kJ`, `1.20 kWh`.
#[must_use]
pub fn energy(joules: f64) -> String {
    match joules {
        joules if joules >= 3.6e6 => format!("{:.2} kWh", joules / 3.6e6),
        joules if joules >= 1e4 => format!("{} kJ", tenths(joules / 1e3)),
        joules => format!("{} J", tenths(joules)),
    }
}

/// Writes a share of 0 to 1 as `52.0 %`.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// Draws a share of 0 to 1 as one of eight heights, the lowest for nothing; what lies outside is taken for the nearer end.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 7")]
pub fn height(share: f64) -> char {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    HEIGHTS[(share.clamp(0.0, 1.0) * 7.0 + 1e-6).round() as usize]
}

/// Writes a length of time in the two largest units that matter: `840 ms`, `12.4 s`, `2 min 14 s`, `9 h 1 min`.
#[must_use]
pub fn duration(micros: u64) -> String {
    let ms = (micros + 500) / 1_000;
    let seconds = (micros + 500_000) / 1_000_000;
    let minutes = (seconds + 30) / 60;
    let hours = (minutes + 30) / 60;
    if ms < 1_000 {
        format!("{ms} ms")
    } else if micros < 59_950_000 {
        let tenths = (micros + 50_000) / 100_000;
        format!("{}.{} s", tenths / 10, tenths % 10)
    } else if seconds < 3_600 {
        pair(seconds / 60, "min", seconds % 60, "s")
    } else if minutes < 48 * 60 {
        pair(minutes / 60, "h", minutes % 60, "min")
    } else {
        pair(hours / 24, "days", hours % 24, "h")
    }
}

fn pair(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 { format!("{large} {large_unit}") } else { format!("{large} {large_unit} {small} {small_unit}") }
}

/// Writes how much there was per unit, with a digit after the point only below 10; none without time.
#[must_use]
pub fn rate(count: u64, micros: u64, per_micros: u64) -> Option<String> {
    let value = per(count, micros, per_micros)?;
    if value < 9.95 {
        return Some(format!("{value:.1}"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is positive, below 2^53")]
    Some(grouped(value.round() as u64))
}

/// Returns how much there was per unit; none without time.
#[expect(clippy::cast_precision_loss, reason = "counts and microseconds of a run stay below 2^53")]
pub(super) fn per(count: u64, micros: u64, per_micros: u64) -> Option<f64> {
    (micros > 0).then(|| count as f64 * per_micros as f64 / micros as f64)
}

/// Writes a count with its noun: `1 case`, `2 cases`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_thousands() {
        for (count, expected) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (81_234, "81,234"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(count), expected);
        }
    }

    #[test]
    fn tenths_have_their_thousands_apart() {
        for (number, expected) in [
            (0.0, "0.0"),
            (999.94, "999.9"),
            (999.96, "1,000.0"),
            (3_078.0, "3,078.0"),
            (-12.34, "-12.3"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(tenths(number), expected);
        }
    }

    #[test]
    fn energies_have_the_unit_that_suits_them() {
        let told = [0.0, 9_999.9, 12_340.0, 3_599_000.0, 4_320_000.0].map(energy);
        assert_eq!(told, ["0.0 J", "9,999.9 J", "12.3 kJ", "3,599.0 kJ", "1.20 kWh"]);
    }

    #[test]
    fn lengths_of_time() {
        let cases = [
            (0, "0 ms"),
            (840_000, "840 ms"),
            (12_440_000, "12.4 s"),
            (59_940_000, "59.9 s"),
            (59_960_000, "1 min"),
            (134_000_000, "2 min 14 s"),
            (3_599_000_000, "59 min 59 s"),
            (3_599_900_000, "1 h"),
            (32_460_000_000, "9 h 1 min"),
            (200_000_000_000, "2 days 8 h"),
        ];
        for (micros, expected) in cases {
            assert_eq!(duration(micros), expected);
        }
    }

    #[test]
    fn rates_have_a_point_only_when_small() {
        assert_eq!(rate(312, 60_000_000, 60_000_000).as_deref(), Some("312"));
        assert_eq!(rate(7, 2_000_000, 1_000_000).as_deref(), Some("3.5"));
        assert_eq!(rate(7, 0, 1_000_000), None);
    }
}
