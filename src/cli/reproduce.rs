//! `pipe reproduce`: a run once more from what it kept, and what came out differently.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Serialize;
use serde_json::json;

use super::exit::{CommandError, Exit};
use super::kept::Kept;
use super::pipeline::{self, Loaded};
use super::printer::{BOLD, Printer, inert, paint};
use super::provenance::Origin;
use super::reproduce_args::ReproduceArgs;
use super::run::{Beginning, begin};
use super::show::{case_name, find, open};
use super::stdin;
use crate::base::{CaseNo, StepName};
use crate::event::{CaseStatus, TaskOutput, TaskStatus};
use crate::journal::{CaseRecord, Home, Reader, RunDir};
use crate::report::grouped;
use crate::run::source_of;

/// Cases that are named.
const NAMED: usize = 5;

/// Asks a run again, or takes one that is there, and compares the two.
///
/// # Errors
/// The run cannot be read or made again, or its rows are no longer what they were.
pub(super) async fn reproduce(
    args: &ReproduceArgs,
    home: &Home,
    printer: &mut Printer,
) -> Result<Exit, CommandError> {
    if args.session.quiet {
        printer.hush();
    }
    let first = find(home, &args.run)?;
    let reader = open(&first)?;
    let again = match &args.with {
        Some(with) => find(home, with)?,
        None => match ask(&first, &reader, args, home, printer).await? {
            Ok(dir) => dir,
            Err(exit) => return Ok(exit),
        },
    };
    let compared = compare(&reader, &open(&again)?).map_err(|error| CommandError::journal(&error))?;
    say(&first, &again, &compared, args.session.json, printer)?;
    Ok(if compared.is_same() { Exit::Done } else { Exit::GateFailed })
}

/// Makes the run once more; an exit code where that did not come to its end.
async fn ask(
    first: &RunDir,
    reader: &Reader,
    args: &ReproduceArgs,
    home: &Home,
    printer: &mut Printer,
) -> Result<Result<RunDir, Exit>, CommandError> {
    let (_, started) = reader.run_started().map_err(|error| CommandError::journal(&error))?;
    let source = source_of(reader, &started).map_err(|error| CommandError::journal(&error))?;
    let mut kept = Kept::read(&started)?;
    // Answers are to be the model's, and the rows of the run that is compared stay as they are.
    kept.overrides.aside = true;
    kept.reuse = None;
    let file = PathBuf::from(&started.file);
    let mut loaded = pipeline::compile_again(&file, &source, &kept.overrides, kept.allow_outside)?;
    let Some(mut plan) = loaded.plan.take().filter(|plan| plan.hash == started.plan) else {
        let message = format!(
            "{} cannot be asked again: this version of pipe, or what its pipeline reads of the \
                               environment, makes another plan of the same texts",
            first.id
        );
        let help =
            format!("it was made by pipe {}; `pipe show {} --provenance` has the rest", started.version, first.id);
        return Err(CommandError::new(Exit::Usage, message).help(help));
    };
    stdin::again(&mut plan, first)?;
    let survey = match pipeline::surveyed(&file, &loaded, &plan, args.session.json, printer)? {
        Ok(survey) => survey,
        Err(exit) => return Ok(Err(exit)),
    };
    if kept.input.is_some_and(|(_, digest)| digest != survey.digest) {
        let message = format!("the rows that {} was asked of are no longer what they were", first.id);
        let help = "bring the items back as they were: `pipe show --provenance` names the commit and their hash";
        return Err(CommandError::new(Exit::Usage, message).help(help));
    }
    let Loaded { text, read, .. } = loaded;
    let models = Some(started.backends.as_slice());
    let session = &args.session;
    let beginning = Beginning {
        plan,
        text,
        read,
        file: &file,
        home,
        survey,
        kept,
        earlier: None,
        origin: Origin::Around { require_clean: false },
        models,
        session,
    };
    printer.say(&format!("{}: asked again from what it kept, to be compared", first.id));
    let begun = begin(beginning, printer).await?;
    match begun.exit {
        // Failed cases of the first run fail again: that is for the comparison.
        Exit::Done | Exit::GateFailed => Ok(Ok(begun.dir)),
        other => {
            let (first, again) = (&first.id, &begun.dir.id);
            printer.say(&format!(
                "nothing is compared yet: `pipe resume {again}`, then `pipe reproduce {first} --with {again}`"
            ));
            Ok(Err(other))
        }
    }
}

/// What two runs of the same pipeline came to.
#[derive(Debug, Default, Serialize)]
struct Compared {
    /// Cases and closings of the first.
    cases: u64,
    /// Those that came to the same.
    same: u64,
    /// Those that the other one lacks, or has beyond the first.
    missing: u64,
    /// By step: how many tasks were compared, and how many came to the same.
    steps: BTreeMap<StepName, (u64, u64)>,
    /// The first that differ.
    differing: Vec<Differing>,
}

/// A case that came to something else.
#[derive(Debug, Serialize)]
struct Differing {
    case: CaseNo,
    name: String,
    steps: Vec<StepName>,
}

impl Compared {
    const fn is_same(&self) -> bool {
        self.same == self.cases && self.missing == 0
    }

    fn add(&mut self, one: &CaseRecord, other: &CaseRecord) {
        let (left, right) = (came_to(one), came_to(other));
        let steps: BTreeSet<&StepName> = left.keys().chain(right.keys()).copied().collect();
        let mut differ = Vec::new();
        for step in steps {
            let is_same = left.get(step) == right.get(step);
            let (compared, same) = self.steps.entry(step.clone()).or_default();
            *compared += 1;
            if is_same {
                *same += 1;
            } else {
                differ.push(step.clone());
            }
        }
        if differ.is_empty() && ended(one) == ended(other) {
            self.same += 1;
        } else {
            self.name(one, differ);
        }
    }

    fn name(&mut self, record: &CaseRecord, steps: Vec<StepName>) {
        if self.differing.len() < NAMED {
            let (case, name) = (record.admitted.case, case_name(&record.admitted));
            self.differing.push(Differing { case, name, steps });
        }
    }
}

/// What a task came to: times and counts of tokens are not of it.
type CameTo<'a> = (&'a TaskStatus, Option<&'a TaskOutput>);

fn came_to(record: &CaseRecord) -> BTreeMap<&StepName, CameTo<'_>> {
    record.tasks.iter().map(|task| (&task.step, (&task.status, task.output.as_ref()))).collect()
}

fn ended(record: &CaseRecord) -> Option<CaseStatus> {
    record.settled.as_ref().map(|settled| settled.status)
}

/// Compares case by case, holding one of each in memory. Both have them in one order: that of the same rows.
fn compare(first: &Reader, again: &Reader) -> Result<Compared, crate::journal::JournalError> {
    let mut compared = Compared::default();
    for number in 0.. {
        match (first.case(CaseNo(number))?, again.case(CaseNo(number))?) {
            (Some(one), Some(other)) => {
                compared.cases += 1;
                compared.add(&one, &other);
            }
            (Some(one), None) => {
                compared.cases += 1;
                compared.missing += 1;
                compared.name(&one, Vec::new());
            }
            (None, Some(_)) => compared.missing += 1,
            (None, None) => break,
        }
    }
    Ok(compared)
}

fn say(
    first: &RunDir,
    again: &RunDir,
    compared: &Compared,
    as_json: bool,
    printer: &mut Printer,
) -> Result<(), CommandError> {
    if as_json {
        let value = json!({ "run": first.id, "again": again.id, "same": compared.is_same(), "compared": compared });
        return Ok(printer.line(&value.to_string())?);
    }
    let (same, cases) = (grouped(compared.same), grouped(compared.cases));
    let word = if compared.is_same() { "the same" } else { "not the same" };
    printer.line("")?;
    printer.line(&paint(BOLD, &inert(&format!("{} against {}: {word}", again.id, first.id))))?;
    printer.line(&format!("  cases      {same} of {cases} came to the same"))?;
    let width = compared.steps.keys().map(|step| step.as_str().chars().count()).max().unwrap_or(0).max(9);
    for (step, (all, same)) in &compared.steps {
        let line = format!("  {:width$}  {} of {}", step.as_str(), grouped(*same), grouped(*all));
        printer.line(&inert(&line))?;
    }
    if compared.missing > 0 {
        printer.line(&format!("  {} stand in one of the two alone", grouped(compared.missing)))?;
    }
    for one in &compared.differing {
        let step = one.steps.first().map_or_else(String::new, |step| format!(" {step}"));
        let line = format!("  {}  pipe show {} {}{step}", one.name, again.id, one.case);
        printer.line(&inert(&line))?;
    }
    Ok(())
}
