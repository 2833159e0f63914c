//! What is made of all cases of a cell: tables and orders.

use std::sync::Arc;

use super::evaluate::{Found, cut};
use crate::base::{CaseNo, Digest, ItemId};
use crate::event::{Evaluation, Failure, FailureKind, TaskOutput, TaskSettled};
use crate::judge::{Counting, Standings};
use crate::plan::{Aggregate, By, Ground, Plan, StepKind};

/// What a step came to in one case.
#[derive(Clone, Copy, Debug)]
pub struct OneOutput<'a> {
    /// The case.
    pub case: CaseNo,
    /// Its item.
    pub item: &'a ItemId,
    /// Its repeat.
    pub repeat: u32,
    /// What it came to.
    pub task: &'a TaskSettled,
}

/// Shows the outputs of the step that is gathered, of every case of the cell, in the order of admission.
///
/// # Errors
/// What cannot be read, for people.
pub type Outputs<'a> = &'a dyn Fn(&mut dyn FnMut(&OneOutput<'_>)) -> Result<(), String>;

/// Finds a text of a case by its digest.
pub type TextsOfCases<'a> = &'a dyn Fn(CaseNo, &Digest) -> Option<Arc<str>>;

/// Does the work of an aggregate: the same outputs in the same order give the same.
///
/// Memory: what is counted, never all outputs.
///
/// # Panics
/// The step is no aggregate: a bug of the caller.
#[must_use]
pub fn gather(plan: &Plan, ground: &Ground, outputs: Outputs<'_>, texts: TextsOfCases<'_>) -> Found {
    let step = plan.step(ground.step);
    let StepKind::Aggregate(aggregate) = &step.kind else { panic!("bug: step `{}` gathers nothing", step.name) };
    let done = gathered(aggregate, outputs, texts);
    let evaluation = match done {
        Ok(output) => Evaluation::Done(output),
        Err(why) => {
            let detail = format!("step `{}` of `{}`: {why}", step.name, aggregate.of.name);
            Evaluation::Failed(Failure::new(FailureKind::Render, cut(&detail)))
        }
    };
    Found { evaluation, texts: Vec::new() }
}

fn gathered(aggregate: &Aggregate, outputs: Outputs<'_>, texts: TextsOfCases<'_>) -> Result<TaskOutput, String> {
    match &aggregate.by {
        By::Table => {
            let mut counting = Counting::default();
            outputs(&mut |one| counting.add(one.task, &|digest| texts(one.case, digest)))?;
            counting.table().map(|counted| TaskOutput::Table(Box::new(counted)))
        }
        By::Rank(names) => {
            let names = names.clone();
            let mut standings =
                if aggregate.is_pairwise() { Standings::of_pairs(names) } else { Standings::of_rankings(names) };
            outputs(&mut |one| standings.add(one.task, &|digest| texts(one.case, digest)))?;
            Ok(TaskOutput::Ranking(Box::new(standings.ranked())))
        }
        By::Chat(_) => panic!("bug: an aggregate that asks a model is no evaluation"),
    }
}
