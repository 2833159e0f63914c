//! Templates: data → text, with bounded effort and no way out to files, clocks or the environment.
//! Reads: minijinja sources. Never: requests, backends.
//! Start at [`Templates`].

mod message;
mod template;

pub use message::{Message, Role};
pub use template::{Reference, RenderError, TemplateError, TemplateId, Templates};
