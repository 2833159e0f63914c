//! What a backend can take, as it changes.

use serde::{Deserialize, Serialize};

use crate::base::BackendName;

/// See [`super::Event::CapacityChanged`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CapacityChanged {
    /// Whose.
    pub backend: BackendName,
    /// What is true from now on.
    pub change: Capacity,
    /// Why, for people.
    pub reason: String,
}

/// What may change about a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capacity {
    /// Too many retries: nothing but single trial calls until one succeeds.
    BreakerOpened,
    /// A trial call succeeded.
    BreakerClosed,
    /// It does not take `response_format`: ask in words and read the answer.
    FormatUnsupported,
    /// So many calls may be in flight, until the process ends.
    Slots(u32),
}
