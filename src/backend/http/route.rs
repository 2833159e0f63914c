//! How a connection reaches its host: straight, or by the proxy that the environment names.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::uri::Scheme;
use http::{HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::base_url::is_loopback;

type Cause = Box<dyn Error + Send + Sync>;

/// Opens connections. This machine is always reached straight, whatever the environment says.
#[derive(Clone)]
pub(super) struct Route {
    straight: HttpConnector,
    proxies: Arc<Matcher>,
}

impl Route {
    pub(super) fn new(proxies: Matcher) -> Self {
        let mut straight = HttpConnector::new();
        straight.enforce_http(false);
        straight.set_nodelay(true);
        Self { straight, proxies: Arc::new(proxies) }
    }

    /// Returns what a proxy wants to be told with each request; only plain HTTP through an HTTP proxy needs it.
    pub(super) fn proxy_authorization(&self, uri: &Uri) -> Option<HeaderValue> {
        let proxy = self.proxy_of(uri).filter(|proxy| uri.scheme() == Some(&Scheme::HTTP) && is_http(proxy))?;
        proxy.basic_auth().cloned()
    }

    fn proxy_of(&self, uri: &Uri) -> Option<Intercept> {
        if is_loopback(uri.host()?) { None } else { self.proxies.intercept(uri) }
    }

    async fn open(mut self, uri: Uri) -> Result<Wire, Cause> {
        poll_fn(|context| Service::<Uri>::poll_ready(&mut self.straight, context)).await?;
        let Some(proxy) = self.proxy_of(&uri) else {
            return Ok(Wire { stream: self.straight.call(uri).await?, relays_requests: false });
        };
        let stream = match proxy.uri().scheme_str() {
            Some("http") if uri.scheme() == Some(&Scheme::HTTP) => {
                let stream = self.straight.call(proxy.uri().clone()).await?;
                return Ok(Wire { stream, relays_requests: true });
            }
            Some("http") => {
                let mut tunnel = Tunnel::new(proxy.uri().clone(), self.straight);
                if let Some(authorization) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(authorization.clone());
                }
                tunnel.call(uri).await?
            }
            Some("socks5" | "socks5h") => {
                let mut socks = SocksV5::new(proxy.uri().clone(), self.straight);
                if let Some((user, password)) = proxy.raw_auth() {
                    socks = socks.with_auth(user.to_owned(), password.to_owned());
                }
                socks.call(uri).await?
            }
            Some(_) | None => {
                let scheme = proxy.uri().scheme_str().unwrap_or_default();
                let message = format!("the environment names a proxy by {scheme:?}; http and socks5 are understood");
                return Err(io::Error::other(message).into());
            }
        };
        Ok(Wire { stream, relays_requests: false })
    }
}

fn is_http(proxy: &Intercept) -> bool {
    proxy.uri().scheme_str() == Some("http")
}

impl Service<Uri> for Route {
    type Response = Wire;
    type Error = Cause;
    type Future = BoxFuture<'static, Result<Wire, Cause>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().open(uri))
    }
}

/// A TCP connection that knows whether an HTTP proxy at its end wants whole addresses in request lines.
pub(super) struct Wire {
    stream: TokioIo<TcpStream>,
    relays_requests: bool,
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        self.stream.connected().proxy(self.relays_requests)
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_reached_straight_and_others_by_the_proxy() {
        let route =
            Route::new(Matcher::builder().all("http://user:word@proxy.example:3128").no("inside.example").build());
        let is_proxied = |text: &'static str| route.proxy_of(&Uri::from_static(text)).is_some();
        assert!(!is_proxied("http://127.0.0.1:8080/v1"));
        assert!(!is_proxied("http://localhost:8080/v1"));
        assert!(!is_proxied("http://inside.example/v1"));
        assert!(is_proxied("https://api.example/v1"));
        assert!(route.proxy_authorization(&Uri::from_static("http://api.example/v1")).is_some());
        assert!(
            route.proxy_authorization(&Uri::from_static("https://api.example/v1")).is_none(),
            "the tunnel carries it"
        );
    }
}
