//! Which name the author may have meant.

/// Longest word that is compared.
const LONGEST: usize = 100;

/// Returns the nearest of `known`, when it is near enough to be a slip of the fingers.
///
/// At most a third of the letters may differ; swapped neighbours count as one difference.
pub fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let mut best: Option<(usize, &'a str)> = None;
    for candidate in known {
        let (own, other) = (name.chars().count(), candidate.chars().count());
        let allowed = (own.max(other) / 3).max(1);
        // Longer than any name is: no slip of the fingers, and the distance costs one length times the other.
        if own.abs_diff(other) > allowed || own > LONGEST {
            continue;
        }
        let distance = strsim::damerau_levenshtein(&name, &candidate.to_lowercase());
        if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_nothing_else() {
        assert_eq!(closest("temprature", ["temperature", "top_p"]), Some("temperature"));
        assert_eq!(closest("answr", ["answer", "prompt"]), Some("answer"));
        assert_eq!(closest("Con", ["pro", "con"]), Some("con"));
        assert_eq!(closest("zebra", ["pro", "con"]), None);
    }
}
