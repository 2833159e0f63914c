//! `pipe check`: everything that is wrong with pipeline files, all at once, without any call.

use serde_json::json;

use super::args::{self, CheckArgs, CheckFormat};
use super::exit::{CommandError, Exit};
use super::pipeline;
use super::printer::{Printer, inert};
use super::project::{self, Project};
use crate::diag::has_errors;
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
        if project::is_meant(file) {
            let found = of_project(args, file, format, &mut reports, printer)?;
            exit = if found == Exit::Done { exit } else { found };
            continue;
        }
        let overrides = pipeline::overrides(&args.overrides);
        let mut loaded = pipeline::load(file, &overrides, args.overrides.allow_outside)?;
        // What comes in on stdin is not there to be checked: only a run waits for it.
        let surveyed = loaded.plan.as_deref().filter(|plan| !super::stdin::wants(plan));
        let problems = surveyed.map(crate::run::survey);
        if let (Some(plan), Some(Ok(survey))) = (loaded.plan.clone(), &problems) {
            loaded.add_missing_columns(&plan, survey);
        }
        if let Some(plan) = loaded.plan.clone() {
            loaded.add_missing_folder(&plan);
        }
        let wrong = has_errors(&loaded.diagnostics) || loaded.plan.is_none() || matches!(problems, Some(Err(_)));
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
                    _ if wrong && !matches!(problems, Some(Err(_))) => {}
                    (Some(plan), Some(Ok(survey))) => {
                        printer.line(&one_line(file, plan, &counted(survey.cases, "case")))?;
                    }
                    (Some(plan), None) => printer.line(&one_line(file, plan, "cases from stdin"))?,
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

/// Checks what a directory, or its `pipe.yaml`, says is to be run: as `pipe plan DIR` and `pipe apply DIR` do first.
fn of_project(
    args: &CheckArgs,
    path: &std::path::Path,
    format: CheckFormat,
    reports: &mut Vec<serde_json::Value>,
    printer: &mut Printer,
) -> Result<Exit, CommandError> {
    let args::Overrides { params, sets, allow_outside } = &args.overrides;
    if !params.is_empty() || !sets.is_empty() || *allow_outside {
        let message = format!("{} is a project: what differs from its pipelines stands in pipe.yaml", path.display());
        return Err(
            CommandError::new(Exit::Usage, message).help("check one of its pipelines, or leave the options out")
        );
    }
    let checks = Project::find(path)?.check()?;
    match format {
        CheckFormat::Json => {
            reports.extend(checks.to_json());
            return Ok(checks.exit());
        }
        CheckFormat::Github => {
            for line in checks.annotations() {
                printer.line(&line)?;
            }
            return Ok(checks.exit());
        }
        CheckFormat::Text => {}
    }
    let exit = checks.say(printer);
    for one in &checks.pipelines {
        if let Some((plan, survey)) = one.ready() {
            printer.line(&one_line(&one.entry.file, plan, &counted(survey.cases, "case")))?;
        }
    }
    if checks.pipelines.is_empty() && exit == Exit::Done {
        printer.say(&format!("there is no pipeline in {}", checks.root.display()));
    }
    Ok(exit)
}

fn one_line(file: &std::path::Path, plan: &plan::Plan, cases: &str) -> String {
    let (steps, actors) = (plan.steps.len(), plan.actors.len());
    format!(
        "{}: ok: {} ({}, {}, {})",
        inert(&file.display().to_string()),
        plan.name,
        counted(steps as u64, "step"),
        counted(actors as u64, "actor"),
        cases
    )
}

/// Returns `1 step`, `2 steps`, `0 cases`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", crate::report::grouped(count))
}
