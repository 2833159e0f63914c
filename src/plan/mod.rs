//! What we promise to run: names resolved, graph checked, limits fixed, hashed, immutable.
//! Reads: `spec`, `prompt`. Never: clocks, running state, the file system.
//! Start at [`Plan`]; [`compile()`] makes one.

mod aggregate;
mod cell;
mod compare;
mod compile;
mod course;
mod dialogue;
mod evidence;
mod fingerprint;
#[cfg(test)]
mod fingerprint_tests;
mod graph;
mod hash;
mod input;
mod judge;
mod model;
mod overrides;
mod stop;
mod telemetry;

pub use aggregate::{Aggregate, By};
pub use cell::{CellIdx, Cells};
pub use compare::{StepChange, compare};
pub use compile::compile;
pub use course::{Assert, Check, Course, ForEach, OnError, Operand, Transform};
pub use dialogue::{Dialogue, History, Likeness, Order, Pattern, RoundJudge, Stop};
pub use fingerprint::{Fingerprints, Identity, Voice, output_digest};
pub use input::{ColumnType, FileItems, Items, Pick, RowsFile, Sample};
mod place;

pub use evidence::{Condition, Evidence, Lead, Observed, decided};
pub use judge::{Contestant, Judge, Wanted};
pub use model::{
    Actor, ActorIdx, BackendIdx, BackendPlan, BackendUrl, Chat, Column, Concurrency, Limits, ModelChoice, Plan,
    ResultsPlan, Sampling, Secret, Step, StepIdx, StepKind, Timeouts,
};
pub use overrides::{Compiled, Overrides, Surroundings};
pub use place::{Ballot, Call, Ground, Inquiry, Mended, Place, Way, seed_of, seed_of_call};
pub use stop::{Budgets, Halt, Spent};
pub use telemetry::{Content, Keep, Sample as SpanSample, Telemetry};
