//! What a failed exchange means, in the proxy's own words: reqwest's would name URLs.

use std::error::Error;
use std::io;

use super::http1::Headless;
use crate::error::{ProxyError, Slow};

/// Classifies an error of reqwest or hyper.
pub(super) fn classify(error: &(dyn Error + 'static)) -> ProxyError {
    let client = error.downcast_ref::<reqwest::Error>();
    // What hyper says of itself names nothing.
    let cause = if client.is_some() {
        error.source()
    } else {
        Some(error)
    };
    if let Some(client) = client {
        if client.is_connect() {
            return if client.is_timeout() {
                ProxyError::Timeout(Slow::Connect)
            } else {
                ProxyError::Unreachable(innermost(cause).into())
            };
        }
        if client.is_builder() {
            return ProxyError::InvalidAnswer("the request cannot be put into a URL".into());
        }
    }
    if chain(cause).any(is_headless) {
        return ProxyError::InvalidAnswer("no end of informational answers came".into());
    }
    let protocol = chain(cause).find_map(|cause| cause.downcast_ref::<hyper::Error>());
    if protocol.is_some_and(hyper::Error::is_parse) {
        return ProxyError::InvalidAnswer("it broke the HTTP protocol".into());
    }
    let is_transport = protocol.is_some() || chain(cause).any(is_connection_io);
    if client.is_some_and(reqwest::Error::is_decode) && !is_transport {
        return ProxyError::InvalidAnswer("its body could not be decompressed".into());
    }
    ProxyError::ConnectionLost(innermost(cause).into())
}

/// What it means that no connection could be opened.
pub(super) fn unreachable(error: &(dyn Error + 'static)) -> ProxyError {
    if chain(Some(error)).any(is_timeout) {
        ProxyError::Timeout(Slow::Connect)
    } else {
        ProxyError::Unreachable(innermost(Some(error)).into())
    }
}

/// A decoder's complaint about bad data is an `io::Error` as well; these kinds are the socket's own.
fn is_connection_io(cause: &(dyn Error + 'static)) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    cause
        .downcast_ref::<io::Error>()
        .is_some_and(|io| matches!(io.kind(), BrokenPipe | ConnectionAborted | ConnectionReset))
}

/// The kernel's own patience with a connection can end before ours.
fn is_timeout(cause: &(dyn Error + 'static)) -> bool {
    let io = cause.downcast_ref::<io::Error>();
    io.is_some_and(|io| io.kind() == io::ErrorKind::TimedOut)
}

/// An `io::Error` is not what it contains, nor is that among its causes.
fn is_headless(cause: &(dyn Error + 'static)) -> bool {
    let inner = cause
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    inner
        .and_then(|inner| inner.downcast_ref::<Headless>())
        .is_some()
}

/// An error and its causes, the root last.
fn chain<'a>(
    first: Option<&'a (dyn Error + 'static)>,
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(first, |cause| (*cause).source())
}

/// The root of the matter ("connection refused"), which the wrappings around it only repeat.
fn innermost(first: Option<&(dyn Error + 'static)>) -> String {
    chain(first)
        .last()
        .map_or_else(|| "the exchange failed".to_owned(), ToString::to_string)
}
