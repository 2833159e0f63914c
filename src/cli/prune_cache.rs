//! `pipe prune --cache`: the answers that a project keeps are deleted, all or the old ones.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::args::PruneArgs;
use super::check::counted;
use super::exit::{CommandError, Exit, with_causes};
use super::printer::Printer;
use super::prune::{bytes, is_wanted};
use crate::cache::{Cache, CacheError, Contents};
use crate::journal::Home;

/// Deletes the cache, or what is older than the command line says.
///
/// # Errors
/// The file cannot be read or deleted; nobody says yes.
pub(super) fn prune(args: &PruneArgs, home: &Home, printer: &mut Printer) -> Result<Exit, CommandError> {
    let failed = |error: CacheError| CommandError::new(Exit::JournalUnusable, with_causes(&error));
    let Some(has) = Contents::of(home.path()) else {
        printer.say("there is no cache here");
        return told(0, 0, args, printer);
    };
    let moment = args.older_than.map(|age| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(now.saturating_sub(age).as_micros()).unwrap_or(i64::MAX)
    });
    let going = match moment {
        None => has.answers,
        Some(moment) => Cache::before(home.path(), moment).map_err(failed)?,
    };
    let says = match moment {
        None => format!("the cache: {}, {}", counted(going, "answer"), bytes(has.bytes)),
        Some(_) => format!("{} of {} in the cache", counted(going, "answer"), crate::report::grouped(has.answers)),
    };
    if moment.is_some() && going == 0 {
        printer.say("no answer in the cache is that old");
        return told(0, 0, args, printer);
    }
    if !args.yes && !is_wanted(&says, printer)? {
        return Err(CommandError::new(Exit::Usage, "nothing was deleted"));
    }
    match moment {
        None => Cache::delete(home.path()).map_err(failed)?,
        Some(moment) => drop(Cache::forget_before(home.path(), moment).map_err(failed)?),
    }
    let left = Contents::of(home.path()).unwrap_or_default();
    if !args.json {
        printer.line(&format!("deleted {says}"))?;
    }
    told(going, has.bytes.saturating_sub(left.bytes), args, printer)
}

fn told(answers: u64, bytes: u64, args: &PruneArgs, printer: &mut Printer) -> Result<Exit, CommandError> {
    if args.json {
        printer.line(&json!({ "deleted": { "answers": answers }, "bytes": bytes }).to_string())?;
    }
    Ok(Exit::Done)
}

/// Says how large the cache is, for whoever deletes runs to get room.
pub(super) fn mention(home: &Home, printer: &mut Printer) {
    if let Some(has) = Contents::of(home.path()) {
        let answers = counted(has.answers, "answer");
        printer.say(&format!("the cache stays: {answers}, {} (--cache deletes it)", bytes(has.bytes)));
    }
}
