//! `pipe show`: what a run came to, with its first cases.

use serde_json::{Value, json};

use super::args::ShowArgs;
use super::exit::{CommandError, Exit, with_causes};
use super::glance::status;
use super::printer::{BOLD, DIM, Printer, inert, paint};
use super::table::Table;
use super::{show_case, show_provenance};
use crate::base::{CaseNo, ItemId};
use crate::event::{CaseAdmitted, CaseStatus, Event, TaskOutput, TaskStatus};
use crate::journal::{CaseRecord, EventSeq, Home, JournalError, Reader, RunDir};
use crate::report::{
    RunStatus, Summary, Tally, cell_name, claim_line, grouped, ranking_line, status_word, summary_text, table_line,
    task_status_word, verdict_words,
};

/// Cases that are listed: a screen of them.
const LISTED: usize = 20;

/// Shows a run, or one of its cases.
///
/// # Errors
/// There is no such run or case, or its journal cannot be read.
pub(super) fn show(args: &ShowArgs, home: &Home, printer: &mut Printer) -> Result<Exit, CommandError> {
    let dir = find(home, &args.run)?;
    let reader = open(&dir)?;
    if let Some(case) = &args.case {
        return show_case::show(&dir, &reader, case, args, printer);
    }
    if args.provenance {
        return show_provenance::show(&dir, &reader, args, printer);
    }
    if args.failed {
        return failed(&reader, args, printer);
    }
    let summary = summary_of(&dir, &reader)?;
    let listed = first_cases(&reader)?;
    if args.json {
        let mut value = serde_json::to_value(&summary).map_err(std::io::Error::from)?;
        value["folder"] = json!(dir.path.display().to_string());
        value["first_cases"] = listed.iter().map(case_json).collect();
        printer.line(&value.to_string())?;
        return Ok(Exit::Done);
    }
    let width = printer.out().reading_width();
    let text = summary_text(&summary, width);
    let (head, rest) = text.split_once('\n').unwrap_or((&text, ""));
    printer.line(&paint(BOLD, &inert(head)))?;
    printer.line(&inert(rest))?;
    printer.line("")?;
    list(&listed, printer)?;
    let more = summary.cases.admitted.saturating_sub(listed.len() as u64);
    if more > 0 {
        printer.line(&format!("  … and {} more", grouped(more)))?;
    }
    printer.line("")?;
    let run = inert(&args.run);
    if !listed.is_empty() {
        printer.line(&format!("  a case     pipe show {run} {}", listed[0].admitted.case))?;
    }
    for (number, one) in (summary.cases.admitted..).zip(summary.closings.iter()) {
        let of = if one.is_empty() { String::new() } else { format!("  ({})", cell_name(one)) };
        printer.line(&format!("  over all   pipe show {run} {number}{}", inert(&of)))?;
    }
    if summary.cases.failed > 0 {
        printer.line(&format!("  failed     pipe show {run} --failed"))?;
        if summary.status != RunStatus::Cancelled {
            printer.line(&format!("  ask again  pipe retry {run}"))?;
        }
    }
    printer.line(&format!("  kept in    {}", dir.path.display()))?;
    Ok(Exit::Done)
}

/// Finds the run that the user means.
///
/// # Errors
/// None, or more than one: the message lists what there is.
pub(super) fn find(home: &Home, reference: &str) -> Result<RunDir, CommandError> {
    home.resolve(reference).map_err(|error| CommandError::new(Exit::Usage, with_causes(&error)))
}

/// Opens a run's journal.
///
/// # Errors
/// It is not there yet, damaged, or of a newer version.
pub(super) fn open(dir: &RunDir) -> Result<Reader, CommandError> {
    Reader::open(&dir.journal_path()).map_err(|error| CommandError::journal(&error))
}

/// Folds all of a run's events.
fn summary_of(dir: &RunDir, reader: &Reader) -> Result<Summary, CommandError> {
    let counted = reader.that_count().map_err(|error| CommandError::journal(&error))?;
    let mut tally = Tally::of(counted);
    let mut last: Option<Event> = None;
    let mut add = |_: EventSeq, recorded: crate::event::Recorded| -> Result<(), JournalError> {
        tally.add(&recorded);
        last = Some(recorded.event);
        Ok(())
    };
    reader.events_after(EventSeq(0), &mut add).map_err(|error| CommandError::journal(&error))?;
    let mut summary = tally.summary(&dir.id);
    summary.tell_answers(&|case, digest| reader.text(Some(case), digest).ok().flatten());
    summary.status = match status(dir, last.as_ref()) {
        RunStatus::Running if tally.paused => RunStatus::Paused,
        status => status,
    };
    Ok(summary)
}

/// Reads the first cases, and no more of the journal than that.
fn first_cases(reader: &Reader) -> Result<Vec<CaseRecord>, CommandError> {
    let mut cases = Vec::new();
    let counted = reader.that_count().map_err(|error| CommandError::journal(&error))?;
    for number in 0.. {
        if cases.len() == LISTED {
            break;
        }
        match reader.case(CaseNo(number)).map_err(|error| CommandError::journal(&error))? {
            Some(case) if counted.counts(case.admitted.case) => cases.push(case),
            Some(_) => {}
            None => break,
        }
    }
    Ok(cases)
}

/// Lists the failed cases of a run, the first of them where there are many.
fn failed(reader: &Reader, args: &ShowArgs, printer: &mut Printer) -> Result<Exit, CommandError> {
    let mut listed: Vec<CaseRecord> = Vec::new();
    let mut count = 0_u64;
    let counted = reader.that_count().map_err(|error| CommandError::journal(&error))?;
    let mut look = |case: CaseRecord| -> Result<(), JournalError> {
        let counts = counted.counts(case.admitted.case);
        if counts && case.settled.as_ref().is_some_and(|settled| settled.status == CaseStatus::Failed) {
            count += 1;
            if args.json || listed.len() < LISTED {
                listed.push(case);
            }
        }
        Ok(())
    };
    reader.cases(CaseNo(0), &mut look).map_err(|error| CommandError::journal(&error))?;
    if args.json {
        let cases: Vec<Value> = listed.iter().map(case_json).collect();
        printer.line(&json!({ "failed": count, "cases": cases }).to_string())?;
        return Ok(Exit::Done);
    }
    let Some(first) = listed.first() else {
        printer.line("no case has failed")?;
        return Ok(Exit::Done);
    };
    list(&listed, printer)?;
    let more = count - listed.len() as u64;
    if more > 0 {
        printer.line(&format!("  … and {} more: --json lists all", grouped(more)))?;
    }
    printer.line("")?;
    printer.line(&format!("  one of them: pipe show {} {}", inert(&args.run), first.admitted.case))?;
    Ok(Exit::Done)
}

fn list(listed: &[CaseRecord], printer: &mut Printer) -> Result<(), CommandError> {
    if listed.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&["  case", "item", "status", ""]);
    for case in listed {
        let item = case_name(&case.admitted);
        table.add(&[&format!("  {}", case.admitted.case), &inert(&item), state(case), &inert(&outline(case))]);
    }
    let width = printer.out().width();
    printer.data(&table.render(width, |head| paint(DIM, head)))?;
    Ok(())
}

/// Names an item in one of its repeats, as `pipe show RUN CASE` takes it.
fn item_name(item: &ItemId, repeat: u32) -> String {
    if repeat == 1 { item.to_string() } else { format!("{item}#{repeat}") }
}

/// Names what a case is about: its item and repeat, and its cell of the matrix.
pub(super) fn case_name(case: &CaseAdmitted) -> String {
    let item = item_name(&case.item, case.repeat);
    if case.matrix.is_empty() { item } else { format!("{item}  {}", cell_name(&case.matrix)) }
}

pub(super) const fn state(case: &CaseRecord) -> &'static str {
    match &case.settled {
        Some(settled) => status_word(settled.status),
        None => "open",
    }
}

/// Says in a few words what a case came to: its verdicts, and what failed.
fn outline(case: &CaseRecord) -> String {
    let words = case.tasks.iter().filter_map(|task| match (&task.output, task.status) {
        (Some(TaskOutput::Judge(judgement)), _) => {
            let verdict = verdict_words(&judgement.verdict).unwrap_or_else(|| "unscored".to_owned());
            Some(format!("{}: {verdict}", task.step))
        }
        (_, TaskStatus::Failed) => {
            let why = task.failure.as_ref().map_or("failed", |failure| failure.kind.word());
            Some(format!("{}: {why}", task.step))
        }
        (Some(TaskOutput::Table(counted)), _) => Some(table_line(&task.step, counted)),
        (Some(TaskOutput::Ranking(ranked)), _) => Some(ranking_line(&task.step, ranked)),
        (Some(TaskOutput::Assertion { passed }), _) => Some(claim_line(&task.step, *passed)),
        (
            Some(
                TaskOutput::Chat { .. }
                | TaskOutput::Dialogue { .. }
                | TaskOutput::Value { .. }
                | TaskOutput::Each { .. },
            )
            | None,
            _,
        ) => None,
    });
    words.collect::<Vec<_>>().join(", ")
}

fn case_json(case: &CaseRecord) -> Value {
    let steps = case.tasks.iter().map(|task| (task.step.to_string(), json!(task_status_word(task.status))));
    json!({
        "case": case.admitted.case,
        "item": case.admitted.item,
        "repeat": case.admitted.repeat,
        "matrix": case.admitted.matrix,
        "status": case.settled.as_ref().map(|settled| settled.status),
        "steps": steps.collect::<serde_json::Map<_, _>>(),
        "outline": outline(case),
    })
}
