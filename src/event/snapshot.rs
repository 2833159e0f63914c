//! The state of a run at one event, as stored in a checkpoint.

use serde::{Deserialize, Serialize};

use super::{Answer, CaseCounts, Failure, Features, SnapAsked, SnapPrefix, SnapRepeats, TaskSettled, Usage};
use crate::base::{
    ActorName, AttemptNo, BackendName, CallPath, CaseNo, Digest, EachKey, ItemId, ModelName, StepName, Timestamp,
};

/// All that a run needs to go on: what a replay of every event up to a point comes to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Cases admitted so far: where in the product items × repeats admission stands.
    pub cases: CaseCounts,
    /// True when every case has been admitted.
    pub source_ended: bool,
    /// Cells whose closing has begun.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub closings: u64,
    /// Chained hash over the ids of admitted items: tells whether the input is still the same up to here.
    pub admitted_chain: Option<Digest>,
    /// Tokens over all answered attempts.
    pub usage: Usage,
    /// What servers did not report of them, by the length of the texts.
    #[serde(default, skip_serializing_if = "Usage::is_empty")]
    pub estimated: Usage,
    /// Both by cell and actor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spent: Vec<SnapSpent>,
    /// How many processes resumed the run.
    pub segment: u32,
    /// Since when no new call starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_since: Option<Timestamp>,
    /// How long the run was paused before that, in milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub paused_ms: u64,
    /// How long processes before the present one worked on the run, in microseconds.
    #[serde(default)]
    pub earlier_us: u64,
    /// When the present one began.
    #[serde(default)]
    pub began: Option<Timestamp>,
    /// When the latest event became true.
    #[serde(default)]
    pub latest: Option<Timestamp>,
    /// Cases not settled, by number.
    pub open: Vec<SnapCase>,
    /// What is known of backends.
    pub backends: Vec<SnapBackend>,
    /// How many cases there will be, where a condition asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all_cases: Option<u64>,
    /// What a condition on evidence has seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<SnapPrefix>,
    /// Which items are being repeated, where that may end early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<SnapRepeats>,
}

/// Tokens of one actor in one cell of the matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapSpent {
    /// The values of the cell.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub matrix: serde_json::Map<String, serde_json::Value>,
    /// Who spent them.
    pub actor: ActorName,
    /// The tokens.
    pub usage: Usage,
}

/// A case that is not settled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapCase {
    /// Its number.
    pub case: CaseNo,
    /// Its item.
    pub item: ItemId,
    /// Its repeat.
    pub repeat: u32,
    /// The values of its cell of the matrix.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub matrix: serde_json::Map<String, serde_json::Value>,
    /// It stands for all cases of its cell.
    #[serde(default, skip_serializing_if = "is_false")]
    pub closing: bool,
    /// Its row.
    pub row: Digest,
    /// Its tasks that are settled or have begun.
    pub tasks: Vec<SnapTask>,
    /// Its steps whose condition holds or whose elements are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opened: Vec<SnapOpened>,
    /// Requests for calls of which nothing else is kept, in a case that was reopened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<SnapAsked>,
}

/// A step whose condition holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapOpened {
    /// The step.
    pub step: StepName,
    /// Its elements, in a `for_each` step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elements: Option<Vec<SnapElement>>,
}

/// One element of a `for_each` step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapElement {
    /// Its key.
    pub key: EachKey,
    /// It, as JSON, in the journal's texts.
    pub value: Digest,
    /// Where its task stands; none before its first call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<SnapTaskState>,
}

/// A task that is settled or has begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapTask {
    /// Its step.
    pub step: StepName,
    /// Where it stands.
    pub state: SnapTaskState,
}

/// Where a task stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapTaskState {
    /// It has begun: its calls so far.
    Begun(Vec<SnapCall>),
    /// It is over.
    Settled(Box<TaskSettled>),
}

/// One call of a task that has begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapCall {
    /// Its name.
    pub call: CallPath,
    /// Requests sent so far.
    pub attempts: u32,
    /// Those that count against `retries.attempts`.
    pub charged: u32,
    /// When the first was recorded.
    pub first: Timestamp,
    /// How long calls to the backend had stood still when the call was first sent, in milliseconds: its breaker was
    /// open, or the run paused.
    pub open_ms_before: u64,
    /// Tokens of its answer.
    pub usage: Usage,
    /// Time spent in its attempts, in microseconds.
    pub busy_us: u64,
    /// Where it stands.
    pub state: SnapCallState,
}

/// Where a call stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapCallState {
    /// May be sent from then on.
    Ready(Timestamp),
    /// Sent, under this attempt number.
    InFlight(AttemptNo),
    /// Answered.
    Answered(Answer),
    /// Given up.
    Failed(Failure),
}

/// What is known of a backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapBackend {
    /// Its name.
    pub backend: BackendName,
    /// Since when its breaker has been open.
    pub open_since: Option<Timestamp>,
    /// How long it was open before that, in milliseconds.
    pub open_ms: u64,
    /// False when it does not take `response_format`.
    pub takes_format: bool,
    /// What else it does not take.
    #[serde(default, skip_serializing_if = "Features::is_empty")]
    pub lacks: Features,
    /// The same of single models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models_lack: Vec<(ModelName, Features)>,
    /// It has answered a call of this run. What an older version wrote does not say so: then it counts as true.
    #[serde(default = "is_true")]
    pub answered: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

const fn is_true() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}
