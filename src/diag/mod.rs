//! What is wrong with a pipeline: code, place, reason, remedy; everything at once, never only the first.
//! Reads: nothing. Never: rendering, colours, files.
//! Start at [`Diagnostic`]; [`explain`] has a page for each code.

mod codes;
mod diagnostic;
pub mod explain;
mod suggest;

pub use codes::{ALL, Code, code};
pub use diagnostic::{Diagnostic, Label, Severity, Span, has_errors};
pub use suggest::closest;
