//! `pipe retry`: what failed in a run is asked again, in the same run.

use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::json;

use super::args::RetryArgs;
use super::check::counted;
use super::exit::{CommandError, Exit, with_causes};
use super::printer::Printer;
use super::provenance::Origin;
use super::resume::Going;
use super::{place, resume, show, show_case};
use crate::base::StepName;
use crate::engine::Again;
use crate::event::{CaseAdmitted, CaseReopened};
use crate::journal::{Reader, RunDir};
use crate::plan::{Plan, StepIdx};
use crate::run::{ResumeError, reopened};

/// What a command line asks for.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    again: Again,
    step: Option<String>,
    items: Vec<String>,
}

/// What is found of it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) cases: Vec<CaseReopened>,
    settled_without_model: u64,
    again: Again,
}

/// Asks what failed in a run again.
///
/// # Errors
/// A run that is not there, is live, was cancelled, or cannot be taken up; a step or an item that it has not.
pub(super) async fn retry(args: &RetryArgs, printer: &mut Printer) -> Result<Exit, CommandError> {
    if args.session.quiet {
        printer.hush();
    }
    let dir = show::find(&place::home_here(), &args.run)?;
    let some = args.unscored || args.eased;
    let again = Again { failed: args.failed || !some, unscored: args.unscored, eased: args.eased, step: None };
    let wish = Wish { again, step: args.step.clone(), items: args.items.clone() };
    let sets = args.sets.iter().map(|set| (set.name.clone(), set.value.clone())).collect();
    let going = Going { sets, wish: Some(&wish), origin: Origin::Around { require_clean: false } };
    resume::take_up(&dir, going, &args.session, printer).await
}

/// Says that a run cannot ask what its file says now.
pub(super) fn edited(dir: &RunDir, file: &Path) -> CommandError {
    let message = format!("{} was edited, and asks something else than {} did", file.display(), dir.id);
    let help = format!(
        "`pipe run {} --reuse {}` keeps every answer that was asked in the same words, and asks what failed again",
        file.display(),
        dir.id
    );
    CommandError::new(Exit::Usage, message).help(help)
}

impl Wish {
    /// Looks through a run for what is wanted.
    ///
    /// # Errors
    /// The journal cannot be read; a step or an item that the run has not.
    pub(super) fn find(&self, dir: &RunDir, plan: &Arc<Plan>) -> Result<Found, CommandError> {
        if plan.closings() > 0 {
            let message = format!("{} has an `aggregate`, which is made of all its cases at once", dir.id);
            let help = "`pipe run FILE --reuse RUN` keeps its answers, asks what failed again, and aggregates anew";
            return Err(CommandError::new(Exit::Usage, message).help(help));
        }
        if plan.evidence.is_some() || plan.repeats.is_some() {
            let message = format!("{} stops on evidence, and has looked at its cases one after the other", dir.id);
            let help = "`pipe run FILE --reuse RUN` keeps its answers, asks what failed again, and looks anew";
            return Err(CommandError::new(Exit::Usage, message).help(help));
        }
        let reader = show::open(dir)?;
        let step = self.step.as_ref().map(|name| step_of(plan, name)).transpose()?;
        let again = Again { step, ..self.again.clone() };
        let wanted =
            |admitted: &CaseAdmitted| self.items.is_empty() || self.items.iter().any(|name| is_named(admitted, name));
        for name in &self.items {
            known(&reader, name)?;
        }
        let found = reopened(&reader, plan, &again, &wanted).map_err(|error| match &error {
            ResumeError::Journal(journal) => CommandError::journal(journal),
            _ => CommandError::new(Exit::JournalUnusable, with_causes(&error)),
        })?;
        Ok(Found { cases: found.cases, settled_without_model: found.settled_without_model, again })
    }
}

impl Found {
    /// Says what will be asked.
    pub(super) fn says(&self) -> String {
        let mut steps: IndexMap<&StepName, u64> = IndexMap::new();
        for task in self.cases.iter().flat_map(|case| &case.former) {
            *steps.entry(&task.step).or_default() += 1;
        }
        let tasks = steps.values().sum();
        let steps: Vec<String> = steps.iter().map(|(step, count)| format!("{step} {count}")).collect();
        let cases = counted(self.cases.len() as u64, "case");
        let told = format!("{cases}, {} asked again ({})", counted(tasks, "task"), steps.join(", "));
        match self.left() {
            Some(left) => format!("{told}; {left}"),
            None => told,
        }
    }

    /// Says that there is nothing to ask.
    pub(super) fn say_none(&self, dir: &RunDir, as_json: bool, printer: &mut Printer) -> Result<Exit, CommandError> {
        let what: Vec<&str> = [
            (self.again.failed, "failed"),
            (self.again.unscored, "is unscored"),
            (self.again.eased, "was let off by `on_error`"),
        ]
        .into_iter()
        .filter_map(|(asked, word)| asked.then_some(word))
        .collect();
        let left = self.left().map(|left| format!("; {left}")).unwrap_or_default();
        printer.say(&format!("nothing is asked again: no task of {} {} there{left}", dir.id, what.join(" or ")));
        if as_json {
            printer.line(&json!({ "run": dir.id, "reopened": 0, "tasks": 0 }).to_string())?;
        }
        Ok(Exit::Done)
    }

    fn left(&self) -> Option<String> {
        let count = self.settled_without_model;
        (count > 0).then(|| {
            let verb = if count == 1 { "stays" } else { "stay" };
            format!(
                "{} that failed by a claim or a value alone {verb}: it would come out the same",
                counted(count, "case")
            )
        })
    }
}

fn step_of(plan: &Plan, name: &str) -> Result<StepIdx, CommandError> {
    plan.find_step(&name.into()).ok_or_else(|| {
        let steps: Vec<&str> = plan.steps.iter().map(|step| step.name.as_str()).collect();
        CommandError::new(Exit::Usage, format!("the run has no step {name:?}"))
            .help(format!("its steps are {}", steps.join(", ")))
    })
}

fn known(reader: &Reader, name: &str) -> Result<(), CommandError> {
    match show_case::find(reader, name) {
        Ok(found) if !found.is_empty() => Ok(()),
        Ok(_) => Err(CommandError::new(Exit::Usage, format!("the run has no case {name:?}"))
            .help("give an item's id, with #2 for its second repeat alone, or the number of a case")),
        Err(error) => Err(CommandError::journal(&error)),
    }
}

/// Takes an item's id for all its cases, an id with `#` (or `/`) and the repeat, and a case's number.
fn is_named(admitted: &CaseAdmitted, name: &str) -> bool {
    let item = admitted.item.as_str();
    let repeat = name.strip_prefix(item).and_then(|rest| rest.strip_prefix(['#', '/']));
    name == item
        || repeat.is_some_and(|repeat| repeat.parse() == Ok(admitted.repeat))
        || name.parse() == Ok(admitted.case.0)
}
