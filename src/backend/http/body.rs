//! Reading bodies: never more than a limit, never slower than one.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::trouble;

/// Largest whole answer that is read, in bytes. A context of a million tokens is some 5 MB of text.
pub(crate) const BODY_LIMIT: usize = 16 << 20;

/// Why a body has no more to give, though it has not ended.
#[derive(Debug)]
pub(crate) enum ReadTrouble {
    /// Nothing came until the deadline.
    Late,
    /// More came than may.
    TooLarge,
    /// The connection ended first.
    Cut(String),
}

/// Reads a body to its end.
pub(crate) async fn read_all(body: &mut Incoming, limit: usize, idle: Duration) -> Result<Vec<u8>, ReadTrouble> {
    let mut read = Vec::new();
    while let Some(bytes) = read_some(body, Instant::now() + idle).await? {
        if read.len() + bytes.len() > limit {
            return Err(ReadTrouble::TooLarge);
        }
        read.extend_from_slice(&bytes);
    }
    Ok(read)
}

/// Reads the next piece of a body; none at its end.
pub(crate) async fn read_some(body: &mut Incoming, deadline: Instant) -> Result<Option<Bytes>, ReadTrouble> {
    loop {
        let Ok(frame) = timeout_at(deadline, body.frame()).await else { return Err(ReadTrouble::Late) };
        match frame {
            None => return Ok(None),
            Some(Ok(frame)) => {
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
            Some(Err(error)) => return Err(ReadTrouble::Cut(trouble::innermost(&error))),
        }
    }
}
