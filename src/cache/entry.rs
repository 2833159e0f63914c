//! What is kept of an answer, and its form in the file.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zstd::zstd_safe::{self, CCtx};

use crate::base::{CaseNo, Digest, RunId};
use crate::event::{FinishReason, Usage};

/// Texts from this length on are compressed, as journals have it.
const PACKED_FROM: usize = 1_024;
/// Answers are written once and read seldom: the usual trade of speed and size.
const LEVEL: i32 = 3;

/// What was asked, as a hash: of everything that can change an answer, and of the repeat.
pub type Key = Digest;

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// The run that asked for it.
    pub run: RunId,
    /// The case there.
    pub case: CaseNo,
    /// What was answered.
    pub text: Arc<str>,
    /// Why it ended.
    pub finish: FinishReason,
    /// The model that says it answered.
    pub model: Option<String>,
    /// Tokens as the server counted them.
    pub usage: Usage,
    /// From the request handed over to the end, in microseconds.
    pub total_us: u64,
}

/// An answer with what was asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What was asked.
    pub key: Key,
    /// The answer.
    pub kept: Kept,
}

/// A stored answer that is not what was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

/// One row of the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) run: String,
    pub(super) case: i64,
    pub(super) body: Body,
    pub(super) sum: i64,
}

/// An answer's form in the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    /// JSON.
    Plain(String),
    /// The same through zstd.
    Packed(Vec<u8>),
}

#[derive(Serialize, Deserialize)]
struct Stored {
    text: Arc<str>,
    finish: FinishReason,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(default, skip_serializing_if = "Usage::is_empty")]
    usage: Usage,
    total_us: u64,
}

impl Row {
    pub(super) fn of(entry: &Entry) -> Self {
        let Kept { run, case, text, finish, model, usage, total_us } = &entry.kept;
        let stored = Stored {
            text: Arc::clone(text),
            finish: *finish,
            model: model.clone(),
            usage: *usage,
            total_us: *total_us,
        };
        let plain = serde_json::to_string(&stored).expect("text keys and whole numbers only");
        let body = match plain.len() < PACKED_FROM {
            true => Body::Plain(plain),
            false => packed(plain.as_bytes()).map_or(Body::Plain(plain), Body::Packed),
        };
        let (run, case) = (run.to_string(), i64::try_from(case.0).unwrap_or(i64::MAX));
        let sum = sum(&entry.key, &run, case, &body);
        Self { run, case, body, sum }
    }

    /// Reads the answer back.
    ///
    /// # Errors
    /// Anything about it is not as it was written.
    pub(super) fn kept(&self, key: &Key) -> Result<Kept, Damaged> {
        if self.sum != sum(key, &self.run, self.case, &self.body) {
            return Err(Damaged);
        }
        let stored: Stored = match &self.body {
            Body::Plain(plain) => serde_json::from_str(plain).map_err(|_| Damaged)?,
            Body::Packed(packed) => {
                let plain = zstd::stream::decode_all(packed.as_slice()).map_err(|_| Damaged)?;
                serde_json::from_slice(&plain).map_err(|_| Damaged)?
            }
        };
        let Stored { text, finish, model, usage, total_us } = stored;
        let case = CaseNo(u64::try_from(self.case).map_err(|_| Damaged)?);
        Ok(Kept { run: RunId::from(self.run.as_str()), case, text, finish, model, usage, total_us })
    }
}

/// Packs a text as one frame of zstd; none where there is no memory for it.
fn packed(plain: &[u8]) -> Option<Vec<u8>> {
    let mut frame = Vec::with_capacity(zstd_safe::compress_bound(plain.len()));
    CCtx::try_create()?.compress(&mut frame, plain, LEVEL).ok()?;
    Some(frame)
}

/// Returns the checksum of a row: the first 64 bits of a hash over everything that it says, and of what.
fn sum(key: &Key, run: &str, case: i64, body: &Body) -> i64 {
    let (form, bytes) = match body {
        Body::Plain(plain) => (0, plain.as_bytes()),
        Body::Packed(packed) => (1, packed.as_slice()),
    };
    let hasher = crate::base::Hasher::new("pipe cache row 1").field(key.as_bytes()).field(run.as_bytes());
    hasher.number(case.cast_unsigned()).number(form).field(bytes).finish().low_bits().cast_signed()
}
