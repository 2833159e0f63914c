//! `pipe runs`: the runs of this project, newest first.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::args::RunsArgs;
use super::exit::{CommandError, Exit, with_causes};
use super::glance::{Glance, glance, word};
use super::printer::{DIM, Printer, inert, paint};
use super::table::Table;
use crate::base::Timestamp;
use crate::journal::Home;
use crate::report::{RunStatus, duration, grouped};

/// Lists the runs.
///
/// # Errors
/// The folder of runs cannot be read; a run that cannot be read is a line that says so.
pub(super) fn runs(args: &RunsArgs, home: &Home, printer: &mut Printer) -> Result<Exit, CommandError> {
    let dirs = home.runs().map_err(|error| CommandError::journal(&error))?;
    if dirs.is_empty() && !args.json {
        printer.say(&format!("no runs yet in {}: {}", home.path().display(), home.instead()));
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["run", "began", "status", "cases"]);
    for dir in dirs {
        let glance = glance(&dir);
        if args.json {
            let line = match &glance {
                Ok(glance) => serde_json::to_value(glance).map_err(std::io::Error::from)?,
                Err(error) => json!({ "run": dir.id, "error": with_causes(error) }),
            };
            printer.line(&line.to_string())?;
            continue;
        }
        match &glance {
            Ok(glance) => {
                table.add(&[&inert(glance.run.as_str()), &ago(glance.began), word(glance.status), &done(glance)]);
            }
            Err(error) => table.add(&[&inert(dir.id.as_str()), "", "unreadable", &inert(&with_causes(error))]),
        }
    }
    if !args.json {
        let width = printer.out().width();
        printer.data(&table.render(width, |head| paint(DIM, head)))?;
    }
    Ok(Exit::Done)
}

fn done(glance: &Glance) -> String {
    let settled = grouped(glance.cases.settled());
    let done = match glance.total {
        Some(total) if glance.status == RunStatus::Complete && total == glance.cases.settled() => settled,
        Some(total) => format!("{settled} of {}", grouped(total)),
        None => format!("{settled} so far"),
    };
    let failed = glance.cases.failed;
    if failed > 0 { format!("{done}, {} failed", grouped(failed)) } else { done }
}

fn ago(began: Timestamp) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Timestamp(i64::try_from(now.as_micros()).unwrap_or(i64::MAX));
    // Whole seconds: a list is no stopwatch.
    let micros = now.micros_since(began) / 1_000_000 * 1_000_000;
    format!("{} ago", duration(micros).replace(".0 s", " s").replace("0 ms", "0 s"))
}
