//! The port that every kind of backend implements; `contract.rs` holds the tests that all of them pass.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::base::{SpanContext, TokenCount, TraceState};
use crate::event::{Claimed, Failure, Features, FinishReason, Usage};
use crate::prompt::Message;
pub use crate::prompt::{Format, Reasoning};

/// A model server, or something that answers like one.
pub trait Backend: Send + Sync {
    /// Sends one request and reads the whole answer.
    ///
    /// Sends exactly once: no retry on any layer. Calls `watch` with [`Progress::Sent`] when the request has been
    /// handed over, and with each piece of text as it arrives when `request.stream` is true.
    /// Enforces `request.limits`, and nothing else that ends a call: the total limit is the caller's.
    ///
    /// # Errors
    /// One [`Failure`] for everything that is not a whole answer, `finish_reason: length` excepted.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection (or frees the sequence); the server may have done the work.
    fn chat<'a>(&'a self, request: &'a ChatRequest, watch: Watch<'a>) -> BoxFuture<'a, Result<Completion, Failure>>;
}

/// Is told of a call's progress, on the thread that drives it; must return at once.
pub type Watch<'a> = &'a (dyn Fn(Progress<'_>) + Send + Sync);

/// A moment in the life of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// The request has been handed to the transport.
    Sent,
    /// A piece of the answer's text; the first one is the first token.
    Text(&'a str),
    /// The tokens of an answer that is of no use, where the server counted them: reported right before the failure.
    Spent(Usage),
    /// The start of an answer that is of no use, at most 2 KiB and without keys: told right before the failure.
    Evidence(&'a str),
}

/// Everything that is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatRequest {
    /// The model's name at the server.
    pub model: Arc<str>,
    /// In order; alternation is the caller's business.
    pub messages: Vec<Message>,
    /// 0 to 2.
    pub temperature: Option<f64>,
    /// 0 to 1.
    pub top_p: Option<f64>,
    /// At least 1.
    pub max_tokens: Option<u32>,
    /// At most 4.
    pub stop: Vec<String>,
    /// 31 bits.
    pub seed: u32,
    /// The shape of the answer.
    pub format: Format,
    /// How much the model may think; none leaves it to the server.
    pub reasoning: Option<Reasoning>,
    /// More fields of the body, as the file has them; they replace what would stand there.
    pub extra: Arc<serde_json::Map<String, serde_json::Value>>,
    /// Whether to ask for server-sent events.
    pub stream: bool,
    /// What the server is known not to take: it is left out, or sent in another way.
    pub lacks: Features,
    /// The span that the request is, for servers that tell spans of their own.
    pub trace: Option<TraceHeaders>,
    /// The adapter's own limits.
    pub limits: CallLimits,
}

/// What a request says of the trace that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceHeaders {
    /// The span that it is: `traceparent`.
    pub span: SpanContext,
    /// What other tracing systems want handed on: `tracestate`.
    pub state: Option<TraceState>,
}

/// Time limits that only the adapter can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// Until the connection stands.
    pub connect: Duration,
    /// From sent to the first byte of the answer's text (not streamed: to the headers).
    pub first_token: Duration,
    /// Between two pieces.
    pub idle: Duration,
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// The answer without the thought before it; never blank.
    pub text: String,
    /// What the model thought before it, marks taken off; none when it did not, or when it is blank.
    pub thought: Option<String>,
    /// Why it ended.
    pub finish: FinishReason,
    /// The server's own word for that, when it is none that is known.
    pub reason: Option<String>,
    /// How many tokens the prompt has by its length, when `usage` says that far fewer were read.
    pub prompt_about: Option<TokenCount>,
    /// The model that says it answered.
    pub model: Option<String>,
    /// What the server calls the answer.
    pub id: Option<String>,
    /// Tokens as the server counted them.
    pub usage: Usage,
    /// What the server says that it spent on it.
    pub claimed: Option<Claimed>,
}
