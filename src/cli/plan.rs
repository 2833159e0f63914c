//! `pipe plan`: what a run would ask, what is reused, and which edits cause calls. Nothing is sent.

use super::args::{PlanArgs, PlanFormat};
use super::check::counted;
use super::earlier::Earlier;
use super::exit::{CommandError, Exit};
use super::pipeline;
use super::printer::{BOLD, DIM, Printer, inert, paint};
use super::prospect::{Prospect, range};
use super::{cache, place, plan_project, project, prompts, resolved, run, stdin};
use crate::journal::Home;
use crate::plan::Plan;
use crate::report::{duration, grouped};

/// Says what a run of a file would ask.
///
/// # Errors
/// A file, an input or a journal that cannot be read; a wrong file is an exit code.
pub(super) fn plan(args: &PlanArgs, printer: &mut Printer) -> Result<Exit, CommandError> {
    if project::is_meant(&args.file) {
        return plan_project::plan(args, printer);
    }
    if args.format == PlanFormat::Markdown {
        let message = format!("--format markdown is of a directory, and {} is a file", args.file.display());
        return Err(CommandError::new(Exit::Usage, message).help("give the directory of its pipelines"));
    }
    let json = args.json || args.format == PlanFormat::Json;
    let overrides = run::overrides(&args.choice, &args.overrides, None);
    let mut loaded = pipeline::load(&args.file, &overrides, args.overrides.allow_outside)?;
    loaded.say(printer);
    let Some(mut plan) = loaded.plan.take() else {
        return pipeline::refuse(&args.file, &loaded, None, json, printer);
    };
    let home = place::home_of(&args.file);
    // Removed when all is said.
    let _spool = stdin::take(&mut plan, &home)?;
    match pipeline::surveyed(&args.file, &loaded, &plan, json, printer)? {
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
    say(&plan, earlier.as_ref(), &home, json, printer)
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
    let prospect = Prospect::of(plan, earlier)?;
    if as_json {
        let mut tree = prospect.to_json();
        tree["cache"] = cache::forecast_json(plan, home);
        printer.line(&tree.to_string())?;
        return Ok(Exit::Done);
    }
    let what = plan.description.as_deref().map(|text| format!(": {}", inert(text.trim()))).unwrap_or_default();
    printer.line(&format!("{}{what}", paint(BOLD, &plan.name)))?;
    let known = match earlier {
        Some(earlier) => format!(", {} of them known to {}", grouped(prospect.known()), earlier.id()),
        None => String::new(),
    };
    let cells = plan.all_cells().count() as u64;
    let of_cells =
        if plan.matrix.is_empty() { String::new() } else { format!(" in {} of the matrix", counted(cells, "cell")) };
    let most = if plan.looked_at().is_some() { "at most " } else { "" };
    printer.line(&format!("  {most}{}{of_cells}{known}", counted(prospect.cases(), "case")))?;
    let steps = prospect.steps();
    let kind = steps.iter().map(|(_, kind, _)| kind.len()).max().unwrap_or(0);
    let name = steps.iter().map(|(name, _, _)| name.len()).max().unwrap_or(0);
    for (step, of, what) in &steps {
        printer.line(&format!("  {step:<name$}  {of:<kind$}  {what}"))?;
    }
    let fans = prospect.fans();
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
    printer.line(&format!("  {} in all{early}{fans}; nothing was sent", range(prospect.calls())))?;
    let tokens = prospect.tokens();
    let time = prospect.time().filter(|&micros| micros > 0).zip(earlier);
    let time = time.map(|(micros, earlier)| format!("about {} at the pace of {}", duration(micros), earlier.id()));
    for said in [tokens.say(earlier), tokens.cost.say(plan), time].into_iter().flatten() {
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
