//! The adapter: one request out, one answer or failure back.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri};
use tokio::time::Instant;

use super::partial::Spoilt;
use super::refusal::{Asked, Refusal};
use super::stream::Coming;
use super::{request, stream};
use crate::backend::discover::ServerKind;
use crate::backend::http::{
    BaseUrl, Client, Credentials, Reading, Scrub, Sending, TrustError, Unsendable, UrlError, redirect_target,
};
use crate::backend::port::{Backend, ChatRequest, Completion, Progress, TraceHeaders, Watch};
use crate::event::{Failure, FailureKind, Features, Usage};

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
    unopened: Unopened,
}

impl OpenAi {
    /// Makes an adapter; opens no connection. Proxies come from the environment, never for this machine itself.
    ///
    /// A path without a version is used with `/v1`: only [`crate::backend::connect()`] finds out which one is right.
    pub fn new(config: OpenAiConfig) -> Result<Self, ConfigError> {
        let base = BaseUrl::parse(&config.base_url)?.settled(Features::NONE);
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
        Ok(Self { base, credentials, server, scrub, client, unopened: Unopened::default() })
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
    async fn ask(&self, request: &ChatRequest, watch: Watch<'_>, head: &mut Vec<u8>) -> Result<Completion, Spoilt> {
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
        let body = Bytes::from(request::encode(request, self.base.host(), self.server));
        let sending = Sending {
            method: Method::POST,
            uri: self.base.api("/chat/completions", request.lacks),
            authorization: self.credentials.authorization(),
            headers,
            body: body.clone(),
            connect: request.limits.connect,
            head: request.limits.first_token,
        };
        let (response, sent_at) = self.client.send(sending, || watch(Progress::Sent)).await?;
        let status = response.status();
        if status.is_redirection() {
            return Err(redirected(&response, &self.base.api("/chat/completions", request.lacks)).into());
        }
        let asked = Asked { request, body: &body, scrub: &self.scrub };
        let (parts, incoming) = response.into_parts();
        let mut reading = Reading::new(incoming, &parts.headers, head).map_err(|failure| known(failure, status))?;
        if !status.is_success() {
            return Err(refused(&mut reading, &parts, &asked, sent_at).await);
        }
        let coming = Coming {
            asked,
            watch,
            sent_at,
            status: status.as_u16(),
            content_type: content_type(&parts.headers),
            is_framed: parts.headers.contains_key(CONTENT_LENGTH) || parts.headers.contains_key(TRANSFER_ENCODING),
            may_be_unopened: self.unopened.has(&request.model),
        };
        let read = stream::read(&mut reading, coming).await;
        let (completion, was_unopened) =
            read.map_err(|Spoilt { failure, spent }| Spoilt { failure: known(failure, status), spent })?;
        if was_unopened {
            self.unopened.add(&request.model);
        }
        Ok(completion)
    }
}

/// Reads a refusal; what of it cannot be read to its end is still a refusal, and its start is what there is to show.
async fn refused(reading: &mut Reading<'_>, parts: &Parts, asked: &Asked<'_>, sent_at: Instant) -> Spoilt {
    let limits = &asked.request.limits;
    let limit = limits.idle.min(limits.first_token.saturating_sub(sent_at.elapsed()));
    let read = reading.all(REFUSAL_LIMIT, limit).await.unwrap_or_else(|_| reading.head().to_owned());
    let refusal = Refusal::of_body(parts.status, &parts.headers, &read, asked.scrub);
    Spoilt { failure: refusal.failure(asked), spent: Box::new(refusal.usage()) }
}

/// The models that have closed thoughts that they had not opened, because a template opens them.
#[derive(Clone, Default)]
struct Unopened(Arc<Mutex<BTreeSet<Arc<str>>>>);

impl Unopened {
    fn has(&self, model: &Arc<str>) -> bool {
        self.0.lock().expect("nothing panics while it holds this").contains(model)
    }

    fn add(&self, model: &Arc<str>) {
        self.0.lock().expect("nothing panics while it holds this").insert(Arc::clone(model));
    }
}

impl Backend for OpenAi {
    fn chat<'a>(&'a self, request: &'a ChatRequest, watch: Watch<'a>) -> BoxFuture<'a, Result<Completion, Failure>> {
        async move {
            let mut head = Vec::new();
            let answer = self.ask(request, watch, &mut head).await;
            answer.map_err(|Spoilt { failure, spent }| {
                if *spent != Usage::default() {
                    watch(Progress::Spent(*spent));
                }
                let evidence = self.scrub.evidence(&head);
                if !evidence.trim().is_empty() {
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

fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
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
