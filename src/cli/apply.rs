//! `pipe apply`: the runs of a project made to match its pipelines, one after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::applied::Begun;
use super::args::{ApplyArgs, Session};
use super::check::counted;
use super::desired::{Desired, Pipeline, now};
use super::exit::{CommandError, Exit};
use super::kept::Kept;
use super::pipeline::{self, Loaded};
use super::plan_project;
use super::printer::{BOLD, Printer, inert, paint};
use super::provenance::{self, Origin};
use super::resume::Going;
use super::run::{Beginning, begin};
use super::standing::{Standing, earlier_of};
use super::{applied, prune, resume};
use crate::base::RunId;
use crate::journal::RunDir;
use crate::run::Source;

/// Makes the runs match.
///
/// # Errors
/// The project or the home cannot be read, another process applies something there; how runs end is an exit code.
pub(super) async fn apply(args: &ApplyArgs, printer: &mut Printer) -> Result<Exit, CommandError> {
    let is_engaged = Arc::new(AtomicBool::new(false));
    let session = Session { among: Some(Arc::clone(&is_engaged)), ..args.session.clone() };
    if session.quiet {
        printer.hush();
    }
    let mut signals = Signals::hear()?;
    let mut desired = match Desired::find(&args.project, args.repository.as_deref(), session.json, printer)? {
        Ok(desired) => desired,
        Err(exit) => return Ok(exit),
    };
    choose(&mut desired, &args.only)?;
    let lock = applied::lock(desired.home.path())?;
    if args.prune && !args.yes {
        ask(&desired, printer)?;
    }
    let width = printer.err().reading_width();
    printer.say(plan_project::text(&desired, width, false).trim_end());
    let (mut ends, mut stopped_by) = (Vec::new(), None);
    let count = desired.pipelines.len();
    for (place, one) in std::mem::take(&mut desired.pipelines).into_iter().enumerate() {
        if let Some(exit) = signals.heard() {
            stopped_by = Some(exit);
            break;
        }
        if one.is_to_begin() {
            printer.say("");
            let title = format!("{} ({} of {count})", one.checked.entry.name, place + 1);
            printer.say(&paint(BOLD, &inert(&title)));
        }
        let expired = one.expired.clone();
        is_engaged.store(false, Ordering::Relaxed);
        let stopped = |exit| End::of(&one, exit, None);
        let [interrupted, terminated] = [Exit::Interrupted, Exit::Terminated].map(stopped);
        let mut heard = None;
        let end = {
            let mut bring = std::pin::pin!(one.bring(args, &session, &mut desired, printer));
            loop {
                tokio::select! {
                    end = &mut bring => break end,
                    exit = signals.next() => heard = Some(exit),
                }
                // From then on the run itself stops in order.
                if !is_engaged.load(Ordering::Relaxed) {
                    break if heard == Some(Exit::Interrupted) { interrupted } else { terminated };
                }
            }
        };
        if let Some(message) = &end.message {
            printer.complain(&format!("{}: {}", inert(&end.name), inert(message)));
        }
        let is_over = matches!(end.exit, Exit::Interrupted | Exit::Terminated | Exit::JournalUnusable | Exit::Bug);
        ends.push(end);
        if is_over || heard.is_some() {
            stopped_by = heard;
            break;
        }
        Desired::expire(&expired, printer)?;
    }
    let is_whole = ends.len() == count && stopped_by.is_none();
    let deleted = if args.prune && is_whole { desired.delete_removed(printer)? } else { Vec::new() };
    drop(lock);
    let exit =
        ends.iter().map(|end| end.exit).chain(stopped_by).max_by_key(|exit| weight(*exit)).unwrap_or(Exit::Done);
    if session.json {
        let entries: Vec<Value> = ends.iter().map(End::to_json).collect();
        let whole = json!({ "project": desired.root, "entries": entries, "deleted": deleted, "exit": exit.code() });
        printer.line(&whole.to_string())?;
    } else {
        printer.say("");
        printer.say(&paint(BOLD, &inert(&closing(&desired.root, &ends, count, is_whole))));
    }
    Ok(exit)
}

/// Returns how much an exit code matters beside others.
const fn weight(exit: Exit) -> u8 {
    match exit {
        Exit::Done => 0,
        Exit::GateFailed => 1,
        Exit::Budget => 2,
        Exit::InvalidPipeline => 3,
        Exit::Usage => 4,
        Exit::BackendUnusable => 5,
        Exit::JournalUnusable => 6,
        Exit::Bug => 7,
        Exit::Interrupted => 8,
        Exit::Terminated => 9,
    }
}

/// Leaves only those that were named.
fn choose(desired: &mut Desired, only: &[String]) -> Result<(), CommandError> {
    if only.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = desired.pipelines.iter().map(|one| one.checked.entry.name.clone()).collect();
    if let Some(unknown) = only.iter().find(|name| !names.contains(name)) {
        let message = format!("--only {unknown}: {} has no such pipeline", desired.root);
        return Err(CommandError::new(Exit::Usage, message).help(format!("it has {}", names.join(", "))));
    }
    desired.pipelines.retain(|one| only.contains(&one.checked.entry.name));
    desired.removed.clear();
    Ok(())
}

/// Asks whether what was removed is to be deleted, before anything else is done.
fn ask(desired: &Desired, printer: &mut Printer) -> Result<(), CommandError> {
    let runs: usize = desired.removed.iter().map(|one| one.runs.len()).sum();
    if runs == 0 {
        return Ok(());
    }
    let names: Vec<&str> = desired.removed.iter().map(|one| one.name.as_str()).collect();
    let told = format!("{} of {}", counted(runs as u64, "run"), names.join(", "));
    match prune::is_wanted(&told, printer)? {
        true => Ok(()),
        false => Err(CommandError::new(Exit::Usage, "nothing was applied and nothing deleted")),
    }
}

fn closing(root: &str, ends: &[End], count: usize, is_whole: bool) -> String {
    let wrong: Vec<String> = ends
        .iter()
        .filter(|end| end.exit != Exit::Done)
        .map(|end| format!("{} (exit {})", end.name, end.exit.code()))
        .collect();
    match (wrong.is_empty(), is_whole) {
        (true, true) => format!("applied: {} in {root}", counted(count as u64, "pipeline")),
        (false, true) => format!("applied but for {}", wrong.join(", ")),
        (true, false) => format!("stopped after {} of {}", ends.len(), counted(count as u64, "pipeline")),
        (false, false) => {
            format!("stopped at {} of {}: {}", ends.len(), counted(count as u64, "pipeline"), wrong.join(", "))
        }
    }
}

/// What became of a pipeline.
struct End {
    name: String,
    file: String,
    state: &'static str,
    run: Option<RunId>,
    exit: Exit,
    message: Option<String>,
}

impl End {
    fn of(one: &Pipeline, exit: Exit, message: Option<String>) -> Self {
        let entry = &one.checked.entry;
        let (name, file) = (entry.name.clone(), entry.shown.clone());
        let run = one.found.standing.run().map(|run| run.id.clone());
        Self { name, file, state: one.found.standing.word(), run, exit, message }
    }

    fn to_json(&self) -> Value {
        let exit = self.exit.code();
        json!({ "name": self.name, "file": self.file, "state": self.state, "run": self.run, "exit": exit, "message": self.message })
    }
}

impl Pipeline {
    /// Tells whether a process works on it from here.
    const fn is_to_begin(&self) -> bool {
        matches!(
            self.found.standing,
            Standing::New | Standing::Changed | Standing::Due(..) | Standing::Unfinished(..)
        )
    }

    /// Brings one pipeline up to date. What goes wrong with it is told with it: others may do better.
    async fn bring(self, args: &ApplyArgs, session: &Session, desired: &mut Desired, printer: &mut Printer) -> End {
        match self.found.standing.clone() {
            Standing::Unchanged(run) => {
                let noted = desired.note(&self, &run, args);
                self.ended(noted.map(|()| Exit::Done))
            }
            Standing::Running(run) => self.end(Exit::Done, format!("another process works on {}", run.id)),
            Standing::Failed(_, bad) => self.end(bad.exit(), self.says()),
            Standing::Unfinished(run, _) => {
                let noted = desired.note(&self, &run, args);
                let took = match noted {
                    Ok(()) => {
                        let going = Going { sets: Vec::new(), wish: None, origin: self.origin(args) };
                        Box::pin(resume::take_up(&run, going, session, printer)).await
                    }
                    Err(error) => Err(error),
                };
                self.ended(took)
            }
            Standing::New | Standing::Changed | Standing::Due(..) => {
                Box::pin(self.begin(args, session, desired, printer)).await
            }
        }
    }

    /// Begins a new run.
    async fn begin(self, args: &ApplyArgs, session: &Session, desired: &mut Desired, printer: &mut Printer) -> End {
        let (loaded, kept, earlier, origin) = match self.beginning(args) {
            Ok(made) => made,
            Err(error) => return self.ended(Err(error)),
        };
        let Some((plan, survey)) = loaded.plan.clone().zip(self.checked.ready().map(|(_, survey)| survey.clone()))
        else {
            return self.end(Exit::Bug, "its plan went away".to_owned());
        };
        let Loaded { text, read, .. } = loaded;
        let home = desired.home.clone();
        let file = self.checked.entry.file.clone();
        let beginning = Beginning {
            plan,
            text,
            read,
            file: &file,
            home: &home,
            survey,
            kept,
            earlier,
            origin,
            models: None,
            session,
        };
        match Box::pin(begin(beginning, printer)).await {
            Ok(begun) => {
                let noted = desired.note(&self, &begun.dir, args);
                let mut end = self.ended(noted.map(|()| begun.exit));
                end.run = Some(begun.dir.id);
                end
            }
            Err(error) => self.ended(Err(error)),
        }
    }

    /// Reads what a new run is made of.
    fn beginning(
        &self,
        args: &ApplyArgs,
    ) -> Result<(Loaded, Kept, Option<super::earlier::Earlier>, Origin), CommandError> {
        let entry = &self.checked.entry;
        let mut overrides = entry.overrides.clone();
        let is_due = matches!(self.found.standing, Standing::Due(..));
        if is_due {
            // It is asked to be asked: old answers would only be the old table.
            overrides.set.push(("cache".to_owned(), "refresh".to_owned()));
        }
        // What was checked is begun, whatever the file says by now.
        let Loaded { text, read, .. } = &self.checked.loaded;
        let source = Source { text: text.as_str().into(), files: read.clone(), sets: Vec::new() };
        let loaded = pipeline::compile_again(&entry.file, &source, &overrides, false)?;
        let earlier = if is_due { None } else { earlier_of(&self.found).ok().flatten() };
        let kept = Kept { overrides, allow_outside: false, force: false, power_safe: true, reuse: None, input: None };
        Ok((loaded, kept, earlier, self.origin(args)))
    }

    /// Returns what is known of the commit that its file is of.
    fn origin(&self, args: &ApplyArgs) -> Origin {
        match (&args.commit, &args.repository) {
            (Some(commit), Some(repository)) => provenance::told(commit, repository, &self.checked.entry.shown),
            _ => Origin::Around { require_clean: args.require_clean },
        }
    }

    fn end(&self, exit: Exit, message: String) -> End {
        End::of(self, exit, Some(message))
    }

    fn ended(&self, ended: Result<Exit, CommandError>) -> End {
        match ended {
            Ok(exit) => End::of(self, exit, None),
            Err(error) => End::of(self, error.exit(), Some(error.in_a_line())),
        }
    }
}

impl Desired {
    /// Notes which run stands for a pipeline.
    fn note(&mut self, one: &Pipeline, run: &RunDir, args: &ApplyArgs) -> Result<(), CommandError> {
        let record = self.applied.record(&self.key, &one.checked.entry.name);
        record.file.clone_from(&one.checked.entry.shown);
        if let Some((plan, survey)) = one.checked.ready() {
            record.runs.retain(|begun| begun.run != run.id);
            record.runs.push(Begun { run: run.id.clone(), plan: plan.hash, rows: survey.digest });
        }
        record.at = now();
        record.commit.clone_from(&args.commit);
        self.applied.write(self.home.path())
    }

    /// Deletes runs that are older than those that `keep` wants.
    fn expire(runs: &[RunDir], printer: &mut Printer) -> Result<(), CommandError> {
        for run in runs {
            if prune::delete(run)? {
                printer.say(&format!("{} is deleted: newer ones are kept", run.id));
            }
        }
        Ok(())
    }

    /// Deletes the runs of pipelines that are no longer there, and forgets them.
    fn delete_removed(&mut self, printer: &mut Printer) -> Result<Vec<RunId>, CommandError> {
        let mut deleted = Vec::new();
        for one in std::mem::take(&mut self.removed) {
            let mut is_gone = true;
            for run in &one.runs {
                if prune::delete(run)? {
                    printer.say(&format!("{} is deleted: {} was removed", run.id, one.name));
                    deleted.push(run.id.clone());
                } else {
                    is_gone = false;
                    printer.say(&format!("{} stays: somebody works on it", run.id));
                }
            }
            if is_gone {
                self.applied.forget(&self.key, &one.name);
            }
        }
        self.applied.write(self.home.path())?;
        Ok(deleted)
    }
}

/// Signals between two runs: within one, the run itself hears them.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn hear() -> Result<Self, CommandError> {
        let unheard =
            |error: std::io::Error| CommandError::new(Exit::Bug, format!("signals cannot be heard: {error}"));
        let interrupt = signal(SignalKind::interrupt()).map_err(unheard)?;
        let terminate = signal(SignalKind::terminate()).map_err(unheard)?;
        Ok(Self { interrupt, terminate })
    }

    /// Waits for a signal, and returns how it ends the process.
    ///
    /// # Cancel safety
    /// May be dropped at any time; a signal that came is not lost.
    async fn next(&mut self) -> Exit {
        tokio::select! {
            _ = self.interrupt.recv() => Exit::Interrupted,
            _ = self.terminate.recv() => Exit::Terminated,
        }
    }

    /// Returns how a signal that came ends the process.
    fn heard(&mut self) -> Option<Exit> {
        let terminated = self.terminate.recv().now_or_never().flatten().map(|()| Exit::Terminated);
        terminated.or_else(|| self.interrupt.recv().now_or_never().flatten().map(|()| Exit::Interrupted))
    }
}
