//! Which of the client's headers go upstream, and which the client gets from the proxy itself.

use std::time::Duration;

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::compressor::Level;
use crate::error::ProxyError;
use crate::reply::Provenance;
use crate::request::{Stage, Timings};
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

/// By it an upstream knows a call that is sent again, and gives the same answer.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const COMPRESSION: HeaderName = HeaderName::from_static("x-pegasus-compression");
const TOKENS_SAVED: HeaderName = HeaderName::from_static("x-pegasus-tokens-saved");
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// What a request may wish of the proxy.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it is the description of what is read of headers")]
pub(super) struct Wishes {
    /// RFC 9111: `no-cache` asks the model anew, `no-store` keeps nothing, `max-age=60` takes no older answer, and
    /// `only-if-cached` asks nobody (504 where nothing is stored).
    #[param(rename = "Cache-Control", example = "no-cache")]
    cache_control: Option<String>,
    /// How much is compressed: `off`, `safe`, `balanced` or `aggressive`.
    #[param(
        rename = "X-Pegasus-Compression",
        example = "safe",
        pattern = "^(off|safe|balanced|aggressive)$"
    )]
    compression: Option<String>,
    /// An id for the log and the answer; another one is made where this one is not fit for it.
    #[param(rename = "X-Request-Id", example = "order-4711")]
    request_id: Option<String>,
}

/// The headers that may go upstream: those on the list, and those that the operator added.
pub(super) fn forwarded<'h>(
    headers: &'h HeaderMap,
    extra: &[HeaderName],
) -> impl Iterator<Item = (&'h HeaderName, &'h HeaderValue)> {
    let nominated = nominated(headers);
    headers.iter().filter(move |(name, _)| {
        let text = name.as_str();
        let allowed = ALLOWED.contains(&text)
            || ALLOWED_PREFIXES
                .iter()
                .any(|prefix| text.starts_with(prefix))
            || extra.contains(name);
        allowed && !nominated.iter().any(|other| other == text)
    })
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
    timings: &Timings,
    provenance: Provenance,
    tokens_saved: u64,
    total: Duration,
) {
    headers.insert(X_CACHE, HeaderValue::from_static(provenance.x_cache()));
    let mut text = String::with_capacity(MAX_TIMING);
    // A string takes all that is written to it.
    let _ = provenance.write_cache_status(&mut text);
    insert(headers, CACHE_STATUS, &text);
    // An upstream's own Age speaks of a cache that is not ours.
    headers.remove(header::AGE);
    if let Some(age) = provenance.age() {
        headers.insert(header::AGE, age.as_secs().into());
    }
    text.clear();
    tell_figures(
        headers,
        text,
        &STAGES.map(|stage| timings.of(stage)),
        tokens_saved,
        total,
    );
}

/// Tells the client of a batch what its requests saved and took together.
pub(super) fn tell_batch(
    headers: &mut HeaderMap,
    took: &[Duration; 3],
    tokens_saved: u64,
    total: Duration,
) {
    tell_figures(
        headers,
        String::with_capacity(MAX_TIMING),
        took,
        tokens_saved,
        total,
    );
}

fn tell_figures(
    headers: &mut HeaderMap,
    mut text: String,
    took: &[Duration; 3],
    tokens_saved: u64,
    total: Duration,
) {
    headers.insert(TOKENS_SAVED, tokens_saved.into());
    let [compress, cache, upstream] = *took;
    for (name, duration) in [
        ("compress;dur=", compress),
        (", cache;dur=", cache),
        (", upstream;dur=", upstream),
        (", total;dur=", total),
    ] {
        text.push_str(name);
        push_millis(&mut text, duration);
    }
    insert(headers, SERVER_TIMING, &text);
}

/// The stages that clients are told of.
pub(super) const STAGES: [Stage; 3] = [Stage::Compress, Stage::Cache, Stage::Upstream];

/// Room for the longest of our own values.
const MAX_TIMING: usize = 128;

/// Writes a duration in milliseconds with three decimals.
fn push_millis(text: &mut String, duration: Duration) {
    // As u64: longer numbers are divided in software.
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let mut buffer = itoa::Buffer::new();
    text.push_str(buffer.format(micros / 1_000));
    // Three digits behind a one that is left out.
    text.push('.');
    text.push_str(&buffer.format(1_000 + micros % 1_000)[1..]);
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
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
        let extra = [HeaderName::from_static("x-mine")];
        let kept = forwarded(&headers, &extra);
        let mut names: Vec<_> = kept.map(|(name, _)| name.as_str()).collect();
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
    fn durations_are_milliseconds() {
        let written = |micros| {
            let mut text = String::new();
            push_millis(&mut text, Duration::from_micros(micros));
            text
        };
        assert_eq!(
            [0, 7, 40, 999, 1_000, 12_345_678].map(written),
            ["0.000", "0.007", "0.040", "0.999", "1.000", "12345.678"]
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
