//! What can have happened in a run, and the words for it: the only durable schema.
//! Readers of old journals use these types, so a change here is a change of format: see `FORMAT`.
//! Never: behaviour, plan or spec types.
//! Start at [`Event`].

mod aggregate;
mod cached;
mod capability;
mod capacity;
mod codec;
mod evidence;
mod failure;
mod flow;
mod gpu;
mod outcome;
mod provenance;
mod reopened;
mod snapshot;
mod started;
mod traced;

pub use aggregate::{ALL_CASES, CellClosing, CountTable, CountedRow, MeanOf, Method, Ranked, Standing, Without};
pub use cached::FromCache;
pub use capability::{Feature, Features, GrowingFeatures};
pub use capacity::{Capacity, CapacityChanged};
pub use codec::DecodeError;
use codec::codec;
pub use evidence::{
    Counted, Observation, RepeatsReached, SnapCounts, SnapGroup, SnapLatest, SnapPrefix, SnapRepeats,
};
pub use failure::{Failure, FailureKind, TimeoutPhase};
pub use flow::{Because, Element, ElementOutput, ElementSettled, Evaluated, Evaluation};
pub use gpu::{GpuCan, GpuDevice, GpuSample, GpuSeen, GpuUser, Sampled, Throttle};
pub use outcome::{
    Answer, CaseCounts, CaseStatus, Claimed, Facts, FinishReason, Judgement, Message, Outcome, Report, RunOutcome,
    StopCause, StopReached, TaskOutput, TaskStatus, Timings, Turn, Unscored, Usage, Verdict, Vote,
};
pub use provenance::{Commit, Provenance};
pub use reopened::{CaseReopened, SnapAsked};
pub use snapshot::{
    SnapBackend, SnapCall, SnapCallState, SnapCase, SnapElement, SnapOpened, SnapSpent, SnapTask, SnapTaskState,
    Snapshot,
};
pub use started::{BackendResolved, CellPrices, InMemory, RunResumed, RunStarted};
pub use traced::{Shape, Traced};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::{
    ActorName, AttemptNo, BackendName, CallPath, CaseNo, Digest, EachKey, ItemId, Price, RunId, StepName, Timestamp,
    TokenCount,
};

/// The version of everything in this module. A reader refuses a greater one by name.
pub const FORMAT: u32 = 4;

/// The oldest version that is read: before it nothing was released.
pub const OLDEST_FORMAT: u32 = 3;

/// One fact, with when it became true.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// When the engine recorded it: wall clock at the start of the process plus monotonic time since.
    pub at: Timestamp,
    /// What became true.
    pub event: Event,
}

codec! {
    /// A fact about a run.
    pub enum Event {
        /// A run began: what was promised, and by whom.
        "run_started" => RunStarted(RunStarted),
        /// Another process took the run up again.
        "run_resumed" => RunResumed(RunResumed),
        /// What is outside of the run's identity was edited: limits, results, descriptions, comments.
        "run_tuned" => RunTuned(RunTuned),
        /// No new call starts from here on; those in flight may end.
        "run_paused" => RunPaused(RunPaused),
        /// Calls start again.
        "run_unpaused" => RunUnpaused(RunUnpaused),
        /// An item, in one of its repeats, entered.
        "case_admitted" => CaseAdmitted(CaseAdmitted),
        /// Every case of the input has been admitted.
        "source_ended" => SourceEnded(SourceEnded),
        /// Every case is settled: what is done once over all cases of a cell of the matrix begins.
        "cell_closing" => CellClosing(CellClosing),
        /// A request is about to be sent.
        "attempt_started" => AttemptStarted(AttemptStarted),
        /// A request was answered, or will not be.
        "attempt_ended" => AttemptEnded(AttemptEnded),
        /// A step of a case begins: its condition holds, its elements are known.
        "evaluated" => Evaluated(Evaluated),
        /// One element of a `for_each` step has its output, for ever.
        "element_settled" => ElementSettled(ElementSettled),
        /// A request had to leave the oldest turns of its dialogue out.
        "window_trimmed" => WindowTrimmed(WindowTrimmed),
        /// A task has its output, for ever.
        "task_settled" => TaskSettled(TaskSettled),
        /// A task has its output for ever, taken over from another run that asked the same.
        "task_adopted" => TaskAdopted(TaskAdopted),
        /// A case is over.
        "case_settled" => CaseSettled(CaseSettled),
        /// A case that is over goes on: what failed in it is asked again.
        "case_reopened" => CaseReopened(CaseReopened),
        /// What a backend can take changed.
        "capacity_changed" => CapacityChanged(CapacityChanged),
        /// An item has been repeated enough in a cell.
        "repeats_reached" => RepeatsReached(RepeatsReached),
        /// A condition of the run's `stop` holds.
        "stop_reached" => StopReached(StopReached),
        /// The run is stopping, and how urgently.
        "drain_stage" => DrainStage(DrainStage),
        /// The process left the run in order.
        "run_ended" => RunEnded(RunEnded),
        /// A bug ended the process.
        "run_failed" => RunFailed(RunFailed),
    }
}

/// See [`Event::RunTuned`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunTuned {
    /// The text of the pipeline file from here on, in the journal's texts.
    pub source: Digest,
    /// The texts of files that it names by `file://`, as in [`RunStarted::files`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, Digest>,
    /// What the tokens of actors cost, as in [`RunStarted::prices`]: also of those spent before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prices: BTreeMap<ActorName, Price>,
    /// As in [`RunStarted::cell_prices`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cell_prices: Vec<CellPrices>,
    /// What differs from before: `limits`, `results`, `concurrency`, …; empty for comments and descriptions.
    pub changed: Vec<String>,
    /// What replaces values of that text from here on, by path, beside what the run began with: all of it, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sets: Vec<(String, String)>,
    /// Those of them that somebody asked of a live process with this; none where a resume found them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<(String, String)>,
}

/// See [`Event::RunPaused`]. A pause ends with its process: whoever takes the run up works on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunPaused {}

/// See [`Event::RunUnpaused`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunUnpaused {}

/// See [`Event::CaseAdmitted`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseAdmitted {
    /// Position in admission order.
    pub case: CaseNo,
    /// Which item.
    pub item: ItemId,
    /// Which repeat, from 1.
    pub repeat: u32,
    /// The values of its cell of the matrix.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub matrix: serde_json::Map<String, serde_json::Value>,
    /// The row as JSON, in the journal's texts.
    pub row: Digest,
}

/// See [`Event::SourceEnded`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceEnded {
    /// How many cases there are.
    pub cases: u64,
}

/// Names one request: unique in a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    /// The case.
    pub case: CaseNo,
    /// The step.
    pub step: StepName,
    /// The element, in a `for_each` step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<EachKey>,
    /// The question inside the task.
    pub call: CallPath,
    /// Which request for it, from 1.
    pub attempt: AttemptNo,
}

/// See [`Event::AttemptStarted`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptStarted {
    /// Which request.
    pub id: AttemptId,
    /// Who speaks.
    pub actor: ActorName,
    /// Where it goes.
    pub backend: BackendName,
}

/// See [`Event::AttemptEnded`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptEnded {
    /// Which request.
    pub id: AttemptId,
    /// The messages sent; none when nothing was rendered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub request: Vec<Message>,
    /// What came of it.
    pub outcome: Outcome,
    /// Tokens as the server counted them.
    #[serde(default, skip_serializing_if = "Usage::is_empty")]
    pub usage: Usage,
    /// What the server did not report of them, by the length of the texts.
    #[serde(default, skip_serializing_if = "Usage::is_empty")]
    pub estimated: Usage,
    /// When it was sent, first answered and over.
    #[serde(default)]
    pub timings: Timings,
    /// True when it counts against `retries.attempts`.
    pub charged: bool,
    /// When failed: from when on the call may be sent again; absent when it is given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// Where the answer is from when no request was sent for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_cache: Option<Box<FromCache>>,
}

/// See [`Event::WindowTrimmed`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowTrimmed {
    /// Which request.
    pub id: AttemptId,
    /// How many turns, from the oldest on.
    pub dropped_turns: u32,
}

/// See [`Event::TaskSettled`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskSettled {
    /// The case.
    pub case: CaseNo,
    /// The step.
    pub step: StepName,
    /// How it ended.
    pub status: TaskStatus,
    /// Why so, when it is not for its own work or for what it reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<Because>,
    /// What later steps read; none when failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<TaskOutput>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Sum over its answered attempts.
    pub usage: Usage,
    /// Sum over its attempts of the time from sent to ended, in milliseconds.
    pub busy_ms: u64,
}

/// See [`Event::TaskAdopted`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskAdopted {
    /// The run that has asked it, or has it from another one.
    pub from_run: RunId,
    /// The case there.
    pub from_case: CaseNo,
    /// Its record there, under the case's number here. Its tokens and times are not this run's.
    #[serde(flatten)]
    pub task: TaskSettled,
}

/// See [`Event::CaseSettled`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseSettled {
    /// The case.
    pub case: CaseNo,
    /// How it ended.
    pub status: CaseStatus,
    /// What the run's condition on evidence finds in it, by the plan's order; none where it looks at nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observed: Vec<Option<Observation>>,
}

/// See [`Event::DrainStage`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrainStage {
    /// How far the stop has gone.
    pub stage: Stage,
    /// What asked for it.
    pub cause: StopCause,
}

/// The steps of stopping, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// No new call starts; calls in flight may end.
    Draining,
    /// Calls in flight are given up.
    Cancelling,
}

/// See [`Event::RunEnded`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunEnded {
    /// Complete, or stopped and resumable.
    pub outcome: RunOutcome,
    /// Cases by how they ended.
    pub cases: CaseCounts,
    /// Tokens over all answered attempts of the run.
    pub usage: Usage,
}

/// See [`Event::RunFailed`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunFailed {
    /// The panic's message.
    pub message: String,
}

impl Event {
    /// Returns the case that the event is about.
    #[must_use]
    pub const fn case(&self) -> Option<CaseNo> {
        match self {
            Self::CaseAdmitted(event) => Some(event.case),
            Self::CellClosing(event) => Some(event.case),
            Self::AttemptStarted(event) => Some(event.id.case),
            Self::AttemptEnded(event) => Some(event.id.case),
            Self::Evaluated(event) => Some(event.case),
            Self::ElementSettled(event) => Some(event.task.case),
            Self::WindowTrimmed(event) => Some(event.id.case),
            Self::TaskSettled(event) => Some(event.case),
            Self::TaskAdopted(event) => Some(event.task.case),
            Self::CaseSettled(event) => Some(event.case),
            Self::CaseReopened(event) => Some(event.now.case),
            Self::RunStarted(_)
            | Self::RunResumed(_)
            | Self::RunTuned(_)
            | Self::RunPaused(_)
            | Self::RunUnpaused(_)
            | Self::SourceEnded(_)
            | Self::CapacityChanged(_)
            | Self::StopReached(_)
            | Self::RepeatsReached(_)
            | Self::DrainStage(_)
            | Self::RunEnded(_)
            | Self::RunFailed(_) => None,
        }
    }
}

impl TaskOutput {
    /// Returns every text that the output names, in order.
    #[must_use]
    pub fn texts(&self) -> Vec<Digest> {
        match self {
            Self::Chat { text } => vec![*text],
            Self::Dialogue { turns, stopped_by: _ } => turns.iter().map(|turn| turn.text).collect(),
            Self::Judge(judgement) => judgement.votes.iter().map(|vote| vote.reason).collect(),
            Self::Value { value } => vec![*value],
            Self::Assertion { passed: _ } | Self::Table(_) | Self::Ranking(_) => Vec::new(),
            Self::Each { elements } => {
                elements.iter().filter_map(|element| element.output.as_ref()).flat_map(Self::texts).collect()
            }
        }
    }
}

impl std::fmt::Display for AttemptId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { case, step, each, call, attempt } = self;
        match each {
            None => write!(f, "case {case} {step} {call} attempt {attempt}"),
            Some(each) => write!(f, "case {case} {step}[{each}] {call} attempt {attempt}"),
        }
    }
}

impl Usage {
    /// Returns true when the server told nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds another attempt's tokens; at the greatest number it stays there. Unknown counts add nothing.
    pub fn add(&mut self, other: &Self) {
        fn sum(mine: &mut Option<TokenCount>, theirs: Option<TokenCount>) {
            if let Some(TokenCount(more)) = theirs {
                *mine = Some(TokenCount(mine.map_or(0, |TokenCount(have)| have).saturating_add(more)));
            }
        }
        sum(&mut self.input, other.input);
        sum(&mut self.output, other.output);
        sum(&mut self.cached, other.cached);
        sum(&mut self.reasoning, other.reasoning);
    }
}
