//! The adapter: one request out, one answer or failure back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::refusal::Refusal;
use super::{answer, request, stream};
use crate::backend::discover::ServerKind;
use crate::backend::http::{
    BODY_LIMIT, BaseUrl, Client, Credentials, ReadTrouble, Reading, Scrub, Sending, TrustError, Unsendable, UrlError,
    redirect_target, seconds,
};
use crate::backend::port::{Backend, ChatRequest, Completion, Progress, TraceHeaders, Watch};
use crate::event::{Failure, FailureKind, TimeoutPhase};

/// Most that is read of an answer that refuses, in bytes.
const REFUSAL_LIMIT: usize = 64 << 10;

/// What [`OpenAi::new`] needs.
#[derive(Clone, Default)]
pub struct OpenAiConfig {
    /// See [`BaseUrl`].
    pub base_url: String,
    /// Bearer token; an empty one counts as none.
    pub api_key: Option<Arc<str>>,
    /// More headers of each request: names and values, the latter as secret as a key.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    /// Which program it is: some take the same wish in other words.
    pub server: ServerKind,
    /// Idle connections kept: at least as many as calls in flight.
    pub pool: usize,
}

/// A configuration that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The base URL.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The key holds something that no header may.
    #[error(
        "the api key for {base_url} holds a line break or another character that no HTTP header may; check the variable it comes from"
    )]
    Key {
        /// Whose key.
        base_url: String,
    },
    /// A header cannot be sent.
    #[error("the header {name:?} for {base_url} {why}; change it under `headers` of the backend")]
    Header {
        /// Where to.
        base_url: String,
        /// Which.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TrustError),
}

/// A server that speaks OpenAI's chat completions. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct OpenAi {
    base: BaseUrl,
    credentials: Credentials,
    server: ServerKind,
    scrub: Scrub,
    client: Client,
}

impl OpenAi {
    /// Makes an adapter; opens no connection. Proxies come from the environment, never for this machine itself.
    pub fn new(config: OpenAiConfig) -> Result<Self, ConfigError> {
        let base = BaseUrl::parse(&config.base_url)?;
        Self::at(base, config)
    }

    /// Makes one as [`Self::new`] for a URL that has been read; the one in the configuration is not looked at.
    pub(in crate::backend) fn at(base: BaseUrl, config: OpenAiConfig) -> Result<Self, ConfigError> {
        let OpenAiConfig { base_url: _, api_key, headers, server, pool } = config;
        let credentials = match Credentials::new(&base, api_key.as_ref(), &headers) {
            Ok(credentials) => credentials,
            Err(Unsendable::Key) => return Err(ConfigError::Key { base_url: base.to_string() }),
            Err(Unsendable::Header { name, why }) => {
                return Err(ConfigError::Header { base_url: base.to_string(), name, why });
            }
        };
        let client = Client::to(&base, pool.max(1))?;
        let scrub = credentials.scrub().clone();
        Ok(Self { base, credentials, server, scrub, client })
    }

    /// Returns where requests go.
    #[must_use]
    pub fn base_url(&self) -> &BaseUrl {
        &self.base
    }

    /// Returns what each request carries so that it is let in.
    pub(in crate::backend) const fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Reads a small page beside the API, such as `/api/ps`; none when it does not come whole and in time.
    pub(in crate::backend) async fn page(&self, path: &str, limit: Duration, size: usize) -> Option<Vec<u8>> {
        let page = self.client.get(self.base.beside(path), &self.credentials, limit, size).await.ok()?;
        page.status.is_success().then_some(page.body)
    }

    /// Asks once; `head` gets the start of what the server answered.
    async fn ask(&self, request: &ChatRequest, watch: Watch<'_>, head: &mut Vec<u8>) -> Result<Completion, Failure> {
        let mut headers: HeaderMap = self.credentials.headers();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let accept = if request.stream { "text/event-stream, application/json" } else { "application/json" };
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        if let Some(TraceHeaders { span, state }) = &request.trace {
            let mut put = |name, value: &str| {
                // What no header may be is not handed on.
                HeaderValue::try_from(value).ok().map(|value| headers.insert(HeaderName::from_static(name), value));
            };
            put("traceparent", &span.to_string());
            state.iter().for_each(|state| put("tracestate", state.as_str()));
        }
        let sending = Sending {
            method: Method::POST,
            uri: self.base.api("/chat/completions", request.lacks),
            authorization: self.credentials.authorization(),
            headers,
            body: Bytes::from(request::encode(request, self.base.host(), self.server)),
            connect: request.limits.connect,
            head: request.limits.first_token,
        };
        let (response, sent_at) = self.client.send(sending, || watch(Progress::Sent)).await?;
        let status = response.status();
        if status.is_redirection() {
            return Err(redirected(&response, &self.base.api("/chat/completions", request.lacks)));
        }
        if !status.is_success() {
            return Err(self.refused(response, request, sent_at, head).await);
        }
        let content_type = content_type(&response);
        if content_type.contains("html") {
            return Err(self.not_json(response, request, &content_type, head).await);
        }
        if request.stream && !content_type.contains("json") {
            let mut body = Reading::new(response.into_body(), head);
            let read = stream::read(&mut body, request, sent_at, watch, &self.scrub).await;
            return read.map_err(|failure| known(failure, status));
        }
        // Asked for a stream, some servers answer whole; asked for a whole answer, none may stream.
        let completion = self.whole(response, request, head).await?;
        if request.stream && !completion.text.is_empty() {
            watch(Progress::Text(&completion.text));
        }
        Ok(completion)
    }

    async fn whole(
        &self,
        response: Response<Incoming>,
        request: &ChatRequest,
        head: &mut Vec<u8>,
    ) -> Result<Completion, Failure> {
        let content_type = content_type(&response);
        let status = response.status();
        let read = Reading::new(response.into_body(), head).all(BODY_LIMIT, request.limits.idle).await;
        let read = read.map_err(|trouble| known(cut(trouble, request), status))?;
        answer::read(&read, &content_type, request, &self.scrub).map_err(|failure| known(failure, status))
    }

    async fn refused(
        &self,
        response: Response<Incoming>,
        request: &ChatRequest,
        sent_at: Instant,
        head: &mut Vec<u8>,
    ) -> Failure {
        let (parts, body) = response.into_parts();
        // A refusal that cannot be read to its end is still a refusal: what came of it is what there is to show.
        let limit = request.limits.idle.min(request.limits.first_token.saturating_sub(sent_at.elapsed()));
        let mut reading = Reading::new(body, head);
        let read = reading.all(REFUSAL_LIMIT, limit).await.unwrap_or_else(|_| reading.head().to_owned());
        Refusal::of_body(parts.status, &read, &self.scrub).failure(request, &parts.headers)
    }

    async fn not_json(
        &self,
        response: Response<Incoming>,
        request: &ChatRequest,
        content_type: &str,
        head: &mut Vec<u8>,
    ) -> Failure {
        let status = response.status();
        let mut reading = Reading::new(response.into_body(), head);
        let read =
            reading.all(REFUSAL_LIMIT, request.limits.idle).await.unwrap_or_else(|_| reading.head().to_owned());
        known(Failure::new(FailureKind::Malformed, answer::not_json(content_type, &read, &self.scrub)), status)
    }
}

impl Backend for OpenAi {
    fn chat<'a>(&'a self, request: &'a ChatRequest, watch: Watch<'a>) -> BoxFuture<'a, Result<Completion, Failure>> {
        async move {
            let mut head = Vec::new();
            let answer = self.ask(request, watch, &mut head).await;
            answer.map_err(|failure| {
                let evidence = self.scrub.evidence(&head);
                if !evidence.is_empty() {
                    watch(Progress::Evidence(&evidence));
                }
                let base = self.base.clone().settled(request.lacks);
                self.scrub.failure(&base, self.base.judge(failure, request.lacks))
            })
        }
        .boxed()
    }
}

/// Adds the status of the answer, unless an error inside of it names its own.
fn known(failure: Failure, status: StatusCode) -> Failure {
    Failure { status: failure.status.or(Some(status.as_u16())), ..failure }
}

fn content_type<B>(response: &Response<B>) -> String {
    let value = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn redirected<B>(response: &Response<B>, asked: &Uri) -> Failure {
    let status: StatusCode = response.status();
    let detail = match redirect_target(response.headers(), asked) {
        Some(place) => {
            format!("answered {}: it points to {place}; if that is the server, give its URL", status.as_u16())
        }
        None => format!("answered {}: it points elsewhere", status.as_u16()),
    };
    Failure { status: Some(status.as_u16()), ..Failure::new(FailureKind::Redirected, detail) }
}

/// Says what ended a body too early.
pub(super) fn cut(trouble: ReadTrouble, request: &ChatRequest) -> Failure {
    match trouble {
        ReadTrouble::Late => {
            let detail = format!("the answer stood still for {} s", seconds(request.limits.idle));
            Failure::new(FailureKind::TimedOut(TimeoutPhase::Idle), detail)
        }
        ReadTrouble::TooLarge => {
            Failure::new(FailureKind::TooLarge, format!("the answer is larger than {} MiB", BODY_LIMIT >> 20))
        }
        ReadTrouble::Cut(why) => Failure::new(FailureKind::CutOff, format!("the answer was cut off: {why}")),
    }
}
