//! One request to one model server, streamed or not, and what kinds of servers there are.
//! Reads: a [`ChatRequest`]. Gives: a whole [`Completion`] or one [`crate::event::Failure`].
//! Never: retries, journalling, plan types.
//! Start at [`Backend`] for asking, at [`connect()`] for what there is to be asked.

mod connect;
mod connect_error;
#[cfg(test)]
mod connect_tests;
mod connect_url;
#[cfg(test)]
mod connect_url_tests;
#[cfg(test)]
pub(crate) mod contract;
pub mod discover;
#[cfg(feature = "embedded")]
pub mod embedded;
mod first_call;
mod http;
mod ollama;
#[cfg(test)]
mod ollama_tests;
pub mod openai;
mod port;
mod prompt_size;
#[cfg(test)]
pub(crate) mod scripted;
pub mod sim;
mod thoughts;
pub mod weights;

pub use connect::{Connected, Target, Wanted, connect};
pub use connect_error::ConnectError;
pub use http::{Authority, BaseUrl, Delivery, Messenger, TrustError, UrlError};
pub use port::{Backend, CallLimits, ChatRequest, Completion, Format, Progress, Reasoning, TraceHeaders, Watch};

pub use crate::prompt::{Message, Role};
