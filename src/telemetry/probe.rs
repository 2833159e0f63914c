//! One request that is traced on purpose, to find out whether spans arrive: for `pipe doctor`.
//!
//! Two spans: `pipe.doctor`, and below it the request, whose id goes to the server as any request's does. Whether the
//! server told a span of its own only the place that shows traces knows: see [`Lookup`].
//! Start at [`Probe::new`].

use super::attributes::Attributes;
use super::collector::Collector;
use super::content::finish_word;
use super::error_type::error_type;
use super::lookup::{Lookup, Seen};
use super::names;
use super::post::{Post, Untaken};
use super::projector::BackendFacts;
use super::span::{Kind, Span, Status, Value};
use super::wire;
use crate::backend::Completion;
use crate::base::{Hasher, SpanContext, SpanId, Timestamp, TraceId};
use crate::event::{BackendResolved, Failure};

/// A trace of its own, on its way to a collector.
pub struct Probe {
    collector: Collector,
    post: Post,
    began: Timestamp,
    root: SpanContext,
    request: SpanContext,
}

/// A request that was made under [`Probe::context`].
#[derive(Debug)]
pub struct Made<'a> {
    /// Who was asked.
    pub backend: &'a BackendResolved,
    /// For which model.
    pub model: &'a str,
    /// For how many tokens at most.
    pub max_tokens: u32,
    /// When it began.
    pub start: Timestamp,
    /// When it was over.
    pub end: Timestamp,
    /// What came of it.
    pub outcome: Result<&'a Completion, &'a Failure>,
}

impl Probe {
    /// Begins a trace. Its id is a hash of the moment and of this process: no other has it.
    ///
    /// # Errors
    /// No request can be made on this machine.
    pub fn new(collector: Collector, began: Timestamp) -> Result<Self, String> {
        let moment = Hasher::new("pipe doctor 1").number(began.0.unsigned_abs());
        let digest = moment.number(u64::from(std::process::id())).finish();
        let bytes = *digest.as_bytes();
        let trace = TraceId::from_bytes(bytes).ok_or("a hash of nothing but zeros")?;
        let span = |number: u64| {
            let digest = Hasher::new("pipe doctor span 1").field(&bytes).number(number).finish();
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&digest.as_bytes()[..8]);
            SpanId::from_bytes(bytes).ok_or("a hash of nothing but zeros")
        };
        let root = SpanContext { trace, span: span(0)? };
        let request = SpanContext { trace, span: span(1)? };
        let post = Post::new(&collector)?;
        Ok(Self { collector, post, began, root, request })
    }

    /// Returns the span that the request is.
    #[must_use]
    pub const fn context(&self) -> SpanContext {
        self.request
    }

    /// Sends what was done until `end`, once.
    ///
    /// # Errors
    /// The collector did not take it.
    ///
    /// # Cancel safety
    /// When dropped, the collector may have it or not.
    pub async fn send(&self, made: Option<&Made<'_>>, end: Timestamp) -> Result<(), Untaken> {
        let mut attributes = Attributes::of_span();
        attributes.put(names::VERSION, env!("CARGO_PKG_VERSION"));
        let root = Span {
            context: self.root,
            parent: None,
            name: names::DOCTOR_SPAN.to_owned(),
            kind: Kind::Internal,
            start: self.began,
            end: end.max(self.began),
            attributes: attributes.take(),
            events: Vec::new(),
            links: Vec::new(),
            status: Status::Unset,
        };
        let request = made.map(|made| self.request(made));
        let spans: Vec<Vec<u8>> = [root].into_iter().chain(request).map(|span| wire::span(&span)).collect();
        let body = wire::request(&self.collector.resource, spans.iter().map(Vec::as_slice));
        self.post.try_once(self.collector.body(&body)).await
    }

    /// Looks once for spans of others in the trace.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn look(&self, lookup: &Lookup) -> Seen {
        lookup.look(self.request, self.root).await
    }

    fn request(&self, made: &Made<'_>) -> Span {
        let backend = BackendFacts::of(made.backend);
        let mut attributes = Attributes::of_span();
        attributes.put(names::OPERATION, names::CHAT).put(names::PROVIDER, "openai");
        attributes.put(names::REQUEST_MODEL, made.model);
        attributes.put(names::SERVER_ADDRESS, backend.address.as_str()).maybe(names::SERVER_PORT, backend.port);
        attributes.put(names::MAX_TOKENS, made.max_tokens);
        attributes.put(names::BACKEND_KIND, backend.server.as_str());
        let status = match made.outcome {
            Ok(answer) => {
                attributes.put(names::RESPONSE_MODEL, answer.model.as_deref().unwrap_or(made.model));
                attributes.maybe(names::RESPONSE_ID, answer.id.as_deref());
                attributes.put(names::FINISH_REASONS, Value::Texts(vec![finish_word(answer.finish).to_owned()]));
                attributes.usage(&answer.usage);
                Status::Unset
            }
            Err(failure) => {
                attributes.put(names::ERROR_TYPE, error_type(failure));
                Status::Error(failure.detail.clone())
            }
        };
        Span {
            context: self.request,
            parent: Some(self.root.span),
            name: format!("{} {}", names::CHAT, made.model),
            kind: Kind::Client,
            start: made.start,
            end: made.end.max(made.start),
            attributes: attributes.take(),
            events: Vec::new(),
            links: Vec::new(),
            status,
        }
    }
}
