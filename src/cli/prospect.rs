//! What a run of a plan would ask: steps that are reused, new or changed, calls, tokens, cost, time. Nothing is sent.

use serde_json::{Value, json};

use super::check::counted;
use super::earlier::{Earlier, voices};
use super::exit::CommandError;
use super::{engage, reuse, tokens};
use crate::plan::{CellIdx, Fingerprints, ForEach, Plan, Step, StepChange, StepKind, compare};
use crate::report::grouped;
use crate::run::{Forecast, forecast};

/// What a run would ask.
pub(super) struct Prospect<'a> {
    plan: &'a Plan,
    earlier: Option<&'a Earlier>,
    forecast: Forecast,
    lines: Vec<Line>,
    tokens: tokens::Forecast,
    /// Microseconds that its calls take at the pace of the earlier run; none without one.
    time: Option<u64>,
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

impl<'a> Prospect<'a> {
    /// Holds a plan against an earlier run.
    ///
    /// # Errors
    /// An input or a journal that cannot be read.
    pub(super) fn of(plan: &'a Plan, earlier: Option<&'a Earlier>) -> Result<Self, CommandError> {
        let reuse = earlier.map(|earlier| reuse::of(earlier, plan, &earlier.started.backends)).transpose()?;
        let forecast = forecast(plan, reuse.as_ref()).map_err(|problem| reuse::wrong_row(&problem))?;
        let lines = lines(plan, earlier, &forecast);
        let tokens = tokens::forecast(plan, &asked(plan, &forecast), earlier)?;
        let mut prospect = Self { plan, earlier, forecast, lines, tokens, time: None };
        prospect.time = earlier.map(|earlier| pace(earlier, prospect.calls().1)).transpose()?.flatten();
        Ok(prospect)
    }

    /// Returns how many cases there would be.
    pub(super) const fn cases(&self) -> u64 {
        self.forecast.cases
    }

    /// Returns how many of them the earlier run knows.
    pub(super) const fn known(&self) -> u64 {
        self.forecast.known
    }

    /// Returns what is known of tokens and cost.
    pub(super) const fn tokens(&self) -> &tokens::Tokens {
        &self.tokens.all
    }

    /// Returns how many calls there would be, at least and at most, those about all cases included.
    pub(super) fn calls(&self) -> (u64, u64) {
        let closing = calls_over_all(self.plan);
        self.lines.iter().fold((closing, closing), |all, line| {
            (all.0.saturating_add(line.calls.0), all.1.saturating_add(line.calls.1))
        })
    }

    /// Returns how many tasks would be taken over from the earlier run.
    pub(super) fn reused(&self) -> u64 {
        self.lines.iter().map(|line| line.reused).sum()
    }

    /// Returns the microseconds that its calls take at the pace of the earlier run; none without one.
    pub(super) const fn time(&self) -> Option<u64> {
        self.time
    }

    /// Returns each step with its kind and what would become of it, in words.
    pub(super) fn steps(&self) -> Vec<(&'a str, &'static str, String)> {
        let of_cases = self.plan.steps.iter().zip(&self.lines).map(|(step, line)| {
            let what = change(&line.change, line, self.earlier.is_some());
            let factors = if line.calls.1 > 0 { factors_text(step) } else { String::new() };
            (step.name.as_str(), step.kind.word(), format!("{what}{factors}"))
        });
        let cells = self.plan.all_cells().count() as u64;
        let over_all = self.plan.closing.iter().flat_map(|closing| &closing.steps);
        of_cases
            .chain(over_all.map(|step| (step.name.as_str(), step.kind.word(), over_all_cases(step, cells))))
            .collect()
    }

    /// Returns the steps that differ from the earlier run's, each with why, in words.
    pub(super) fn reasons(&self) -> Vec<String> {
        let reason = |(step, line): (&Step, &Line)| {
            let name = step.name.as_str();
            match &line.change {
                StepChange::Same => None,
                StepChange::New => Some(format!("{name} is new")),
                StepChange::Changed(fields) => Some(format!("{name} changed ({})", fields.join(", "))),
                StepChange::Depends(steps) => {
                    let steps: Vec<&str> = steps.iter().map(crate::base::StepName::as_str).collect();
                    Some(format!("{name} depends on {}", steps.join(", ")))
                }
            }
        };
        self.plan.steps.iter().zip(&self.lines).filter_map(reason).collect()
    }

    /// Returns the steps whose number of calls depends on how many elements there will be.
    pub(super) fn fans(&self) -> Vec<&'a str> {
        let steps = self.plan.steps.iter().zip(&self.lines);
        steps.filter(|(_, line)| line.per_element && line.calls.1 > 0).map(|(step, _)| step.name.as_str()).collect()
    }

    /// Returns all of it for programs.
    pub(super) fn to_json(&self) -> Value {
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
            "name": self.plan.name,
            "against": self.earlier.map(Earlier::id),
            "cases": self.forecast.cases,
            "cells": self.plan.all_cells().map(|(_, cell)| &cell.matrix).filter(|values| !values.is_empty()).collect::<Vec<_>>(),
            "known": self.forecast.known,
            "tokens": self.tokens.all.to_json(),
            "time_us": self.time,
                "cost": self.tokens.all.cost.to_json(),
            "steps": self.plan.steps.iter().zip(&self.lines).zip(&self.tokens.steps).map(step).collect::<Vec<_>>(),
            "aggregates": self.plan.closing.iter().flat_map(|closing| &closing.steps).map(|step| aggregate_json(self.plan, step)).collect::<Vec<_>>(),
        })
    }
}

/// Returns how long so many calls take at the pace of a run; none when it made none.
fn pace(earlier: &Earlier, calls: u64) -> Result<Option<u64>, CommandError> {
    let tally = engage::tally_of(&earlier.dir.journal_path())?;
    let made = u128::from(tally.answered);
    let micros = u128::from(tally.active_us()) * u128::from(calls);
    Ok(micros.checked_div(made).and_then(|micros| u64::try_from(micros).ok()))
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
pub(super) fn range((least, most): (u64, u64)) -> String {
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
