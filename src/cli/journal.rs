//! `pipe journal check`, `repair`, `compact`: the file in which everything about a run is kept.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::args::{JournalArgs, JournalCommand, JournalRunArgs, RepairArgs};
use super::check::counted;
use super::exit::{CommandError, Exit, with_causes};
use super::kept::Kept;
use super::printer::{Printer, inert};
use super::prune::bytes;
use super::{journal_sql, pipeline, show};
use crate::event::RunStarted;
use crate::journal::{self, Home, JournalError, RunDir, Salvage};
use crate::plan::Plan;
use crate::report::grouped;
use crate::run::{Repaired, Source, beginning, check, repair};

/// Does what the command line asks for.
///
/// # Errors
/// No such run, one that is live, or a journal that cannot be used.
pub(super) fn journal(args: &JournalArgs, home: &Home, printer: &mut Printer) -> Result<Exit, CommandError> {
    match &args.command {
        JournalCommand::Check(args) => checked(args, home, printer),
        JournalCommand::Repair(args) => repaired(args, home, printer),
        JournalCommand::Compact(args) => compacted(args, home, printer),
        JournalCommand::Sql(args) => journal_sql::sql(args, home, printer),
    }
}

fn checked(args: &JournalRunArgs, home: &Home, printer: &mut Printer) -> Result<Exit, CommandError> {
    let dir = show::find(home, &args.run)?;
    let path = dir.journal_path();
    let plan = Salvage::open(&path).ok().and_then(|salvage| {
        let (started, source) = beginning(&salvage).ok()?;
        plan_of(&started, &source).ok().flatten()
    });
    let found = check(&path, plan.as_ref()).map_err(|error| CommandError::journal(&error))?;
    let is_sound = found.damaged == 0;
    if args.json {
        let damage: Vec<_> =
            found.damage.iter().map(|(place, what)| json!({ "place": place, "what": what })).collect();
        printer.line(
            &json!({
                "run": dir.id, "sound": is_sound, "events": found.events, "cases": found.cases, "texts": found.texts,
                "fold": plan.is_some(), "damaged": found.damaged, "damage": damage,
            })
            .to_string(),
        )?;
    } else {
        for (place, what) in &found.damage {
            printer.line(&inert(&format!("{place}: {what}")))?;
        }
        let more = found.damaged.saturating_sub(found.damage.len() as u64);
        if more > 0 {
            printer.line(&format!("… and {} more", grouped(more)))?;
        }
        let told = format!(
            "{}: {}, {}, {}",
            dir.id,
            counted(found.events, "event"),
            counted(found.cases, "case"),
            counted(found.texts, "text")
        );
        let verdict = match (is_sound, &plan) {
            (true, Some(_)) => "; everything is as it was written, and follows".to_owned(),
            (true, None) => {
                "; everything is as it was written (by another version: whether it follows is not checked)".to_owned()
            }
            (false, _) => {
                format!("; damaged in {}: `pipe journal repair {}`", counted(found.damaged, "place"), dir.id)
            }
        };
        printer.line(&format!("{told}{verdict}"))?;
    }
    Ok(if is_sound { Exit::Done } else { Exit::JournalUnusable })
}

/// Makes the plan of a run again; none when this version makes another one.
fn plan_of(started: &RunStarted, source: &Source) -> Result<Option<Arc<Plan>>, CommandError> {
    let kept = Kept::read(started)?;
    let loaded = pipeline::compile_again(Path::new(&started.file), source, &kept.overrides, kept.allow_outside)?;
    Ok(loaded.plan.filter(|plan| plan.hash == started.plan))
}

fn repaired(args: &RepairArgs, home: &Home, printer: &mut Printer) -> Result<Exit, CommandError> {
    let dir = show::find(home, &args.run)?;
    let lock = dir.lock().map_err(|error| CommandError::new(Exit::Usage, error.to_string()))?;
    let path = dir.journal_path();
    let unusable = |error: &dyn std::error::Error| {
        CommandError::new(Exit::JournalUnusable, with_causes(error))
            .help("nothing was changed; restore the file from a copy, or start a new run")
    };
    let salvage = Salvage::open(&path).map_err(|error| unusable(&error))?;
    let (started, source) = beginning(&salvage).map_err(|error| unusable(&error))?;
    let plan = plan_of(&started, &source)?.ok_or_else(|| {
        let message =
            format!("this version of pipe makes another plan of the run than version {} did", started.version);
        CommandError::new(Exit::JournalUnusable, message).help("repair it with that version and the same environment")
    })?;
    let found = check(&path, Some(&plan)).map_err(|error| CommandError::journal(&error))?;
    if found.damaged == 0 {
        printer.say(&format!("{} is not damaged: nothing is changed", dir.id));
        if args.json {
            printer.line(&json!({ "run": dir.id, "repaired": false }).to_string())?;
        }
        return Ok(Exit::Done);
    }
    if !args.yes && !is_wanted(&dir, found.damaged, printer)? {
        return Err(CommandError::new(Exit::Usage, format!("{} was not repaired", dir.id)));
    }
    let new = dir.path.join("journal.db.repaired");
    for ending in ["", "-wal", "-shm"] {
        drop(std::fs::remove_file(dir.path.join(format!("journal.db.repaired{ending}"))));
    }
    let done = repair(&salvage, &plan, &new).map_err(|error| unusable(&error))?;
    drop(salvage);
    let kept = journal::replace(&path, &new).map_err(|error: JournalError| unusable(&error))?;
    drop(lock);
    say_repaired(&dir, &done, &kept, args.json, printer)
}

fn say_repaired(
    dir: &RunDir,
    done: &Repaired,
    kept: &Path,
    as_json: bool,
    printer: &mut Printer,
) -> Result<Exit, CommandError> {
    if as_json {
        printer.line(
            &json!({
                "run": dir.id, "repaired": true, "kept": done.kept, "lost": done.lost, "dropped": done.dropped,
                "texts_lost": done.texts_lost, "prompts_lost": done.prompts_lost, "readmitted": done.readmitted,
                "reopened": done.reopened, "damaged_file": kept.display().to_string(),
            })
            .to_string(),
        )?;
        return Ok(Exit::Done);
    }
    let mut parts = vec![format!("{} kept", counted(done.kept, "event"))];
    let more = [
        (done.lost, "event", "could not be read"),
        (done.dropped, "event", "dropped with them"),
        (done.texts_lost, "text", "lost"),
        (done.prompts_lost, "answer", "kept without the prompt"),
        (done.readmitted, "case", "admitted again from the input"),
    ];
    parts.extend(
        more.iter().filter(|part| part.0 > 0).map(|&(count, noun, what)| format!("{} {what}", counted(count, noun))),
    );
    printer.line(&format!("{}: {}", dir.id, parts.join(", ")))?;
    printer.line(&format!("  the damaged file is {}", kept.display()))?;
    printer.line(&format!("  go on      pipe resume {}  ({} to ask of)", dir.id, counted(done.reopened, "case")))?;
    Ok(Exit::Done)
}

fn is_wanted(dir: &RunDir, damaged: u64, printer: &mut Printer) -> Result<bool, CommandError> {
    if !std::io::stdin().is_terminal() || !printer.err().is_terminal() {
        let message = format!("{} is damaged in {}", dir.id, counted(damaged, "place"));
        return Err(CommandError::new(Exit::Usage, message).help("--yes repairs it without asking"));
    }
    let asks = format!("{} is damaged in {}: write what holds of it anew? [y/N] ", dir.id, counted(damaged, "place"));
    printer.err().write(&asks)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn compacted(args: &JournalRunArgs, home: &Home, printer: &mut Printer) -> Result<Exit, CommandError> {
    let dir = show::find(home, &args.run)?;
    let lock = dir.lock().map_err(|error| CommandError::new(Exit::Usage, error.to_string()))?;
    let (before, after) = journal::compact(&dir.journal_path()).map_err(|error| CommandError::journal(&error))?;
    drop(lock);
    if args.json {
        printer.line(&json!({ "run": dir.id, "bytes_before": before, "bytes_after": after }).to_string())?;
    } else {
        printer.line(&format!("{}: {} before, {} now", dir.id, bytes(before), bytes(after)))?;
    }
    Ok(Exit::Done)
}
