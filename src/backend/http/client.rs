//! Sending one request, once.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, PROXY_AUTHORIZATION, USER_AGENT};
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tokio::time::{Instant, timeout, timeout_at};

use super::base_url::BaseUrl;
use super::body::{ReadTrouble, Reading};
use super::credentials::Credentials;
use super::route::Route;
use super::trouble;
use super::trust::{self, Authority, TrustError};
use crate::event::{Failure, FailureKind, TimeoutPhase};

/// Servers close idle connections after 5 s by default (llama.cpp, uvicorn, Node.js); a shorter life of ours keeps
/// requests from being written into a connection that is just being closed.
const IDLE_LIFE: Duration = Duration::from_secs(4);
/// Largest head of an answer, in bytes.
const HEAD_LIMIT: usize = 64 << 10;
/// What a page may take beyond its limit, so that the part of it that was late is named.
const SPARE: Duration = Duration::from_millis(50);
/// Most headers of an answer.
const HEADER_LIMIT: usize = 100;

/// A pool of connections and the way to open more.
#[derive(Clone)]
pub(crate) struct Client {
    inner: legacy::Client<HttpsConnector<Route>, Full<Bytes>>,
    route: Route,
}

/// One request with its limits.
pub(crate) struct Sending {
    /// GET, or POST with a JSON body.
    pub(crate) method: Method,
    /// Where.
    pub(crate) uri: Uri,
    /// `Authorization`, already marked as sensitive.
    pub(crate) authorization: Option<HeaderValue>,
    /// More headers.
    pub(crate) headers: HeaderMap,
    /// What is sent.
    pub(crate) body: Bytes,
    /// Until the connection stands.
    pub(crate) connect: Duration,
    /// From then to the end of the answer's headers.
    pub(crate) head: Duration,
}

/// A whole small answer.
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Client {
    /// Makes a client that keeps up to `pool` idle connections to a host, with proxies from the environment.
    ///
    /// # Errors
    /// When TLS cannot be set up on this machine, or `SSL_CERT_FILE` is of no use.
    pub(crate) fn new(pool: usize) -> Result<Self, TrustError> {
        Self::trusting(pool, None)
    }

    /// Makes a client for one server, as [`Self::new`]. One that shows no certificate needs none to be read: to read a
    /// system's takes some milliseconds.
    ///
    /// # Errors
    /// As [`Self::new`], for a server that shows one.
    pub(crate) fn to(base: &BaseUrl, pool: usize) -> Result<Self, TrustError> {
        if base.is_https() { Self::new(pool) } else { trust::nobody().map(|config| Self::with(pool, config)) }
    }

    /// Makes a client that trusts the authorities of a file, else those that [`Self::new`] trusts.
    ///
    /// # Errors
    /// When TLS cannot be set up on this machine, or the file is of no use.
    pub(super) fn trusting(pool: usize, authority: Option<&Authority>) -> Result<Self, TrustError> {
        trust::config(authority).map(|config| Self::with(pool, config))
    }

    fn with(pool: usize, config: ClientConfig) -> Self {
        let route = Route::new(Matcher::from_env());
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .wrap_connector(route.clone());
        let inner = legacy::Client::builder(TokioExecutor::new())
            .retry_canceled_requests(false)
            .pool_max_idle_per_host(pool)
            .pool_idle_timeout(IDLE_LIFE)
            .pool_timer(TokioTimer::new())
            .http1_max_buf_size(HEAD_LIMIT)
            .http1_max_headers(HEADER_LIMIT)
            .build(connector);
        Self { inner, route }
    }

    /// Sends a request once and reads the answer's headers; calls `sent` when a connection has taken it.
    ///
    /// Returns also when that was.
    pub(crate) async fn send(
        &self,
        sending: Sending,
        sent: impl Fn() + Send,
    ) -> Result<(Response<Incoming>, Instant), Failure> {
        let Sending { method, uri, authorization, headers, body, connect, head } = sending;
        let proxy_authorization = self.route.proxy_authorization(&uri);
        let is_https = uri.scheme() == Some(&Scheme::HTTPS);
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let fixed = [
            (AUTHORIZATION, authorization),
            (PROXY_AUTHORIZATION, proxy_authorization),
            (ACCEPT_ENCODING, Some(HeaderValue::from_static("identity"))),
        ];
        for (name, value) in fixed {
            if let Some(value) = value {
                request.headers_mut().insert(name, value);
            }
        }
        // Some gateways admit by it, so that a file may name another.
        let own = HeaderValue::from_static(concat!("pipe/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().entry(USER_AGENT).or_insert(own);

        let mut connection = capture_connection(&mut request);
        let mut answer = pin!(self.inner.request(request));
        let connecting = async {
            tokio::select! {
                biased;
                answer = &mut answer => Some(answer),
                _ = connection.wait_for_connection_metadata() => None,
            }
        };
        let early = timeout(connect, connecting).await.map_err(|_| {
            let detail = format!("no connection within {} s", seconds(connect));
            Failure::new(FailureKind::TimedOut(TimeoutPhase::Connect), detail)
        })?;
        if early.is_none() || connection.connection_metadata().is_some() {
            sent();
        }
        let sent_at = Instant::now();
        let answer = match early {
            Some(answer) => answer,
            None => timeout_at(sent_at + head, answer).await.map_err(|_| {
                let detail = format!("no answer within {} s", seconds(head));
                Failure::new(FailureKind::TimedOut(TimeoutPhase::FirstToken), detail)
            })?,
        };
        let response = answer.map_err(|error| {
            let (kind, detail) = trouble::explain(&error, is_https);
            Failure::new(kind, detail)
        })?;
        Ok((response, sent_at))
    }

    /// Fetches a small page; all of it must be there within `limit`.
    pub(crate) async fn get(
        &self,
        uri: Uri,
        credentials: &Credentials,
        limit: Duration,
        size: usize,
    ) -> Result<Page, Failure> {
        let sending = Sending {
            method: Method::GET,
            uri,
            authorization: credentials.authorization(),
            headers: credentials.headers(),
            body: Bytes::new(),
            connect: limit,
            head: limit,
        };
        let fetch = async {
            let (response, _) = self.send(sending, || {}).await?;
            let (head, body) = response.into_parts();
            let mut start = Vec::new();
            let unread = |failure| Failure { status: Some(head.status.as_u16()), ..failure };
            let body =
                Reading::new(body, &head.headers, &mut start).map_err(unread)?.all(size, limit).await.map_err(
                    |trouble| match trouble {
                        ReadTrouble::Late => late(limit),
                        ReadTrouble::TooLarge => {
                            Failure::new(FailureKind::TooLarge, format!("answered more than {size} bytes"))
                        }
                        ReadTrouble::Cut(why) => Failure::new(FailureKind::CutOff, why),
                    },
                )?;
            Ok(Page { status: head.status, headers: head.headers, body })
        };
        // The parts have the same limit, and say better what was late.
        timeout(limit + SPARE, fetch).await.unwrap_or_else(|_| Err(late(limit)))
    }
}

pub(super) fn late(limit: Duration) -> Failure {
    let detail = format!("no answer within {} s", seconds(limit));
    Failure::new(FailureKind::TimedOut(TimeoutPhase::FirstToken), detail)
}

/// Returns a limit in seconds for people, without needless digits.
pub(crate) fn seconds(limit: Duration) -> f64 {
    (limit.as_secs_f64() * 1_000.0).round() / 1_000.0
}
