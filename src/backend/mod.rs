//! One request to one model server, streamed or not, and what kinds of servers there are.
//! Reads: a [`ChatRequest`]. Gives: a whole [`Completion`] or one [`Failure`]. Never: retries, journalling, plan types.
//! Start at [`Backend`].

#[cfg(test)]
pub(crate) mod contract;
mod http;
pub mod openai;
mod port;
#[cfg(test)]
pub(crate) mod scripted;
pub mod sim;

pub use http::{BaseUrl, UrlError};

pub use port::{Backend, CallLimits, ChatRequest, Completion, Format, Progress, Watch};

pub use crate::prompt::{Message, Role};
