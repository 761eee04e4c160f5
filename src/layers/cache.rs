//! Answers a request from the store, and stands in for an upstream that fails.
//!
//! The cache has two layers, because it has two ends. [`CacheLayer`] looks up, above dedup, so that a hit
//! joins no flight. [`RecordLayer`] stores, below dedup, so that an answer is kept once however many
//! callers share it, and is in the store before its flight ends.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt as _};

use super::{ReplyFuture, ReplyResult};
use crate::config::Config;
use crate::error::ProxyError;
use crate::metering::Metrics;
use crate::reply::{Provenance, Reply, Tier};
use crate::request::{ProxyRequest, Stage};
use crate::store::Store;
use crate::tuning::Times;
use crate::tuning::accesses::Accesses;
use crate::tuning::learn::Learning;
use crate::tuning::prefetch::Feed;

use answers::{Answers, Look, from_entry};

pub use ahead::Ahead;
pub(crate) use answers::excuse_of;
pub(crate) use look_up::LookUp;
pub use record::RecordLayer;
pub use repeats::{Asked, Repeat, Repeats};

mod across;
mod ahead;
mod answers;
mod handover;
mod look_up;
mod record;
mod refresh;
mod repeats;
mod turns;

/// Makes [`Cache`] services over one store.
#[derive(Clone)]
pub struct CacheLayer {
    answers: Option<Arc<Answers>>,
}

/// Looks requests up.
#[derive(Clone)]
pub struct Cache<S> {
    inner: S,
    answers: Option<Arc<Answers>>,
}

/// What became of a look-up.
#[expect(
    clippy::large_enum_variant,
    reason = "a hit allocates nothing for its future"
)]
pub enum CacheFuture {
    /// The answer is known: a hit, or a refusal to ask the upstream.
    Known(Option<ReplyResult>),
    /// Redis or the upstream is asked.
    Asked(ReplyFuture),
}

// === impl CacheLayer ===

impl CacheLayer {
    /// Answers from this store. Without one every request is a bypass, and `only-if-cached` still holds.
    pub fn new(config: &Config, store: Option<Store>, metrics: Arc<Metrics>) -> Self {
        Self::observed(config, store, metrics, None, None)
    }

    /// The same, which tells these what is asked.
    pub fn observed(
        config: &Config,
        store: Option<Store>,
        metrics: Arc<Metrics>,
        accesses: Option<Arc<Accesses>>,
        feed: Option<Feed>,
    ) -> Self {
        let answers = store.map(|store| Answers::new(config, store, metrics, accesses, feed));
        Self {
            answers: answers.map(Arc::new),
        }
    }

    /// What brings answers ahead through the layers below, where answers are kept.
    pub fn ahead<S>(&self, below: S) -> Option<Ahead<S>> {
        let answers = Arc::clone(self.answers.as_ref()?);
        Some(Ahead::new(answers, below))
    }

    /// What finds the answers to repeats, where answers are kept; they are fresh for these times, and texts are compressed
    /// also by what was learned.
    pub fn repeats(
        &self,
        config: &Config,
        times: &Times,
        learning: Option<Learning>,
    ) -> Option<Repeats> {
        let answers = Arc::clone(self.answers.as_ref()?);
        Some(Repeats::new(
            answers,
            config.compression.clone(),
            config.cache.clone(),
            times.clone(),
            learning,
        ))
    }
}

impl<S> Layer<S> for CacheLayer {
    type Service = Cache<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Cache {
            inner,
            answers: self.answers.clone(),
        }
    }
}

// === impl Cache ===

impl<S> Service<ProxyRequest> for Cache<S>
where
    S: Service<ProxyRequest, Response = Reply, Error = ProxyError> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Reply;
    type Error = ProxyError;
    type Future = CacheFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: ProxyRequest) -> Self::Future {
        let control = request.parts().cache_control;
        let is_chat = request.chat().is_some();
        let answers = self
            .answers
            .as_ref()
            .filter(|_| is_chat && !control.no_store);
        let Some(answers) = answers else {
            if control.only_if_cached {
                return CacheFuture::Known(Some(Err(ProxyError::OnlyIfCached)));
            }
            return CacheFuture::Asked(Box::pin(bypass(self.take(), request)));
        };
        answers.deal(&request);
        if control.no_cache {
            if control.only_if_cached {
                return CacheFuture::Known(Some(Err(ProxyError::OnlyIfCached)));
            }
            return CacheFuture::Asked(Box::pin(bypass(self.take(), request)));
        }
        let span = LookUp::begin(request.trace.as_ref());
        let begun = Instant::now();
        let found = answers.look_up(&request);
        // The compressor, if it ran for the look-up, is measured by itself.
        let lookup = begun
            .elapsed()
            .saturating_sub(request.timings().of(Stage::Compress));
        request.timings().add(Stage::Cache, lookup);
        let reserve = match found {
            None => None,
            Some(entry) => match answers.weigh_for(&request, &entry, Tier::Memory) {
                Look::Answer(provenance) => {
                    span.found(provenance);
                    answers.tell_asked(&request, provenance.fresh_for());
                    return CacheFuture::Known(Some(Ok(from_entry(&entry, provenance))));
                }
                Look::Refresh(provenance) => {
                    span.found(provenance);
                    answers.tell_asked(&request, provenance.fresh_for());
                    answers.refresh(&self.inner, &request);
                    return CacheFuture::Known(Some(Ok(from_entry(&entry, provenance))));
                }
                Look::Reserve => Some(entry),
                Look::Nothing => None,
            },
        };
        if control.only_if_cached && answers.store.shared().is_none() {
            let result = answers.other_variant(&request, None);
            span.came_to(result.as_ref());
            return CacheFuture::Known(Some(result.ok_or(ProxyError::OnlyIfCached)));
        }
        let answers = Arc::clone(answers);
        CacheFuture::Asked(Box::pin(answers.ask(self.take(), request, reserve, span)))
    }
}

impl<S: Clone> Cache<S> {
    /// The service that was polled ready; a clone takes its place.
    fn take(&mut self) -> S {
        let clone = self.inner.clone();
        std::mem::replace(&mut self.inner, clone)
    }
}

/// Asks the upstream for a caller who wants no stored answer.
async fn bypass<S>(inner: S, request: ProxyRequest) -> ReplyResult
where
    S: Service<ProxyRequest, Response = Reply, Error = ProxyError>,
{
    let mut reply = forward(inner, request).await?;
    let provenance = &mut reply.head_mut().provenance;
    if let Provenance::Miss { stored } = *provenance {
        *provenance = Provenance::Bypass { stored };
    }
    Ok(reply)
}

async fn forward<S>(inner: S, request: ProxyRequest) -> ReplyResult
where
    S: Service<ProxyRequest, Response = Reply, Error = ProxyError>,
{
    let begun = Instant::now();
    let result = inner.oneshot(request.clone()).await;
    request.timings().add(Stage::Upstream, begun.elapsed());
    result
}

// === impl CacheFuture ===

impl Future for CacheFuture {
    type Output = ReplyResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Known(result) => Poll::Ready(
                result
                    .take()
                    .unwrap_or(Err(ProxyError::Internal("a future was polled twice"))),
            ),
            Self::Asked(future) => future.as_mut().poll(cx),
        }
    }
}

#[cfg(test)]
mod tests;
