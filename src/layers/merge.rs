//! Makes one call of several for embeddings that come at the same time (micro-batching).
//!
//! The first of them waits for `batch.window`; who comes meanwhile and asks for the same kind of embedding goes with it. The
//! call belongs to nobody: a client that leaves before it takes its inputs with it, and the last one to leave ends it. Each
//! gets what its own call would have brought, and pays its share. An answer that cannot be taken apart, or a refusal that
//! may be about one input, is nobody's: then each is asked by itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::Either;
use opentelemetry::trace::SpanContext;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tower::{Layer, Service};

use super::{ReplyFuture, ReplyResult};
use crate::config;
use crate::error::ProxyError;
use crate::fingerprint::{self, Fingerprint};
use crate::metering::Metrics;
use crate::reply::Reply;
use crate::request::ProxyRequest;
use crate::telemetry;

use crew::{Crew, Member};

mod crew;
mod load;

/// A merged call has no more text than this (bytes): a token is a byte at least, and OpenAI takes 300,000 tokens at once.
const MAX_BYTES: usize = 256 * 1024;

/// Makes [`Merge`] services that share their calls.
#[derive(Clone)]
pub struct MergeLayer {
    shared: Arc<Shared>,
}

/// Lets calls for embeddings go together.
#[derive(Clone)]
pub struct Merge<S> {
    inner: S,
    shared: Arc<Shared>,
}

struct Shared {
    window: Duration,
    max_inputs: usize,
    metrics: Arc<Metrics>,
    gatherings: Mutex<Gatherings>,
}

/// Calls that wait for others, by what they must have in common.
#[derive(Default)]
struct Gatherings {
    open: HashMap<Fingerprint, Gathering>,
    /// How many there were so far.
    count: u64,
}

struct Gathering {
    number: u64,
    members: Vec<Member>,
    inputs: usize,
    bytes: usize,
    /// Has the members depart before their time.
    depart: oneshot::Sender<Vec<Member>>,
}

/// What a member gets.
struct Parcel {
    result: ReplyResult,
    /// How many calls became one.
    calls: usize,
    /// The span of the one that went first.
    leader: Option<SpanContext>,
}

// === impl MergeLayer ===

impl MergeLayer {
    /// Merges calls that come within a window, up to a number of inputs.
    pub fn new(config: &config::Batch, metrics: Arc<Metrics>) -> Self {
        let shared = Shared {
            window: config.window,
            max_inputs: config.max_inputs,
            metrics,
            gatherings: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }
}

impl<S> Layer<S> for MergeLayer {
    type Service = Merge<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Merge {
            inner,
            shared: Arc::clone(&self.shared),
        }
    }
}

// === impl Merge ===

impl<S> Service<ProxyRequest> for Merge<S>
where
    S: Service<ProxyRequest, Response = Reply, Error = ProxyError> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    type Response = Reply;
    type Error = ProxyError;
    type Future = Either<S::Future, ReplyFuture>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: ProxyRequest) -> Self::Future {
        let Some(ask) = request.embeddings() else {
            return Either::Left(self.inner.call(request));
        };
        let inputs = ask.inputs().len();
        let bytes = ask.inputs().iter().map(Bytes::len).sum();
        // It is full by itself.
        if inputs >= self.shared.max_inputs || bytes >= MAX_BYTES {
            return Either::Left(self.inner.call(request));
        }
        let parts = request.parts();
        let key = fingerprint::call(
            parts.scope,
            parts.authorization.as_ref(),
            &parts.path,
            &parts.headers,
            ask.fields(),
            ask.kind(),
        );
        let span = request.enter("merge");
        let (reply, parcel) = oneshot::channel();
        let member = Member { request, reply };
        // Now and not in the future: a call counts from when it arrives, not from its first poll.
        Arc::clone(&self.shared).join(key, member, inputs, bytes, &self.inner);
        Either::Right(Box::pin(async move {
            let Ok(parcel) = parcel.await else {
                let lost = ProxyError::Internal("the merged call ended without a result");
                return telemetry::carry(span, Err(lost));
            };
            if let Some(span) = &span {
                span.set_number("pegasus.merge.calls", parcel.calls as u64);
                if let Some(leader) = parcel.leader.filter(|leader| leader != span.context()) {
                    span.link(&leader);
                }
            }
            telemetry::carry(span, parcel.result)
        }))
    }
}

// === impl Shared ===

impl Shared {
    fn join<S>(
        self: Arc<Self>,
        key: Fingerprint,
        member: Member,
        inputs: usize,
        bytes: usize,
        inner: &S,
    ) where
        S: Service<ProxyRequest, Response = Reply, Error = ProxyError>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
    {
        let mut gatherings = self.gatherings.lock();
        if let Some(known) = gatherings.open.get(&key) {
            let is_too_much =
                known.inputs + inputs > self.max_inputs || known.bytes + bytes > MAX_BYTES;
            if is_too_much && let Some(full) = gatherings.open.remove(&key) {
                full.depart();
            }
        }
        if let Some(known) = gatherings.open.get_mut(&key) {
            known.members.push(member);
            known.inputs += inputs;
            known.bytes += bytes;
            if known.inputs == self.max_inputs
                && let Some(full) = gatherings.open.remove(&key)
            {
                full.depart();
            }
            return;
        }
        gatherings.count += 1;
        let (depart, departing) = oneshot::channel();
        let number = gatherings.count;
        let gathering = Gathering {
            number,
            members: vec![member],
            inputs,
            bytes,
            depart,
        };
        gatherings.open.insert(key, gathering);
        drop(gatherings);
        let inner = inner.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "it belongs to none of those who go together, and ends with the last of them"
        )]
        tokio::spawn(async move {
            let members = self.gather(key, number, departing).await;
            Crew::new(members, Arc::clone(&self.metrics))
                .ask(inner)
                .await;
        });
    }

    /// Waits until a gathering departs.
    async fn gather(
        &self,
        key: Fingerprint,
        number: u64,
        mut departing: oneshot::Receiver<Vec<Member>>,
    ) -> Vec<Member> {
        tokio::select! {
            members = &mut departing => return members.unwrap_or_default(),
            () = sleep(self.window) => {}
        }
        {
            let mut gatherings = self.gatherings.lock();
            let is_open = gatherings
                .open
                .get(&key)
                .is_some_and(|known| known.number == number);
            if is_open && let Some(gathering) = gatherings.open.remove(&key) {
                return gathering.members;
            }
        }
        // It departed at that very moment.
        departing.await.unwrap_or_default()
    }
}

impl Gathering {
    fn depart(self) {
        // Who waits for it is there for as long as this is on the map.
        let _ = self.depart.send(self.members);
    }
}

#[cfg(test)]
pub(super) mod tests;
