//! `pipe check`: everything that is wrong with pipeline files, all at once, without any call.

use serde_json::json;

use super::args::{CheckArgs, CheckFormat};
use super::exit::{CommandError, Exit};
use super::pipeline;
use super::printer::{Printer, inert};
use crate::plan;

/// Checks each file and its input.
///
/// # Errors
/// Output that cannot be written; a wrong file is an exit code.
pub(super) fn check(args: &CheckArgs, printer: &mut Printer) -> Result<Exit, CommandError> {
    let format = if args.json { CheckFormat::Json } else { args.format };
    let mut exit = Exit::Done;
    let mut reports = Vec::new();
    for file in &args.files {
        let overrides = pipeline::overrides(&args.overrides);
        let loaded = pipeline::load(file, &overrides, args.overrides.allow_outside)?;
        let problems = loaded.plan.as_deref().map(crate::run::survey);
        let wrong = loaded.plan.is_none() || matches!(problems, Some(Err(_)));
        match format {
            CheckFormat::Json => reports.push(pipeline::report_json(file, &loaded, problems.as_ref())),
            CheckFormat::Github => {
                let items = problems.as_ref().and_then(|survey| survey.as_ref().err());
                for line in pipeline::annotations(&loaded, items.map_or(&[][..], Vec::as_slice)) {
                    printer.line(&line)?;
                }
            }
            CheckFormat::Text => {
                loaded.say(printer);
                match (&loaded.plan, &problems) {
                    (Some(plan), Some(Ok(survey))) => printer.line(&one_line(file, plan, survey.cases))?,
                    (_, Some(Err(problems))) => pipeline::say_problems(problems, printer),
                    _ => {}
                }
            }
        }
        if wrong {
            let misused = loaded.is_misused() && exit != Exit::InvalidPipeline;
            exit = if misused { Exit::Usage } else { Exit::InvalidPipeline };
        }
    }
    if format == CheckFormat::Json {
        printer.line(&json!({ "files": reports }).to_string())?;
    }
    Ok(exit)
}

fn one_line(file: &std::path::Path, plan: &plan::Plan, cases: u64) -> String {
    let (steps, actors) = (plan.steps.len(), plan.actors.len());
    format!(
        "{}: ok: {} ({}, {}, {})",
        inert(&file.display().to_string()),
        plan.name,
        counted(steps as u64, "step"),
        counted(actors as u64, "actor"),
        counted(cases, "case")
    )
}

/// Returns `1 step`, `2 steps`, `0 cases`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", crate::report::grouped(count))
}
