//! One upstream call for identical requests in flight (request coalescing, single-flight), whole and
//! streaming callers mixed.

use std::task::{Context, Poll};

use futures_util::stream::poll_fn;
use tower::{Layer, Service, ServiceExt as _};

use super::{ReplyFuture, ReplyResult};
use crate::error::ProxyError;
use crate::reply::{Provenance, Reply, Streaming};
use crate::request::ProxyRequest;
use crate::telemetry::{self, Span};

pub use flight::Flights;
use flight::{Head, Seat};

mod air;
mod flight;
#[cfg(test)]
mod tests;

/// What [`air`] is built on; `tests/loom.rs` has others under these names.
mod sync {
    pub(super) use std::sync::Arc;

    pub(super) use parking_lot::Mutex;
}

/// Headers in which an upstream names the trace of the request that it answers.
pub(super) const OF_THE_TRACE: [&str; 3] = ["traceparent", "traceresponse", "tracestate"];

/// Makes [`Dedup`] services that share their flights.
#[derive(Clone)]
pub struct DedupLayer {
    flights: Flights,
}

/// Lets identical requests share one call.
#[derive(Clone)]
pub struct Dedup<S> {
    inner: S,
    flights: Flights,
}

// === impl DedupLayer ===

impl DedupLayer {
    /// Shares these flights.
    pub fn new(flights: Flights) -> Self {
        Self { flights }
    }
}

impl<S> Layer<S> for DedupLayer {
    type Service = Dedup<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Dedup {
            inner,
            flights: self.flights.clone(),
        }
    }
}

// === impl Dedup ===

impl<S> Service<ProxyRequest> for Dedup<S>
where
    S: Service<ProxyRequest, Response = Reply, Error = ProxyError> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Reply;
    type Error = ProxyError;
    type Future = ReplyFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: ProxyRequest) -> Self::Future {
        // Who wants an answer of its own shares none.
        let shareable = !request.parts().cache_control.is_bypass();
        let Some(fingerprint) = request.fingerprint().filter(|_| shareable) else {
            return Box::pin(self.inner.call(request));
        };
        let clone = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, clone);
        let span = request.enter("dedup");
        let leader = span.as_ref().map(|span| span.context().clone());
        // Joined here and not in the future: a request counts from when it arrives, not from its first poll.
        let seat = self
            .flights
            .join_or_start(fingerprint, leader, || ready.oneshot(request));
        // No timer: the flight has its leader's deadline, which no follower's precedes, and its own end is
        // what the breaker learns from.
        Box::pin(async {
            let result = seat.into_reply(span.as_ref()).await;
            telemetry::carry(span, result)
        })
    }
}

// === impl Seat ===

impl Seat {
    /// Waits for the head, and for all of it where the flight carries a whole reply.
    async fn into_reply(mut self, span: Option<&Span>) -> ReplyResult {
        let is_leader = self.is_leader;
        if let Some(span) = span {
            let role = if is_leader { "leader" } else { "follower" };
            span.set("pegasus.dedup.role", role);
        }
        let mut reply = match self.head(span).await? {
            Head::Whole(whole) => Reply::Whole(whole),
            Head::Stream { head, kind } => {
                let frames = Box::pin(poll_fn(move |cx| self.poll_frame(cx)));
                Reply::Stream(Streaming { head, kind, frames })
            }
        };
        if !is_leader {
            let head = reply.head_mut();
            if matches!(head.provenance, Provenance::Miss { .. }) {
                head.provenance = Provenance::Coalesced { across: false };
            }
            // What an upstream says about the trace of the call is for the leader alone.
            for name in OF_THE_TRACE {
                head.headers.remove(name);
            }
        }
        Ok(reply)
    }
}
