//! A response's body on its way out, and what lasts until it has ended.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http::Response;
use http_body::{Frame, SizeHint};

use super::Place;
use super::access::Line;

/// A response as it leaves the edge.
pub(super) type Answer = Response<Outgoing>;

/// A body, the place of its request among those that are worked on, and its line in the log. Both end with it, whether it
/// was read to its end or dropped.
pub(super) struct Outgoing {
    content: Content,
    place: Option<Place>,
    line: Option<Line>,
}

/// Bytes that are there already need no box and no virtual calls.
enum Content {
    Whole(Bytes),
    Other(Body),
}

impl Outgoing {
    /// The place is given back when the body has ended.
    pub(super) fn holding(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// The line is written when the body has ended.
    pub(super) fn told_by(mut self, mut line: Line) -> Self {
        // hyper does not ask a body that is empty from the start.
        if self.is_end_stream() {
            line.complete();
        }
        self.line = Some(line);
        self
    }

    fn end(&mut self) {
        if let Some(mut line) = self.line.take() {
            line.complete();
        }
        self.place = None;
    }
}

impl From<Bytes> for Outgoing {
    fn from(bytes: Bytes) -> Self {
        Self {
            content: Content::Whole(bytes),
            place: None,
            line: None,
        }
    }
}

impl From<Body> for Outgoing {
    fn from(body: Body) -> Self {
        Self {
            content: Content::Other(body),
            place: None,
            line: None,
        }
    }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = match &mut self.content {
            Content::Whole(bytes) if bytes.is_empty() => None,
            Content::Whole(bytes) => Some(Ok(Frame::data(std::mem::take(bytes)))),
            Content::Other(body) => ready!(Pin::new(body).poll_frame(cx)),
        };
        // hyper does not ask again once a body says that it is at its end.
        if frame.is_none() || self.is_end_stream() {
            self.end();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Other(body) => body.size_hint(),
        }
    }
}
