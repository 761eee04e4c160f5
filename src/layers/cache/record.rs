//! Keeps good answers as they come by, whole or streamed.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::StatusCode;
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt as _};

use super::{Found, from_entry};
use crate::chat;
use crate::error::ProxyError;
use crate::fingerprint::Fingerprint;
use crate::layers::ReplyFuture;
use crate::metering::Metrics;
use crate::reply::{Frame, Frames, Provenance, Reply, StreamKind, Worth};
use crate::request::ProxyRequest;
use crate::store::{Entry, Generation, Memory};

/// Makes `Record` services over one store.
#[derive(Clone)]
pub struct RecordLayer {
    store: Memory,
    metrics: Arc<Metrics>,
}

/// Stores what the upstream answers.
#[derive(Clone)]
pub struct Record<S> {
    inner: S,
    store: Memory,
    metrics: Arc<Metrics>,
}

/// Where an answer goes once it is complete.
struct Slot {
    store: Memory,
    metrics: Arc<Metrics>,
    request: ProxyRequest,
    fingerprint: Fingerprint,
    begun: Generation,
}

/// A stream that is recorded as it passes: references to its chunks, no copies.
struct Recording {
    frames: Frames,
    chunks: Vec<Bytes>,
    slot: Option<Slot>,
}

// === impl RecordLayer ===

impl RecordLayer {
    /// Stores in this store.
    pub fn new(store: Memory, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics }
    }
}

impl<S> Layer<S> for RecordLayer {
    type Service = Record<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Record {
            inner,
            store: self.store.clone(),
            metrics: Arc::clone(&self.metrics),
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
        if let Found::Fresh { entry, age, ttl } = self.store.find(fingerprint)
            && control.accepts(age)
        {
            let reply = from_entry(&entry, Provenance::Hit { age, ttl });
            return Box::pin(std::future::ready(Ok(reply)));
        }
        let slot = Slot {
            store: self.store.clone(),
            metrics: Arc::clone(&self.metrics),
            request: request.clone(),
            fingerprint,
            begun: self.store.generation(),
        };
        let clone = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            match ready.oneshot(request).await? {
                Reply::Whole(mut whole) => {
                    if whole.head.status == StatusCode::OK
                        && let Some(worth) = whole.answer
                    {
                        // A copy: the body is a window into a larger buffer of the socket's, which a stored
                        // reference would keep whole.
                        let stored = slot.store(Bytes::copy_from_slice(&whole.body), worth);
                        whole.head.provenance = Provenance::Miss { stored };
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
                    }
                    Ok(Reply::Stream(stream))
                }
            }
        })
    }
}

// === impl Slot ===

impl Slot {
    /// Keeps a complete answer if it is good. Says whether it is kept.
    fn store(&self, body: Bytes, worth: Worth) -> bool {
        let entry = Entry {
            body,
            usage: worth.usage,
            stored_at: Instant::now(),
        };
        let kept = worth.storable && self.store.store(self.fingerprint, entry, self.begun);
        if kept {
            self.metrics.stored.add(1);
            if let Some(alias) = self.request.alias() {
                self.store
                    .remember(alias, self.fingerprint, self.request.saved());
            }
        } else {
            self.metrics.refused.add(1);
        }
        kept
    }

    /// Puts a stream's answer together and keeps it if it is good.
    fn keep(&self, chunks: &[Bytes], worth: Worth) -> Option<Bytes> {
        let Ok(whole) = chat::whole_of(chunks, worth.usage) else {
            self.metrics.refused.add(1);
            return None;
        };
        // A whole answer is judged more strictly than its chunks can be one by one.
        let storable =
            worth.storable && chat::read_answer(&whole).is_ok_and(|answer| answer.storable);
        self.store(whole.clone(), Worth { storable, ..worth });
        Some(whole)
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
                if let (Some(slot), Some(worth)) = (self.slot.take(), ending.worth) {
                    ending.whole = slot.keep(&chunks, worth);
                }
            }
            Some(Err(_)) | None => {
                self.chunks = Vec::new();
                if let Some(slot) = self.slot.take() {
                    slot.metrics.refused.add(1);
                }
            }
        }
        Poll::Ready(item)
    }
}
