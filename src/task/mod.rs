//! A place in a pipeline → messages; an answer → facts. Pure: the worker uses it in real time, `sim` in virtual time.
//! Reads: `Plan`, `Place`, texts by digest. Gives: messages, `Facts`. Never: queues, clocks, calling a model.
//! Start at [`compose()`] and [`read()`]; without a model at [`open`] and [`work`].

mod ballot;
mod blind;
mod claim;
mod compose;
mod context;
mod dialogue;
mod evaluate;
mod heard;
mod history;
#[cfg(test)]
mod history_tests;
mod observe;
mod read;
#[cfg(test)]
mod tests;

pub use compose::{ComposeError, Composed, Models, compose};
pub use evaluate::{Found, MOST_ELEMENTS, open, work};
pub use observe::observe;
pub use read::read;

use std::sync::Arc;

use crate::base::Digest;

/// Finds a text by its digest; none is a bug or damage, never an empty text.
pub type Texts<'a> = &'a dyn Fn(&Digest) -> Option<Arc<str>>;
