//! Streams on their way to a client: as server-sent events, or gathered into a whole answer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::time::{Instant, timeout_at};

use super::access::Context as Exchanged;
use super::encoding::IsStream;
use crate::alarm::Alarm;
use crate::chat;
use crate::error::{ProxyError, Slow};
use crate::reply::{Frame, Frames, Worth};

/// After so long without an event a comment goes out, so that nobody between us and the client takes the
/// connection for dead. Shorter than the idle timeouts of common load balancers (60 s), longer than the
/// pauses of a model that writes.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What a caller waits beyond its deadline for the layers below to say why nothing came.
const LAST_WORD: Duration = Duration::from_millis(100);

/// How one dialect writes a stream.
pub(super) trait Encode: Send + 'static {
    /// One chunk of the upstream's, to as many events as it takes.
    fn chunk(&mut self, data: &Bytes, out: &mut BytesMut);
    /// The end of a complete stream.
    fn end(&mut self, worth: Worth, out: &mut BytesMut);
    /// The end of a stream that broke: it must not look finished.
    fn error(&mut self, error: &ProxyError, out: &mut BytesMut);
}

/// The body of a stream that arrives.
pub(super) fn relay(context: &Exchanged, frames: Frames, encoder: impl Encode + Unpin) -> Body {
    Body::from_stream(Relay {
        frames: Some(frames),
        encoder,
        speechless: Some(context.clone()),
        silence: Alarm::new(Instant::now() + KEEP_ALIVE),
    })
}

/// A stream of a client's events.
struct Relay<E> {
    /// Gone once the stream is over.
    frames: Option<Frames>,
    encoder: E,
    /// Until the first event.
    speechless: Option<Exchanged>,
    silence: Alarm,
}

impl<E: Encode + Unpin> Stream for Relay<E> {
    type Item = Result<Bytes, ProxyError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self {
            frames,
            encoder,
            speechless,
            silence,
        } = self.get_mut();
        let mut out = BytesMut::new();
        while out.is_empty() {
            let Some(arriving) = frames else {
                return Poll::Ready(None);
            };
            match arriving.as_mut().poll_next(cx) {
                Poll::Pending => {
                    ready!(silence.poll(cx));
                    out.extend_from_slice(b": keep-alive\n");
                }
                Poll::Ready(Some(Ok(Frame::Chunk(data)))) => {
                    encoder.chunk(&data, &mut out);
                    if let Some(context) = speechless.take() {
                        context.note_first_token();
                    }
                }
                Poll::Ready(Some(Ok(Frame::End(ending)))) => {
                    encoder.end(ending.worth.unwrap_or_default(), &mut out);
                    *frames = None;
                }
                Poll::Ready(Some(Err(error))) => {
                    encoder.error(&error, &mut out);
                    *frames = None;
                }
                Poll::Ready(None) => {
                    let error = ProxyError::ConnectionLost("the stream ended early".into());
                    encoder.error(&error, &mut out);
                    *frames = None;
                }
            }
            silence.set(Instant::now() + KEEP_ALIVE);
        }
        Poll::Ready(Some(Ok(out.freeze())))
    }
}

/// A response of server-sent events.
pub(super) fn response(mut headers: HeaderMap, body: Body) -> Response {
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // nginx in front of us would gather the events otherwise.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::OK;
    *response.headers_mut() = headers;
    response.extensions_mut().insert(IsStream);
    response
}

/// Waits for the end of a stream and makes the whole answer of it.
pub(super) async fn gather(
    mut frames: Frames,
    deadline: Instant,
) -> Result<(Bytes, Worth), ProxyError> {
    let all = async {
        let mut chunks = Vec::new();
        loop {
            match frames.next().await {
                Some(Ok(Frame::Chunk(chunk))) => chunks.push(chunk),
                Some(Ok(Frame::End(ending))) => return Ok((chunks, ending)),
                Some(Err(error)) => return Err(error),
                None => return Err(ProxyError::ConnectionLost("the stream ended early".into())),
            }
        }
    };
    // Where the upstream itself is late, its own timer speaks first, so that the breaker hears of it.
    let (chunks, ending) = timeout_at(deadline + LAST_WORD, all)
        .await
        .map_err(|_| ProxyError::Timeout(Slow::Total))??;
    let worth = ending.worth.unwrap_or_default();
    let whole = match ending.whole {
        Some(whole) => whole,
        None => chat::whole_of(&chunks, worth.usage)
            .map_err(|invalid| ProxyError::InvalidAnswer(invalid.reason().into()))?,
    };
    // Chunks that are good one by one may still say nothing together.
    chat::read_answer(&whole)
        .map_err(|invalid| ProxyError::InvalidAnswer(invalid.reason().into()))?;
    Ok((whole, worth))
}
