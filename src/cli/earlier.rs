//! A run of before, as its journal tells it: the plan that it was made of, and who answered.

use std::path::Path;
use std::sync::Arc;

use super::exit::{CommandError, Exit, with_causes};
use super::kept::Kept;
use super::pipeline;
use crate::base::RunId;
use crate::event::{BackendResolved, RunStarted};
use crate::journal::{Home, Reader, RunDir};
use crate::plan::{BackendIdx, BackendUrl, ModelChoice, Plan, Voice};
use crate::run::source_of;

/// A run whose plan this version makes again.
pub(super) struct Earlier {
    pub(super) dir: RunDir,
    pub(super) started: RunStarted,
    pub(super) plan: Arc<Plan>,
    /// By the plan's order of cells.
    pub(super) voices: Vec<Vec<Voice>>,
}

impl Earlier {
    /// Reads a run and makes its plan again, from the texts in its journal.
    ///
    /// # Errors
    /// The journal cannot be read, or this version makes another plan of the same texts: then nobody can tell what its
    /// answers were answers to.
    pub(super) fn open(dir: &RunDir) -> Result<Self, CommandError> {
        let journal = |error: &dyn std::error::Error| CommandError::journal(error);
        let reader = Reader::open(&dir.journal_path()).map_err(|error| journal(&error))?;
        let (_, started) = reader.run_started().map_err(|error| journal(&error))?;
        let source = source_of(&reader, &started).map_err(|error| journal(&error))?;
        let kept = Kept::read(&started)?;
        let file = Path::new(&started.file);
        let loaded = pipeline::compile_again(file, &source, &kept.overrides, kept.allow_outside)?;
        let Some(plan) = loaded.plan.filter(|plan| plan.hash == started.plan) else {
            let message = format!(
                "nobody can tell what {} asked: what its pipeline reads of the environment differs, or this version \
                 makes another plan of it",
                dir.id
            );
            return Err(CommandError::new(Exit::Usage, message));
        };
        let voices = voices_by_cell(&plan, &started.backends);
        Ok(Self { dir: dir.clone(), started, plan, voices })
    }

    /// Returns the newest run of a pipeline that nobody works on; none when there is none.
    ///
    /// # Errors
    /// The runs cannot be listed, or the run not be read; a folder without a journal is passed over.
    pub(super) fn newest(home: &Home, name: &str) -> Result<Option<Self>, CommandError> {
        // The folder's name tells without a look into the journal.
        let folders = Home::name_of_runs(name);
        let runs = home.runs().map_err(|error| CommandError::journal(&error))?;
        for dir in runs.into_iter().filter(|dir| dir.name() == folders) {
            let Ok(reader) = Reader::open(&dir.journal_path()) else { continue };
            let Ok((_, started)) = reader.run_started() else { continue };
            if started.name == name && !dir.is_held() {
                return Self::open(&dir).map(Some);
            }
        }
        Ok(None)
    }

    /// Returns the run that a user names.
    ///
    /// # Errors
    /// There is none, or see [`Self::open`].
    pub(super) fn named(home: &Home, reference: &str) -> Result<Self, CommandError> {
        let dir = home.resolve(reference).map_err(|error| CommandError::new(Exit::Usage, with_causes(&error)))?;
        Self::open(&dir)
    }

    pub(super) const fn id(&self) -> &RunId {
        &self.dir.id
    }
}

/// Returns who answers for each actor in each cell of a plan.
pub(super) fn voices_by_cell(plan: &Plan, resolved: &[BackendResolved]) -> Vec<Vec<Voice>> {
    plan.all_cells().map(|(_, cell)| voices(cell, resolved)).collect()
}

/// Returns who answers for each actor of a plan, as its backends were found.
pub(super) fn voices(plan: &Plan, resolved: &[BackendResolved]) -> Vec<Voice> {
    let voice = |actor: &crate::plan::Actor| {
        let BackendIdx(place) = actor.backend;
        let found = resolved.iter().find(|one| one.backend == plan.backends[place].name);
        let asked = match &actor.model {
            ModelChoice::Named(name) => name,
            ModelChoice::Auto => "auto",
        };
        let sent = found.and_then(|found| found.models.iter().find(|(want, _)| want.as_str() == asked));
        let place = match (&plan.backends[place].url, found.map(|found| found.endpoint.as_str())) {
            (BackendUrl::Sim { .. }, _) | (BackendUrl::Auto, Some("sim")) => "sim",
            (BackendUrl::Embedded, _) | (BackendUrl::Auto, Some("embedded")) => "embedded",
            (BackendUrl::Url(_) | BackendUrl::Auto, _) => "server",
        };
        Voice { place, model: Arc::from(sent.map_or(asked, |(_, sent)| sent.as_str())) }
    };
    plan.actors.iter().map(voice).collect()
}
