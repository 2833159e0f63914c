//! What went wrong below HTTP, in the words of [`FailureKind`].

use std::error::Error;
use std::io;

use hyper_util::client::legacy;

use crate::event::FailureKind;

/// Says what kind of failure an error before the end of the headers is, and describes it without the address.
pub(super) fn explain(error: &legacy::Error) -> (FailureKind, String) {
    if let Some(hyper) = find::<hyper::Error>(error) {
        // hyper offers a question for this only to its servers; a test against a real socket holds the words.
        if hyper.is_parse() && hyper.to_string().contains("too large") {
            return (
                FailureKind::TooLarge,
                "the answer's headers are larger than 64 KiB or more than 100".to_owned(),
            );
        }
        if hyper.is_parse() {
            return (FailureKind::Malformed, format!("does not answer in HTTP ({})", innermost(hyper)));
        }
        if hyper.is_incomplete_message() {
            return (FailureKind::Unreachable, "the connection was closed before an answer".to_owned());
        }
    }
    if let Some(why) = distrust(error) {
        let remedy = "if its certificate is from an authority of your own, name its file in SSL_CERT_FILE";
        return (FailureKind::Unreachable, format!("its certificate is not trusted ({why}); {remedy}"));
    }
    (FailureKind::Unreachable, innermost(error))
}

/// Returns what is wrong with a certificate, when that is what ended a connection.
fn distrust(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(rustls::Error::InvalidCertificate(why)) = error.downcast_ref() {
            return Some(why.to_string());
        }
        // What an I/O error wraps is not its source, but that error itself.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = wrapped.map_or_else(|| error.source(), |wrapped| Some(wrapped as &(dyn Error + 'static)));
    }
    None
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
