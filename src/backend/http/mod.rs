//! One HTTP/1.1 client for every backend that is reached by a URL: bounded, proxied where the environment says so.
//! Reads: a request and its limits. Gives: a response or one [`crate::event::Failure`].
//! Never: retries (not of cancelled requests either), redirects followed, credentials to
//! anybody but the host that they were given for.
//! Start at [`Client`].

mod base_url;
mod body;
mod client;
mod credentials;
mod decode;
mod messenger;
mod query;
mod redirect;
pub(crate) mod retry_after;
mod route;
mod scrub;
mod trouble;
mod trust;
mod wait_words;

pub use base_url::{BaseUrl, UrlError};
pub(crate) use body::{BODY_LIMIT, ReadTrouble, Reading};
pub(crate) use client::{Client, Page, Sending, seconds};
pub(crate) use credentials::{Credentials, Unsendable};
pub use messenger::{Delivery, Messenger};
pub(crate) use redirect::target as redirect_target;
pub(crate) use scrub::Scrub;
pub use trust::{Authority, TrustError};
