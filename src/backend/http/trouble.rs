//! What went wrong below HTTP, in the words of [`FailureKind`].

use std::error::Error;
use std::io;

use hyper_util::client::legacy;

use crate::event::FailureKind;

/// Says what kind of failure an error before the end of the headers is, and describes it without the address.
pub(super) fn explain(error: &legacy::Error, is_https: bool) -> (FailureKind, String) {
    if let Some(hyper) = find::<hyper::Error>(error) {
        // hyper offers a question for this only to its servers; a test against a real socket holds the words.
        if hyper.is_parse() && hyper.to_string().contains("too large") {
            return (
                FailureKind::TooLarge,
                "the answer's headers are larger than 64 KiB or more than 100".to_owned(),
            );
        }
        if hyper.is_parse() {
            let remedy = if is_https { "" } else { "; if it speaks TLS, write https:// in the URL" };
            return (FailureKind::Malformed, format!("does not answer in HTTP{remedy}"));
        }
        if hyper.is_incomplete_message() {
            return (FailureKind::Unreachable, "the connection was closed before an answer".to_owned());
        }
    }
    match tls(error) {
        Some(rustls::Error::InvalidCertificate(why)) => {
            let remedy = "if its certificate is from an authority of your own, name its file in SSL_CERT_FILE";
            (FailureKind::Unreachable, format!("its certificate is not trusted ({why}); {remedy}"))
        }
        // What a server without TLS answers is no message of TLS.
        Some(rustls::Error::InvalidMessage(_)) => {
            (FailureKind::Unreachable, "does not speak TLS; write http:// in the URL".to_owned())
        }
        // A server without TLS may also hang up on its first words.
        None if is_https && error.is_connect() && is_hung_up(error) => {
            let remedy = "if it does not speak TLS, write http:// in the URL";
            (FailureKind::Unreachable, format!("the connection was closed before TLS began; {remedy}"))
        }
        Some(_) | None => (FailureKind::Unreachable, innermost(error)),
    }
}

/// Returns true when the other side has ended a connection.
fn is_hung_up(error: &(dyn Error + 'static)) -> bool {
    let mut kinds = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    kinds.any(|kind| {
        matches!(kind, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
    })
}

/// Returns what TLS made of a connection, when that is what ended it.
fn tls<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// Returns an error and all its causes. What an I/O error wraps is not its source, but that error itself.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map_or_else(|| error.source(), |wrapped| Some(wrapped as &(dyn Error + 'static)))
    })
}

/// Returns the deepest cause's words, for people.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    let Some(io) = deepest.downcast_ref::<io::Error>() else { return deepest.to_string() };
    match io.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "connection reset".to_owned(),
        io::ErrorKind::UnexpectedEof => "the connection ended too early".to_owned(),
        _ => {
            let text = io.to_string();
            match text.split_once(" (os error") {
                Some((words, _)) => words.to_owned(),
                None => text,
            }
        }
    }
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
