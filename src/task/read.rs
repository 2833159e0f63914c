//! An answer → facts: all that the engine will ever know of it.

use super::compose::ComposeError;
use super::heard::{about_tokens, heard};
use super::{Texts, ballot};
use crate::event::{Facts, FinishReason};
use crate::judge::{Form, Reading};
use crate::plan::{Call, Place, Plan, StepKind};

/// Reads what the step wants to know of an answer. Pure: the same answer gives the same facts.
///
/// # Errors
/// The text of an earlier turn is missing; asking again cannot help.
pub fn read(
    plan: &Plan,
    place: &Place,
    answer: &str,
    finish: FinishReason,
    texts: Texts<'_>,
) -> Result<Facts, ComposeError> {
    Ok(match &plan.step(place.step).kind {
        StepKind::Chat(chat) => match &chat.form {
            Some((schema, _)) => Facts { invalid: schema.check(answer).err(), ..Facts::default() },
            None => Facts::default(),
        },
        StepKind::Transform(_) | StepKind::Assert(_) => Facts::default(),
        StepKind::Dialogue(dialogue) if let Call::Ask(inquiry) = place.call => {
            let form = Form::Choice(dialogue.judges[inquiry.which as usize].choose.clone());
            let Reading { verdict, complaint } = form.read(answer, finish);
            let about_tokens = about_tokens(dialogue, answer);
            Facts { verdict: Some(verdict), invalid: complaint, about_tokens, ..Facts::default() }
        }
        StepKind::Dialogue(dialogue) => heard(plan, dialogue, place, answer, texts)?,
        StepKind::Judge(judge) => {
            let Call::Vote(ballot) = place.call else { return Ok(Facts::default()) };
            let Reading { verdict, complaint } = ballot::read(judge, ballot, answer, finish);
            Facts { verdict: Some(verdict), invalid: complaint, ..Facts::default() }
        }
    })
}
