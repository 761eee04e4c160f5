//! Reads a request's body: not too large, not too slow, of the type that its handler reads.

use std::pin::pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use http::{HeaderMap, StatusCode, header};
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::config;
use crate::error::ProxyError;

/// Bytes of bodies that may be half read at once, all clients together.
const ROOM: usize = 256 * 1024 * 1024;
/// Room is given out in pieces of so many bytes.
const PIECE: usize = 64 * 1024;

/// The room for bodies that are being read; the largest one that is allowed always fits.
pub(super) fn room(max_body_bytes: usize) -> Arc<Semaphore> {
    let pieces = (ROOM.max(max_body_bytes) / PIECE).min(Semaphore::MAX_PERMITS);
    Arc::new(Semaphore::new(pieces))
}

/// Takes room for what has come so far; small bodies fit into what a connection costs anyway.
fn take_room(
    taken: &mut Option<OwnedSemaphorePermit>,
    length: usize,
    room: &Arc<Semaphore>,
) -> Result<(), ProxyError> {
    let held = taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
    let missing = u32::try_from((length / PIECE).saturating_sub(held)).unwrap_or(u32::MAX);
    if missing == 0 {
        return Ok(());
    }
    let more = Arc::clone(room)
        .try_acquire_many_owned(missing)
        .map_err(|_| ProxyError::BodiesFull)?;
    match taken {
        Some(taken) => taken.merge(more),
        None => *taken = Some(more),
    }
    Ok(())
}

/// Reads all of a body.
pub(super) async fn read<B: Body<Data = Bytes> + Unpin>(
    headers: &HeaderMap,
    body: B,
    config: &config::Server,
    room: &Arc<Semaphore>,
) -> Result<Bytes, ProxyError> {
    let limit = config.max_body_bytes;
    let encodings = headers.get_all(header::CONTENT_ENCODING);
    if encodings
        .iter()
        .any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        let message = "the body must not be compressed: send it without Content-Encoding";
        return Err(ProxyError::reject(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_content_encoding",
            message,
        ));
    }
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    // Said before the first byte is read: the client may not even have begun to send.
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large(limit));
    }
    let mut collected = pin!(collect(body, limit, room));
    // Most bodies came with their heads, and need no clock.
    if let Some(body) = collected.as_mut().now_or_never() {
        return body;
    }
    timeout(config.body_read_timeout, collected)
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

async fn collect<B: Body<Data = Bytes> + Unpin>(
    mut body: B,
    limit: usize,
    room: &Arc<Semaphore>,
) -> Result<Bytes, ProxyError> {
    let mut taken: Option<OwnedSemaphorePermit> = None;
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let broken = |_: B::Error| {
            let message = "the body ended early or broke the HTTP protocol";
            ProxyError::reject(StatusCode::BAD_REQUEST, "incomplete_body", message)
        };
        let Ok(data) = frame.map_err(broken)?.into_data() else {
            continue;
        };
        length += data.len();
        if length > limit {
            return Err(too_large(limit));
        }
        take_room(&mut taken, length, room)?;
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
