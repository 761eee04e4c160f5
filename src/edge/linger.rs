//! Reads on what a client still sends when its answer is already decided.
//!
//! A connection that is closed while its client sends is reset, and the reset can overtake the answer: the
//! client then reads "broken pipe" instead of what was wrong.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use bytes::Bytes;
use http::header;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

/// How long, and how far, is read on.
const LONGEST: Duration = Duration::from_secs(2);
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// A body that does not leave its client standing when it is dropped half read.
struct Lingering(Option<Body>);

/// Makes the request's body linger.
pub(super) fn watch(request: Request) -> Request {
    // A client that waits for leave to send has sent nothing yet, and reading would give it leave.
    if request.body().is_end_stream() || request.headers().contains_key(header::EXPECT) {
        return request;
    }
    request.map(|body| Body::new(Lingering(Some(body))))
}

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let frame = std::task::ready!(Pin::new(&mut *body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) || body.is_end_stream() {
            self.0 = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let Some(mut body) = self.0.take() else {
            return;
        };
        let rest = async move {
            let mut read = 0;
            while let Some(Ok(frame)) = body.frame().await {
                read += frame.data_ref().map_or(0, Bytes::len);
                if read > MOST_BYTES {
                    break;
                }
            }
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the answer must not wait for it; bounded in time and bytes, and over with the connection"
        )]
        tokio::spawn(timeout(LONGEST, rest));
    }
}
