//! Numbers from counts: intervals, tallies of categories, agreement.
//! Never: anything that knows what a language model is.
//! Start at [`wilson_95`], [`Moments`], [`Categories`] and [`Agreement`].

mod agreement;
mod categories;
mod mean;
mod wilson;

pub use agreement::Agreement;
pub use categories::Categories;
pub use mean::{Mean, Moments};
pub use wilson::{Proportion, wilson_95};
