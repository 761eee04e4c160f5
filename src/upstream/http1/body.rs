//! The body of an answer: whoever reads it drives the connection, and gives it back at the end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame};
use hyper::body::Incoming;

use super::connection::Connection;
use super::pool::Pool;
use crate::error::ProxyError;
use crate::upstream::failure::classify;

/// How many bytes a reader gets in a row, before other tasks and its own timers have their turn: what it does with them
/// may take long.
const TURN: usize = 64 * 1024;

/// A body on its way. Dropped before its end, it takes the connection along: the upstream notices that nobody listens.
pub(in crate::upstream) struct Body {
    incoming: Incoming,
    /// Gone once the body has ended.
    connection: Option<Box<Connection>>,
    pool: Arc<Pool>,
    /// Bytes of this turn.
    taken: usize,
    /// How it ended, which is told in the next turn.
    failure: Option<ProxyError>,
}

// === impl Body ===

impl Body {
    /// The body of an answer whose head came over this connection.
    pub(super) fn new(incoming: Incoming, connection: Box<Connection>, pool: &Arc<Pool>) -> Self {
        let mut body = Self {
            incoming,
            connection: Some(connection),
            pool: Arc::clone(pool),
            taken: 0,
            failure: None,
        };
        body.release_if_ended();
        body
    }

    /// How long it is, where that is known beforehand.
    pub(in crate::upstream) fn length(&self) -> Option<u64> {
        self.incoming.size_hint().exact()
    }

    /// The next piece; `None` after the last.
    pub(in crate::upstream) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, ProxyError>>> {
        if self.taken < TURN && self.failure.is_none() {
            match self.poll_next_chunk(cx) {
                Poll::Ready(Some(Ok(chunk))) => {
                    self.taken += chunk.len();
                    return Poll::Ready(Some(Ok(chunk)));
                }
                // What came before is sent on first: whoever is told of the failure may drop it.
                Poll::Ready(Some(Err(failure))) if self.taken > 0 => self.failure = Some(failure),
                other => {
                    self.taken = 0;
                    return other;
                }
            }
        } else if self.taken == 0 {
            return Poll::Ready(self.failure.take().map(Err));
        }
        self.taken = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_next_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ProxyError>>> {
        while let Some(connection) = &mut self.connection {
            let incoming = &mut self.incoming;
            let step = |cx: &mut Context<'_>| Pin::new(&mut *incoming).poll_frame(cx);
            let frame = match ready!(connection.poll(cx, step)) {
                Some(Some(Ok(frame))) => frame,
                Some(Some(Err(error))) => return Poll::Ready(Some(Err(self.fail(&error)))),
                Some(None) => {
                    self.release();
                    return Poll::Ready(None);
                }
                None => {
                    self.connection = None;
                    let lost = ProxyError::ConnectionLost("the connection ended".into());
                    return Poll::Ready(Some(Err(lost)));
                }
            };
            self.release_if_ended();
            // Trailers say nothing that anybody asked for.
            if let Ok(chunk) = Frame::into_data(frame) {
                return Poll::Ready(Some(Ok(chunk)));
            }
        }
        Poll::Ready(None)
    }

    fn fail(&mut self, error: &hyper::Error) -> ProxyError {
        self.connection = None;
        classify(error)
    }

    /// Of a body whose length is known the end is known with its last piece.
    fn release_if_ended(&mut self) {
        if self.incoming.is_end_stream() {
            self.release();
        }
    }

    fn release(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.put(connection);
        }
    }
}
