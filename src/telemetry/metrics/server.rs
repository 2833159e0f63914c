//! Where requests go, as attributes.

use opentelemetry::KeyValue;

use crate::event::BackendResolved;

/// A backend as the attributes of its requests name it.
#[derive(Clone, Debug, Default)]
pub(super) struct Server {
    address: Option<String>,
    port: Option<i64>,
}

impl Server {
    /// Reads an endpoint; `sim` and `embedded` are no addresses.
    pub(super) fn of(backend: &BackendResolved) -> Self {
        let Ok(url) = backend.endpoint.parse::<http::Uri>() else { return Self::default() };
        let (Some(scheme), Some(host)) = (url.scheme_str(), url.host()) else { return Self::default() };
        let usual = if scheme == "https" { 443 } else { 80 };
        Self { address: Some(host.to_owned()), port: Some(i64::from(url.port_u16().unwrap_or(usual))) }
    }

    /// Adds its attributes.
    pub(super) fn tell(&self, attributes: &mut Vec<KeyValue>) {
        attributes.extend(self.address.iter().map(|host| KeyValue::new("server.address", host.clone())));
        attributes.extend(self.port.map(|port| KeyValue::new("server.port", port)));
    }
}
