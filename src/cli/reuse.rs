//! What a new run takes over from an earlier one, and how that is said.

use super::earlier::{Earlier, voices_by_cell};
use super::exit::{CommandError, Exit};
use super::printer::Printer;
use crate::event::BackendResolved;
use crate::plan::Plan;
use crate::report::grouped;
use crate::run::{ItemProblem, Reuse, forecast};

/// Finds what an earlier run has of a new one and says how much; none when it has nothing.
///
/// # Errors
/// A journal or an input that cannot be read.
pub(super) fn prepare(
    earlier: &Earlier,
    plan: &Plan,
    resolved: &[BackendResolved],
    printer: &mut Printer,
) -> Result<Option<Reuse>, CommandError> {
    let reuse = of(earlier, plan, resolved)?;
    let forecast = forecast(plan, Some(&reuse)).map_err(|problem| wrong_row(&problem))?;
    if forecast.tasks() == 0 {
        return Ok(None);
    }
    let all = forecast.cases.saturating_mul(plan.steps.len() as u64);
    printer.say(&format!(
        "reusing {} of {} from {} (--new asks everything again)",
        grouped(forecast.tasks()),
        super::check::counted(all, "task"),
        earlier.id()
    ));
    Ok(Some(reuse))
}

/// Reads what an earlier run has settled.
///
/// # Errors
/// Its journal cannot be read.
pub(super) fn of(earlier: &Earlier, plan: &Plan, resolved: &[BackendResolved]) -> Result<Reuse, CommandError> {
    let now = voices_by_cell(plan, resolved);
    let before = (&*earlier.plan, earlier.voices.as_slice());
    Reuse::of(earlier.id().clone(), &earlier.dir.journal_path(), before, (plan, &now))
        .map_err(|error| CommandError::journal(&error))
}

pub(super) fn wrong_row(problem: &ItemProblem) -> CommandError {
    let ItemProblem { place, message, help } = problem;
    CommandError::new(Exit::InvalidPipeline, format!("{place}: {message}")).help(help.clone())
}
