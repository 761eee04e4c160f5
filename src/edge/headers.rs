//! Which of the client's headers go upstream, and which the client gets from the proxy itself.

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::Instant;

use crate::compressor::Level;
use crate::error::ProxyError;
use crate::reply::Provenance;
use crate::request::{ProxyRequest, Stage};
use crate::upstream::nominated;

const ALLOWED: [&str; 8] = [
    "accept",
    "content-type",
    "user-agent",
    "idempotency-key",
    "http-referer",
    "x-title",
    "traceparent",
    "tracestate",
];
const ALLOWED_PREFIXES: [&str; 4] = ["openai-", "anthropic-", "x-stainless-", "x-openrouter-"];

const COMPRESSION: HeaderName = HeaderName::from_static("x-pegasus-compression");
const TOKENS_SAVED: HeaderName = HeaderName::from_static("x-pegasus-tokens-saved");
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// The headers that may go upstream: those on the list, and those that the operator added.
pub(super) fn forwarded(headers: &HeaderMap, extra: &[HeaderName]) -> HeaderMap {
    let nominated = nominated(headers);
    let mut kept = HeaderMap::new();
    for (name, value) in headers {
        let text = name.as_str();
        let allowed = ALLOWED.contains(&text)
            || ALLOWED_PREFIXES
                .iter()
                .any(|prefix| text.starts_with(prefix))
            || extra.contains(name);
        if allowed && !nominated.iter().any(|other| other == text) {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}

/// The compression level that the request itself asks for.
pub(super) fn level(headers: &HeaderMap) -> Result<Option<Level>, ProxyError> {
    let Some(value) = headers.get(COMPRESSION) else {
        return Ok(None);
    };
    let level = value
        .to_str()
        .ok()
        .and_then(|word| word.trim().to_ascii_lowercase().parse().ok());
    level.map(Some).ok_or_else(|| {
        let message = "X-Pegasus-Compression must be off, safe, balanced or aggressive";
        ProxyError::reject(StatusCode::BAD_REQUEST, "invalid_header", message)
    })
}

/// Tells the client where its answer came from and what it took.
pub(super) fn tell(
    headers: &mut HeaderMap,
    request: &ProxyRequest,
    provenance: Provenance,
    tokens_saved: u64,
    begun: Instant,
) {
    headers.insert(X_CACHE, HeaderValue::from_static(provenance.x_cache()));
    insert(headers, CACHE_STATUS, &provenance.cache_status());
    // An upstream's own Age speaks of a cache that is not ours.
    headers.remove(header::AGE);
    if let Some(age) = provenance.age() {
        headers.insert(header::AGE, age.as_secs().into());
    }
    headers.insert(TOKENS_SAVED, tokens_saved.into());
    let ms = |stage| request.timings().of(stage).as_secs_f64() * 1_000.0;
    let timing = format!(
        "compress;dur={:.3}, cache;dur={:.3}, upstream;dur={:.3}, total;dur={:.3}",
        ms(Stage::Compress),
        ms(Stage::Cache),
        ms(Stage::Upstream),
        begun.elapsed().as_secs_f64() * 1_000.0,
    );
    insert(headers, SERVER_TIMING, &timing);
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_headers_go_up() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("accept", "application/json"),
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("openai-organization", "o"),
            ("x-stainless-lang", "js"),
            ("x-forwarded-for", "1.2.3.4"),
            ("traceparent", "00-1"),
            ("connection", "traceparent"),
            ("x-mine", "1"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let kept = forwarded(&headers, &[HeaderName::from_static("x-mine")]);
        let mut names: Vec<_> = kept.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "accept",
                "openai-organization",
                "x-mine",
                "x-stainless-lang"
            ]
        );
    }

    #[test]
    fn a_bad_level_is_an_error_that_lists_the_good_ones() {
        let mut headers = HeaderMap::new();
        headers.insert(COMPRESSION, "Safe".parse().unwrap());
        assert_eq!(level(&headers).unwrap(), Some(Level::Safe));
        headers.insert(COMPRESSION, "max".parse().unwrap());
        assert!(
            level(&headers)
                .unwrap_err()
                .to_string()
                .contains("balanced")
        );
    }
}
