//! What a failed exchange means, in the proxy's own words: reqwest's would name URLs.

use std::error::Error;

use crate::error::{ProxyError, Slow};

/// Classifies an error of the client library.
pub(super) fn classify(error: &reqwest::Error) -> ProxyError {
    if error.is_connect() {
        return if error.is_timeout() {
            ProxyError::Timeout(Slow::Connect)
        } else {
            ProxyError::Unreachable(innermost(error).into())
        };
    }
    if error.is_builder() {
        return ProxyError::InvalidAnswer("the request cannot be put into a URL".into());
    }
    let protocol = causes(error).find_map(|cause| cause.downcast_ref::<hyper::Error>());
    if protocol.is_some_and(hyper::Error::is_parse) {
        return ProxyError::InvalidAnswer("it broke the HTTP protocol".into());
    }
    let is_transport = protocol.is_some() || causes(error).any(is_connection_io);
    if error.is_decode() && !is_transport {
        return ProxyError::InvalidAnswer("its body could not be decompressed".into());
    }
    ProxyError::ConnectionLost(innermost(error).into())
}

/// A decoder's complaint about bad data is an `io::Error` as well; these kinds are the socket's own.
fn is_connection_io(cause: &(dyn Error + 'static)) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    cause
        .downcast_ref::<std::io::Error>()
        .is_some_and(|io| matches!(io.kind(), BrokenPipe | ConnectionAborted | ConnectionReset))
}

fn causes<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

/// The root of the matter ("connection refused"), which the wrappings around it only repeat.
fn innermost(error: &reqwest::Error) -> String {
    causes(error)
        .last()
        .map_or_else(|| "the exchange failed".to_owned(), ToString::to_string)
}
