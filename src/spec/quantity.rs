//! The types of settings: numbers with their ranges, quantities with their units.

use std::num::NonZeroU32;

use super::{FromScalar, Literal, Refusal};
use crate::base::{MicroUsd, Millis};
use crate::diag::code;

/// A whole number from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub NonZeroU32);

/// The seed of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64);

/// How freely a model chooses among words: 0 to 2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Temperature(pub f64);

/// The share of likely words that a model chooses among: 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TopP(pub f64);

/// A share of a whole: over 0, at most 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(pub f64);

/// A number of tokens from 1, written `160` or `2k`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tokens(pub u32);

/// A length of time over 0, written with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length(pub Millis);

/// The shortest and the longest wait between attempts, written `1s..60s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff(pub Millis, pub Millis);

/// The price of a million tokens, written `0.15 USD/M`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub MicroUsd);

/// An amount of money, written `2.50 USD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Money(pub MicroUsd);

/// How many calls may be in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slots {
    /// As many as the server serves at once.
    Auto,
    /// So many.
    Fixed(NonZeroU32),
}

/// A number, whole or not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number(pub f64);

/// The version of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version;

impl FromScalar for Count {
    const EXPECTED: &'static str = "a whole number from 1";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        whole(literal, 1, i128::from(u32::MAX)).map(|number| {
            Self(u32::try_from(number).ok().and_then(NonZeroU32::new).expect("`whole` has checked the range"))
        })
    }
}

impl FromScalar for Seed {
    const EXPECTED: &'static str = "a whole number from 0";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        let number = whole(literal, 0, i128::from(u64::MAX))?;
        Ok(Self(u64::try_from(number).expect("`whole` has checked the range")))
    }
}

impl FromScalar for Temperature {
    const EXPECTED: &'static str = "a number from 0 to 2";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        number(literal, 0.0, 2.0).map(Self)
    }
}

impl FromScalar for TopP {
    const EXPECTED: &'static str = "a number from 0 to 1";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        number(literal, 0.0, 1.0).map(Self)
    }
}

impl FromScalar for Share {
    const EXPECTED: &'static str = "a share such as 90%, or a number from 0 to 1";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        let share = match literal {
            Literal::Text(text) => {
                let Some((amount, "%")) = split(text.trim()) else {
                    let reason = "this is no share".to_owned();
                    let help = Some("write 90% or 0.9".to_owned());
                    return Err(Refusal { code: code::UNIT, reason, help });
                };
                amount / 100.0
            }
            literal => match number(literal, 0.0, 1.0) {
                Err(refusal) if matches!(literal, Literal::Integer(_) | Literal::Float(_)) => {
                    return Err(refusal.help(format!("a percentage needs its sign: {}%", literal.show())));
                }
                read => read?,
            },
        };
        match share {
            share if share <= 0.0 => Err(Refusal::out_of_range("it must be more than nothing")),
            share if share > 1.0 => Err(Refusal::out_of_range("the most is 100%")),
            share => Ok(Self(share)),
        }
    }
}

impl FromScalar for Number {
    const EXPECTED: &'static str = "a number";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        number(literal, f64::MIN, f64::MAX).map(Self)
    }
}

impl FromScalar for Tokens {
    const EXPECTED: &'static str = "a number of tokens from 1, such as 160 or 2k";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        let Literal::Text(text) = literal else {
            let number = whole(literal, 1, i128::from(u32::MAX))?;
            return Ok(Self(u32::try_from(number).expect("`whole` has checked the range")));
        };
        let refuse = || Refusal {
            code: code::UNIT,
            reason: "this is no number of tokens".to_owned(),
            help: Some("k stands for 1,000 and M for 1,000,000".to_owned()),
        };
        let (amount, unit) = split(text).ok_or_else(refuse)?;
        let factor = match unit {
            "k" => 1e3,
            "M" => 1e6,
            "" => return Err(Refusal::wrong_type(literal)),
            _ => return Err(refuse()),
        };
        whole_u32(amount * factor).map(Self).ok_or_else(|| Refusal::out_of_range("out of range"))
    }
}

impl FromScalar for Length {
    const EXPECTED: &'static str = "a length of time such as 500ms, 90s, 15m or 6h";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        match literal {
            Literal::Text(text) => length(text).map(Self),
            Literal::Integer(_) | Literal::Float(_) => Err(Refusal {
                code: code::UNIT,
                reason: "no unit".to_owned(),
                help: Some(format!("write {0}ms, {0}s, {0}m, {0}h or {0}d", literal.show())),
            }),
            Literal::Null | Literal::Bool(_) => Err(Refusal::wrong_type(literal)),
        }
    }
}

impl FromScalar for Backoff {
    const EXPECTED: &'static str = "two lengths of time such as 1s..60s";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        let Literal::Text(text) = literal else { return Err(Refusal::wrong_type(literal)) };
        let Some((shortest, longest)) = text.split_once("..") else {
            return Err(Refusal { code: code::UNIT, reason: "no `..` in it".to_owned(), help: None });
        };
        let (shortest, longest) = (length(shortest)?, length(longest)?);
        if shortest > longest {
            return Err(Refusal::out_of_range("the first is longer than the second"));
        }
        Ok(Self(shortest, longest))
    }
}

impl FromScalar for Rate {
    const EXPECTED: &'static str = "the price of tokens such as 0.15 USD/M";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        let refuse = |reason: String, help: String| Refusal { code: code::UNIT, reason, help: Some(help) };
        let units = "USD/M is dollars for a million tokens, USD/k for a thousand";
        let text = match literal {
            Literal::Text(text) => text.trim(),
            Literal::Integer(_) | Literal::Float(_) => {
                return Err(refuse("no unit".to_owned(), format!("write {} USD/M; {units}", literal.show())));
            }
            Literal::Null | Literal::Bool(_) => return Err(Refusal::wrong_type(literal)),
        };
        if let Some(amount) = text.strip_prefix('$') {
            let amount = amount.split(|letter: char| !letter.is_ascii_digit() && letter != '.').next();
            let remedy = format!("write {} USD/M; {units}", amount.unwrap_or("0.15"));
            return Err(refuse("the currency is written behind the amount".to_owned(), remedy));
        }
        let (amount, factor) = match (text.strip_suffix("USD/M"), text.strip_suffix("USD/k")) {
            (Some(amount), _) => (amount, 1),
            (None, Some(amount)) => (amount, 1_000),
            (None, None) => return Err(refuse(format!("{text:?} has no unit of price"), units.to_owned())),
        };
        let amount = amount.strip_suffix(' ').unwrap_or(amount);
        match micros(amount) {
            Some(micros) => Ok(Self(MicroUsd(micros * factor))),
            None => Err(refuse(
                format!("{amount:?} is no amount"),
                "an amount has at most six digits before and after the point, such as 0.0375".to_owned(),
            )),
        }
    }
}

impl FromScalar for Money {
    const EXPECTED: &'static str = "an amount of money such as 2.50 USD";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        let refuse = |reason: String, help: String| Refusal { code: code::UNIT, reason, help: Some(help) };
        let text = match literal {
            Literal::Text(text) => text.trim(),
            Literal::Integer(_) | Literal::Float(_) => {
                return Err(refuse("no unit".to_owned(), format!("write {} USD", literal.show())));
            }
            Literal::Null | Literal::Bool(_) => return Err(Refusal::wrong_type(literal)),
        };
        if let Some(amount) = text.strip_prefix('$') {
            return Err(refuse(
                "the currency is written behind the amount".to_owned(),
                format!("write {} USD", amount.trim()),
            ));
        }
        let Some(amount) = text.strip_suffix("USD") else {
            return Err(refuse(format!("{text:?} is no amount of money"), "write 2.50 USD".to_owned()));
        };
        match micros(amount.strip_suffix(' ').unwrap_or(amount)) {
            Some(0) => Err(Refusal::out_of_range("it must be more than nothing")),
            Some(micros) => Ok(Self(MicroUsd(micros))),
            None => Err(refuse(
                format!("{amount:?} is no amount"),
                "an amount has at most six digits before and after the point, such as 2.50".to_owned(),
            )),
        }
    }
}

/// Reads an amount with at most six digits before and after its point, in millionths.
fn micros(amount: &str) -> Option<u64> {
    let (whole, part) = amount.split_once('.').map_or((amount, None), |(whole, part)| (whole, Some(part)));
    let number = |digits: &str| {
        let fits = (1..=6).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u64>().ok().filter(|_| fits)
    };
    let part = match part {
        Some(part) => number(part)? * 10_u64.pow(6 - u32::try_from(part.len()).ok()?),
        None => 0,
    };
    Some(number(whole)? * 1_000_000 + part)
}

impl FromScalar for Slots {
    const EXPECTED: &'static str = "auto or a whole number from 1";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        match literal {
            Literal::Text(text) if text == "auto" => Ok(Self::Auto),
            Literal::Text(text) if matches!(Literal::of_plain(text), Literal::Text(_)) => {
                Err(Refusal { code: code::OUT_OF_RANGE, reason: format!("{text:?} is neither"), help: None })
            }
            literal => Count::from_scalar(literal).map(|Count(count)| Self::Fixed(count)),
        }
    }
}

impl FromScalar for Version {
    const EXPECTED: &'static str = "1";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        match literal {
            Literal::Integer(1) => Ok(Self),
            Literal::Integer(other) => Err(Refusal {
                code: code::VERSION,
                reason: format!("version {other} is unknown to this program"),
                help: Some("this program reads version 1 of the language".to_owned()),
            }),
            Literal::Null | Literal::Bool(_) | Literal::Float(_) | Literal::Text(_) => Err(Refusal {
                code: code::VERSION,
                reason: "not a version of the language".to_owned(),
                help: Some("write `version: 1`: it is the version of the language, not of the pipeline".to_owned()),
            }),
        }
    }
}

fn whole(literal: &Literal, least: i128, most: i128) -> Result<i128, Refusal> {
    match literal {
        Literal::Integer(number) if (least..=most).contains(number) => Ok(*number),
        Literal::Integer(number) if *number < least => Err(Refusal::out_of_range(format!("the least is {least}"))),
        Literal::Integer(_) => Err(Refusal::out_of_range(format!("the most is {most}"))),
        Literal::Float(_) => Err(Refusal::out_of_range("this is not whole")),
        Literal::Null | Literal::Bool(_) | Literal::Text(_) => Err(Refusal::wrong_type(literal)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a number this large is out of every range that calls this")]
fn number(literal: &Literal, least: f64, most: f64) -> Result<f64, Refusal> {
    let number = match literal {
        Literal::Integer(number) => *number as f64,
        Literal::Float(number) => *number,
        Literal::Null | Literal::Bool(_) | Literal::Text(_) => return Err(Refusal::wrong_type(literal)),
    };
    if number < least {
        return Err(Refusal::out_of_range(format!("the least is {least}")));
    }
    if number > most {
        return Err(Refusal::out_of_range(format!("the most is {most}")));
    }
    Ok(number)
}

fn length(text: &str) -> Result<Millis, Refusal> {
    let refuse = |reason: String| Refusal {
        code: code::UNIT,
        reason,
        help: Some("the units are ms, s, m, h and d".to_owned()),
    };
    let (amount, unit) = split(text.trim()).ok_or_else(|| refuse(format!("{text:?} is no length of time")))?;
    let factor = match unit {
        "ms" => 1.0,
        "s" => 1e3,
        "m" => 60e3,
        "h" => 3_600e3,
        "d" => 86_400e3,
        "" => return Err(refuse("no unit".to_owned())),
        unit => return Err(refuse(format!("there is no unit {unit:?}"))),
    };
    let millis = (amount * factor).ceil();
    if millis < 1.0 {
        return Err(Refusal::out_of_range("it must be longer than nothing"));
    }
    // Ten years: beyond it a typing error is certain, and sums of times stay far from the end of the numbers.
    if millis > 315_360_000e3 {
        return Err(Refusal::out_of_range("the most is ten years"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and ten years, and whole")]
    Ok(Millis(millis as u64))
}

/// Splits `1.5h` into amount and unit.
fn split(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|letter: char| !(letter.is_ascii_digit() || letter == '.')).unwrap_or(text.len());
    let digits = &text[..end];
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    Some((digits.parse().ok()?, &text[end..]))
}

fn whole_u32(amount: f64) -> Option<u32> {
    let rounded = amount.round();
    if !(1.0..=f64::from(u32::MAX)).contains(&rounded) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range has just been checked")]
    Some(rounded as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: FromScalar>(text: &str) -> Result<T, String> {
        T::from_scalar(&Literal::of_plain(text)).map_err(|refusal| refusal.reason)
    }

    #[test]
    fn lengths_of_time_need_a_unit() {
        let check =
            |text: &str, expected: u64| assert_eq!(read::<Length>(text), Ok(Length(Millis(expected))), "{text}");
        check("500ms", 500);
        check("90s", 90_000);
        check("1.5h", 5_400_000);
        check("2d", 172_800_000);
        for text in ["90", "0s", "5 s", "s", "1y", "-1s", "1e3s", "99999d"] {
            assert!(read::<Length>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_other_quantities() {
        assert_eq!(read("1s..60s"), Ok(Backoff(Millis(1_000), Millis(60_000))));
        assert!(read::<Backoff>("60s..1s").is_err());
        assert_eq!(read("2k"), Ok(Tokens(2_000)));
        assert_eq!(read("160"), Ok(Tokens(160)));
        assert!(read::<Tokens>("0").is_err());
        assert_eq!((read("90%"), read("0.9")), (Ok(Share(0.9)), Ok(Share(0.9))));
        for text in ["0", "0%", "101%", "5", "half", "-1%"] {
            assert!(read::<Share>(text).is_err(), "{text}");
        }
        assert_eq!(read("0.15 USD/M"), Ok(Rate(MicroUsd(150_000))));
        assert_eq!(read("2USD/k"), Ok(Rate(MicroUsd(2_000_000_000))));
        for text in ["0.15", "$0.15", "0.15 USD", "0.15 EUR/M", "-1 USD/M", ". USD/M", "0.1234567 USD/M", "1e3 USD/M"]
        {
            assert!(read::<Rate>(text).is_err(), "{text}");
        }
        assert_eq!(read("2.50 USD"), Ok(Money(MicroUsd(2_500_000))));
        for text in ["2.50", "0 USD", "$2", "2 EUR", "2.50 USD/M"] {
            assert!(read::<Money>(text).is_err(), "{text}");
        }
        assert_eq!(read("auto"), Ok(Slots::Auto));
        assert!(read::<Slots>("0").is_err());
        assert!(read::<Temperature>("2.1").is_err());
        assert_eq!(read("18446744073709551615"), Ok(Seed(u64::MAX)));
        assert!(read::<Seed>("-1").is_err());
        assert!(read::<Version>("8.10").is_err());
    }
}
