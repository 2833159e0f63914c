//! Numbers from counts: intervals, tallies of categories, agreement, quantiles.
//! Never: anything that knows what a language model is.
//! Start at [`wilson_95`], [`Moments`], [`Categories`], [`Agreement`] and [`Quantiles`].

mod agreement;
mod categories;
mod mean;
mod quantiles;
mod wilson;

pub use agreement::Agreement;
pub use categories::Categories;
pub use mean::{Mean, Moments};
pub use quantiles::Quantiles;
pub use wilson::{Proportion, wilson_95};
