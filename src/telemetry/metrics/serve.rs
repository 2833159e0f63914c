//! The endpoint that Prometheus scrapes: `/metrics`, and `/healthz` for whoever asks whether the run lives.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Connections at once: a Prometheus keeps one, people with `curl` a few; more are closed at once.
const MOST_CONNECTIONS: usize = 32;
/// A client that sends no request for so long is left; Prometheus asks at least every two minutes.
const PATIENCE: Duration = Duration::from_secs(180);

/// What is told to whoever asks.
pub struct Scrape {
    /// Writes the metrics in Prometheus' text format.
    pub metrics: Box<dyn Fn() -> Result<Vec<u8>, String> + Send + Sync>,
    /// Names the state of the run.
    pub state: Box<dyn Fn() -> &'static str + Send + Sync>,
}

/// Answers scrapes for ever.
///
/// # Cancel safety
/// May be dropped at any time; answers that are half given are lost.
pub async fn serve(listener: TcpListener, scrape: Scrape) -> Infallible {
    let scrape = Arc::new(scrape);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < MOST_CONNECTIONS => {
                    connections.spawn(talk(stream, Arc::clone(&scrape)));
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "a scrape could not be taken");
                    // Out of file descriptors, most likely: at once it would only fail again.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::warn!(%error, "a scrape died");
                }
            }
        }
    }
}

async fn talk(stream: TcpStream, scrape: Arc<Scrape>) {
    let answer = service_fn(|request| {
        let answer = answer(&request, &scrape);
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), answer).await {
        tracing::debug!(%error, "a scrape ended early");
    }
}

fn answer(request: &Request<Incoming>, scrape: &Scrape) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n");
    }
    match request.uri().path() {
        "/metrics" => match (scrape.metrics)() {
            Ok(body) => told(StatusCode::OK, prometheus::TEXT_FORMAT, body.into()),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
        },
        "/healthz" => text(StatusCode::OK, &format!("{}\n", (scrape.state)())),
        _ => text(StatusCode::NOT_FOUND, "here are /metrics and /healthz\n"),
    }
}

fn text(status: StatusCode, words: &str) -> Response<Full<Bytes>> {
    told(status, "text/plain; charset=utf-8", Bytes::copy_from_slice(words.as_bytes()))
}

fn told(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
