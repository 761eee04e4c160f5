//! Reads on what a client still sends when its answer is already decided.
//!
//! A connection that is closed while its client sends is reset, and the reset can overtake the answer: the
//! client then reads "broken pipe" instead of what was wrong.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

/// How long, and how far, is read on.
const LONGEST: Duration = Duration::from_secs(2);
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// A body that does not leave its client standing when it is dropped half read.
pub(super) struct Lingering<B: Rest> {
    body: Option<B>,
    lingers: bool,
}

/// What the rest of a body must be, to be read when nobody wants it.
pub(super) trait Rest: Body<Data = Bytes> + Send + Unpin + 'static {}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Rest for B {}

/// Makes the request's body linger.
pub(super) fn watch<B: Rest>(request: Request<B>) -> Request<Lingering<B>> {
    // A client that waits for leave to send has sent nothing yet, and reading would give it leave.
    let has_come = request.body().is_end_stream();
    let lingers = !has_come && !request.headers().contains_key(header::EXPECT);
    request.map(|body| Lingering {
        body: Some(body),
        lingers,
    })
}

impl<B: Rest> Body for Lingering<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = std::task::ready!(Pin::new(&mut *body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) || body.is_end_stream() {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl<B: Rest> Drop for Lingering<B> {
    fn drop(&mut self) {
        let Some(mut body) = self.body.take().filter(|_| self.lingers) else {
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
