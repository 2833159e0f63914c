//! Keeps good answers by what was asked, for all runs of a project: a file of its own, beside the runs.
//! Reads: keys, answers. Gives: an answer of before, where from. Never: what a request is made of, whether it is asked.
//!
//! The journals are the truth: an answer comes here after the commit that records it, losing one costs a request, and
//! what cannot be read or trusted counts as absent, named once.
//! Start at [`Cache::find`] and [`Keeper`].

mod entry;
mod file;
mod keeper;
#[cfg(test)]
mod tests;

pub use entry::{Entry, Kept, Key};
pub use file::{Cache, CacheError, Contents};
pub use keeper::{Keeper, Told};
