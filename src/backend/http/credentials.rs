//! What each request to a server carries beside its content: the key and the headers of the file.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::base_url::BaseUrl;
use super::scrub::Scrub;
use crate::base::FRAMING_HEADERS;

/// A key and headers, fit to be sent, and what must not be shown of them.
#[derive(Clone, Default)]
pub(crate) struct Credentials {
    authorization: Option<HeaderValue>,
    headers: HeaderMap,
    scrub: Scrub,
}

/// A key or a header that cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unsendable {
    /// The key holds a character that no header may.
    Key,
    /// A header; why, in words that follow its name.
    Header {
        /// Its name.
        name: String,
        /// Such as `has a value that …`.
        why: &'static str,
    },
}

impl Credentials {
    /// Takes a bearer token and headers for a server; an empty token is none, and an `authorization` among the headers
    /// replaces it.
    ///
    /// # Errors
    /// The first of them that cannot be sent.
    pub(crate) fn new(
        base: &BaseUrl,
        key: Option<&Arc<str>>,
        headers: &[(Arc<str>, Arc<str>)],
    ) -> Result<Self, Unsendable> {
        let key = key.filter(|key| !key.is_empty());
        let mut authorization = match key.map(|key| HeaderValue::try_from(format!("Bearer {key}"))) {
            Some(Ok(value)) => Some(value),
            Some(Err(_)) => return Err(Unsendable::Key),
            None => None,
        };
        let mut more = HeaderMap::with_capacity(headers.len());
        for (name, value) in headers {
            let unsendable = |why| Unsendable::Header { name: name.to_string(), why };
            let own = HeaderName::try_from(&**name).map_err(|_| unsendable("is no name of an HTTP header"))?;
            if FRAMING_HEADERS.contains(&own.as_str()) {
                return Err(unsendable("belongs to the connection or to the body, which pipe writes itself"));
            }
            let mut value = HeaderValue::try_from(&**value).map_err(|_| {
                unsendable("has a value with a line break or another character that no HTTP header may have")
            })?;
            value.set_sensitive(true);
            if own == AUTHORIZATION {
                authorization = Some(value);
            } else {
                more.append(own, value);
            }
        }
        if let Some(value) = &mut authorization {
            value.set_sensitive(true);
        }
        let values = headers.iter().flat_map(|(_, value)| secrets_of(value));
        let scrub = Scrub::new(key.cloned().into_iter().chain(values).chain(base.secrets()));
        Ok(Self { authorization, headers: more, scrub })
    }

    /// Returns true when a key is sent, as a bearer token or in a header of that name.
    pub(crate) const fn has_key(&self) -> bool {
        self.authorization.is_some()
    }

    /// Returns the header `Authorization`.
    pub(crate) fn authorization(&self) -> Option<HeaderValue> {
        self.authorization.clone()
    }

    /// Returns the other headers.
    pub(crate) fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    /// Returns what takes all of it out of messages.
    pub(crate) const fn scrub(&self) -> &Scrub {
        &self.scrub
    }
}

/// A header's value as a whole, and the secret behind a scheme such as `Bearer`.
fn secrets_of(value: &Arc<str>) -> impl Iterator<Item = Arc<str>> {
    let behind = value.split_once(' ').map(|(_, behind)| Arc::from(behind.trim()));
    std::iter::once(Arc::clone(value)).chain(behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(key: Option<&str>, headers: &[(&str, &str)]) -> Result<Credentials, Unsendable> {
        let base = BaseUrl::parse("http://h/v1?sig=s1gn4ture").unwrap();
        let headers: Vec<(Arc<str>, Arc<str>)> =
            headers.iter().map(|(name, value)| (Arc::from(*name), Arc::from(*value))).collect();
        Credentials::new(&base, key.map(Arc::from).as_ref(), &headers)
    }

    #[test]
    fn headers_are_sent_beside_the_key_and_all_of_it_is_secret() {
        let made = made(Some("sk-12345"), &[("X-Gateway-Team", "lab-7")]).unwrap();
        assert_eq!(made.authorization().unwrap(), "Bearer sk-12345");
        assert_eq!(made.headers()["x-gateway-team"], "lab-7");
        assert!(made.headers()["x-gateway-team"].is_sensitive());
        assert_eq!(made.scrub().line("sk-12345 lab-7 s1gn4ture"), "*** *** ***");
    }

    #[test]
    fn an_authorization_among_the_headers_replaces_the_key() {
        let made = made(Some("sk-12345"), &[("Authorization", "Basic bWU6d29yZA==")]).unwrap();
        assert_eq!(made.authorization().unwrap(), "Basic bWU6d29yZA==");
        assert!(made.has_key() && made.headers().is_empty());
        assert_eq!(made.scrub().line("got bWU6d29yZA=="), "got ***");
    }

    #[test]
    fn what_cannot_be_sent_is_named() {
        let refused = |name: &str, value: &str| match made(None, &[(name, value)]) {
            Err(Unsendable::Header { name, why }) => format!("{name} {why}"),
            Err(Unsendable::Key) => "the key".to_owned(),
            Ok(_) => "sent".to_owned(),
        };
        assert_eq!(refused("x y", "1"), "x y is no name of an HTTP header");
        assert!(refused("x-team", "a\nb").starts_with("x-team has a value with a line break"));
        for name in ["Host", "content-length", "Transfer-Encoding", "CONNECTION"] {
            assert!(refused(name, "1").contains("belongs to the connection"), "{name}");
        }
        assert_eq!(refused("user-agent", "mine"), "sent");
        assert_eq!(made(Some("a\nb"), &[]).err(), Some(Unsendable::Key));
    }
}
