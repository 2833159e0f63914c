//! Why an attempt has no usable answer. Whether to try again is the engine's decision, made from [`FailureKind`].

use serde::{Deserialize, Serialize};

use super::Feature;
use crate::base::Digest;

/// One failed attempt, task or case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What sort.
    pub kind: FailureKind,
    /// HTTP status, when there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How long the server said to wait, in milliseconds; already sane: 0 to one day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// What happened, for people: one line, at most 400 characters, no secrets.
    pub detail: String,
    /// The start of what the server answered, in the journal's texts: at most 2 KiB, no secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Digest>,
}

impl Failure {
    /// Returns a failure without status or wait.
    pub fn new(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self { kind, status: None, retry_after_ms: None, detail: detail.into(), evidence: None }
    }
}

/// The whole space of backend failures (`design/reliability.md`, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// 429: too many requests for now.
    Throttled,
    /// 429 with `insufficient_quota`: the account is spent.
    QuotaExhausted,
    /// 500, 502, 503, 504, 529, 408, 409, or an error object in a 200 or a stream.
    Overloaded,
    /// The server loads the model, or will when it is asked again.
    Loading,
    /// A time limit passed.
    TimedOut(TimeoutPhase),
    /// 401: the key is missing or wrong.
    Unauthorized,
    /// 403: the key is known and may not ask this.
    Forbidden,
    /// 400, 404, 422 and other 4xx: the same request will be refused again.
    Refused,
    /// The model is not there (404 or a message naming the model).
    ModelMissing,
    /// `response_format` is not understood by this server.
    FormatUnsupported,
    /// A field, or a way of sending, that the file does not ask for and this server does not take.
    Unsupported(Feature),
    /// The prompt is longer than the model's context.
    ContextOverflow,
    /// The provider's filter withheld the answer.
    ContentFiltered,
    /// Refused connection, DNS, TLS, reset before or during the headers.
    Unreachable,
    /// The connection or the stream ended before the answer did; the request may have been executed.
    CutOff,
    /// The answer is not the protocol: HTML, broken JSON, no choices, null content.
    Malformed,
    /// An answer of blanks alone: the model thought, called a tool or ended at once.
    NoAnswer,
    /// The length that was asked for went into reasoning, and nothing is left for an answer.
    ReasoningCut,
    /// The answer is larger than the limit.
    TooLarge,
    /// The server points elsewhere; credentials do not travel.
    Redirected,
    /// The answer has not the form that `schema` asks for, after all its repairs.
    Mismatched,
    /// The prompt could not be made from the data, or an expression not be evaluated.
    Render,
    /// A claim does not hold.
    Assertion,
    /// The process died while the call was in flight; it may have been executed.
    Interrupted,
    /// The call was given up because the run is stopping.
    Cancelled,
    /// The run stopped while the call still waited in our own queue: no request was made.
    Unsent,
}

/// Which limit of `limits.timeouts` passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeoutPhase {
    /// No connection within `connect`.
    Connect,
    /// No first token within `first_token`.
    FirstToken,
    /// A gap in the stream longer than `idle`.
    Idle,
    /// Not over within `total`.
    Total,
}

impl FailureKind {
    /// Returns the word that reports and the journal use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::QuotaExhausted => "quota exhausted",
            Self::Overloaded => "overloaded",
            Self::Loading => "loading",
            Self::TimedOut(TimeoutPhase::Connect) => "timed out (connect)",
            Self::TimedOut(TimeoutPhase::FirstToken) => "timed out (first token)",
            Self::TimedOut(TimeoutPhase::Idle) => "timed out (idle)",
            Self::TimedOut(TimeoutPhase::Total) => "timed out (total)",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Refused => "refused",
            Self::ModelMissing => "model missing",
            Self::FormatUnsupported => "format unsupported",
            Self::Unsupported(_) => "unsupported",
            Self::ContextOverflow => "context overflow",
            Self::ContentFiltered => "content filtered",
            Self::Unreachable => "unreachable",
            Self::CutOff => "cut off",
            Self::Malformed => "malformed",
            Self::NoAnswer => "no answer",
            Self::ReasoningCut => "cut in reasoning",
            Self::TooLarge => "too large",
            Self::Redirected => "redirected",
            Self::Mismatched => "mismatched",
            Self::Render => "render",
            Self::Assertion => "assertion",
            Self::Interrupted => "interrupted",
            Self::Cancelled => "cancelled",
            Self::Unsent => "not sent",
        }
    }
}
