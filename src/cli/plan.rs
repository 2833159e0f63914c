//! `pipe plan`: what a run would ask, what is reused, and which edits cause calls. Nothing is sent.

use serde_json::{Value, json};

use super::args::PlanArgs;
use super::check::counted;
use super::earlier::{Earlier, voices};
use super::exit::{CommandError, Exit};
use super::pipeline;
use super::printer::{BOLD, DIM, Printer, inert, paint};
use super::{cache, place, prompts, resolved, reuse, run, stdin, tokens};
use crate::journal::Home;
use crate::plan::{CellIdx, Fingerprints, ForEach, Plan, Step, StepChange, StepKind, compare};
use crate::report::grouped;
use crate::run::{Forecast, forecast};

/// Says what a run of a file would ask.
///
/// # Errors
/// A file, an input or a journal that cannot be read; a wrong file is an exit code.
pub(super) fn plan(args: &PlanArgs, printer: &mut Printer) -> Result<Exit, CommandError> {
    let overrides = run::overrides(&args.choice, &args.overrides, None);
    let mut loaded = pipeline::load(&args.file, &overrides, args.overrides.allow_outside)?;
    loaded.say(printer);
    let Some(mut plan) = loaded.plan.take() else {
        return pipeline::refuse(&args.file, &loaded, None, args.json, printer);
    };
    let home = place::home_of(&args.file);
    // Removed when all is said.
    let _spool = stdin::take(&mut plan, &home)?;
    match pipeline::surveyed(&args.file, &loaded, &plan, args.json, printer)? {
        Ok(survey) => {
            loaded.diagnostics.clear();
            loaded.add_missing_columns(&plan, &survey);
            loaded.say(printer);
        }
        Err(exit) => return Ok(exit),
    }
    if args.resolved {
        printer.data(&resolved::yaml(&resolved::of(&plan, &[])).map_err(|error| CommandError::journal(&error))?)?;
        return Ok(Exit::Done);
    }
    let earlier = match &args.against {
        Some(reference) => Some(Earlier::named(&home, reference)?),
        None => run::newest(&home, &plan, printer)?,
    };
    if args.prompts {
        return prompts::show(&plan, earlier.as_ref(), printer);
    }
    say(&plan, earlier.as_ref(), &home, args.json, printer)
}

/// What would become of one step.
struct Line {
    change: StepChange,
    tasks: u64,
    reused: u64,
    calls: (u64, u64),
    /// `calls` stand for one element, and how many there are is not known.
    per_element: bool,
}

/// Says what would become of every step.
///
/// # Errors
/// An input or a journal that cannot be read.
pub(super) fn say(
    plan: &Plan,
    earlier: Option<&Earlier>,
    home: &Home,
    as_json: bool,
    printer: &mut Printer,
) -> Result<Exit, CommandError> {
    let reuse = earlier.map(|earlier| reuse::of(earlier, plan, &earlier.started.backends)).transpose()?;
    let forecast = forecast(plan, reuse.as_ref()).map_err(|problem| reuse::wrong_row(&problem))?;
    let lines = lines(plan, earlier, &forecast);
    let asked = asked(plan, &forecast);
    let tokens = tokens::forecast(plan, &asked, earlier)?;
    let closing = calls_over_all(plan);
    if as_json {
        let mut tree = to_json(plan, earlier, &forecast, &lines, &tokens);
        tree["cache"] = cache::forecast_json(plan, home);
        printer.line(&tree.to_string())?;
        return Ok(Exit::Done);
    }
    let what = plan.description.as_deref().map(|text| format!(": {}", inert(text.trim()))).unwrap_or_default();
    printer.line(&format!("{}{what}", paint(BOLD, &plan.name)))?;
    let known = match earlier {
        Some(earlier) => format!(", {} of them known to {}", grouped(forecast.known), earlier.id()),
        None => String::new(),
    };
    let cells = plan.all_cells().count() as u64;
    let of_cells =
        if plan.matrix.is_empty() { String::new() } else { format!(" in {} of the matrix", counted(cells, "cell")) };
    let most = if plan.looked_at().is_some() { "at most " } else { "" };
    printer.line(&format!("  {most}{}{of_cells}{known}", counted(forecast.cases, "case")))?;
    let over_all: Vec<&Step> = plan.closing.iter().flat_map(|closing| &closing.steps).collect();
    let every = || plan.steps.iter().chain(over_all.iter().copied());
    let kind = every().map(|step| step.kind.word().len()).max().unwrap_or(0);
    let name = every().map(|step| step.name.as_str().len()).max().unwrap_or(0);
    for (step, line) in plan.steps.iter().zip(&lines) {
        let what = change(&line.change, line, earlier.is_some());
        let factors = if line.calls.1 > 0 { factors_text(step) } else { String::new() };
        printer.line(&format!("  {:<name$}  {:<kind$}  {what}{factors}", step.name.as_str(), step.kind.word()))?;
    }
    for step in over_all {
        let what = over_all_cases(step, cells);
        printer.line(&format!("  {:<name$}  {:<kind$}  {what}", step.name.as_str(), step.kind.word()))?;
    }
    let all = lines.iter().fold((closing, closing), |all, line| (all.0 + line.calls.0, all.1 + line.calls.1));
    let fans: Vec<&str> = plan
        .steps
        .iter()
        .zip(&lines)
        .filter(|(_, line)| line.per_element && line.calls.1 > 0)
        .map(|(step, _)| step.name.as_str())
        .collect();
    let fans = if fans.is_empty() {
        String::new()
    } else {
        format!(", counting one element of {}: how many there are the run finds out", fans.join(", "))
    };
    let early = match (&plan.evidence, &plan.repeats) {
        (Some(_), _) => ", fewer when `stop` has seen enough".to_owned(),
        (None, Some(_)) => format!(", for up to {} of each item", counted(u64::from(plan.repeat.get()), "repeat")),
        (None, None) => String::new(),
    };
    printer.line(&format!("  {} in all{early}{fans}; nothing was sent", range(all)))?;
    for said in [tokens.all.say(earlier), tokens.all.cost.say(plan)].into_iter().flatten() {
        printer.line(&format!("  {said}"))?;
    }
    if let Some(says) = cache::forecast(plan, home) {
        printer.line(&format!("  {says}"))?;
    }
    let from_before = plan.actors.iter().any(|actor| actor.model == crate::plan::ModelChoice::Auto);
    if let Some(earlier) = earlier.filter(|_| from_before) {
        let note = format!("  `auto` is taken for what it was in {}; `pipe run` looks again", earlier.id());
        printer.line(&paint(DIM, &note))?;
    }
    Ok(Exit::Done)
}

fn lines(plan: &Plan, earlier: Option<&Earlier>, forecast: &Forecast) -> Vec<Line> {
    let changes = match earlier {
        None => vec![StepChange::New; plan.steps.len()],
        Some(earlier) => {
            let now = Fingerprints::of(plan, &voices(plan, &earlier.started.backends));
            // Cells come and go; what the first one asks tells what was edited.
            let CellIdx(place) = earlier.plan.find_cell(&plan.matrix).unwrap_or_default();
            let old = earlier.plan.cell(CellIdx(place));
            let before = Fingerprints::of(old, &earlier.voices[place]);
            compare((plan, &now), (old, &before))
        }
    };
    let line = |(place, change): (usize, StepChange)| {
        let mut line = Line { change, tasks: forecast.cases, reused: 0, calls: (0, 0), per_element: false };
        for ((_, cell), adopted) in plan.all_cells().zip(&forecast.adopted) {
            let step = &cell.steps[place];
            let (least, most) = step.kind.calls();
            let elements = match &step.course.for_each {
                Some(ForEach::Given(list)) => list.len() as u64,
                Some(ForEach::Found(_)) | None => 1,
            };
            let least = if step.course.when.is_some() { 0 } else { least };
            let asked = forecast.cases_of_cell.saturating_sub(adopted[place]).saturating_mul(elements);
            line.reused += adopted[place];
            line.calls.0 = line.calls.0.saturating_add(asked.saturating_mul(least));
            line.calls.1 = line.calls.1.saturating_add(asked.saturating_mul(most));
            line.per_element |= matches!(step.course.for_each, Some(ForEach::Found(_))) && most > 0;
        }
        line
    };
    changes.into_iter().enumerate().map(line).collect()
}

/// Returns how many tasks, and calls at most, each step of each cell would ask.
fn asked(plan: &Plan, forecast: &Forecast) -> Vec<Vec<(u64, u64)>> {
    let cell = |((_, cell), adopted): ((CellIdx, &Plan), &Vec<u64>)| {
        let steps = cell.steps.iter().zip(adopted);
        let step = |(step, &reused): (&crate::plan::Step, &u64)| {
            let tasks = forecast.cases_of_cell.saturating_sub(reused);
            (tasks, tasks.saturating_mul(step.kind.calls().1))
        };
        steps.map(step).collect()
    };
    plan.all_cells().zip(&forecast.adopted).map(cell).collect()
}

fn change(change: &StepChange, line: &Line, compared: bool) -> String {
    let asked = line.tasks - line.reused;
    let word = match change {
        StepChange::Same if asked == 0 => return format!("{} reused", grouped(line.reused)),
        StepChange::Same => {
            let reused = grouped(line.reused);
            return format!("{reused} reused, {} new: {}", grouped(asked), calls(line));
        }
        StepChange::New if !compared => return calls(line),
        StepChange::New => "new".to_owned(),
        StepChange::Changed(fields) => format!("changed ({})", fields.join(", ")),
        StepChange::Depends(steps) => {
            let steps: Vec<&str> = steps.iter().map(crate::base::StepName::as_str).collect();
            format!("depends on {}", steps.join(", "))
        }
    };
    format!("{} {word}: {}", grouped(asked), calls(line))
}

/// Writes what an aggregate is made of, and how often.
fn over_all_cases(step: &Step, cells: u64) -> String {
    let of = match &step.kind {
        StepKind::Aggregate(aggregate) => format!("{} of {}", aggregate.by.word(), aggregate.of.name),
        kind => kind.word().to_owned(),
    };
    let often = if cells > 1 { "once in each cell" } else { "once" };
    let asks = match step.kind.calls().1.saturating_mul(cells) {
        0 => "no calls".to_owned(),
        several => counted(several, "call"),
    };
    format!("{asks}: {of}, {often} when all cases are over")
}

/// Returns how many calls are made about all cases.
fn calls_over_all(plan: &Plan) -> u64 {
    let cells = plan.all_cells().flat_map(|(_, cell)| &cell.closing);
    cells.flat_map(|closing| &closing.steps).map(|step| step.kind.calls().1).sum()
}

/// Returns what multiplies the calls of one task of a judge: votes, judges, orders; none for other steps.
fn factors(step: &crate::plan::Step) -> Option<[(&'static str, u64); 3]> {
    let crate::plan::StepKind::Judge(judge) = &step.kind else { return None };
    let judges = judge.actors.len() as u64;
    let orders = judge.ways().count() as u64;
    Some([("votes", u64::from(judge.votes.get())), ("judges", judges), ("orders", orders)])
}

/// Says what multiplies the calls of a judge, where something does.
fn factors_text(step: &crate::plan::Step) -> String {
    let several = factors(step).into_iter().flatten().filter(|(_, count)| *count > 1);
    let several: Vec<String> = several.map(|(what, count)| format!("{count} {what}")).collect();
    if several.is_empty() { String::new() } else { format!(" ({} each)", several.join(" × ")) }
}

/// Writes how many calls a step makes.
fn calls(line: &Line) -> String {
    let calls = range(line.calls);
    match line.calls {
        (0, 0) => "no calls".to_owned(),
        _ if line.per_element => format!("{calls} × elements"),
        _ => calls,
    }
}

/// Writes a number of calls; dialogues may stop early.
fn range((least, most): (u64, u64)) -> String {
    if least == most { counted(most, "call") } else { format!("{} to {}", grouped(least), counted(most, "call")) }
}

fn aggregate_json(plan: &Plan, step: &Step) -> Value {
    let (of, by) = match &step.kind {
        StepKind::Aggregate(aggregate) => (json!(aggregate.of.name), json!(aggregate.by.word())),
        _ => (Value::Null, Value::Null),
    };
    let calls = step.kind.calls().1.saturating_mul(plan.all_cells().count() as u64);
    json!({ "step": step.name, "kind": step.kind.word(), "of": of, "by": by, "calls": { "least": calls, "most": calls } })
}

fn to_json(
    plan: &Plan,
    earlier: Option<&Earlier>,
    forecast: &Forecast,
    lines: &[Line],
    tokens: &tokens::Forecast,
) -> Value {
    let step = |((step, line), tokens): ((&crate::plan::Step, &Line), &tokens::Tokens)| {
        let (change, fields, depends_on) = match &line.change {
            StepChange::Same => ("reused", json!([]), json!([])),
            StepChange::New => ("new", json!([]), json!([])),
            StepChange::Changed(fields) => ("changed", json!(fields), json!([])),
            StepChange::Depends(steps) => ("depends", json!([]), json!(steps)),
        };
        json!({
            "step": step.name,
            "kind": step.kind.word(),
            "change": change,
            "fields": fields,
            "depends_on": depends_on,
            "tasks": line.tasks,
            "reused": line.reused,
            "calls": { "least": line.calls.0, "most": line.calls.1 },
            "per_element": line.per_element,
            "factors": factors(step).map(|all| all.into_iter().map(|(what, count)| (what.to_owned(), json!(count))).collect::<serde_json::Map<_, _>>()),
            "tokens": tokens.to_json(),
            "cost": tokens.cost.to_json(),
        })
    };
    json!({
        "name": plan.name,
        "against": earlier.map(Earlier::id),
        "cases": forecast.cases,
        "cells": plan.all_cells().map(|(_, cell)| &cell.matrix).filter(|values| !values.is_empty()).collect::<Vec<_>>(),
        "known": forecast.known,
        "tokens": tokens.all.to_json(),
        "cost": tokens.all.cost.to_json(),
        "steps": plan.steps.iter().zip(lines).zip(&tokens.steps).map(step).collect::<Vec<_>>(),
        "aggregates": plan.closing.iter().flat_map(|closing| &closing.steps).map(|step| aggregate_json(plan, step)).collect::<Vec<_>>(),
    })
}
