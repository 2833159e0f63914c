//! One request to one model server, streamed or not, and what kinds of servers there are.
//! Reads: a [`ChatRequest`]. Gives: a whole [`Completion`] or one [`Failure`]. Never: retries, journalling, plan types.
//! Start at [`Backend`].

#[cfg(feature = "embedded")]
pub mod embedded;
mod http;
pub mod openai;
mod port;
pub mod weights;

pub use http::{BaseUrl, UrlError};

pub use port::{Backend, CallLimits, ChatRequest, Completion, Format, Progress, Watch};

pub use crate::prompt::{Message, Role};
