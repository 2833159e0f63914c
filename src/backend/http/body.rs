//! Reading bodies: never more than a limit, never slower than one.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::decode::Decoder;
use super::trouble;
use crate::event::Failure;

/// Largest whole answer that is read, in bytes. A context of a million tokens is some 5 MB of text.
pub(crate) const BODY_LIMIT: usize = 16 << 20;
/// How much of a body's start is remembered, in bytes: twice the evidence that is kept, so that a key on the edge of
/// that is seen whole.
const HEAD: usize = 4 << 10;

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

/// A body that is being read; its start is remembered, for a failure that has to be explained.
pub(crate) struct Reading<'a> {
    body: Incoming,
    head: &'a mut Vec<u8>,
    decoder: Decoder,
    has_ended: bool,
}

impl<'a> Reading<'a> {
    /// Starts to read; `head` is cleared and then holds the first 4 KiB of what comes, uncompressed.
    ///
    /// # Errors
    /// When the headers name a compression that cannot be taken off.
    pub(crate) fn new(body: Incoming, headers: &HeaderMap, head: &'a mut Vec<u8>) -> Result<Self, Failure> {
        head.clear();
        Ok(Self { body, head, decoder: Decoder::of(headers)?, has_ended: false })
    }

    /// Returns the start of what has come so far.
    pub(crate) fn head(&self) -> &[u8] {
        self.head
    }

    /// Reads to the end.
    pub(crate) async fn all(&mut self, limit: usize, idle: Duration) -> Result<Vec<u8>, ReadTrouble> {
        let mut read = Vec::new();
        while let Some(bytes) = self.some(Instant::now() + idle).await? {
            if read.len() + bytes.len() > limit {
                return Err(ReadTrouble::TooLarge);
            }
            read.extend_from_slice(&bytes);
        }
        Ok(read)
    }

    /// Reads the next piece; none at the end.
    pub(crate) async fn some(&mut self, deadline: Instant) -> Result<Option<Bytes>, ReadTrouble> {
        while !self.has_ended {
            let Ok(frame) = timeout_at(deadline, self.body.frame()).await else { return Err(ReadTrouble::Late) };
            let bytes = match frame {
                None => {
                    self.has_ended = true;
                    Bytes::from(self.decoder.finish()?)
                }
                Some(Err(error)) => return Err(ReadTrouble::Cut(trouble::innermost(&error))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) if self.decoder.is_plain() => bytes,
                    Ok(bytes) => Bytes::from(self.decoder.push(&bytes)?),
                    // Trailers hold nothing of the answer.
                    Err(_) => continue,
                },
            };
            if !bytes.is_empty() {
                let room = HEAD.saturating_sub(self.head.len());
                self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}
