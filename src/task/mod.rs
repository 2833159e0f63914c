//! A place in a pipeline → messages; an answer → facts. Pure: the worker uses it in real time, `sim` in virtual time.
//! Reads: `Plan`, `Place`, texts by digest. Gives: messages, `Facts`. Never: queues, clocks, calling a model.
//! Start at [`compose()`] and [`read()`]; without a model at [`open`] and [`work`], over all cases at
//! [`gather()`] and [`rows()`].

mod ballot;
mod blind;
mod claim;
mod compose;
mod context;
mod dialogue;
mod evaluate;
mod gather;
mod heard;
mod history;
#[cfg(test)]
mod history_tests;
mod observe;
mod read;
mod rows;
#[cfg(test)]
mod rows_tests;
#[cfg(test)]
mod tests;

pub use compose::{ComposeError, Composed, Models, compose, compose_over_all};
pub use evaluate::{Found, MOST_ELEMENTS, open, work};
pub use gather::{OneOutput, Outputs, TextsOfCases, gather};
pub use observe::observe;
pub use read::read;
pub use rows::{MOST_ROW_TEXT, MOST_ROWS, Rows, rows};

use std::sync::Arc;

use crate::base::Digest;

/// Finds a text by its digest; none is a bug or damage, never an empty text.
pub type Texts<'a> = &'a dyn Fn(&Digest) -> Option<Arc<str>>;
