//! Reading a verdict out of an answer, and many verdicts into one.
//! Reads: answers, options. Gives: `Verdict`, `Judgement`. Never: calling a model.
//! Start at [`read_choice`] and [`judgement`].

mod choice;
mod resemblance;
mod vote;

pub use choice::read_choice;
pub use resemblance::resemblance;
pub use vote::{Asked, TIE, judgement};
