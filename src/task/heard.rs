//! What is read in a turn of a dialogue.

use regex::Regex;

use super::Texts;
use super::compose::ComposeError;
use crate::base::Digest;
use crate::event::Facts;
use crate::judge::resemblance;
use crate::plan::{Dialogue, Likeness, Place, Plan};

/// Bytes that stand for a token where a server does not count: about so many of English text, in most vocabularies.
pub(super) const BYTES_PER_TOKEN: usize = 4;

/// Reads what the dialogue's stop wants to know of a turn; earlier turns only where it compares with them.
pub(super) fn heard(
    plan: &Plan,
    dialogue: &Dialogue,
    place: &Place,
    answer: &str,
    texts: Texts<'_>,
) -> Result<Facts, ComposeError> {
    let says = dialogue
        .patterns
        .iter()
        .map(|pattern| pattern.actor.is_none_or(|actor| actor == place.actor) && pattern.regex.is_match(answer));
    let captures = dialogue.captures.iter().map(|pattern| captured(pattern.as_ref(), answer));
    let loops = dialogue.likenesses.iter().map(|&likeness| loops(plan, place, answer, likeness, texts));
    Ok(Facts {
        says: says.collect(),
        captures: captures.collect(),
        loops: loops.collect::<Result<_, _>>()?,
        about_tokens: about_tokens(dialogue, answer),
        ..Facts::default()
    })
}

/// Returns what an answer counts for in the dialogue's budget where the server does not count; 0 without a budget.
pub(super) fn about_tokens(dialogue: &Dialogue, answer: &str) -> u32 {
    let counted = if dialogue.stop.has_budget() { answer.len().div_ceil(BYTES_PER_TOKEN).max(1) } else { 0 };
    u32::try_from(counted).unwrap_or(u32::MAX)
}

/// Returns the digest of what a pattern finds, folded: its first group, else all that it matches; without a pattern
/// the whole text.
fn captured(pattern: Option<&Regex>, text: &str) -> Option<Digest> {
    let found = match pattern {
        None => text,
        Some(pattern) => {
            let captures = pattern.captures(text)?;
            captures.get(1).or_else(|| captures.get(0))?.as_str()
        }
    };
    let folded = found.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    Some(Digest::of(folded.as_bytes()))
}

fn loops(
    plan: &Plan,
    place: &Place,
    answer: &str,
    likeness: Likeness,
    texts: Texts<'_>,
) -> Result<bool, ComposeError> {
    let me = &plan.actor(place.actor).name;
    let own = place.turns.iter().rev().filter(|turn| turn.actor == *me).take(likeness.window.get() as usize);
    for turn in own {
        let text = texts(&turn.text).ok_or(ComposeError::TextMissing(turn.text))?;
        if resemblance(&text, answer) >= likeness.similarity {
            return Ok(true);
        }
    }
    Ok(false)
}
