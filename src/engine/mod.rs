//! The run itself, as a pure step function: told the time and what happened, it answers with events and effects.
//! Reads: `Plan`, events. Gives: `Step { events, effects }`. Never: clocks, randomness, threads, files, prompt text.
//! Start at [`Engine::step`].
//!
//! The driver's side of the contract: make a step's events durable in order, only then perform its effects; never let
//! `now` go backwards; sleep until [`Engine::next_wakeup`] and then give [`Input::Tick`]; answer each
//! [`Effect::Evaluate`] with one [`Input::Evaluated`], each [`Effect::Observe`] with one [`Input::Observed`] and each
//! [`Effect::StartCall`] with exactly one [`Input::Returned`], soon after [`Effect::CancelCall`] asked for it; offer
//! as many cases as [`Engine::wants_cases`] says.

mod admitted;
mod backend_state;
mod breaker;
mod call;
mod chain;
mod clock;
mod close;
mod evaluate;
mod evidence;
mod fan;
mod flow;
mod frontier;
mod halt;
mod invariants;
mod outcome;
mod reopen;
mod repeats;
mod replay;
mod retry;
mod spent;
mod state;
mod steer;
mod step;
mod stop;
mod suspects;
#[cfg(test)]
mod tests;
mod waits;

pub use backend_state::BackendState;
pub use call::{
    Effect, ElementNo, Evaluate, Input, Key, Observe, Offered, Question, StartCall, Step, TaskKey, Ticket,
};
pub use chain::chained;
pub use clock::Clock;
pub use evidence::Prefix;
pub use reopen::{Again, History};
pub use repeats::Repeats;
pub use replay::Replay;
pub use spent::SpentBy;
pub use state::{CallPhase, CallState, CaseState, ElementState, IllegalEvent, Opened, RunState, TaskState};
pub use step::{Engine, Options};
