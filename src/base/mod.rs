//! Ids, quantities and hashes that every module speaks of.
//! Never: domain rules, I/O, clocks.
//! Start at [`Digest`] and [`Timestamp`].

mod causes;
mod digest;
mod framing;
mod money;
mod name;
mod quantity;
mod table;
mod trace;
mod utc;

pub use causes::with_causes;
pub use digest::{Digest, Hasher, Hashing, ParseDigestError};
pub use framing::FRAMING_HEADERS;
pub use money::{MicroUsd, Price};
pub use name::{ActorName, BackendName, CallPath, EachKey, ItemId, ModelName, RunId, StepName};
pub use quantity::{AttemptNo, CaseNo, Millis, Timestamp, TokenCount};
pub use table::TableFormat;
pub use trace::{ParseContextError, ParseStateError, SpanContext, SpanId, SpanParts, TraceId, TraceState};
pub use utc::{Utc, clock_utc, plain_utc};
