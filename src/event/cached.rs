//! An answer that an earlier request was given, taken from the project's cache.

use serde::{Deserialize, Serialize};

use super::{AttemptEnded, Usage};
use crate::base::{CaseNo, RunId};

/// Where an answer is from that no request was sent for, and what it took there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FromCache {
    /// The run that asked for it.
    pub run: RunId,
    /// The case there.
    pub case: CaseNo,
    /// Tokens as the server counted them then. They are not this run's: [`AttemptEnded::usage`] holds none.
    #[serde(default, skip_serializing_if = "Usage::is_empty")]
    pub usage: Usage,
    /// From the request handed over to the end, in microseconds, then.
    #[serde(default)]
    pub total_us: u64,
}

impl AttemptEnded {
    /// Returns the tokens of the answer, whoever has paid for them: what its task is told of.
    ///
    /// A dialogue's budget and `tokens` of a step go by this, so that a run from the cache takes the way of the run
    /// that filled it. What a run spends goes by [`Self::usage`].
    #[must_use]
    pub fn usage_of_answer(&self) -> Usage {
        self.from_cache.as_ref().map_or(self.usage, |found| found.usage)
    }

    /// Returns how long the answer took, in microseconds, whenever that was.
    #[must_use]
    pub fn busy_us(&self) -> u64 {
        self.from_cache.as_ref().map_or(self.timings.total_us, |found| found.total_us)
    }
}
