//! What of a run's cases that are over is asked again.

use super::resume::ResumeError;
use crate::engine::{Again, History};
use crate::event::{CaseAdmitted, CaseReopened, CaseStatus};
use crate::journal::{JournalError, Reader};
use crate::plan::Plan;

/// Cases that go on.
#[derive(Debug, Default)]
pub struct Reopened {
    /// What is kept of each, and what is not.
    pub cases: Vec<CaseReopened>,
    /// Cases that failed by claims and values alone: those come out as they did, so nothing of them is asked.
    pub settled_without_model: u64,
}

/// Looks through a run for what is wanted of the cases that `of` takes; those that are not over are left alone.
///
/// Cost: a look at every settled task, and the events of each case in which one is amiss.
///
/// # Errors
/// The journal cannot be read, or does not fit the plan.
pub fn reopened(
    reader: &Reader,
    plan: &Plan,
    again: &Again,
    of: &dyn Fn(&CaseAdmitted) -> bool,
) -> Result<Reopened, ResumeError> {
    let mut found = Reopened::default();
    for number in reader.cases_amiss()? {
        let mut history = History::default();
        let mut illegal = None;
        reader.events_of(number, &mut |_, recorded| -> Result<(), JournalError> {
            if illegal.is_none() {
                illegal = history.add(plan, &recorded).err();
            }
            Ok(())
        })?;
        if let Some(illegal) = illegal {
            return Err(illegal.into());
        }
        let Some((_, status)) = history.ended().filter(|(admitted, _)| of(admitted)) else { continue };
        if let Some(case) = history.reopened(plan, again) {
            found.cases.push(case);
        } else if status == CaseStatus::Failed && again.failed && again.step.is_none() {
            found.settled_without_model += 1;
        }
    }
    Ok(found)
}
