//! Where runs lie, and which of them are not finished.

use std::path::Path;

use super::exit::CommandError;
use super::run::Unfinished;
use crate::event::{Event, RunOutcome};
use crate::journal::{Home, Reader};

/// Returns the home of the project that a pipeline file belongs to.
pub(super) fn home_of(file: &Path) -> Home {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_path_buf());
    home_at(absolute.parent().unwrap_or(Path::new("/")))
}

/// Returns the home of the project that the working folder belongs to.
pub(super) fn home_here() -> Home {
    home_at(&std::env::current_dir().unwrap_or_else(|_| ".".into()))
}

fn home_at(folder: &Path) -> Home {
    let replaced = std::env::var_os("PIPE_HOME").filter(|value| !value.is_empty());
    Home::at(&Home::project_root(folder), replaced.as_deref().map(Path::new))
}

/// Returns the newest run of a pipeline when it is not finished, nobody works on it, and it has got anywhere.
///
/// # Errors
/// The runs cannot be listed.
pub(super) fn unfinished(home: &Home, name: &str) -> Result<Option<Unfinished>, CommandError> {
    for dir in home.runs().map_err(|error| CommandError::journal(&error))? {
        // A run that cannot be read is no reason not to start another; `pipe runs` names it.
        let Ok(reader) = Reader::open(&dir.journal_path()) else { continue };
        let Ok((_, started)) = reader.run_started() else { continue };
        if started.name != name {
            continue;
        }
        let (Ok(Some((_, last))), Ok(counts)) = (reader.last_event(), reader.case_counts()) else { continue };
        let complete = matches!(&last.event, Event::RunEnded(ended) if ended.outcome == RunOutcome::Complete);
        let idle = !dir.is_held();
        if complete || !idle || counts.admitted == 0 {
            return Ok(None);
        }
        let total = reader
            .latest_checkpoint()
            .ok()
            .flatten()
            .filter(|(_, at)| at.source_ended)
            .map(|(_, at)| at.cases.admitted);
        let found = Unfinished { dir, done: counts.settled(), total };
        return Ok(Some(found));
    }
    Ok(None)
}
