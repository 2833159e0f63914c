//! Where others ask how the reconciler stands, and wake it: `/status`, `/healthz`, `/webhook`.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::webhook::Secret;

/// Connections at once; more are closed at once.
const MOST_CONNECTIONS: usize = 64;
/// A client that sends no request for so long is left.
const PATIENCE: Duration = Duration::from_secs(60);
/// Largest body of a webhook: GitHub sends up to 25 MiB, of pushes of thousands of commits; what is in it is not needed.
const LARGEST_BODY: usize = 1 << 20;

/// What is told to whoever asks, and what they may do.
#[derive(Default)]
pub struct Board {
    /// The state in a word, and all of it as JSON.
    status: Mutex<(&'static str, String)>,
    /// Who may wake us; nobody without one.
    secret: Option<Secret>,
    wake: Notify,
}

impl Board {
    /// Makes one that whoever has the secret may wake.
    #[must_use]
    pub fn new(secret: Option<Secret>) -> Self {
        Self { secret, ..Self::default() }
    }

    /// Replaces what is told.
    pub(super) fn post(&self, state: &'static str, status: String) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = (state, status);
    }

    /// Waits until somebody wakes us; one who did while nobody waited counts.
    ///
    /// # Cancel safety
    /// May be dropped and called again.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    fn status(&self) -> (&'static str, String) {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Answers for ever.
///
/// # Cancel safety
/// May be dropped at any time; answers that are half given are lost.
pub async fn serve(listener: TcpListener, board: Arc<Board>) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < MOST_CONNECTIONS => {
                    connections.spawn(talk(stream, Arc::clone(&board)));
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "a request could not be taken");
                    // Out of file descriptors, most likely: at once it would only fail again.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::warn!(%error, "a request died");
                }
            }
        }
    }
}

async fn talk(stream: TcpStream, board: Arc<Board>) {
    let answer = service_fn(|request| {
        let board = Arc::clone(&board);
        async move { Ok::<_, Infallible>(answer(request, &board).await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), answer).await {
        tracing::debug!(%error, "a request ended early");
    }
}

async fn answer(request: Request<Incoming>, board: &Board) -> Response<Full<Bytes>> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    match (request.uri().path(), is_read) {
        ("/status", true) => told(StatusCode::OK, "application/json", board.status().1),
        ("/healthz", true) => text(StatusCode::OK, &format!("{}\n", board.status().0)),
        ("/webhook", false) if request.method() == Method::POST => webhook(request, board).await,
        ("/status" | "/healthz", false) => text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n"),
        ("/webhook", _) => text(StatusCode::METHOD_NOT_ALLOWED, "only POST is answered here\n"),
        _ => text(StatusCode::NOT_FOUND, "here are /status, /healthz and /webhook\n"),
    }
}

async fn webhook(request: Request<Incoming>, board: &Board) -> Response<Full<Bytes>> {
    let Some(secret) = &board.secret else {
        return text(StatusCode::FORBIDDEN, "webhooks need a secret: PIPE_GIT_WEBHOOK_SECRET in the environment\n");
    };
    let (head, body) = request.into_parts();
    let body = match tokio::time::timeout(PATIENCE, Limited::new(body, LARGEST_BODY).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return text(StatusCode::PAYLOAD_TOO_LARGE, "the body is cut off, or longer than 1 MiB\n"),
        Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the body did not come\n"),
    };
    if !secret.signed(&head.headers, &body) {
        return text(StatusCode::UNAUTHORIZED, "not signed with the secret\n");
    }
    tracing::info!("woken by a webhook");
    board.wake.notify_one();
    text(StatusCode::ACCEPTED, "the repository will be fetched\n")
}

fn text(status: StatusCode, words: &str) -> Response<Full<Bytes>> {
    told(status, "text/plain; charset=utf-8", words.to_owned())
}

fn told(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
