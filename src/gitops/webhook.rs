//! Whether a webhook comes from somebody who has the secret. It only wakes: nothing in it is believed.

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use sha2::Sha256;

/// What hosts sign a body with: GitHub (and Gitea), Gitea and Forgejo.
const SIGNED: [&str; 3] = ["x-hub-signature-256", "x-gitea-signature", "x-forgejo-signature"];
/// What GitLab repeats the secret in.
const TOKEN: &str = "x-gitlab-token";

/// The secret that a host of repositories shares with us: `PIPE_GIT_WEBHOOK_SECRET`. Never printed.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The variable that it is read from, which no run is ever given.
    pub const VARIABLE: &'static str = "PIPE_GIT_WEBHOOK_SECRET";

    /// Takes a secret; none when it is empty: everybody would have it.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.as_bytes().to_vec()))
    }

    /// Tells whether who sent these headers with this body has the secret; takes as long for a wrong one as for the
    /// right one.
    #[must_use]
    pub fn signed(&self, headers: &HeaderMap, body: &[u8]) -> bool {
        if let Some(value) = SIGNED.iter().find_map(|name| headers.get(*name)) {
            let text = value.to_str().unwrap_or_default();
            let digits = text.strip_prefix("sha256=").unwrap_or(text);
            let signature = data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes());
            return signature.is_ok_and(|signature| self.code(body).verify_slice(&signature).is_ok());
        }
        let Some(token) = headers.get(TOKEN) else { return false };
        // Codes of both are compared, in constant time, whatever their lengths.
        self.code(token.as_bytes()).verify(&self.code(&self.0).finalize().into_bytes()).is_ok()
    }

    fn code(&self, message: &[u8]) -> Hmac<Sha256> {
        let mut code = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key may be of any length");
        code.update(message);
        code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of GitHub's documentation, "Validating webhook deliveries".
    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const SIGNATURE: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn is_taken(name: &'static str, value: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        Secret::of(SECRET).unwrap().signed(&headers, BODY)
    }

    #[test]
    fn each_host_is_understood() {
        assert!(is_taken("x-hub-signature-256", &format!("sha256={SIGNATURE}")));
        assert!(is_taken("x-gitea-signature", SIGNATURE));
        assert!(is_taken("x-forgejo-signature", SIGNATURE));
        assert!(is_taken("x-gitlab-token", SECRET));
    }

    #[test]
    fn anything_else_is_not() {
        let wrong = SIGNATURE.replacen('7', "8", 1);
        for (name, value) in [
            ("x-hub-signature-256", format!("sha256={wrong}")),
            ("x-hub-signature-256", format!("sha256={}", &SIGNATURE[..62])),
            ("x-hub-signature-256", "sha256=".to_owned()),
            ("x-hub-signature-256", "nonsense".to_owned()),
            ("x-hub-signature", format!("sha1={SIGNATURE}")),
            ("x-gitea-signature", wrong),
            ("x-gitlab-token", SECRET.to_uppercase()),
            ("x-gitlab-token", String::new()),
            ("authorization", SECRET.to_owned()),
        ] {
            assert!(!is_taken(name, &value), "{name}: {value}");
        }
        assert!(!Secret::of(SECRET).unwrap().signed(&HeaderMap::new(), BODY));
        assert!(Secret::of(" \n").is_none());
    }
}
