//! Getting weights from a URL.
//! Reads: a URL and the answer's body. Gives: what `install` gives. Never: a URL of its own: none is shipped.
//! Start at [`fetch`].

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, LOCATION, USER_AGENT};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming as Body;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::install::Incoming;
use super::{Weights, WeightsError};

/// How long a server may be silent, at the start and between two pieces.
const SILENCE: Duration = Duration::from_secs(60);
/// File hosts send one or two redirects; more is a loop.
const REDIRECTS: usize = 5;
/// Pieces (of some 16 kB) between the network and the disk; when full, the network waits.
const PIECES: usize = 64;

/// How far a download has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Bytes so far.
    pub bytes: u64,
    /// Bytes in all.
    pub of: u64,
}

/// Downloads weights into their place in the cache when their content is right.
///
/// Redirects are followed, from https never to http: no credentials travel, and the content is held against its hash.
/// User-info in the URL is refused. No retry.
///
/// # Errors
/// The server does not hand the file over, it is another one, or it cannot be written; the place is then as it was.
///
/// # Cancel safety
/// Dropping the future ends the download and leaves nothing.
pub async fn fetch(
    url: &str,
    weights: &Weights,
    to: &Path,
    progress: &(dyn Fn(Fetched) + Send + Sync),
) -> Result<(), WeightsError> {
    let uri = parse(url).ok_or_else(|| WeightsError::BadUrl { url: url.to_owned() })?;
    let not_fetched = |reason: String| WeightsError::NotFetched { url: uri.to_string(), reason };
    let response = open(&uri).await.map_err(not_fetched)?;
    let announced = response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length != weights.bytes) {
        let reason = format!("it has {} bytes instead of the {} of {}", announced.unwrap_or(0), weights.bytes, weights.file);
        return Err(not_fetched(reason));
    }
    let (pieces, received) = mpsc::channel(PIECES);
    let incoming = Incoming::create(uri.to_string(), weights, to)?;
    let written = spawn_blocking(move || write(incoming, received));
    let ending = pass_on(response.into_body(), pieces, weights, progress).await;
    let written = written.await.map_err(|error| not_fetched(error.to_string()))?;
    // A cut download also has the wrong hash; the cut is what the user should read.
    ending.map_err(not_fetched).and(written)
}

fn parse(url: &str) -> Option<Uri> {
    let uri: Uri = url.parse().ok()?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    let authority = uri.authority()?.as_str();
    (is_web && !authority.contains('@')).then_some(uri)
}

async fn open(uri: &Uri) -> Result<Response<Body>, String> {
    let client = client();
    let mut uri = uri.clone();
    for _ in 0..=REDIRECTS {
        let request = Request::get(&uri).header(USER_AGENT, concat!("pipe/", env!("CARGO_PKG_VERSION")));
        let request = request.body(Empty::new()).map_err(|error| error.to_string())?;
        let response = timeout(SILENCE, client.request(request)).await.map_err(|_| silent())?;
        let response = response.map_err(|error| chain(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        if !response.status().is_redirection() {
            return Err(format!("the server answers {}", response.status()));
        }
        uri = next(&uri, &response).ok_or_else(|| format!("the server answers {} to nowhere", response.status()))?;
    }
    Err(format!("more than {REDIRECTS} redirects"))
}

fn next(uri: &Uri, response: &Response<Body>) -> Option<Uri> {
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    let target = if location.starts_with('/') {
        parse(&format!("{}://{}{location}", uri.scheme_str()?, uri.authority()?))
    } else {
        parse(location)
    };
    target.filter(|target| uri.scheme_str() == Some("http") || target.scheme_str() == Some("https"))
}

async fn pass_on(
    mut body: Body,
    pieces: mpsc::Sender<Bytes>,
    weights: &Weights,
    progress: &(dyn Fn(Fetched) + Send + Sync),
) -> Result<(), String> {
    let mut bytes = 0;
    while let Some(frame) = timeout(SILENCE, body.frame()).await.map_err(|_| silent())? {
        let frame = frame.map_err(|error| format!("the download broke off after {bytes} bytes: {}", chain(&error)))?;
        let Ok(piece) = frame.into_data() else { continue };
        bytes += piece.len() as u64;
        if pieces.send(piece).await.is_err() {
            // The writer has given up and says why itself.
            return Ok(());
        }
        progress(Fetched { bytes, of: weights.bytes });
    }
    Ok(())
}

fn write(mut incoming: Incoming, mut pieces: mpsc::Receiver<Bytes>) -> Result<(), WeightsError> {
    while let Some(piece) = pieces.blocking_recv() {
        incoming.write(&piece)?;
    }
    incoming.keep()
}

fn client() -> Client<HttpsConnector<HttpConnector>, Empty<Bytes>> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_connect_timeout(Some(Duration::from_secs(10)));
    let roots = rustls::RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let tls = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(http);
    Client::builder(TokioExecutor::new()).build(connector)
}

fn silent() -> String {
    format!("the server was silent for {} s", SILENCE.as_secs())
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
