//! `pipe prune`: runs that are over and old are deleted.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::args::PruneArgs;
use super::check::counted;
use super::exit::{CommandError, Exit, with_causes};
use super::glance::{glance, word};
use super::printer::{DIM, Printer, inert, paint};
use super::prune_cache;
use super::table::Table;
use crate::journal::{Home, RunDir};
use crate::report::RunStatus;

/// How the folder of a run is called while it is deleted: no command takes it for a run.
const GOING: &str = ".pruned-";

/// A run that would go.
struct Old {
    dir: RunDir,
    status: &'static str,
    bytes: u64,
}

/// Deletes what the command line names.
///
/// # Errors
/// The runs cannot be listed or deleted; nobody says yes.
pub(super) fn prune(args: &PruneArgs, home: &Home, printer: &mut Printer) -> Result<Exit, CommandError> {
    if args.cache {
        return prune_cache::prune(args, home, printer);
    }
    let runs = home.runs().map_err(|error| CommandError::journal(&error))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (mut old, mut kept, mut unreadable) = (Vec::new(), 0_u64, Vec::new());
    for (place, dir) in runs.into_iter().enumerate() {
        let is_among_newest = args.keep.is_some_and(|keep| place < keep);
        let found = match glance(&dir) {
            Ok(found) => found,
            Err(_) if is_among_newest => continue,
            Err(error) => {
                unreadable.push(format!("{} stays: {}", dir.id, with_causes(&error)));
                continue;
            }
        };
        let began = u128::try_from(found.began.0).unwrap_or(0);
        let is_young = args.older_than.is_some_and(|age| now.as_micros().saturating_sub(began) <= age.as_micros());
        let may_go = match found.status {
            RunStatus::Complete | RunStatus::Cancelled => true,
            RunStatus::Stopped | RunStatus::Failed | RunStatus::Interrupted => args.unfinished,
            RunStatus::Running | RunStatus::Paused => false,
        };
        if is_among_newest || is_young || dir.is_held() {
            continue;
        }
        if !may_go {
            kept += 1;
            continue;
        }
        let bytes = size(&dir.path);
        old.push(Old { dir, status: word(found.status), bytes });
    }
    unreadable.iter().for_each(|line| printer.say(&inert(line)));
    if kept > 0 && !args.unfinished {
        let verb = if kept == 1 { "stays" } else { "stay" };
        printer.say(&format!("{} that can be resumed {verb} (--unfinished takes them too)", counted(kept, "run")));
    }
    let all: u64 = old.iter().map(|run| run.bytes).sum();
    let told = format!("{}, {}", counted(old.len() as u64, "run"), bytes(all));
    if old.is_empty() {
        printer.say("no run is to be deleted");
    } else if !args.json {
        let mut table = Table::new(&["run", "status", "size"]);
        for run in &old {
            table.add(&[&inert(run.dir.id.as_str()), run.status, &bytes(run.bytes)]);
        }
        let width = printer.out().width();
        printer.data(&table.render(width, |head| paint(DIM, head)))?;
    }
    if !old.is_empty() && !args.yes && !is_wanted(&told, printer)? {
        return Err(CommandError::new(Exit::Usage, "nothing was deleted"));
    }
    let mut deleted = Vec::new();
    for run in &old {
        if delete(&run.dir)? {
            deleted.push(run);
        } else {
            printer.say(&format!("{} stays: somebody works on it by now", run.dir.id));
        }
    }
    prune_cache::mention(home, printer);
    if args.json {
        let runs: Vec<_> = deleted.iter().map(|run| json!({ "run": run.dir.id, "bytes": run.bytes })).collect();
        let freed: u64 = deleted.iter().map(|run| run.bytes).sum();
        printer.line(&json!({ "deleted": runs, "bytes": freed }).to_string())?;
    } else if !deleted.is_empty() {
        printer.line(&format!("deleted {told}"))?;
    }
    Ok(Exit::Done)
}

/// Deletes a run; false when somebody works on it. Its name goes first, so that a half deleted run is none.
pub(super) fn delete(dir: &RunDir) -> Result<bool, CommandError> {
    let Ok(lock) = dir.lock() else { return Ok(false) };
    let going = dir.path.with_file_name(format!("{GOING}{}", dir.id));
    std::fs::rename(&dir.path, &going)?;
    std::fs::remove_dir_all(&going)?;
    drop(lock);
    if let Some(runs) = dir.path.parent() {
        sweep(runs)?;
    }
    Ok(true)
}

/// Deletes what an earlier process was killed over.
fn sweep(runs: &Path) -> Result<(), CommandError> {
    for entry in std::fs::read_dir(runs)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(GOING) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

pub(super) fn is_wanted(told: &str, printer: &mut Printer) -> Result<bool, CommandError> {
    if !std::io::stdin().is_terminal() || !printer.err().is_terminal() {
        let message = format!("{told}: nothing was deleted");
        return Err(CommandError::new(Exit::Usage, message).help("--yes deletes without asking"));
    }
    printer.err().write(&format!("delete {told}, for good? [y/N] "))?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Returns the bytes of all files in a folder; links are not followed.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => size(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}

/// Writes a size for people.
pub(super) fn bytes(count: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    let Some((size, unit)) = units.into_iter().find(|(size, _)| count >= *size) else {
        return counted(count, "byte");
    };
    let tenths = count * 10 / size;
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_are_short() {
        assert_eq!(
            [bytes(1), bytes(999), bytes(1_449_999), bytes(2_000_000_000)],
            ["1 byte", "999 bytes", "1.4 MB", "2.0 GB"]
        );
    }
}
