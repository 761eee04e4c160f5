//! Turns away what hyper lets pass although RFC 9112 does not, before anybody can read it in another way.

use std::net::Ipv6Addr;

use axum::response::Response;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Version, header};

use super::dialect::failure;
use crate::error::ProxyError;

/// The refusal of a request whose Host or Transfer-Encoding is not what it must be. It ends the connection: what
/// comes behind such a request may be part of it.
pub(super) fn refuse<B>(request: &Request<B>) -> Option<Response> {
    let error = fault(request.headers(), request.version())?;
    let mut response = failure(&error);
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    Some(response)
}

fn fault(headers: &HeaderMap, version: Version) -> Option<ProxyError> {
    let mut encodings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let is_chunked = encodings
        .next()
        .is_none_or(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    // hyper looks at the last coding alone, and would pass on the others as part of the body.
    if !is_chunked || encodings.next().is_some() {
        let message = "the only Transfer-Encoding that is understood is chunked, once";
        return Some(ProxyError::reject(
            StatusCode::NOT_IMPLEMENTED,
            "unsupported_transfer_encoding",
            message,
        ));
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let is_good = match (hosts.next(), hosts.next()) {
        (Some(host), None) => is_host(host.as_bytes()),
        (None, _) => version < Version::HTTP_11,
        (Some(_), Some(_)) => false,
    };
    if is_good {
        return None;
    }
    let message =
        "a request must have exactly one Host header, with a host and no more than its port";
    Some(ProxyError::reject(
        StatusCode::BAD_REQUEST,
        "bad_host",
        message,
    ))
}

/// Whether this is `host` or `host:port` (RFC 9110 section 7.2).
fn is_host(value: &[u8]) -> bool {
    let Ok(authority) = Authority::try_from(value) else {
        return false;
    };
    let (host, whole) = (authority.host(), authority.as_str());
    if let Some(literal) = host.strip_prefix('[') {
        let address = literal.trim_end_matches(']').parse::<Ipv6Addr>();
        if address.is_err() {
            return false;
        }
    }
    let has_good_port = match whole.strip_prefix(host) {
        Some("" | ":") => true,
        Some(_) => authority.port_u16().is_some(),
        // Somebody's name before the host.
        None => false,
    };
    !host.is_empty() && has_good_port
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_host_and_at_most_a_port() {
        for good in [
            "a",
            "a.b:80",
            "localhost",
            "127.0.0.1:3000",
            "[::1]:1",
            "a:",
            "A-b_c",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":80",
            "[]",
            "[zz]:1",
            "[::1",
            "[1.2.3.4]",
            "a b",
            "a, b",
            "a/b",
            "a?b",
            "x@a",
            "@a",
            "a:99999",
            "a:b",
            "a:1:2",
            "é",
            "http://a",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }
}
