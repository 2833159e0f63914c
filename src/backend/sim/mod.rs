//! The simulated backend: answers that are a pure function of the request, and how long a real server would take.
//! Reads: a [`super::ChatRequest`]. Gives: [`Simulated`]. Never: a clock, or randomness other than hashes of the request.
//!
//! **What counts.** Model, messages, temperature, `top_p`, stop texts, seed and format are hashed; `max_tokens` only
//! cuts, and `stream` and the limits change nothing. At temperature 0 the seed does not count, as on a real server.
//!
//! **Text.** Sentences about words of the first and the last user message, until a length is reached that is drawn
//! from a log-normal distribution (median 45 words, coefficient of variation 0.5). A token is a word between spaces.
//! Longer than `max_tokens`: cut there, `finish_reason: length`.
//!
//! **Choices.** When at least two options have paragraphs in the last user message that begin with `<option>:` (a
//! transcript), each such speaker is scored by a hash of what it said, so exchanging the names exchanges the answer.
//! In 12 % of transcripts the verdict is an option that nobody bears (`tie`); in 10 % of the others the seed decides.
//! Without a transcript a hash of messages, options and seed decides.
//!
//! **Values.** Where a JSON Schema is asked for, a value of its types, enumerations and bounds is drawn.
//!
//! **Time.** The profile `desk-16g` with one request at a time, no prefix cache and no load:
//! `first token = 1 ms + 30 ms + n / 3000 s * (1 + n / 16384)` for a prompt of n tokens (words, and 4 a message);
//! each further token `1 / 55 s * (1 + c / 32768)` at a context of c tokens.
//!
//! Start at [`answer()`] and [`Sim`].

mod answer;
mod backend;
mod choice;
mod draw;
mod latency;
mod text;
mod value;

pub use answer::{Simulated, answer};
pub use backend::Sim;
