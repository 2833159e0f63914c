//! A page for each code: what it means, a wrong example, the right one, and why the rule exists.
//! Reads: nothing. Never: rendering; `pipe explain` does that.
//! Start at [`page()`].

mod answers;
mod graph;
mod page;
mod settings;
mod shape;
mod templates;
mod warnings;
mod yaml;

pub use page::{Page, page, pages};
