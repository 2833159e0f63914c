//! A judgement as the conventions tell it: `gen_ai.evaluation.result`, an event of the judge's span.

use super::attributes::Attributes;
use super::case::Told;
use super::content;
use super::names;
use super::span::SpanEvent;
use crate::base::{StepName, Timestamp};
use crate::event::{Judgement, Unscored, Verdict};
use crate::plan::Content;

/// Returns the event. What cannot be counted is an error of the judge's answer, never a score of 0.
pub(super) fn result(told: &Told<'_>, step: &StepName, at: Timestamp, judgement: &Judgement) -> SpanEvent {
    let mut attributes = Attributes::default();
    attributes.put(names::EVALUATION_NAME, step.as_str());
    match &judgement.verdict {
        Verdict::Choice(choice) => {
            attributes.put(names::EVALUATION_LABEL, content::shown(told.settings, choice));
        }
        Verdict::Score(score) => {
            attributes.put(names::EVALUATION_SCORE, *score);
        }
        Verdict::Ranking(order) => {
            attributes.put(names::EVALUATION_LABEL, content::shown(told.settings, &order.join(" > ")));
        }
        Verdict::Json => {}
        Verdict::Unscored(why) => {
            attributes.put(names::ERROR_TYPE, "invalid_response").put(names::UNSCORED, unscored_word(*why));
        }
    }
    if told.settings.content == Content::Full
        && let Some(reason) = judgement.votes.first().and_then(|vote| (told.find)(&vote.reason))
    {
        attributes.put(names::EVALUATION_EXPLANATION, content::shown(told.settings, &reason));
    }
    attributes.put(names::VOTES, u64::try_from(judgement.votes.len()).unwrap_or(u64::MAX));
    if judgement.pairs > 0 {
        attributes.put(names::FLIPPED, judgement.flipped);
    }
    SpanEvent { at, name: names::EVALUATION_RESULT, attributes: attributes.take() }
}

const fn unscored_word(why: Unscored) -> &'static str {
    match why {
        Unscored::Unreadable => "unreadable",
        Unscored::CutOff => "cut_off",
        Unscored::OutOfRange => "out_of_range",
        Unscored::Mismatched => "mismatched",
        Unscored::NotUnanimous => "not_unanimous",
        Unscored::SwapDisagreed => "swap_disagreed",
        Unscored::VotesTied => "votes_tied",
    }
}
