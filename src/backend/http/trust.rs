//! Whose certificates a server may show: those of a file that is named for it, else of the one that `SSL_CERT_FILE` names,
//! else the ones that are built in.

use std::path::PathBuf;
use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::{ClientConfig, RootCertStore};

/// The variable by which people name their own authorities, as for OpenSSL, curl and Python.
const FILE: &str = "SSL_CERT_FILE";

/// TLS that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Nothing about certificates.
    #[error("TLS cannot be set up on this machine")]
    Tls(#[from] rustls::Error),
    /// The file cannot be read, or not as certificates.
    #[error("{variable} names {path}, which cannot be read as certificates in PEM form; correct it or unset it", path = path.display())]
    File {
        /// What names it.
        variable: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// The file holds none.
    #[error("{variable} names {path}, which holds no certificate in PEM form; correct it or unset it", path = path.display())]
    Empty {
        /// What names it.
        variable: &'static str,
        /// Which.
        path: PathBuf,
    },
}

/// A file of authorities that a variable names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// The variable.
    pub variable: &'static str,
    /// The file, in PEM form.
    pub file: PathBuf,
}

/// Returns a set-up that trusts the authority, else whom the environment says.
///
/// # Errors
/// When a file that is named is of no use, or this machine has no TLS.
pub(super) fn config(authority: Option<&Authority>) -> Result<ClientConfig, TrustError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let usual = || {
        let file = std::env::var_os(FILE).filter(|file| !file.is_empty())?;
        Some(Authority { variable: FILE, file: file.into() })
    };
    let config = match authority.cloned().or_else(usual) {
        Some(authority) => builder.with_root_certificates(authorities(&authority)?),
        None => builder.with_webpki_roots(),
    };
    Ok(config.with_no_client_auth())
}

fn authorities(authority: &Authority) -> Result<RootCertStore, TrustError> {
    let Authority { variable, file } = authority;
    let broken = |source| TrustError::File { variable, path: file.clone(), source };
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(broken)? {
        store.add(certificate.map_err(broken)?)?;
    }
    if store.is_empty() { Err(TrustError::Empty { variable, path: file.clone() }) } else { Ok(store) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn named(file: &Path) -> Authority {
        Authority { variable: FILE, file: file.to_owned() }
    }

    fn check(text: &str, expected: &str) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let message = match authorities(&named(file.path())) {
            Ok(store) => format!("{} authorities", store.len()),
            Err(error) => error.to_string().replace(&file.path().display().to_string(), "FILE"),
        };
        assert_eq!(message, expected);
    }

    #[test]
    fn a_file_of_certificates_is_read_and_anything_else_is_refused() {
        check(include_str!("../../../tests/fault_server/tls/authority.pem"), "1 authorities");
        check(
            "no certificate",
            "SSL_CERT_FILE names FILE, which holds no certificate in PEM form; correct it or unset it",
        );
        check(
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
            "SSL_CERT_FILE names FILE, which cannot be read as certificates in PEM form; correct it or unset it",
        );
        assert!(matches!(authorities(&named(Path::new("/nowhere"))), Err(TrustError::File { .. })));
    }
}
