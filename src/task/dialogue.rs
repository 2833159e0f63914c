//! A dialogue as one of its speakers sees it.

use std::sync::Arc;

use super::Texts;
use super::compose::ComposeError;
use crate::event::Turn;
use crate::plan::{Dialogue, Place, Plan};
use crate::prompt::{Message, Role};

/// From this many speakers on, a turn is prefixed with its speaker's name: two need no names.
const NAMED_FROM: usize = 3;

/// Returns the talk so far for the speaker of `place`: own turns as assistant, all else as user, adjacent ones joined.
///
/// Many chat templates accept only strict alternation, hence the joining.
pub(super) fn history(
    plan: &Plan,
    dialogue: &Dialogue,
    place: &Place,
    opening: String,
    texts: Texts<'_>,
) -> Result<Vec<Message>, ComposeError> {
    let me = &plan.actor(place.actor).name;
    let named = dialogue.actors.len() >= NAMED_FROM;
    let mut talk: Vec<(Role, String)> = vec![(Role::User, opening)];
    for Turn { actor, text } in &place.turns {
        let text = texts(text).ok_or(ComposeError::TextMissing(*text))?;
        let (role, said) = match actor == me {
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
    Ok(talk.into_iter().map(|(role, text)| Message { role, content: Arc::from(text) }).collect())
}
