//! Numbers from counts: intervals and tallies of categories.
//! Never: anything that knows what a language model is.
//! Start at [`wilson_95`] and [`Categories`].

mod categories;
mod wilson;

pub use categories::Categories;
pub use wilson::{Proportion, wilson_95};
