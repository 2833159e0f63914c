//! What a run keeps of the command line that began it.

use serde::{Deserialize, Serialize};

use super::exit::{CommandError, Exit, with_causes};
use crate::base::{Digest, RunId};
use crate::event::RunStarted;
use crate::journal::Durability;
use crate::plan::Overrides;

/// What a resume must know of the first command line; kept in the journal's first event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) overrides: Overrides,
    pub(super) allow_outside: bool,
    pub(super) force: bool,
    pub(super) power_safe: bool,
    /// The run whose answers count where the same is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reuse: Option<RunId>,
    /// How many cases the input had, and the hash of its rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) input: Option<(u64, Digest)>,
}

impl Kept {
    pub(super) fn to_json(&self) -> serde_json::Result<serde_json::Value> {
        serde_json::to_value(self)
    }

    pub(super) fn read(started: &RunStarted) -> Result<Self, CommandError> {
        serde_json::from_value(started.overrides.clone())
            .map_err(|error| CommandError::new(Exit::JournalUnusable, with_causes(&error)))
    }

    pub(super) const fn durability(&self) -> Durability {
        if self.power_safe { Durability::Power } else { Durability::Process }
    }
}
