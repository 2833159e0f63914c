//! A settled case as people read it: who said what, and the verdict.

use super::case::{CaseRecord, MissingText, Texts, course_line, text_of, unscored_phrase, verdict_words};
use super::results::Layout;
use super::wrap::wrapped;
use crate::base::{ActorName, StepName};
use crate::event::{Failure, Judgement, TaskOutput, TaskSettled, TaskStatus, Verdict};
use crate::stats::Categories;

/// How far texts stand in from their speaker's name.
const INDENT: usize = 2;

/// A piece of a transcript, in reading order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A turn of a dialogue.
    Turn(ActorName, String),
    /// The answer of a chat step.
    Answer(StepName, String),
    /// What a judge came to, as one line.
    Verdict(String),
    /// A step without an output, and why, as one line.
    Missing(String),
}

/// Returns what was said in a case, step after step in the layout's order.
///
/// # Errors
/// The journal lacks a text: it is damaged.
pub fn transcript(case: &CaseRecord<'_>, layout: &Layout, texts: Texts<'_>) -> Result<Vec<Part>, MissingText> {
    let mut parts = Vec::new();
    for task in layout.steps.iter().filter_map(|(step, _)| case.task(step)) {
        add_task(&mut parts, task, texts)?;
    }
    Ok(parts)
}

/// Writes a transcript in lines of at most `width` columns, without a line break at the end.
#[must_use]
pub fn transcript_text(parts: &[Part], width: usize) -> String {
    let blocks = parts.iter().map(|part| match part {
        Part::Turn(actor, text) => format!("{actor}\n{}", wrapped(text, width, INDENT)),
        Part::Answer(step, text) => format!("{step}\n{}", wrapped(text, width, INDENT)),
        Part::Verdict(line) | Part::Missing(line) => wrapped(line, width, 0),
    });
    blocks.collect::<Vec<_>>().join("\n\n")
}

fn add_task(parts: &mut Vec<Part>, task: &TaskSettled, texts: Texts<'_>) -> Result<(), MissingText> {
    if let Some(line) = course_line(task) {
        parts.push(Part::Missing(line));
    }
    match &task.output {
        Some(TaskOutput::Each { elements }) => {
            for element in elements {
                let label = StepName::from(format!("{}[{}]", task.step, element.key));
                match (&element.output, &element.failure) {
                    (Some(output), _) => add_output(parts, &task.step, &label, output, texts)?,
                    (None, Some(failure)) => parts.push(Part::Missing(failed_line(&label, failure))),
                    (None, None) => {}
                }
            }
        }
        Some(output) => add_output(parts, &task.step, &task.step, output, texts)?,
        None if task.because.is_some() => {}
        None => match &task.failure {
            Some(failure) => parts.push(Part::Missing(failed_line(&task.step, failure))),
            None if task.status == TaskStatus::Skipped => {}
            None => parts.push(Part::Missing(format!("{} has no output", task.step))),
        },
    }
    Ok(())
}

fn add_output(
    parts: &mut Vec<Part>,
    step: &StepName,
    label: &StepName,
    output: &TaskOutput,
    texts: Texts<'_>,
) -> Result<(), MissingText> {
    match output {
        TaskOutput::Chat { text: digest } | TaskOutput::Value { value: digest } => {
            parts.push(Part::Answer(label.clone(), text_of(texts, step, digest)?.to_string()));
        }
        TaskOutput::Dialogue { turns, stopped_by } => {
            if label != step {
                parts.push(Part::Verdict(format!("{label}: {} turns, stopped by {stopped_by}", turns.len())));
            }
            for turn in turns {
                let text = text_of(texts, step, &turn.text)?.to_string();
                parts.push(Part::Turn(turn.actor.clone(), text));
            }
        }
        TaskOutput::Judge(judgement) => parts.push(Part::Verdict(verdict_line(label, judgement))),
        TaskOutput::Assertion { passed } => parts.push(Part::Verdict(claim_line(label, *passed))),
        // Elements have no elements.
        TaskOutput::Each { .. } => {}
    }
    Ok(())
}

fn failed_line(step: &StepName, failure: &Failure) -> String {
    format!("{step} failed, {}: {}", failure.kind.word(), failure.detail)
}

/// Says what came of a claim: `capital: holds`.
#[must_use]
pub fn claim_line(step: &StepName, passed: bool) -> String {
    format!("{step}: {}", if passed { "holds" } else { "does not hold" })
}

/// Says a verdict in one line: `verdict: pro  (votes: pro 2, con 1)`.
#[must_use]
pub fn verdict_line(step: &StepName, judgement: &Judgement) -> String {
    let verdict = match &judgement.verdict {
        Verdict::Unscored(reason) => format!("unscored, {}", unscored_phrase(*reason)),
        scored => verdict_words(scored).unwrap_or_default(),
    };
    let mut notes = Vec::new();
    if judgement.votes.len() > 1 {
        let mut votes = Categories::default();
        for vote in &judgement.votes {
            votes.add(verdict_words(&vote.verdict).unwrap_or_else(|| "unscored".to_owned()));
        }
        let votes: Vec<_> = votes.ranked().iter().map(|(option, count)| format!("{option} {count}")).collect();
        notes.push(format!("votes: {}", votes.join(", ")));
    }
    if judgement.flipped > 0 {
        notes.push(format!("{} of {} changed when asked the other way round", judgement.flipped, judgement.pairs));
    }
    let notes = if notes.is_empty() { String::new() } else { format!("  ({})", notes.join("; ")) };
    format!("{step}: {verdict}{notes}")
}
