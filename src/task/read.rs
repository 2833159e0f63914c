//! An answer → facts: all that the engine will ever know of it.

use super::blind::Labels;
use crate::event::{Facts, FinishReason, Verdict};
use crate::judge::read_choice;
use crate::plan::{Place, Plan, StepKind};

/// Reads what the step wants to know of an answer. Pure: the same answer gives the same facts.
#[must_use]
pub fn read(plan: &Plan, place: &Place, answer: &str, finish: FinishReason) -> Facts {
    match &plan.step(place.step).kind {
        StepKind::Chat(_) | StepKind::Transform(_) | StepKind::Assert(_) => Facts::default(),
        StepKind::Dialogue(dialogue) => {
            let says = dialogue.patterns.iter().map(|pattern| {
                pattern.actor.is_none_or(|actor| actor == place.actor) && pattern.regex.is_match(answer)
            });
            Facts { says: says.collect(), verdict: None }
        }
        StepKind::Judge(judge) => {
            let labels = Labels::of(judge, place.call);
            let verdict = match read_choice(answer, &labels.options(&judge.choose), finish) {
                Verdict::Choice(shown) => Verdict::Choice(labels.real(&shown).to_owned()),
                unscored @ Verdict::Unscored(_) => unscored,
            };
            Facts { says: Vec::new(), verdict: Some(verdict) }
        }
    }
}
