//! Flights: a call in a task of its own, and what its readers are told.
//!
//! A flight belongs to nobody. It runs in its own task, so that a leader who hangs up fails no follower; when
//! the last seat is given up, the task is aborted and the upstream call with it. Who joins late reads the
//! log from its beginning and then the rest as it comes.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::StreamExt as _;
use opentelemetry::trace::SpanContext;

use super::air::{self, Air};
use crate::error::ProxyError;
use crate::fingerprint::Fingerprint;
use crate::layers::ReplyResult;
use crate::reply::{self, Ending, Frame, Reply, StreamKind, Streaming, Whole};
use crate::telemetry::Span;

/// All flights that are under way. Cheap to clone.
#[derive(Clone)]
pub struct Flights {
    air: Arc<Air<Fingerprint, Item>>,
}

/// A piece of what a call yields: in whose trace it is, if in any; its head; then, of a stream, its chunks and its end. Boxed where it is rare: a log
/// holds a great many chunks, and each item takes as much room as the largest kind.
#[derive(Clone)]
enum Item {
    Leader(Box<SpanContext>),
    Head(Box<Result<Head, ProxyError>>),
    Chunk(Bytes),
    End(Box<Result<Ending, ProxyError>>),
}

/// The beginning of a flight's reply.
#[derive(Clone)]
pub(super) enum Head {
    /// All of it.
    Whole(Whole),
    /// The frames follow.
    Stream {
        /// Status and headers.
        head: reply::Head,
        /// What the chunks are.
        kind: StreamKind,
    },
}

/// A place in a flight; the last one to be dropped ends it.
pub(super) struct Seat {
    seat: air::Seat<Fingerprint, Item>,
    /// Whether this caller started the flight.
    pub(super) is_leader: bool,
}

type Pilot = air::Pilot<Fingerprint, Item>;

// === impl Flights ===

impl Flights {
    /// A seat in the flight of this fingerprint; where there is none, `call` makes one. Its span, if the caller has one,
    /// is told to all who join it.
    pub(super) fn join_or_start<F>(
        &self,
        fingerprint: Fingerprint,
        span: Option<SpanContext>,
        call: impl FnOnce() -> F,
    ) -> Seat
    where
        F: Future<Output = ReplyResult> + Send + 'static,
    {
        let (seat, pilot) = Air::join(&self.air, fingerprint);
        let is_leader = pilot.is_some();
        if let Some(pilot) = pilot {
            if let Some(span) = span {
                pilot.append(Item::Leader(Box::new(span)));
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "a flight outlives the request that started it; its last seat aborts it"
            )]
            let task = tokio::spawn(fly(pilot, call())).abort_handle();
            seat.when_all_have_left(move || task.abort());
        }
        Seat { seat, is_leader }
    }

    /// How many flights are under way.
    pub fn len(&self) -> usize {
        self.air.len()
    }

    /// How many callers have joined them, those included who started them.
    pub fn callers(&self) -> usize {
        self.air.seats()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for Flights {
    fn default() -> Self {
        Self {
            air: Arc::new(Air::new()),
        }
    }
}

/// Makes the call and tells all seats what it yields. Whatever ends this early, a panic in the call included, the
/// pilot lands the flight when it is dropped.
async fn fly(pilot: Pilot, call: impl Future<Output = ReplyResult>) {
    let Streaming {
        head,
        kind,
        mut frames,
    } = match call.await {
        Ok(Reply::Stream(stream)) => stream,
        Ok(Reply::Whole(whole)) => return pilot.land(Item::head(Ok(Head::Whole(whole)))),
        Err(error) => return pilot.land(Item::head(Err(error))),
    };
    let head = head.detach();
    pilot.append(Item::head(Ok(Head::Stream { head, kind })));
    while let Some(frame) = frames.next().await {
        match frame {
            Ok(Frame::Chunk(chunk)) => pilot.append(Item::Chunk(chunk)),
            Ok(Frame::End(ending)) => return pilot.land(Item::end(Ok(ending))),
            Err(error) => return pilot.land(Item::end(Err(error))),
        }
        poll_fn(|cx| pilot.poll_room(cx)).await;
    }
}

// === impl Item ===

impl Item {
    fn head(head: Result<Head, ProxyError>) -> Self {
        Self::Head(Box::new(head))
    }

    fn end(end: Result<Ending, ProxyError>) -> Self {
        Self::End(Box::new(end))
    }
}

impl air::Item for Item {
    fn weight(&self) -> usize {
        match self {
            Self::Chunk(chunk) => chunk.len(),
            Self::Leader(_) | Self::Head(_) | Self::End(_) => 0,
        }
    }

    fn lost(has_begun: bool) -> Self {
        let error = ProxyError::Internal("the shared call ended without a result");
        if has_begun {
            Self::end(Err(error))
        } else {
            Self::head(Err(error))
        }
    }
}

// === impl Seat ===

impl Seat {
    /// Waits for the head. A follower's span is linked to the leader's.
    pub(super) async fn head(&mut self, span: Option<&Span>) -> Result<Head, ProxyError> {
        const HEADLESS: ProxyError = ProxyError::Internal("a flight without a head");
        loop {
            match poll_fn(|cx| self.seat.poll_next(cx)).await {
                Some(Item::Leader(leader)) => {
                    if let Some(span) = span.filter(|_| !self.is_leader) {
                        span.link(&leader);
                    }
                }
                Some(Item::Head(head)) => return *head,
                // So it is lost if its trace was all that was known of it.
                Some(Item::End(end)) => return end.and(Err(HEADLESS)),
                Some(Item::Chunk(_)) | None => return Err(HEADLESS),
            }
        }
    }

    /// The next frame of a stream, once its head has been read; `None` after the last.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame, ProxyError>>> {
        self.seat.poll_next(cx).map(|item| {
            item.map(|item| match item {
                Item::Chunk(chunk) => Ok(Frame::Chunk(chunk)),
                Item::End(end) => end.map(Frame::End),
                Item::Leader(_) | Item::Head(_) => {
                    Err(ProxyError::Internal("a flight with two heads"))
                }
            })
        })
    }
}
