//! A dialogue as one of its speakers sees it.

use std::sync::Arc;

use super::Texts;
use super::compose::ComposeError;
use super::heard::BYTES_PER_TOKEN;
use crate::base::ActorName;
use crate::event::Turn;
use crate::plan::{ActorIdx, Dialogue, History, Plan};
use crate::prompt::{Message, Role};

/// From this many speakers on, a turn is prefixed with its speaker's name: two need no names.
const NAMED_FROM: usize = 3;

/// Messages as they are put together: adjacent ones of the same role are joined.
///
/// Many chat templates accept only strict alternation, hence the joining.
#[derive(Default)]
pub(super) struct Talk(Vec<(Role, String)>);

impl Talk {
    /// Adds what someone says.
    pub(super) fn say(&mut self, role: Role, text: &str) {
        match self.0.last_mut() {
            Some((last, joined)) if *last == role => {
                joined.push_str("\n\n");
                joined.push_str(text);
            }
            _ => self.0.push((role, text.to_owned())),
        }
    }

    /// Returns it as it is sent.
    pub(super) fn messages(self) -> impl Iterator<Item = Message> {
        self.0.into_iter().map(|(role, text)| Message { role, content: Arc::from(text) })
    }
}

/// Adds the turns of a dialogue as an actor sees them: own turns as assistant, all else as user. Returns how many of
/// the oldest are left out.
///
/// Names stand before the turns of others from three speakers on, and always for an actor who takes no part.
pub(super) fn turns(
    plan: &Plan,
    dialogue: &Dialogue,
    me: ActorIdx,
    turns: &[Turn],
    talk: &mut Talk,
    texts: Texts<'_>,
) -> Result<u32, ComposeError> {
    let named = dialogue.actors.len() >= NAMED_FROM || !dialogue.actors.contains(&me);
    let me = &plan.actor(me).name;
    let turns: Vec<(&ActorName, Arc<str>)> = turns
        .iter()
        .map(|Turn { actor, text }| Ok((actor, texts(text).ok_or(ComposeError::TextMissing(*text))?)))
        .collect::<Result<_, ComposeError>>()?;
    let dropped = turns.len() - kept(dialogue.history, &turns);
    for (actor, text) in turns.into_iter().skip(dropped) {
        match *actor == *me {
            true => talk.say(Role::Assistant, &text),
            false if named => talk.say(Role::User, &format!("{actor}: {text}")),
            false => talk.say(Role::User, &text),
        }
    }
    Ok(u32::try_from(dropped).unwrap_or(u32::MAX))
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
