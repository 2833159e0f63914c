//! What a chat continues: the words of earlier steps, put before its prompt.
//!
//! What those steps were asked is rendered again, from the same data, so it is what was sent; what they answered is
//! taken as text.

use super::Texts;
use super::blind::Labels;
use super::compose::{ComposeError, Models, asked};
use super::context::context;
use super::dialogue::{self, Talk};
use crate::event::{FailureKind, TaskOutput};
use crate::plan::{Chat, Ground, Place, Plan, StepKind};
use crate::prompt::{Role, TemplateId};

/// Adds what a chat continues; returns how many turns of dialogues are left out, as their `history` says.
///
/// A step that was not done, or has no answer, adds nothing; what it would have continued stays.
pub(super) fn continued(
    plan: &Plan,
    chat: &Chat,
    place: &Place,
    models: Models<'_>,
    talk: &mut Talk,
    texts: Texts<'_>,
) -> Result<u32, ComposeError> {
    if chat.history.is_empty() {
        return Ok(0);
    }
    // No step that is continued has elements, so none of them saw one.
    let ground = Ground { each: None, ..place.ground() };
    let data = context(plan, &ground, None, models, &Labels::none(), texts)?;
    let render = |what, template: TemplateId| {
        let rendered = plan.templates.render(template, &data);
        rendered.map_err(|source| ComposeError::Render { what, case: place.case, source })
    };
    let mut dropped = 0_u32;
    for earlier in plan.talks(chat) {
        let Some((_, settled)) = place.inputs.iter().find(|(step, _)| *step == earlier) else { continue };
        // Its `on_error` gave an answer to what could not even be asked.
        if settled.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::Render) {
            continue;
        }
        match (&plan.step(earlier).kind, &settled.output) {
            (StepKind::Chat(chat), Some(TaskOutput::Chat { text })) => {
                talk.say(Role::User, &asked(chat, render("prompt of a step in `history`", chat.prompt)?));
                talk.say(Role::Assistant, &texts(text).ok_or(ComposeError::TextMissing(*text))?);
            }
            (StepKind::Dialogue(dialogue), Some(TaskOutput::Dialogue { turns, .. })) => {
                talk.say(Role::User, &render("opening of a step in `history`", dialogue.opening)?);
                dropped = dropped.saturating_add(dialogue::turns(plan, dialogue, place.actor, turns, talk, texts)?);
            }
            _ => {}
        }
    }
    Ok(dropped)
}
