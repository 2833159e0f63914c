//! An answer → facts: all that the engine will ever know of it.

use super::Texts;
use super::blind::Labels;
use super::compose::ComposeError;
use super::heard::heard;
use crate::event::{Facts, FinishReason, Verdict};
use crate::judge::read_choice;
use crate::plan::{Place, Plan, StepKind};

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
        StepKind::Chat(_) => Facts::default(),
        StepKind::Dialogue(dialogue) => heard(plan, dialogue, place, answer, texts)?,
        StepKind::Judge(judge) => {
            let labels = Labels::of(judge, place.call);
            let verdict = match read_choice(answer, &labels.options(&judge.choose), finish) {
                Verdict::Choice(shown) => Verdict::Choice(labels.real(&shown).to_owned()),
                unscored @ Verdict::Unscored(_) => unscored,
            };
            Facts { verdict: Some(verdict), ..Facts::default() }
        }
    })
}
