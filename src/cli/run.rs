//! `pipe run`: check, plan, execute.

use std::path::Path;
use std::sync::Arc;

use super::args::{DurabilityChoice, RunArgs};
use super::engage::{self, Engagement};
use super::exit::{CommandError, Exit, with_causes};
use super::output::Output;
use super::pipeline::{self, Loaded};
use super::printer::{BOLD, Printer, paint};
use super::value::SeedChoice;
use super::{connect, place, resume};
use crate::backend::Connected;
use crate::base::Digest;
use crate::engine::{Engine, Input, Options};
use crate::event::{FORMAT, RunStarted};
use crate::journal::{Durability, RunDir, Sqlite, Text};
use crate::plan::{Overrides, Plan, StepKind};
use crate::run::{Clock, Survey, survey};

/// Runs a pipeline.
///
/// # Errors
/// Whatever keeps the run from starting; how it ends is an exit code.
pub(super) async fn run(args: &RunArgs, printer: &mut Printer) -> Result<Exit, CommandError> {
    if args.session.quiet {
        printer.hush();
    }
    let overrides = overrides(args);
    let loaded = pipeline::load(&args.file, &overrides, args.overrides.allow_outside)?;
    loaded.say(printer);
    let Loaded { plan, text, .. } = loaded;
    let Some(plan) = plan else { return Ok(Exit::InvalidPipeline) };
    let survey = match survey(&plan) {
        Ok(survey) => survey,
        Err(problems) => {
            pipeline::say_problems(&problems, printer);
            return Ok(Exit::InvalidPipeline);
        }
    };
    if args.dry_run {
        return dry_run(&plan, survey, printer);
    }

    let home = place::home_of(&args.file);
    if !args.new {
        let unfinished = place::unfinished(&home, &plan.name)?;
        if let Some(found) = unfinished
            && (args.resume || resume::wanted_instead(&found, printer)?)
        {
            return resume::take_up(&found.dir, &args.session, printer).await;
        }
    }
    if args.resume {
        let message = format!("no unfinished run of {:?} is here", plan.name);
        return Err(
            CommandError::new(Exit::Usage, message).help("leave --resume out to start one, or see `pipe runs`")
        );
    }

    let output = Output::plan(&plan, args.force, None, args.session.json)?;
    let connected = connect::backends(&plan, None, printer).await?;
    let clock = Clock::start(None);
    let dir = home.create_run(&plan.name, clock.now()).map_err(|error| CommandError::journal(&error))?;
    let lock = dir.lock().map_err(|error| CommandError::journal(&error))?;
    let log = Sqlite::create(&dir.journal_path(), durability(args.durability))
        .map_err(|error| CommandError::journal(&error))?;

    let source = Text::of(text);
    let started = started(&plan, &args.file, &overrides, args, source.digest, &connected)?;
    let slots: Vec<u32> = connected.iter().map(|one| one.resolved.slots).collect();
    let engine = Engine::new(Arc::clone(&plan), Options { slots, grace: args.session.grace });
    let engagement = Engagement {
        plan,
        connected,
        earlier: None,
        dir,
        lock,
        log: Box::new(log),
        engine,
        first: Input::Begin(Box::new(started)),
        first_texts: vec![source],
        tally: crate::report::Tally::default(),
        total: survey.cases,
        output,
        session: args.session.clone(),
        clock,
    };
    engage::engage(engagement, printer).await
}

fn overrides(args: &RunArgs) -> Overrides {
    Overrides {
        seed: args.seed.map(SeedChoice::number),
        repeat: args.repeat.and_then(std::num::NonZeroU32::new),
        limit: args.limit,
        backend: args.backend.clone(),
        model: args.model.clone(),
        concurrency: args.concurrency.and_then(std::num::NonZeroU32::new),
        out: args.out.as_deref().map(absolute),
        ..pipeline::overrides(&args.overrides)
    }
}

/// A resume may start in another folder.
fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).display().to_string()
}

const fn durability(choice: DurabilityChoice) -> Durability {
    match choice {
        DurabilityChoice::Power => Durability::Power,
        DurabilityChoice::Process => Durability::Process,
    }
}

fn started(
    plan: &Plan,
    file: &Path,
    overrides: &Overrides,
    args: &RunArgs,
    source: Digest,
    connected: &[Connected],
) -> Result<RunStarted, CommandError> {
    let kept = resume::Kept {
        overrides: overrides.clone(),
        allow_outside: args.overrides.allow_outside,
        force: args.force,
        power_safe: matches!(args.durability, DurabilityChoice::Power),
    };
    let overrides = kept.to_json().map_err(|error| CommandError::new(Exit::Bug, with_causes(&error)))?;
    Ok(RunStarted {
        format: FORMAT,
        name: plan.name.clone(),
        plan: plan.hash,
        source,
        file: absolute(file),
        overrides,
        seed: plan.seed,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        backends: connected.iter().map(|one| one.resolved.clone()).collect(),
    })
}

/// Says what would run. Numbers of calls are exact but for dialogues that may stop early: those are at most.
fn dry_run(plan: &Plan, survey: Survey, printer: &mut Printer) -> Result<Exit, CommandError> {
    printer.line(&format!("{} {}", paint(BOLD, &plan.name), plan.description.as_deref().unwrap_or("")))?;
    printer.line(&format!(
        "  {} x {} = {}",
        super::check::counted(survey.items, "item"),
        super::check::counted(u64::from(plan.repeat.get()), "repeat"),
        super::check::counted(survey.cases, "case")
    ))?;
    let mut most = 0;
    for step in &plan.steps {
        let (kind, calls, exact) = match &step.kind {
            StepKind::Chat(_) => ("chat", 1, true),
            StepKind::Dialogue(dialogue) => ("dialogue", dialogue.most_turns(), dialogue.is_exact()),
            StepKind::Judge(judge) => {
                ("judge", u64::from(judge.votes.get()) * if judge.blind.is_some() { 2 } else { 1 }, true)
            }
        };
        most += calls;
        let bound = if exact { "" } else { "at most " };
        let after: Vec<&str> = step.after.iter().map(|&before| plan.step(before).name.as_str()).collect();
        let after = if after.is_empty() { String::new() } else { format!(", after {}", after.join(", ")) };
        printer.line(&format!(
            "  {:<12} {kind:<9} {bound}{} a case{after}",
            step.name.as_str(),
            super::check::counted(calls, "call")
        ))?;
    }
    let all = most.saturating_mul(survey.cases);
    printer.line(&format!("  {} at most in all; nothing was sent", super::check::counted(all, "call")))?;
    Ok(Exit::Done)
}

/// A run that can be taken up instead of starting a new one.
pub(super) struct Unfinished {
    pub(super) dir: RunDir,
    pub(super) done: u64,
    pub(super) total: Option<u64>,
}
