//! One question to a judge: what it shows in which order, what form the answer has, and what an answer means.

use super::blind::Labels;
use crate::event::{FinishReason, Verdict};
use crate::judge::{Form, Reading, TIE};
use crate::plan::{Ballot, Contestant, Judge, Wanted, Way};

/// Letters that stand for what is compared.
const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Returns the form of the answer to one question.
pub(super) fn form(judge: &Judge, ballot: Ballot, labels: &Labels) -> Form {
    match &judge.wanted {
        Wanted::Choose(options) => {
            let mut shown = labels.options(options);
            if ballot.way == Way::Swapped {
                shown.reverse();
            }
            Form::Choice(shown)
        }
        Wanted::Score(scale) => Form::Score(scale.clone()),
        Wanted::Pairwise(contestants) => {
            let mut letters = letters(contestants.len());
            letters.push(TIE.to_owned());
            Form::Choice(letters)
        }
        Wanted::Rank(contestants) => Form::Ranking(letters(contestants.len())),
        Wanted::Schema(schema) => Form::Json(schema.clone()),
    }
}

/// Returns what is compared, each with the letter that it has in this question.
pub(super) fn shown(judge: &Judge, ballot: Ballot) -> Vec<(String, &Contestant)> {
    let (Wanted::Pairwise(contestants) | Wanted::Rank(contestants)) = &judge.wanted else { return Vec::new() };
    let mut order: Vec<&Contestant> = contestants.iter().collect();
    if ballot.way == Way::Swapped {
        order.reverse();
    }
    letters(order.len()).into_iter().zip(order).collect()
}

/// Reads an answer, with letters and labels mapped back to names.
pub(super) fn read(judge: &Judge, ballot: Ballot, answer: &str, finish: FinishReason) -> Reading {
    let labels = Labels::of(judge, ballot);
    let shown = shown(judge, ballot);
    let real = |label: &str| match shown.iter().find(|(letter, _)| letter == label) {
        Some((_, contestant)) => contestant.name.clone(),
        None => labels.real(label).to_owned(),
    };
    let mut reading = form(judge, ballot, &labels).read(answer, finish);
    reading.verdict = match reading.verdict {
        Verdict::Choice(label) => Verdict::Choice(real(&label)),
        Verdict::Ranking(labels) => Verdict::Ranking(labels.iter().map(|label| real(label)).collect()),
        verdict @ (Verdict::Score(_) | Verdict::Json | Verdict::Unscored(_)) => verdict,
    };
    reading
}

fn letters(count: usize) -> Vec<String> {
    LETTERS.chars().take(count).map(String::from).collect()
}
