//! Does one call: makes the prompt, asks the backend, reads the facts, reports back.
//! Reads: `Place`, texts. Gives: a `Report` and the texts it speaks of. Never: queues, retries, the journal.
//! Start at [`Station::call`].

mod estimate;
mod recall;
mod station;

pub use recall::{Recall, Worth};
pub use station::{OutputsOfCases, Station, TextLookup, Tracing, Worked};
