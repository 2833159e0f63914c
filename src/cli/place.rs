//! Where runs lie, and which of them are not finished.

use std::path::Path;

use super::exit::CommandError;
use super::kept::Kept;
use crate::event::Event;
use crate::journal::{Home, Reader, RunDir};
use crate::plan::Overrides;

/// A run that can be taken up instead of starting a new one.
pub(super) struct Unfinished {
    pub(super) dir: RunDir,
    pub(super) done: u64,
    pub(super) total: Option<u64>,
    /// What its command line changed in the file.
    pub(super) overrides: Overrides,
}

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

/// Returns the newest run of a pipeline file when it is not finished, nobody works on it, and it has got anywhere.
///
/// # Errors
/// The runs cannot be listed.
pub(super) fn unfinished(home: &Home, file: &Path) -> Result<Option<Unfinished>, CommandError> {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_path_buf());
    for dir in home.runs().map_err(|error| CommandError::journal(&error))? {
        // A run that cannot be read is no reason not to start another; `pipe runs` names it.
        let Ok(reader) = Reader::open(&dir.journal_path()) else { continue };
        let Ok((_, started)) = reader.run_started() else { continue };
        if Path::new(&started.file) != file {
            continue;
        }
        let (Ok(Some((_, last))), Ok(counts)) = (reader.last_event(), reader.case_counts()) else { continue };
        let over = matches!(&last.event, Event::RunEnded(ended) if ended.outcome.is_final());
        let idle = !dir.is_held();
        if over || !idle || counts.admitted == 0 {
            return Ok(None);
        }
        let total = reader
            .latest_checkpoint()
            .ok()
            .flatten()
            .filter(|(_, at)| at.source_ended)
            .map(|(_, at)| at.cases.admitted);
        let overrides = Kept::read(&started)?.overrides;
        let found = Unfinished { dir, done: counts.settled(), total, overrides };
        return Ok(Some(found));
    }
    Ok(None)
}
