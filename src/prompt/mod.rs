//! Templates: data → text, with bounded effort and no way out to files, clocks or the environment.
//! Reads: minijinja sources. Never: requests, backends.
//! Start at [`Templates`]; [`evaluate`] is for settings that are known when the plan is made.

mod expression;
mod format;
mod limits;
mod message;
mod reasoning;
mod template;
mod words;

pub use expression::evaluate;
pub use format::Format;
pub use message::{Message, Role};
pub use reasoning::Reasoning;
pub use template::{ExpressionId, Reference, RenderError, TemplateError, TemplateId, Templates};
pub use words::{UnknownWord, locate, locate_all};
