//! `pipe run`: check, plan, execute.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::args::{DurabilityChoice, RunArgs, Session};
use super::earlier::Earlier;
use super::engage::{self, Engagement};
use super::exit::{CommandError, Exit, with_causes};
use super::output::Output;
use super::pipeline::{self, Loaded};
use super::printer::{BOLD, Printer, paint};
use super::resume::Kept;
use super::value::SeedChoice;
use super::{connect, place, resume, reuse};
use crate::base::Digest;
use crate::engine::{Engine, Input, Options};
use crate::event::{BackendResolved, FORMAT, RunStarted};
use crate::journal::{Home, RunDir, Sqlite, Text};
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
    let Loaded { plan, text, read, .. } = loaded;
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
    if !args.new && args.reuse.is_none() {
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
    let earlier = match &args.reuse {
        Some(reference) => Some(Earlier::named(&home, reference)?),
        None if args.new => None,
        None => newest(&home, &plan, printer)?,
    };
    let kept = Kept {
        overrides,
        allow_outside: args.overrides.allow_outside,
        force: args.force,
        power_safe: matches!(args.durability, DurabilityChoice::Power),
        reuse: None,
    };
    let beginning =
        Beginning { plan, text, read, file: &args.file, home: &home, survey, kept, earlier, session: &args.session };
    begin(beginning, printer).await
}

/// Everything that a new run is made of.
pub(super) struct Beginning<'a> {
    pub(super) plan: Arc<Plan>,
    pub(super) text: String,
    pub(super) read: BTreeMap<String, Arc<str>>,
    pub(super) file: &'a Path,
    pub(super) home: &'a Home,
    pub(super) survey: Survey,
    pub(super) kept: Kept,
    /// The run whose answers count where the same is asked.
    pub(super) earlier: Option<Earlier>,
    pub(super) session: &'a Session,
}

/// Starts a new run and sees it to its end.
///
/// # Errors
/// Whatever keeps it from starting; how it ends is an exit code.
pub(super) async fn begin(beginning: Beginning<'_>, printer: &mut Printer) -> Result<Exit, CommandError> {
    let Beginning { plan, text, read, file, home, survey, mut kept, earlier, session } = beginning;
    let output = Output::plan(&plan, kept.force, None, session.json)?;
    let connected = connect::backends(&plan, None, printer).await?;
    let resolved: Vec<BackendResolved> = connected.iter().map(|one| one.resolved.clone()).collect();
    let reuse = match &earlier {
        Some(earlier) => reuse::prepare(earlier, &plan, &resolved, printer)?,
        None => None,
    };
    kept.reuse = reuse.as_ref().map(|reuse| reuse.run().clone());

    let clock = Clock::start(None);
    let dir = home.create_run(&plan.name, clock.now()).map_err(|error| CommandError::journal(&error))?;
    let lock = dir.lock().map_err(|error| CommandError::journal(&error))?;
    let log =
        Sqlite::create(&dir.journal_path(), kept.durability()).map_err(|error| CommandError::journal(&error))?;

    let (source, files, first_texts) = recorded(text, &read);
    let started = RunStarted {
        format: FORMAT,
        name: plan.name.clone(),
        plan: plan.hash,
        source,
        files,
        file: absolute(file),
        overrides: kept.to_json().map_err(|error| CommandError::new(Exit::Bug, with_causes(&error)))?,
        seed: plan.seed,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        backends: resolved,
    };
    let slots: Vec<u32> = connected.iter().map(|one| one.resolved.slots).collect();
    let engine = Engine::new(Arc::clone(&plan), Options { slots, grace: session.grace });
    let engagement = Engagement {
        plan,
        connected,
        earlier: None,
        dir,
        lock,
        log: Box::new(log),
        engine,
        first: vec![Input::Begin(Box::new(started))],
        first_texts,
        reuse,
        tally: crate::report::Tally::default(),
        total: survey.cases,
        output,
        session: session.clone(),
        clock,
    };
    engage::engage(engagement, printer).await
}

/// Returns the newest run of this pipeline; one that nobody can read any more is told and left alone.
fn newest(home: &Home, plan: &Plan, printer: &mut Printer) -> Result<Option<Earlier>, CommandError> {
    Earlier::newest(home, &plan.name).or_else(|error| {
        printer.say(&format!("nothing is reused: {error}"));
        Ok(None)
    })
}

/// Returns what the journal keeps of a pipeline's texts, and the texts.
pub(super) fn recorded(
    text: String,
    read: &BTreeMap<String, Arc<str>>,
) -> (Digest, BTreeMap<String, Digest>, Vec<Text>) {
    let source = Text::of(text);
    let digest = source.digest;
    let texts = read.values().map(|text| Text::of(Arc::clone(text)));
    let texts: Vec<Text> = std::iter::once(source).chain(texts).collect();
    let files = read.iter().map(|(path, text)| (path.clone(), Digest::of(text.as_bytes())));
    (digest, files.collect(), texts)
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
