//! `pipe resume`: go on with a run that was stopped, interrupted or killed.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::args::{ResumeArgs, Session};
use super::engage::{self, Engagement};
use super::exit::{CommandError, Exit, with_causes};
use super::output::Output;
use super::printer::Printer;
use super::run::Unfinished;
use super::{connect, pipeline, place};
use crate::engine::{Input, Options};
use crate::event::RunResumed;
use crate::journal::{Durability, RunDir, Sqlite};
use crate::plan::Overrides;
use crate::report::grouped;
use crate::run::{Clock, ResumeError, load, survey};

/// What a resume must know of the first command line; kept in the journal's first event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) overrides: Overrides,
    pub(super) allow_outside: bool,
    pub(super) force: bool,
    pub(super) power_safe: bool,
}

impl Kept {
    pub(super) fn to_json(&self) -> serde_json::Result<serde_json::Value> {
        serde_json::to_value(self)
    }

    fn durability(&self) -> Durability {
        if self.power_safe { Durability::Power } else { Durability::Process }
    }
}

/// Resumes a run by its name.
///
/// # Errors
/// A run that is not there, or cannot be taken up.
pub(super) async fn resume(args: &ResumeArgs, printer: &mut Printer) -> Result<Exit, CommandError> {
    if args.session.quiet {
        printer.hush();
    }
    let home = place::home_here();
    let dir = home.resolve(&args.run).map_err(|error| CommandError::new(Exit::Usage, error.to_string()))?;
    take_up(&dir, &args.session, printer).await
}

/// Goes on with a run.
///
/// # Errors
/// It is held by another process, complete, or cannot be taken up by this version.
pub(super) async fn take_up(dir: &RunDir, session: &Session, printer: &mut Printer) -> Result<Exit, CommandError> {
    let lock = dir.lock().map_err(|error| {
        CommandError::new(Exit::Usage, error.to_string())
            .help("it is being worked on; `pipe show` tells how far it is")
    })?;
    let journal = dir.journal_path();
    let found = load(&journal).map_err(|error| unusable(&error))?;
    if found.complete {
        printer.say(&format!("{} is complete: `pipe show {}`", dir.id, dir.id));
        return Ok(Exit::Done);
    }
    let kept: Kept = serde_json::from_value(found.started.overrides.clone())
        .map_err(|error| CommandError::new(Exit::JournalUnusable, with_causes(&error)))?;
    let file = PathBuf::from(&found.started.file);
    say_if_edited(&file, &found.source, printer);
    let loaded = pipeline::compile(&file, found.source.to_string(), &kept.overrides, kept.allow_outside)?;
    let Some(plan) = loaded.plan.clone() else {
        loaded.say(printer);
        return Ok(Exit::InvalidPipeline);
    };
    let survey = match survey(&plan) {
        Ok(survey) => survey,
        Err(problems) => {
            pipeline::say_problems(&problems, printer);
            return Ok(Exit::InvalidPipeline);
        }
    };
    let output = Output::plan(&plan, kept.force, Some(dir), session.json)?;
    let earlier = found.started.backends.clone();
    let connected = connect::backends(&plan, Some(&earlier), printer).await?;
    connect::same_models(&earlier, &connected)?;

    let clock = Clock::start(Some(found.latest));
    let tally = engage::tally_of(&journal)?;
    let replay = found.replay(&plan).map_err(|error| unusable(&error))?;
    let done = replay.state().cases.settled();
    printer.say(&format!(
        "resuming {}: {} of {} done",
        dir.id,
        grouped(done),
        super::check::counted(survey.cases, "case")
    ));
    let segment = replay.state().segment + 1;
    let slots: Vec<u32> = connected.iter().map(|one| one.resolved.slots).collect();
    let engine = replay.engine(Options { slots, grace: session.grace });
    let log = Sqlite::open(&journal, kept.durability()).map_err(|error| CommandError::journal(&error))?;
    let resumed = RunResumed {
        segment,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        backends: connected.iter().map(|one| one.resolved.clone()).collect(),
    };
    let engagement = Engagement {
        plan,
        connected,
        earlier: Some(earlier),
        dir: dir.clone(),
        lock,
        log: Box::new(log),
        engine,
        first: Input::Resume(Box::new(resumed)),
        first_texts: Vec::new(),
        tally,
        total: survey.cases,
        output,
        session: session.clone(),
        clock,
    };
    engage::engage(engagement, printer).await
}

fn unusable(error: &ResumeError) -> CommandError {
    let told = CommandError::new(Exit::JournalUnusable, with_causes(error));
    match error {
        ResumeError::OtherPlan { .. } => {
            told.help("resume it with that version, or start anew with `pipe run --new`")
        }
        _ => told,
    }
}

/// One run, one plan, for ever: an edit is not taken up, and the user must know.
fn say_if_edited(file: &Path, source: &str, printer: &mut Printer) {
    match std::fs::read_to_string(file) {
        Ok(now) if now == source => {}
        Ok(_) => printer.say(&format!(
            "{} was edited since this run began; the run goes on with what it began with (`pipe run --new` takes the edit)",
            file.display()
        )),
        Err(_) => printer.say(&format!("{} is gone; the run goes on with its own copy", file.display())),
    }
}

/// Asks what to do about an unfinished run; true is to take it up.
///
/// # Errors
/// There is no terminal to ask on, or nobody answers.
pub(super) fn wanted_instead(found: &Unfinished, printer: &mut Printer) -> Result<bool, CommandError> {
    let done = match found.total {
        Some(total) => format!("{} of {} done", grouped(found.done), grouped(total)),
        None => format!("{} done", super::check::counted(found.done, "case")),
    };
    let message = format!("{} is not finished: {done}", found.dir.id);
    if !std::io::stdin().is_terminal() || !printer.err().is_terminal() {
        return Err(
            CommandError::new(Exit::Usage, message).help("say --resume to go on with it, or --new to start another")
        );
    }
    printer.complain(&format!("{message}\n[r]esume it, start a [n]ew one, or [q]uit? "));
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "" | "r" | "resume" => Ok(true),
        "n" | "new" => Ok(false),
        _ => Err(CommandError::new(Exit::Usage, "nothing was started")),
    }
}
