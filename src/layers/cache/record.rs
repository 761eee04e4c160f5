//! Keeps good answers as they come by, whole or streamed, and has them brought once for all instances.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::StatusCode;
use tower::{Layer, Service, ServiceExt as _};

use super::across::{self, Clearance};
use super::answers::spelling;
use super::{from_entry, handover};
use crate::chat::{self, Admit, Quality};
use crate::error::ProxyError;
use crate::fingerprint::Fingerprint;
use crate::layers::ReplyFuture;
use crate::metering::{Metrics, Refusal};
use crate::reply::{Frame, Frames, Provenance, Reply, StreamKind, Tier, Worth};
use crate::request::{ProxyRequest, Verdict};
use crate::store::redis::Lease;
use crate::store::{Begun, Entry, Store};

/// Makes `Record` services over one store.
#[derive(Clone)]
pub struct RecordLayer {
    recorder: Arc<Recorder>,
}

/// Stores what the upstream answers.
#[derive(Clone)]
pub struct Record<S> {
    inner: S,
    /// One count to raise for each request, whatever is behind it: the stack is cloned for hits, too.
    recorder: Arc<Recorder>,
}

/// Where answers go, and which.
struct Recorder {
    store: Store,
    admit: Admit,
    across_instances: bool,
    metrics: Arc<Metrics>,
}

/// Where an answer goes once it is complete.
struct Slot {
    recorder: Arc<Recorder>,
    request: ProxyRequest,
    fingerprint: Fingerprint,
    begun: Begun,
    /// The leave to ask for all instances, which ends when they can have the answer.
    lease: Option<Lease>,
}

/// A stream that is recorded as it passes: references to its chunks, no copies.
struct Recording {
    frames: Frames,
    chunks: Vec<Bytes>,
    slot: Option<Slot>,
}

// === impl RecordLayer ===

impl RecordLayer {
    /// Stores answers of these kinds in this store; `across_instances` says whether one instance asks for all.
    pub fn new(store: Store, admit: Admit, across_instances: bool, metrics: Arc<Metrics>) -> Self {
        let recorder = Recorder {
            store,
            admit,
            across_instances,
            metrics,
        };
        Self {
            recorder: Arc::new(recorder),
        }
    }
}

impl<S> Layer<S> for RecordLayer {
    type Service = Record<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Record {
            inner,
            recorder: Arc::clone(&self.recorder),
        }
    }
}

// === impl Record ===

impl<S> Service<ProxyRequest> for Record<S>
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

    fn call(&mut self, request: ProxyRequest) -> Self::Future {
        let control = request.parts().cache_control;
        let Some(fingerprint) = request.fingerprint().filter(|_| !control.no_store) else {
            return Box::pin(self.inner.call(request));
        };
        // Between a miss and its flight, an earlier flight can land and vanish: what it left is found here.
        let parts = request.parts();
        if let Some(entry) = self.recorder.store.memory.find(fingerprint)
            && let age = entry.age()
            && let Verdict::Fresh { ttl_left: ttl } = parts.cache_control.judge(age, parts.ttl)
        {
            let tier = Tier::Memory;
            let reply = from_entry(&entry, Provenance::Hit { age, ttl, tier });
            return Box::pin(std::future::ready(Ok(reply)));
        }
        let clone = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, clone);
        Box::pin(Arc::clone(&self.recorder).record(ready, request, fingerprint))
    }
}

// === impl Recorder ===

impl Recorder {
    async fn record<S>(
        self: Arc<Self>,
        ready: S,
        request: ProxyRequest,
        fingerprint: Fingerprint,
    ) -> Result<Reply, ProxyError>
    where
        S: Service<ProxyRequest, Response = Reply, Error = ProxyError>,
    {
        let lease = match self.clearance(&request, fingerprint).await {
            Clearance::Lease(lease) => Some(lease),
            Clearance::Alone => None,
            Clearance::Answered(result) => return result,
        };
        let slot = Slot {
            begun: self.store.begin(),
            recorder: self,
            request: request.clone(),
            fingerprint,
            lease,
        };
        let call = ready.oneshot(request);
        let reply = match &slot.lease {
            None => call.await,
            Some(lease) => tokio::select! {
                biased;
                reply = call => reply,
                never = lease.keep() => match never {},
            },
        };
        let reply = match reply {
            Ok(reply) => reply,
            Err(error) => {
                slot.fail(&error);
                return Err(error);
            }
        };
        match reply {
            Reply::Whole(mut whole) => {
                if whole.head.status == StatusCode::OK
                    && let Some(worth) = whole.answer.clone()
                {
                    // A copy: the body is a window into a larger buffer of the socket's, which a stored
                    // reference would keep whole.
                    let body = Bytes::copy_from_slice(&whole.body);
                    let stored = slot.store(body, worth, || handover::reply(&whole));
                    whole.head.provenance = Provenance::Miss { stored };
                } else {
                    slot.refuse(Refusal::Error, || handover::reply(&whole));
                }
                Ok(Reply::Whole(whole))
            }
            Reply::Stream(mut stream) => {
                if stream.kind == StreamKind::Events && stream.head.status == StatusCode::OK {
                    stream.frames = Box::pin(Recording {
                        frames: stream.frames,
                        chunks: Vec::new(),
                        slot: Some(slot),
                    });
                } else {
                    slot.refuse(Refusal::Error, Vec::new);
                }
                Ok(Reply::Stream(stream))
            }
        }
    }

    /// Whether this instance may ask, and for whom.
    async fn clearance(&self, request: &ProxyRequest, fingerprint: Fingerprint) -> Clearance {
        let is_shareable = self.across_instances
            && !request.wants_stream()
            && !request.parts().cache_control.is_bypass();
        match self.store.shared().filter(|_| is_shareable) {
            Some(redis) => across::clearance(&self.store, redis, request, fingerprint).await,
            None => Clearance::Alone,
        }
    }
}

// === impl Slot ===

impl Slot {
    /// Keeps a complete answer if it is good, and says whether it is kept; if not, those who wait on other instances
    /// are told what it is.
    fn store(mut self, body: Bytes, worth: Worth, told: impl FnOnce() -> Vec<u8>) -> bool {
        if !self.admits(worth.quality) {
            self.refuse(Refusal::Quality(worth.quality), told);
            return false;
        }
        let entry = Entry::new(
            body,
            worth,
            self.request.model().unwrap_or_default(),
            self.request.owner(),
        );
        let Recorder { store, metrics, .. } = &*self.recorder;
        let kept = store.keep(self.fingerprint, entry, self.begun, &mut self.lease);
        if let Err(reason) = kept {
            self.refuse(Refusal::NotKept(reason), told);
            return false;
        }
        metrics.stored.add(1);
        if let (Some(spelling), Some(alias)) = (spelling(&self.request), self.request.kept_alias())
        {
            store.memory.remember(alias, spelling);
        }
        true
    }

    /// Whether an answer of this kind may be given to whoever asks the same.
    fn admits(&self, quality: Quality) -> bool {
        // The fingerprint does not cover what the proxy put in, so others may ask the same under another limit:
        // through /v1 under none, or with a text that was longer before compression.
        let cut_by_us = quality == Quality::Length
            && self
                .request
                .chat()
                .is_some_and(|chat| !chat.injected().is_empty());
        self.recorder.admit.has(quality) && !cut_by_us
    }

    /// Puts a stream's answer together and keeps it if it is good.
    fn keep(self, chunks: &[Bytes], worth: Worth) -> Option<Bytes> {
        let Ok(whole) = chat::whole_of(chunks, worth.usage) else {
            self.refuse(Refusal::Error, Vec::new);
            return None;
        };
        // A whole answer is judged more strictly than its chunks can be one by one.
        match chat::read_answer(&whole) {
            Ok(answer) => {
                let quality = worth.quality.max(answer.quality);
                self.store(whole.clone(), Worth { quality, ..worth }, Vec::new);
            }
            Err(_) => self.refuse(Refusal::Error, Vec::new),
        }
        Some(whole)
    }

    /// Tells those who wait on other instances that the call failed.
    fn fail(self, error: &ProxyError) {
        if let Some(lease) = self.lease {
            lease.end_with(handover::failure(error));
        }
    }

    fn refuse(self, refusal: Refusal, told: impl FnOnce() -> Vec<u8>) {
        self.recorder.metrics.refused.add(refusal);
        if let Some(lease) = self.lease {
            lease.end_with(told());
        }
    }
}

// === impl Recording ===

impl Stream for Recording {
    type Item = Result<Frame, ProxyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut item = ready!(self.frames.poll_next_unpin(cx));
        match &mut item {
            Some(Ok(Frame::Chunk(chunk))) => {
                let chunk = chunk.clone();
                self.chunks.push(chunk);
            }
            // Before the end is passed on, so that nobody can ask between the flight and the store.
            Some(Ok(Frame::End(ending))) => {
                let chunks = std::mem::take(&mut self.chunks);
                if let (Some(slot), Some(worth)) = (self.slot.take(), &ending.worth) {
                    ending.whole = slot.keep(&chunks, worth.clone());
                }
            }
            Some(Err(_)) | None => {
                self.chunks = Vec::new();
                if let Some(slot) = self.slot.take() {
                    slot.refuse(Refusal::Error, Vec::new);
                }
            }
        }
        Poll::Ready(item)
    }
}
