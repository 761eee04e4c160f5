//! Stops asking an upstream that keeps failing; above the retries, so that a call which a retry saved
//! counts as healthy and an open circuit costs nothing.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::{Stream, StreamExt as _};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::ReplyResult;
use crate::error::ProxyError;
use crate::reply::{Frame, Frames, Reply};
use crate::request::ProxyRequest;
use crate::telemetry::{self, Span};

pub use circuit::{Circuits, Permit, Snapshot};

mod circuit;

/// Makes [`Breaker`] services that share their circuits.
#[derive(Clone)]
pub struct BreakerLayer {
    circuits: Circuits,
}

/// Admits calls by the circuit of their model.
#[derive(Clone)]
pub struct Breaker<S> {
    inner: S,
    circuits: Circuits,
}

pin_project! {
    /// A call that was admitted, or was not.
    #[project = Projection]
    pub enum BreakerFuture<F> {
        /// The circuit let it pass; dropping this gives the place back without a verdict.
        Admitted {
            #[pin]
            call: F,
            permit: Option<Permit>,
            span: Option<Span>,
        },
        /// The circuit is open.
        Rejected { error: Option<ProxyError> },
    }
}

/// A stream whose end is the verdict on its call.
struct Watched {
    frames: Frames,
    permit: Option<Permit>,
}

// === impl BreakerLayer ===

impl BreakerLayer {
    /// Admits by these circuits.
    pub fn new(circuits: Circuits) -> Self {
        Self { circuits }
    }
}

impl<S> Layer<S> for BreakerLayer {
    type Service = Breaker<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Breaker {
            inner,
            circuits: self.circuits.clone(),
        }
    }
}

// === impl Breaker ===

impl<S> Service<ProxyRequest> for Breaker<S>
where
    S: Service<ProxyRequest, Response = Reply, Error = ProxyError>,
{
    type Response = Reply;
    type Error = ProxyError;
    type Future = BreakerFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: ProxyRequest) -> Self::Future {
        let span = request.enter("breaker");
        let model = request.model_name().unwrap_or_else(|| "-".into());
        match self.circuits.admit(&model) {
            Ok(permit) => BreakerFuture::Admitted {
                call: self.inner.call(request),
                permit: Some(permit),
                span,
            },
            Err(retry_after) => {
                let error = ProxyError::CircuitOpen { model, retry_after };
                if let Some(span) = span {
                    span.fail(error.code());
                    span.finish();
                }
                BreakerFuture::Rejected { error: Some(error) }
            }
        }
    }
}

// === impl BreakerFuture ===

impl<F: Future<Output = ReplyResult>> Future for BreakerFuture<F> {
    type Output = ReplyResult;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projection::Rejected { error } => Poll::Ready(Err(error
                .take()
                .unwrap_or(ProxyError::Internal("a future was polled twice")))),
            Projection::Admitted { call, permit, span } => {
                let result = ready!(call.poll(cx));
                let result = settle(result, permit.take());
                Poll::Ready(telemetry::carry(span.take(), result))
            }
        }
    }
}

fn settle(result: ReplyResult, permit: Option<Permit>) -> ReplyResult {
    let Some(permit) = permit else { return result };
    match result {
        Ok(Reply::Stream(mut stream)) if !stream.head.status.is_server_error() => {
            stream.frames = Box::pin(Watched {
                frames: stream.frames,
                permit: Some(permit),
            });
            Ok(Reply::Stream(stream))
        }
        Ok(reply) => {
            // A 4xx and a 429 are answers: the upstream lives.
            permit.settle(!reply.head().status.is_server_error());
            Ok(reply)
        }
        Err(error) => {
            permit.settle_with(error.verdict());
            Err(error)
        }
    }
}

// === impl Watched ===

impl Stream for Watched {
    type Item = Result<Frame, ProxyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.frames.poll_next_unpin(cx));
        match &item {
            // An answer that has begun is proof enough for a probe: others need not wait for its end.
            Some(Ok(Frame::Chunk(_))) => {
                if let Some(permit) = &mut self.permit {
                    permit.answering();
                }
            }
            Some(Ok(Frame::End(_))) => {
                if let Some(permit) = self.permit.take() {
                    permit.settle(true);
                }
            }
            Some(Err(error)) => {
                if let Some(permit) = self.permit.take() {
                    permit.settle_with(error.verdict());
                }
            }
            None => {
                if let Some(permit) = self.permit.take() {
                    permit.settle(false);
                }
            }
        }
        Poll::Ready(item)
    }
}
