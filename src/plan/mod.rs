//! What we promise to run: names resolved, graph checked, limits fixed, hashed, immutable.
//! Reads: `spec`, `prompt`. Never: clocks, running state, the file system.
//! Start at [`Plan`]; [`compile()`] makes one.

mod compare;
mod compile;
mod dialogue;
mod fingerprint;
#[cfg(test)]
mod fingerprint_tests;
mod graph;
mod hash;
mod model;
mod overrides;
mod stop;

pub use compare::{StepChange, compare};
pub use compile::compile;
pub use dialogue::{Dialogue, History, Likeness, Order, Pattern, Stop};
pub use fingerprint::{Fingerprints, Identity, Voice, output_digest};
mod place;

pub use model::{
    Actor, ActorIdx, BackendIdx, BackendPlan, BackendUrl, Chat, Column, Concurrency, Items, Judge, Limits,
    ModelChoice, Plan, ResultsPlan, Sampling, Secret, Step, StepIdx, StepKind, Timeouts,
};
pub use overrides::{Compiled, Overrides, Surroundings};
pub use place::{Call, Place, seed_of};
pub use stop::Halt;
