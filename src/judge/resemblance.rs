//! How alike two texts are.

use std::collections::BTreeSet;

/// Words of a sequence: three tell a phrase that is repeated from words that all talk of a subject shares.
const SHINGLE: usize = 3;

/// Returns the share of three-word sequences that two texts have in common, of those in either: 0 to 1.
///
/// Capitals, punctuation and blanks do not count; a text of fewer words is one sequence. Source: Broder, "On the
/// resemblance and containment of documents" (1997), with w = 3. Cost: of the order of both texts, times a logarithm.
#[must_use]
pub fn resemblance(one: &str, other: &str) -> f64 {
    let (one, other) = (words(one), words(other));
    let (one, other) = (shingles(&one), shingles(&other));
    let common = one.intersection(&other).count();
    let all = one.len() + other.len() - common;
    if all == 0 {
        return 1.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "texts have fewer than 2^52 words")]
    {
        common as f64 / all as f64
    }
}

fn words(text: &str) -> Vec<String> {
    let words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

fn shingles(words: &[String]) -> BTreeSet<&[String]> {
    match words {
        [] => BTreeSet::new(),
        few if few.len() < SHINGLE => BTreeSet::from([few]),
        many => many.windows(SHINGLE).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_word_sequences_are_compared() {
        let check = |one: &str, other: &str, expected: f64| {
            let found = resemblance(one, other);
            assert!((found - expected).abs() < 1e-9, "{one:?} and {other:?}: {found}");
            assert!((resemblance(other, one) - found).abs() < 1e-9, "both ways alike");
        };
        check("a b c d", "A, b: c d!", 1.0);
        check("a b c d", "a b c e", 1.0 / 3.0);
        check("a b c", "c b a", 0.0);
        check("yes", "Yes.", 1.0);
        check("yes", "no", 0.0);
        check("", "", 1.0);
        check("", "a", 0.0);
    }
}
