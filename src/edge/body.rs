//! Reads a request's body: not too large, not too slow, of the type that its handler reads.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use crate::config;
use crate::error::ProxyError;

/// How long, and how far, the rest of a body that is too large is read after the answer.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 64 * 1024 * 1024;

/// Reads all of a body.
pub(super) async fn read(request: Request, config: &config::Server) -> Result<Bytes, ProxyError> {
    let limit = config.max_body_bytes;
    let encoding = request.headers().get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| encoding != "identity") {
        let message = "the body must not be compressed: send it without Content-Encoding";
        return Err(ProxyError::reject(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_content_encoding",
            message,
        ));
    }
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    // Said before the first byte is read: the client may not even have begun to send.
    if announced.is_some_and(|length| length > limit as u64) {
        // A client that waits for leave to send has nothing to be read.
        if !request.headers().contains_key(header::EXPECT) {
            linger(request.into_body());
        }
        return Err(too_large(limit));
    }
    timeout(
        config.body_read_timeout,
        collect(request.into_body(), limit),
    )
    .await
    .unwrap_or_else(|_| {
        let message = format!(
            "the body did not arrive within {:?}; send it faster",
            config.body_read_timeout
        );
        Err(ProxyError::reject(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            message,
        ))
    })
}

async fn collect(mut body: Body, limit: usize) -> Result<Bytes, ProxyError> {
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let broken = |_| {
            let message = "the body ended early or broke the HTTP protocol";
            ProxyError::reject(StatusCode::BAD_REQUEST, "incomplete_body", message)
        };
        let Ok(data) = frame.map_err(broken)?.into_data() else {
            continue;
        };
        length += data.len();
        if length > limit {
            linger(body);
            return Err(too_large(limit));
        }
        if first.is_none() && rest.is_empty() {
            first = Some(data);
        } else {
            if let Some(first) = first.take() {
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(first.unwrap_or_else(|| rest.freeze()))
}

/// Reads on for a while and throws it away: a connection that is closed while its client still sends is reset,
/// and the client never reads why.
fn linger(mut body: Body) {
    let rest = async move {
        let mut length = 0;
        while let Some(Ok(frame)) = body.frame().await {
            length += frame.data_ref().map_or(0, Bytes::len);
            if length > LINGER_BYTES {
                break;
            }
        }
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "the response must not wait for it; bounded in time and bytes"
    )]
    tokio::spawn(timeout(LINGER, rest));
}

fn too_large(limit: usize) -> ProxyError {
    let message = format!("the body is larger than server.max_body_bytes = {limit}; send less");
    ProxyError::reject(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
}

/// Whether a body is JSON, or does not say what it is.
pub(super) fn expect_json(headers: &HeaderMap) -> Result<(), ProxyError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    if is_json(value.to_str().unwrap_or_default()) {
        return Ok(());
    }
    let message = "the body must be JSON: send Content-Type: application/json";
    Err(ProxyError::reject(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        message,
    ))
}

pub(super) fn is_json(content_type: &str) -> bool {
    let essence = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}
