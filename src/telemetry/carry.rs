//! Spans that end with a reply, whenever that is.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::{Stream, StreamExt as _};

use super::Span;
use crate::error::ProxyError;
use crate::layers::ReplyResult;
use crate::reply::{Frame, Frames, Reply, Streaming};

/// A stream whose span ends with it.
struct Traced {
    // Before the span, about which what is dropped with it may still have something to say.
    frames: Frames,
    span: Option<Span>,
}

/// Ends a span, if there is one, with a reply: now with one that is whole, or none; of a stream when its last frame is
/// passed on, or when nobody reads it any more.
pub(crate) fn carry(span: Option<Span>, result: ReplyResult) -> ReplyResult {
    let Some(span) = span else { return result };
    match result {
        Ok(Reply::Stream(stream)) => {
            let traced = Traced {
                frames: stream.frames,
                span: Some(span),
            };
            Ok(Reply::Stream(Streaming {
                frames: Box::pin(traced),
                ..stream
            }))
        }
        Ok(whole) => {
            span.finish();
            Ok(whole)
        }
        Err(error) => {
            end_with(span, &error);
            Err(error)
        }
    }
}

fn end_with(span: Span, error: &ProxyError) {
    span.fail(error.code());
    span.finish();
}

// === impl Traced ===

impl Stream for Traced {
    type Item = Result<Frame, ProxyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.frames.poll_next_unpin(cx));
        match &item {
            Some(Ok(Frame::Chunk(_))) => {
                if let Some(span) = &mut self.span {
                    span.note_first();
                }
            }
            Some(Ok(Frame::End(_))) => {
                if let Some(span) = self.span.take() {
                    span.finish();
                }
            }
            Some(Err(error)) => {
                if let Some(span) = self.span.take() {
                    end_with(span, error);
                }
            }
            // Dropped without its end, it was broken off.
            None => self.span = None,
        }
        Poll::Ready(item)
    }
}
