//! Posts small things to other servers than models, and asks them, by the same client: for telemetry.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri};
use tokio::time::timeout;

use super::body::Reading;
use super::client::{Client, Page, Sending, late};
use super::credentials::Credentials;
use super::retry_after;
use super::trust::{Authority, TrustError};
use crate::event::{Failure, FailureKind};

/// Most that is read of an answer, in bytes.
const ANSWER_LIMIT: usize = 64 << 10;

/// Idle connections that are kept to a host: as many as posts to a collector go at once.
const IDLE: usize = 8;

/// A client that posts and reads short answers. Sends once; proxies come from the environment.
#[derive(Clone)]
pub struct Messenger(Client);

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Whether it took it.
    pub status: StatusCode,
    /// What it said beside.
    pub headers: HeaderMap,
    /// Of what was posted, at most 64 KiB.
    pub body: Vec<u8>,
}

impl Delivery {
    /// Returns how long the server asks us to wait, at most a day; none where it does not, or what it says makes no sense.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after::read(&self.headers).map(Duration::from_millis)
    }
}

impl Messenger {
    /// Makes one that trusts the authorities of a file, else those that the environment names; opens no connection.
    ///
    /// # Errors
    /// The file is of no use, or TLS cannot be set up on this machine.
    pub fn trusting(authority: Option<&Authority>) -> Result<Self, TrustError> {
        Client::trusting(IDLE, authority).map(Self)
    }

    /// Fetches a page of at most `size` bytes, all within `limit`; sends no key.
    ///
    /// # Errors
    /// Nobody is there, or does not answer in time, or too much.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub async fn get(&self, uri: Uri, limit: Duration, size: usize) -> Result<Delivery, Failure> {
        let Page { status, headers, body } = self.0.get(uri, &Credentials::default(), limit, size).await?;
        Ok(Delivery { status, headers, body })
    }

    /// Posts a body and reads the answer, all within `limit`.
    ///
    /// # Errors
    /// Nobody is there, or does not answer in time.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection; the server may have taken the body.
    pub async fn post(
        &self,
        uri: Uri,
        headers: HeaderMap,
        body: Bytes,
        limit: Duration,
    ) -> Result<Delivery, Failure> {
        let sending =
            Sending { method: Method::POST, uri, authorization: None, headers, body, connect: limit, head: limit };
        let send = async {
            let (response, _) = self.0.send(sending, || {}).await?;
            let (head, body) = response.into_parts();
            let mut start = Vec::new();
            // What a refusal says more than its status is not needed; one that cannot be read to its end still counts.
            let read = Reading::new(body, &head.headers, &mut start)?.all(ANSWER_LIMIT, limit).await;
            let read = match read {
                Ok(read) => read,
                Err(_) if !head.status.is_success() => Vec::new(),
                Err(_) => return Err(Failure::new(FailureKind::CutOff, "the answer was cut off")),
            };
            Ok(Delivery { status: head.status, headers: head.headers, body: read })
        };
        timeout(limit, send).await.unwrap_or_else(|_| Err(late(limit)))
    }
}
