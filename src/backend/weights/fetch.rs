//! Getting weights from a URL.
//! Reads: a URL and the answer's body. Gives: what `install` gives. Never: a URL of its own: none is shipped.
//! Start at [`fetch`].

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, LOCATION};
use http::{HeaderMap, Method, Response, Uri};
use hyper::body::Incoming as Body;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::install::Incoming;
use super::{Weights, WeightsError};
use crate::backend::http::{Client, ReadTrouble, Reading, Sending};

/// How long a server may be silent, at the start and between two pieces.
const SILENCE: Duration = Duration::from_secs(60);
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
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
    let uri = parse(url).ok_or(WeightsError::BadUrl)?;
    let shown = uri.to_string().split('?').next().unwrap_or_default().to_owned();
    let not_fetched = |reason: String| WeightsError::NotFetched { url: shown.clone(), reason };
    let response = open(&uri).await.map_err(not_fetched)?;
    let announced =
        response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length != weights.bytes) {
        let reason =
            format!("it has {} bytes instead of the {} of {}", announced.unwrap_or(0), weights.bytes, weights.file);
        return Err(not_fetched(reason));
    }
    let (pieces, received) = mpsc::channel(PIECES);
    let incoming = Incoming::create(shown.clone(), weights, to)?;
    let written = spawn_blocking(move || write(incoming, received));
    let ending = pass_on(response, pieces, weights, progress).await;
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
    let client = Client::new(1).map_err(|error| error.to_string())?;
    let mut uri = uri.clone();
    for _ in 0..=REDIRECTS {
        let (response, _) = client.send(get(uri.clone()), || {}).await.map_err(|failure| failure.detail)?;
        if response.status().is_success() {
            return Ok(response);
        }
        if !response.status().is_redirection() {
            return Err(format!("the server answers {}", response.status()));
        }
        uri = next(&uri, response.headers())
            .ok_or_else(|| format!("the server answers {} to nowhere safe", response.status()))?;
    }
    Err(format!("more than {REDIRECTS} redirects"))
}

fn get(uri: Uri) -> Sending {
    Sending {
        method: Method::GET,
        uri,
        authorization: None,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        connect: CONNECT,
        head: SILENCE,
    }
}

fn next(uri: &Uri, headers: &HeaderMap) -> Option<Uri> {
    let location = headers.get(LOCATION)?.to_str().ok()?;
    let target = if location.starts_with('/') {
        parse(&format!("{}://{}{location}", uri.scheme_str()?, uri.authority()?))
    } else {
        parse(location)
    };
    target.filter(|target| uri.scheme_str() == Some("http") || target.scheme_str() == Some("https"))
}

async fn pass_on(
    response: Response<Body>,
    pieces: mpsc::Sender<Bytes>,
    weights: &Weights,
    progress: &(dyn Fn(Fetched) + Send + Sync),
) -> Result<(), String> {
    let (mut bytes, mut head) = (0, Vec::new());
    let (parts, body) = response.into_parts();
    let mut body = Reading::new(body, &parts.headers, &mut head).map_err(|failure| failure.detail)?;
    loop {
        let piece = body.some(Instant::now() + SILENCE).await.map_err(|trouble| broken(bytes, trouble))?;
        let Some(piece) = piece else { return Ok(()) };
        bytes += piece.len() as u64;
        if pieces.send(piece).await.is_err() {
            // The writer has given up and says why itself.
            return Ok(());
        }
        progress(Fetched { bytes, of: weights.bytes });
    }
}

fn broken(bytes: u64, trouble: ReadTrouble) -> String {
    let why = match trouble {
        ReadTrouble::Late => format!("nothing came for {} s", SILENCE.as_secs()),
        ReadTrouble::TooLarge => "it is too large".to_owned(),
        ReadTrouble::Cut(why) => why,
    };
    format!("the download broke off after {bytes} bytes: {why}")
}

fn write(mut incoming: Incoming, mut pieces: mpsc::Receiver<Bytes>) -> Result<(), WeightsError> {
    while let Some(piece) = pieces.blocking_recv() {
        incoming.write(&piece)?;
    }
    incoming.keep()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::Mutex;

    use super::super::install::tests::{HELLO, names};
    use super::*;

    /// Fetches from a server on this machine that sends one prepared answer per connection and closes it.
    async fn fetch_from(answers: &[String]) -> (Result<(), String>, Vec<String>, Option<Fetched>) {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hello.gguf?signature=secret", listener.local_addr().unwrap());
        let answers = answers.to_vec();
        let serving = spawn_blocking(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 4096];
                assert!(stream.read(&mut request).unwrap() > 0);
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let last = Mutex::new(None);
        let note = |fetched| *last.lock().unwrap() = Some(fetched);
        let result = fetch(&url, &HELLO, &folder.path().join(HELLO.file), &note).await;
        serving.await.unwrap();
        let last = *last.lock().unwrap();
        (result.map_err(|error| error.to_string()), names(folder.path()), last)
    }

    fn answer(head: &str, body: &str) -> String {
        let head = head.replace(' ', "\r\n").replace(':', ": ").replace('_', " ");
        format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n{body}")
    }

    #[tokio::test]
    async fn a_right_file_arrives_with_its_progress_also_after_a_redirect() {
        let file = answer("200_OK content-length:5", "hello");
        let moved = answer("302_Found location:/there content-length:0", "");
        for answers in [vec![file.clone()], vec![moved, file]] {
            let (result, names, last) = fetch_from(&answers).await;
            assert_eq!((result, last), (Ok(()), Some(Fetched { bytes: 5, of: 5 })));
            assert_eq!(names, [HELLO.file]);
        }
    }

    #[tokio::test]
    async fn whatever_else_comes_is_named_and_nothing_is_kept() {
        for (answer, words) in [
            (answer("200_OK", "jello"), "its SHA-256 is"),
            (answer("200_OK", "hello!"), "longer than the 5 bytes"),
            (answer("200_OK content-length:6", "hello!"), "6 bytes instead of the 5"),
            (answer("200_OK content-length:5", "hel"), "broke off after 3 bytes"),
            (answer("404_Not_Found content-length:0", ""), "404 Not Found"),
            (answer("302_Found location:/there_is content-length:0", ""), "nowhere safe"),
            ("<html>".to_owned(), "does not answer in HTTP"),
        ] {
            let (result, names, _) = fetch_from(&[answer]).await;
            let text = result.unwrap_err();
            assert!(text.contains(words), "{text}");
            assert!(!text.contains("secret"), "{text}");
            assert_eq!(names, [""; 0]);
        }
    }

    #[tokio::test]
    async fn only_web_urls_without_a_password_are_asked() {
        for url in ["", "hello.gguf", "file:///etc/passwd", "https://me:secret@host/x"] {
            let error = fetch(url, &HELLO, Path::new("/nowhere/x"), &|_| {}).await.unwrap_err();
            assert!(matches!(error, WeightsError::BadUrl), "{error}");
        }
    }

    #[test]
    fn a_redirect_never_leaves_https() {
        let to = |from: &str, location: &str| {
            let mut response = Response::new(());
            response.headers_mut().insert(LOCATION, location.parse().unwrap());
            next(&from.parse().unwrap(), response.headers()).map(|uri| uri.to_string())
        };
        assert_eq!(to("https://a/x", "https://b/y").as_deref(), Some("https://b/y"));
        assert_eq!(to("http://a/x", "https://b/y").as_deref(), Some("https://b/y"));
        assert_eq!(to("https://a/x", "/y").as_deref(), Some("https://a/y"));
        assert_eq!(to("https://a/x", "http://b/y"), None);
        assert_eq!(to("https://a/x", "https://me:secret@b/y"), None);
    }
}
