//! The virtual-time driver: the same engine and the same task module, a simulated backend, and no waiting.
//! Reads: `Plan`, rows. Gives: a journal and how long it would have taken. Never: tokio, real I/O.
//! Start at [`simulate`].

#[cfg(test)]
mod tests;
mod world;

pub use world::{Faults, SimError, Simulated, simulate};
