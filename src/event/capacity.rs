//! What a backend can take, as it changes.

use serde::{Deserialize, Serialize};

use super::Feature;
use crate::base::{BackendName, ModelName, Timestamp};

/// See [`super::Event::CapacityChanged`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CapacityChanged {
    /// Whose.
    pub backend: BackendName,
    /// What is true from now on.
    pub change: Capacity,
    /// Of which of its models alone, by the name that the file asks for; of all where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelName>,
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
    /// It does not take something else: requests go without it.
    Lacks(Feature),
    /// By its own word no call may start before then.
    HeldUntil(Timestamp),
    /// So many calls may be in flight, until the process ends.
    Slots(u32),
}
