//! Names of HTTP headers that are not the user's to set.

/// Headers that belong to a connection, to the body of a request or to its trace, in small letters: one from a file would
/// break a request, or say something else than what is sent.
pub const FRAMING_HEADERS: [&str; 18] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
