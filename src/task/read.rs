//! An answer → facts: all that the engine will ever know of it.

use super::ballot;
use crate::event::{Facts, FinishReason};
use crate::judge::Reading;
use crate::plan::{Call, Place, Plan, StepKind};

/// Reads what the step wants to know of an answer. Pure: the same answer gives the same facts.
#[must_use]
pub fn read(plan: &Plan, place: &Place, answer: &str, finish: FinishReason) -> Facts {
    match &plan.step(place.step).kind {
        StepKind::Chat(chat) => match &chat.form {
            Some((schema, _)) => Facts { invalid: schema.check(answer).err(), ..Facts::default() },
            None => Facts::default(),
        },
        StepKind::Dialogue(dialogue) => {
            let says = dialogue.patterns.iter().map(|pattern| {
                pattern.actor.is_none_or(|actor| actor == place.actor) && pattern.regex.is_match(answer)
            });
            Facts { says: says.collect(), ..Facts::default() }
        }
        StepKind::Judge(judge) => {
            let Call::Vote(ballot) = place.call else { return Facts::default() };
            let Reading { verdict, complaint } = ballot::read(judge, ballot, answer, finish);
            Facts { verdict: Some(verdict), invalid: complaint, ..Facts::default() }
        }
    }
}
