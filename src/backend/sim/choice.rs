//! Which option a simulated judge names.

use super::answer::{identity, last_user, seed_of};
use super::draw::Draw;
use crate::backend::port::ChatRequest;
use crate::base::{Digest, Hasher};

/// Share of transcripts that an option without a speaker (`tie`) wins, in percent.
const NOBODY: usize = 12;
/// Share of the other transcripts in which the seed decides, in percent.
const NOISE: usize = 10;

/// Names one of the options; the first of none is the empty text.
pub(super) fn choose<'a>(request: &ChatRequest, options: &'a [String]) -> &'a str {
    if options.is_empty() {
        return "";
    }
    let mut speakers: Vec<(Digest, &str)> = Vec::new();
    let mut silent: Vec<&str> = Vec::new();
    for (option, said) in options.iter().zip(sayings(last_user(request), options)) {
        match said {
            Some(said) => speakers.push((hash("pipe sim speaker", &[said.as_bytes()]), option)),
            None => silent.push(option),
        }
    }
    if speakers.len() < 2 {
        return &options[Draw::new(identity(request)).below(options.len())];
    }
    // From here on names do not count, only what was said, in an order that names do not decide.
    speakers.sort_by_key(|(said, _)| *said);
    let all =
        speakers.iter().fold(Hasher::new("pipe sim talk").field(request.model.as_bytes()), |hasher, (said, _)| {
            hasher.field(said.as_bytes())
        });
    let mut of_the_talk = Draw::new(all.finish());
    if !silent.is_empty() && of_the_talk.chance(NOBODY) {
        return of_the_talk.one_of(&silent);
    }
    let mut of_the_seed = Draw::new(all.number(seed_of(request)).finish());
    if request.temperature != Some(0.0) && of_the_seed.chance(NOISE) {
        return speakers[of_the_seed.below(speakers.len())].1;
    }
    let best = speakers
        .iter()
        .max_by_key(|(said, _)| hash("pipe sim score", &[request.model.as_bytes(), said.as_bytes()]).low_bits());
    best.map_or("", |(_, option)| option)
}

/// Collects what each option says in a transcript: paragraphs that begin with `<option>:`; none when it says nothing.
fn sayings(text: &str, options: &[String]) -> Vec<Option<String>> {
    let mut said: Vec<Option<String>> = vec![None; options.len()];
    let mut speaker = None;
    for line in text.lines() {
        if line.trim().is_empty() {
            speaker = None;
            continue;
        }
        let opened = options.iter().enumerate().find_map(|(place, option)| {
            let rest = line.strip_prefix(option.as_str())?.strip_prefix(':')?;
            Some((place, rest))
        });
        let (place, words) = match (opened, speaker) {
            (Some((place, rest)), _) => (place, rest),
            (None, Some(place)) => (place, line),
            (None, None) => continue,
        };
        speaker = Some(place);
        let saying = said[place].get_or_insert_default();
        saying.push_str(words.trim());
        saying.push('\n');
    }
    said
}

fn hash(domain: &str, fields: &[&[u8]]) -> Digest {
    fields.iter().fold(Hasher::new(domain), |hasher, field| hasher.field(field)).finish()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::backend::port::{CallLimits, Format};
    use crate::prompt::{Message, Role};

    fn ask(question: &str, options: &[&str], seed: u32, temperature: Option<f64>) -> String {
        let second = Duration::from_secs(1);
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let request = ChatRequest {
            model: "sim".into(),
            messages: vec![Message { role: Role::User, content: question.into() }],
            temperature,
            top_p: None,
            max_tokens: None,
            stop: vec![],
            seed,
            format: Format::Choice(options.clone()),
            stream: false,
            reasoning: None,
            extra: std::sync::Arc::default(),
            lacks: crate::event::Features::NONE,
            trace: None,
            limits: CallLimits { connect: second, first_token: second, idle: second },
        };
        choose(&request, &options).to_owned()
    }

    fn talk(one: &str, other: &str, case: u32) -> String {
        format!(
            "Who argued better?\n{one}: trams are quiet {case}\nand clean\n\n{other}: buses are cheap {case}\n\nA, B or tie?"
        )
    }

    #[test]
    fn exchanging_the_names_exchanges_the_answer() {
        for case in 0..200 {
            let options = ["A", "B", "tie"];
            let straight = ask(&talk("A", "B", case), &options, 1, Some(0.0));
            let exchanged = ask(&talk("B", "A", case), &options, 1, Some(0.0));
            let expected = match straight.as_str() {
                "A" => "B",
                "B" => "A",
                other => other,
            };
            assert_eq!(exchanged, expected, "case {case}");
        }
    }

    #[test]
    fn every_option_wins_its_share_and_seeds_matter_a_little() {
        let mut wins: BTreeMap<String, u32> = BTreeMap::new();
        let mut differing = 0;
        for case in 0..1_000 {
            let first = ask(&talk("pro", "con", case), &["pro", "con", "tie"], 1, None);
            differing += u32::from(first != ask(&talk("pro", "con", case), &["pro", "con", "tie"], 2, None));
            *wins.entry(first).or_default() += 1;
        }
        assert!((90..150).contains(&wins["tie"]), "{wins:?}");
        assert!(wins["pro"] > 350 && wins["con"] > 350, "{wins:?}");
        assert!((50..150).contains(&differing), "{differing} of 1,000 differ by seed");
    }

    #[test]
    fn without_a_transcript_the_question_and_the_seed_decide() {
        let seen: std::collections::BTreeSet<String> =
            (0..50).map(|seed| ask("Is it good?", &["yes", "no"], seed, None)).collect();
        assert_eq!(seen.len(), 2);
        assert_eq!(ask("Is it good?", &["yes", "no"], 7, None), ask("Is it good?", &["yes", "no"], 7, None));
    }
}
