//! Readable English about the words of a question.

use super::draw::Draw;

/// Median length of an answer, in words.
const MEDIAN: usize = 45;
/// A log-normal distribution with coefficient of variation 0.5, in thousandths of its median: its values at
/// 17 evenly spaced probabilities, the middles of seventeenths. A table, because logarithms differ between machines.
const LENGTHS: [usize; 17] =
    [410, 528, 609, 679, 743, 806, 868, 932, 1000, 1072, 1152, 1241, 1346, 1474, 1641, 1894, 2441];
/// Words that say nothing of a subject.
const COMMON: &[&str] = &[
    "about", "after", "again", "also", "because", "been", "before", "being", "best", "better", "between", "cannot",
    "could", "does", "each", "even", "every", "first", "from", "have", "here", "into", "just", "less", "like",
    "little", "many", "more", "most", "motion", "much", "must", "never", "nobody", "only", "other", "over",
    "question", "rather", "reply", "same", "should", "since", "some", "such", "than", "that", "their", "them",
    "then", "there", "these", "they", "this", "those", "though", "through", "under", "until", "very", "were", "what",
    "when", "where", "which", "while", "will", "with", "within", "without", "would", "your",
];
const OPENERS: &[&str] = &[
    "To begin with,",
    "Even so,",
    "In practice,",
    "What is more,",
    "By contrast,",
    "For most people,",
    "On balance,",
    "As I see it,",
    "Put plainly,",
    "Sooner or later",
    "Years of experience show that",
    "Taken together,",
];
const CLAIMS: &[&str] = &[
    "{topic} matters more than it first appears",
    "the case for {topic} rests on evidence rather than habit",
    "{topic} fails exactly where {other} succeeds",
    "we have to weigh {topic} against its price",
    "{topic} pays for itself in a few years",
    "whoever speaks of {topic} has to speak of {other} too",
    "the strongest doubt about {topic} has never been answered",
    "{topic} is a means and {other} is the end",
    "{topic} asks a great deal of those who can least afford it",
    "small steps towards {topic} are worth taking now",
    "{other} would look quite different if {topic} were taken seriously",
    "people change their minds on {topic} once they have lived with it",
];
const REASONS: &[&str] = &[
    "because {other} leaves little room for error",
    "and the numbers on {other} point the same way",
    "as anyone who has worked with {other} can tell",
    "although the facts are still thin",
    "and the burden of proof lies with those who doubt it",
    "for what is saved today is paid for tomorrow",
    "while {other} remains an open matter",
    "and that alone should settle it",
];
const SHORT: &[&str] = &[
    "That is the heart of the matter.",
    "Nothing said so far changes that.",
    "So who carries the risk?",
    "The rest is detail.",
    "I ask you to judge {topic} by its results.",
    "Let us not confuse {topic} with {other}.",
];

/// Writes sentences about words of `sources`, the most telling source first.
pub(super) fn write(sources: &[&str], draw: &mut Draw) -> String {
    let topics = topics(sources);
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let wanted = length(draw);
    let mut text = String::new();
    let mut words = 0;
    while words < wanted {
        let sentence = sentence(&topics, draw);
        words += sentence.split_whitespace().count();
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&sentence);
    }
    text
}

fn length(draw: &mut Draw) -> usize {
    let place = draw.below((LENGTHS.len() - 1) * 1_000);
    let (low, high, part) = (LENGTHS[place / 1_000], LENGTHS[place / 1_000 + 1], place % 1_000);
    let thousandths = low + (high - low) * part / 1_000;
    (MEDIAN * thousandths / 1_000).max(1)
}

fn sentence(topics: &[&str], draw: &mut Draw) -> String {
    let topic = draw.one_of(topics);
    let other = draw.one_of(topics);
    let other = if other == topic { "everything around it" } else { other };
    let filled = |pattern: &str| pattern.replace("{topic}", topic).replace("{other}", other);
    if draw.chance(20) {
        return filled(draw.one_of(SHORT));
    }
    let mut sentence = String::new();
    if draw.chance(60) {
        sentence.push_str(draw.one_of(OPENERS));
        sentence.push(' ');
    }
    sentence.push_str(&filled(draw.one_of(CLAIMS)));
    if draw.chance(50) {
        sentence.push_str(", ");
        sentence.push_str(&filled(draw.one_of(REASONS)));
    }
    sentence.push('.');
    capitalised(&sentence)
}

/// Picks up to eight words of each source, in order, each once.
fn topics(sources: &[&str]) -> Vec<String> {
    const EACH: usize = 8;
    let mut topics: Vec<String> = Vec::new();
    for source in sources {
        let mut taken = 0;
        for word in source.split(|c: char| !c.is_alphanumeric()) {
            let word = word.to_lowercase();
            if taken < EACH
                && word.chars().count() >= 4
                && !COMMON.contains(&word.as_str())
                && !topics.contains(&word)
            {
                topics.push(word);
                taken += 1;
            }
        }
    }
    if topics.is_empty() {
        topics.extend(["the matter at hand", "common sense"].map(str::to_owned));
    }
    topics
}

fn capitalised(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
