//! Which of the upstream's headers reach the client.

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};

/// RFC 9110 section 7.6.1, and `keep-alive` and `proxy-connection`, which some servers still send.
pub(crate) const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A header with the upstream's own request id, whose usual name the proxy needs for its own.
const UPSTREAM_REQUEST_ID: HeaderName = HeaderName::from_static("x-upstream-request-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The end-to-end headers, less the cookies and what speaks of the transfer.
pub(super) fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let nominated = nominated(headers);
    let mut kept = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let dropped = HOP_BY_HOP.contains(&name.as_str())
            || name == header::SET_COOKIE
            // The body is framed anew. What reqwest decoded has lost its Content-Encoding already.
            || name == header::CONTENT_LENGTH
            // Which pages may read an answer is for the proxy's operator to say, not for the upstream.
            || name.as_str().starts_with("access-control-")
            || nominated.iter().any(|other| name.as_str().eq_ignore_ascii_case(other));
        if dropped {
            continue;
        }
        let name = if *name == REQUEST_ID {
            UPSTREAM_REQUEST_ID
        } else {
            name.clone()
        };
        kept.append(name, value.clone());
    }
    kept
}

/// The headers that `Connection` declares to be of this connection only.
pub(crate) fn nominated(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        // Byte by byte: one strange name in the list must not hide the others.
        .flat_map(|value: &HeaderValue| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| std::str::from_utf8(name.trim_ascii()).ok())
        .map(str::to_ascii_lowercase)
        .filter(|name| !name.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_end_to_end_headers_only() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "X-Private, close"),
            ("x-private", "1"),
            ("set-cookie", "a=b"),
            ("content-length", "5"),
            ("x-request-id", "r1"),
            ("x-ratelimit-remaining-tokens", "7"),
            ("retry-after", "3"),
            ("access-control-allow-origin", "*"),
            ("transfer-encoding", "chunked"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let kept = end_to_end(&headers);
        let mut names: Vec<_> = kept.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "retry-after",
                "x-ratelimit-remaining-tokens",
                "x-upstream-request-id"
            ]
        );
    }
}
