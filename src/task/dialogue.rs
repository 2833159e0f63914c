//! A dialogue as one of its speakers sees it.

use std::sync::Arc;

use super::Texts;
use super::compose::ComposeError;
use super::heard::BYTES_PER_TOKEN;
use crate::base::ActorName;
use crate::event::Turn;
use crate::plan::{Dialogue, History, Place, Plan};
use crate::prompt::{Message, Role};

/// From this many speakers on, a turn is prefixed with its speaker's name: two need no names.
const NAMED_FROM: usize = 3;

/// The talk so far, for one speaker.
pub(super) struct Seen {
    /// Opening and turns.
    pub(super) messages: Vec<Message>,
    /// The oldest turns, left out.
    pub(super) dropped_turns: u32,
}

/// Returns the talk so far for the speaker of `place`: own turns as assistant, all else as user, adjacent ones joined.
///
/// Many chat templates accept only strict alternation, hence the joining.
pub(super) fn seen(
    plan: &Plan,
    dialogue: &Dialogue,
    place: &Place,
    opening: String,
    texts: Texts<'_>,
) -> Result<Seen, ComposeError> {
    let me = &plan.actor(place.actor).name;
    let named = dialogue.actors.len() >= NAMED_FROM;
    let mut talk: Vec<(Role, String)> = vec![(Role::User, opening)];
    let turns: Vec<(&ActorName, Arc<str>)> = place
        .turns
        .iter()
        .map(|Turn { actor, text }| Ok((actor, texts(text).ok_or(ComposeError::TextMissing(*text))?)))
        .collect::<Result<_, ComposeError>>()?;
    let kept = kept(dialogue.history, &turns);
    let dropped = turns.len() - kept;
    for (actor, text) in turns.into_iter().skip(dropped) {
        let (role, said) = match *actor == *me {
            true => (Role::Assistant, text.to_string()),
            false if named => (Role::User, format!("{actor}: {text}")),
            false => (Role::User, text.to_string()),
        };
        match talk.last_mut() {
            Some((last, joined)) if *last == role => {
                joined.push_str("\n\n");
                joined.push_str(&said);
            }
            _ => talk.push((role, said)),
        }
    }
    let messages = talk.into_iter().map(|(role, text)| Message { role, content: Arc::from(text) }).collect();
    Ok(Seen { messages, dropped_turns: u32::try_from(dropped).unwrap_or(u32::MAX) })
}

/// Returns how many of the turns, from the latest back, a history keeps.
fn kept(history: History, turns: &[(&ActorName, Arc<str>)]) -> usize {
    match history {
        History::All => turns.len(),
        History::Last(most) => turns.len().min(most.get() as usize),
        History::Tokens(most) => {
            let mut room = most as usize;
            let fits = turns.iter().rev().take_while(|(_, text)| {
                let tokens = text.len().div_ceil(BYTES_PER_TOKEN);
                let fits = tokens <= room;
                room = room.saturating_sub(tokens);
                fits
            });
            // The latest is what the speaker answers to: without it there is no talk.
            fits.count().max(1).min(turns.len())
        }
    }
}
