//! Gives embeddings out of the store, one input at a time, and asks only for those that are not there.
//!
//! Above the budget, as the cache of completions is. What an entry holds is the answer that its input alone would get.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::Either;
use futures_util::stream::{self, StreamExt as _};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt as _};

use super::cache::{LookUp, excuse_of};
use super::{ReplyFuture, ReplyResult};
use crate::chat::{Quality, Usage, usage_of};
use crate::config::Config;
use crate::embeddings::{Answer, Embeddings, put_together};
use crate::error::ProxyError;
use crate::fingerprint;
use crate::metering::{Metrics, Refusal};
use crate::reply::{Excuse, Head, Provenance, Reply, Tier, Whole, Worth};
use crate::request::{LONG, ProxyRequest, Stage, aside};
use crate::store::{Begun, Entry, Store};

use known::Known;

mod known;

/// So many inputs are looked for in Redis at once.
const AT_ONCE: usize = 16;

/// Makes [`Embed`] services over one store.
#[derive(Clone)]
pub struct EmbedLayer {
    keeper: Arc<Keeper>,
}

/// Looks the inputs of calls for embeddings up.
#[derive(Clone)]
pub struct Embed<S> {
    inner: S,
    keeper: Arc<Keeper>,
}

/// Where embeddings are kept.
struct Keeper {
    store: Store,
    metrics: Arc<Metrics>,
    /// Of calls with more inputs nothing is kept: they would push out all else.
    max_inputs: usize,
    /// For so long after its life an embedding stands in for an upstream that fails.
    stale_if_error: Duration,
}

// === impl EmbedLayer ===

impl EmbedLayer {
    /// Keeps the embeddings of calls with so many inputs as go together at most.
    pub fn new(config: &Config, store: &Store, metrics: Arc<Metrics>) -> Self {
        let keeper = Keeper {
            // What adjusts the cache looks at completions: one input of many is no question that a time to live is for.
            store: store.quietly(),
            metrics,
            max_inputs: config.batch.max_inputs,
            stale_if_error: config.cache.stale_if_error,
        };
        Self {
            keeper: Arc::new(keeper),
        }
    }
}

impl<S> Layer<S> for EmbedLayer {
    type Service = Embed<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Embed {
            inner,
            keeper: Arc::clone(&self.keeper),
        }
    }
}

// === impl Embed ===

impl<S> Service<ProxyRequest> for Embed<S>
where
    S: Service<ProxyRequest, Response = Reply, Error = ProxyError> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Reply;
    type Error = ProxyError;
    type Future = Either<S::Future, ReplyFuture>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: ProxyRequest) -> Self::Future {
        let keeps = request.embeddings().is_some_and(|ask| {
            ask.inputs().len() <= self.keeper.max_inputs && !request.parts().cache_control.no_store
        });
        if !keeps {
            return Either::Left(self.inner.call(request));
        }
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let keeper = Arc::clone(&self.keeper);
        Either::Right(Box::pin(keeper.answer(inner, request)))
    }
}

// === impl Keeper ===

impl Keeper {
    async fn answer<S>(self: Arc<Self>, inner: S, request: ProxyRequest) -> ReplyResult
    where
        S: Service<ProxyRequest, Response = Reply, Error = ProxyError> + Clone,
    {
        let Some(ask) = request.embeddings() else {
            return inner.oneshot(request).await;
        };
        let control = request.parts().cache_control;
        let begun = Instant::now();
        let span = LookUp::since(begun, request.trace.as_ref());
        let known = self.look_up(&request, ask).await;
        request.timings().add(Stage::Cache, begun.elapsed());
        if let Some(reply) = self.all(&request, &known, None) {
            span.found(reply.head().provenance);
            return Ok(reply);
        }
        span.missed();
        if control.only_if_cached {
            return Err(ProxyError::OnlyIfCached);
        }
        let since = self.store.begin();
        let unknown = known.missing();
        // What is all there and yet no answer is worth nothing.
        let is_whole = unknown.is_empty() || unknown.len() == ask.inputs().len();
        let sent = if is_whole {
            request.clone()
        } else {
            let inputs = unknown.iter().map(|at| ask.inputs()[*at].clone());
            let account = Arc::clone(&request.parts().account);
            request.with_embeddings(ask.asking(inputs.collect()), account)
        };
        let result = inner.clone().oneshot(sent.clone()).await;
        if !is_whole {
            let waited = sent.timings().of(Stage::Upstream);
            request.timings().add(Stage::Upstream, waited);
        }
        if excuse_of(&result).is_some() {
            return self.excused(result, &request, known);
        }
        let mut whole = match result? {
            Reply::Whole(whole) => whole,
            stream @ Reply::Stream(_) if is_whole => return Ok(stream),
            Reply::Stream(_) => return self.ask_whole(inner, request, known).await,
        };
        if whole.head.status == StatusCode::OK {
            let is_long = whole.body.len() >= LONG;
            let kept = aside(is_long, || {
                self.keep(&request, ask, &known, &whole.body, since)
            });
            if let Some((body, stored)) = kept {
                if let Some(body) = body {
                    whole.body = body;
                    // What can be taken apart is not encoded, whatever it says.
                    whole.head.headers.remove(header::CONTENT_ENCODING);
                }
                let provenance = &mut whole.head.provenance;
                *provenance = match *provenance {
                    Provenance::Miss { .. } | Provenance::Bypass { .. } if control.no_cache => {
                        Provenance::Bypass { stored }
                    }
                    Provenance::Miss { .. } | Provenance::Bypass { .. } => {
                        Provenance::Miss { stored }
                    }
                    other => other,
                };
                return Ok(Reply::Whole(whole));
            }
        }
        // What is said about a part of a call is nothing that its client could make sense of, unless it would be said of
        // any call now.
        let is_about_it = whole.head.status.is_success() || is_about_inputs(whole.head.status);
        if !is_whole && is_about_it {
            return self.ask_whole(inner, request, known).await;
        }
        Ok(Reply::Whole(whole))
    }

    /// Asks for all inputs, where an answer to some of them is of no use.
    async fn ask_whole<S>(&self, inner: S, request: ProxyRequest, known: Known) -> ReplyResult
    where
        S: Service<ProxyRequest, Response = Reply, Error = ProxyError>,
    {
        let result = inner.oneshot(request.clone()).await;
        self.excused(result, &request, known)
    }

    /// What is past its life stands in for an upstream that fails, where there is one for each input.
    fn excused(&self, result: ReplyResult, request: &ProxyRequest, known: Known) -> ReplyResult {
        let stale = excuse_of(&result)
            .and_then(|excuse| self.all(request, &known.with_reserve(), Some(excuse)));
        stale.map_or(result, Ok)
    }

    /// What there is for the inputs of a call, as far as its client takes it.
    async fn look_up(&self, request: &ProxyRequest, ask: &Embeddings) -> Known {
        let parts = request.parts();
        let name = |input: &Bytes| {
            fingerprint::input(
                parts.scope,
                &parts.path,
                &parts.headers,
                ask.fields(),
                ask.kind(),
                &ask.meaning(input),
            )
        };
        let names: Vec<_> = ask.inputs().iter().map(name).collect();
        let mut known = Known::new(names);
        if parts.cache_control.no_cache {
            return known;
        }
        let for_so_long = self.stale_if_error;
        for at in 0..known.names.len() {
            if let Some(entry) = self.store.memory.find(known.names[at]) {
                known.take(at, entry, Tier::Memory, request, for_so_long);
            }
        }
        let Some(redis) = self.store.shared() else {
            return known;
        };
        let begun = Instant::now();
        let fetches = known.missing().into_iter().map(|at| {
            let fetch = self.store.fetch(known.names[at], redis.timeout());
            async move { (at, fetch.await) }
        });
        let brought: Vec<_> = stream::iter(fetches)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        request.timings().add(Stage::Redis, begun.elapsed());
        for (at, found) in brought {
            if let Some(entry) = found {
                known.take(at, entry, Tier::Redis, request, for_so_long);
            }
        }
        known
    }

    /// The answer to a call of which all inputs are known.
    fn all(&self, request: &ProxyRequest, known: &Known, excuse: Option<Excuse>) -> Option<Reply> {
        let body = known.answer()?;
        let worth = self.spare(request, known);
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        Some(Reply::Whole(Whole {
            head: Head {
                status: StatusCode::OK,
                headers,
                provenance: known.provenance(request, excuse),
            },
            body,
            answer: Some(worth),
        }))
    }

    /// Keeps what an answer to the unknown inputs brought. Gives the answer to all of them, where that is another one, and
    /// whether they are all kept; nothing where the answer is none.
    fn keep(
        &self,
        request: &ProxyRequest,
        ask: &Embeddings,
        known: &Known,
        body: &Bytes,
        since: Begun,
    ) -> Option<(Option<Bytes>, bool)> {
        let missing = known.missing();
        let answer = Answer::read(body, missing.len())?;
        let weights = match &missing[..] {
            [_] => vec![1],
            all => all
                .iter()
                .map(|at| ask.tokens(&ask.inputs()[*at]))
                .collect(),
        };
        let fresh = answer.pieces(&weights);
        let mut stored = true;
        for (at, piece) in missing.iter().zip(&fresh) {
            let alone = match fresh.len() {
                // A copy: the body may be a window into a larger buffer.
                1 => Bytes::copy_from_slice(body),
                _ => put_together(&answer, &[piece]),
            };
            let (usage, served) = usage_of(&alone).unwrap_or_else(|| {
                let tokens = ask.tokens(&ask.inputs()[*at]);
                (Usage::estimated(tokens, 0), None)
            });
            let worth = Worth {
                usage,
                served,
                quality: Quality::Stop,
            };
            let entry = Entry::new(alone, worth, ask.model(), request.owner());
            match self.store.keep(known.names[*at], entry, since, &mut None) {
                Ok(()) => self.metrics.stored.add(1),
                Err(reason) => {
                    stored = false;
                    self.metrics.refused.add(Refusal::NotKept(reason));
                }
            }
        }
        if missing.len() == known.entries.len() {
            return Some((None, stored));
        }
        let together = known.complete(&answer, &fresh)?;
        self.spare(request, known);
        Some((Some(together), stored))
    }

    /// Counts what is known already and need not be paid for.
    fn spare(&self, request: &ProxyRequest, known: &Known) -> Worth {
        let usages = known.given().map(|entry| entry.usage);
        let usage = usages.reduce(Usage::plus).unwrap_or_default();
        let served = known.given().find_map(|entry| entry.served.clone());
        self.metrics.spared(request, usage, served.as_ref(), false);
        Worth {
            usage,
            served,
            quality: Quality::Stop,
        }
    }
}

/// Whether an upstream that answers so to some inputs may answer others: not where it is about the credential, the
/// model, or how much is asked at present.
pub(super) fn is_about_inputs(status: StatusCode) -> bool {
    status.is_client_error() && !matches!(status.as_u16(), 401..=404 | 408 | 429)
}

#[cfg(test)]
mod tests;
