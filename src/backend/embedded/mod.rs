//! A model inside this process: llama.cpp on one thread of its own, several sequences decoded together.
//! Reads: a GGUF file and [`ChatRequest`](super::ChatRequest)s. Gives: what every backend gives. Never: downloads (see `weights`).
//! Start at [`open`]; the thread's loop is `batch::serve`.
//!
//! - A request waits for one of `slots` sequences; [`Progress::Sent`](super::Progress::Sent) is told when it has one, and
//!   the request's time limits count from there.
//! - What a request leaves out: `temperature` 0.7, `top_p` 0.95, at most 512 tokens. `temperature: 0` takes the likeliest
//!   token. Free text always gets a repetition penalty of 1.1 over the last 64 tokens of the answer; a choice is written
//!   under a grammar, without it.
//! - An answer depends on the request, its seed, the weights and the build. It does not depend on what is
//!   decoded beside it, as far as the arithmetic goes: prompts are decoded alone, in pieces cut at fixed places, and only
//!   the steps of one token each are shared; `tests.rs` compares answers alone and in company.
//!   (Seen on x86-64: 24 answers of up to 150 tokens, one at a time, by four and by eight: all the same.)

mod adapter;
mod batch;
mod connect;
mod grammar;
mod model;
mod prompt;
mod sampling;
mod sequence;
mod spelling;
mod text;

#[cfg(test)]
mod tests;

pub use adapter::{Embedded, EmbeddedConfig, open};
pub use connect::{DEFAULT_SLOTS, connect};
pub use model::EmbeddedError;
