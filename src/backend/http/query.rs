//! The query of a base URL, such as `?api-version=2024-10-21`: sent with every request, its secrets never shown.

use std::fmt;
use std::sync::Arc;

/// Parts of the names that secrets have.
const SECRET: [&str; 9] = ["key", "token", "sig", "secret", "passw", "auth", "credential", "session", "jwt"];

/// What stands behind the `?`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query(String);

impl Query {
    /// Takes what stands behind the `?`; nothing is none.
    pub(super) fn read(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Returns it as it is sent, `?` included; nothing when there is none.
    pub(super) fn written(&self) -> String {
        if self.0.is_empty() { String::new() } else { format!("?{}", self.0) }
    }

    /// Returns the values that are secrets by their names, as they are written and as they are meant.
    pub(super) fn secrets(&self) -> Vec<Arc<str>> {
        let mut found = Vec::new();
        for (_, value) in self.pairs().filter(|(name, value)| is_secret(name) && !value.is_empty()) {
            found.push(Arc::from(value));
            let meant = decoded(value);
            if meant != value {
                found.push(Arc::from(meant));
            }
        }
        found
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    }
}

/// Writes it with `***` in the place of each secret.
impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut joint = '?';
        for pair in self.0.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some((name, value)) if is_secret(name) && !value.is_empty() => write!(f, "{joint}{name}=***")?,
                Some(_) | None => write!(f, "{joint}{pair}")?,
            }
            joint = '&';
        }
        Ok(())
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // Azure's functions call their key `code`.
    name == "code" || SECRET.iter().any(|part| name.contains(part))
}

/// Reads `%41` as `A`; what is no such thing stays.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut found = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                found.push(byte);
                at += 3;
            }
            (byte, _) => {
                found.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&found).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names_and_never_shown() {
        let query = Query::read("api-version=2024-10-21&api_key=s%2Bcret&code=abcd&sig=&x");
        assert_eq!(query.written(), "?api-version=2024-10-21&api_key=s%2Bcret&code=abcd&sig=&x");
        assert_eq!(query.to_string(), "?api-version=2024-10-21&api_key=***&code=***&sig=&x");
        let secrets = query.secrets();
        assert_eq!(secrets.iter().map(|secret| &**secret).collect::<Vec<_>>(), ["s%2Bcret", "s+cret", "abcd"]);
        assert_eq!(Query::read("").to_string() + &Query::read("").written(), "");
        assert_eq!(decoded("100%"), "100%");
    }
}
