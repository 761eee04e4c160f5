//! Answers a request from the store, and stands in for an upstream that fails.
//!
//! The cache has two layers, because it has two ends. [`CacheLayer`] looks up, above dedup, so that a hit
//! joins no flight. [`RecordLayer`] stores, below dedup, so that an answer is kept once however many
//! callers share it, and is in the store before its flight ends.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::{Layer, Service};

use super::ReplyResult;
use crate::error::ProxyError;
use crate::reply::{Head, Provenance, Reply, Whole, Worth};
use crate::request::{ProxyRequest, Stage};
use crate::store::{Entry, Found, Memory, SharedEntry};

pub use record::RecordLayer;

mod record;

/// Makes [`Cache`] services over one store.
#[derive(Clone)]
pub struct CacheLayer {
    store: Option<Memory>,
}

/// Looks requests up.
#[derive(Clone)]
pub struct Cache<S> {
    inner: S,
    store: Option<Memory>,
}

pin_project! {
    /// What became of a look-up.
    #[project = Projection]
    pub enum CacheFuture<F> {
        /// The answer is known: a hit, or a refusal to ask the upstream.
        Known { result: Option<ReplyResult> },
        /// The upstream is asked; a stale answer is at hand if it fails.
        Forward {
            #[pin]
            call: F,
            request: ProxyRequest,
            begun: Instant,
            bypass: bool,
            stale: Option<Stale>,
        },
    }
}

/// An answer past its life.
pub struct Stale {
    entry: SharedEntry,
    age: std::time::Duration,
    expired_for: std::time::Duration,
}

// === impl CacheLayer ===

impl CacheLayer {
    /// Answers from this store. Without one every request is a bypass, and `only-if-cached` still holds.
    pub fn new(store: Option<Memory>) -> Self {
        Self { store }
    }
}

impl<S> Layer<S> for CacheLayer {
    type Service = Cache<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Cache {
            inner,
            store: self.store.clone(),
        }
    }
}

// === impl Cache ===

impl<S> Service<ProxyRequest> for Cache<S>
where
    S: Service<ProxyRequest, Response = Reply, Error = ProxyError>,
{
    type Response = Reply;
    type Error = ProxyError;
    type Future = CacheFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: ProxyRequest) -> Self::Future {
        let begun = Instant::now();
        let control = request.parts().cache_control;
        let wanted = request.chat().is_some() && !control.is_bypass();
        let store = self.store.as_ref().filter(|_| wanted);
        let bypass = store.is_none();
        let found = store.map_or(Found::Nothing, |store| look_up(store, &request));
        if request.chat().is_some() {
            // The compressor, if it ran for the look-up, is measured by itself.
            let lookup = begun
                .elapsed()
                .saturating_sub(request.timings().of(Stage::Compress));
            request.timings().add(Stage::Cache, lookup);
        }
        let stale = match found {
            Found::Fresh { entry, age, ttl } if control.accepts(age) => {
                let reply = from_entry(&entry, Provenance::Hit { age, ttl });
                return CacheFuture::Known {
                    result: Some(Ok(reply)),
                };
            }
            Found::Stale {
                entry,
                age,
                expired_for,
            } if control.accepts(age) => Some(Stale {
                entry,
                age,
                expired_for,
            }),
            _ => None,
        };
        if control.only_if_cached {
            return CacheFuture::Known {
                result: Some(Err(ProxyError::OnlyIfCached)),
            };
        }
        let call = self.inner.call(request.clone());
        CacheFuture::Forward {
            call,
            request,
            begun: Instant::now(),
            bypass,
            stale,
        }
    }
}

/// The entry of a request: by its bytes if they came before, else by its meaning.
fn look_up(store: &Memory, request: &ProxyRequest) -> Found {
    let Some(alias) = request.alias() else {
        return Found::Nothing;
    };
    if let Some((fingerprint, saved)) = store.resolve(alias) {
        let found = store.find(fingerprint);
        if !matches!(found, Found::Nothing) {
            request.remember_saved(saved);
            return found;
        }
    }
    let Some(fingerprint) = request.fingerprint() else {
        return Found::Nothing;
    };
    let found = store.find(fingerprint);
    if !matches!(found, Found::Nothing) {
        store.remember(alias, fingerprint, request.saved());
    }
    found
}

/// The reply that an entry makes.
fn from_entry(entry: &Entry, provenance: Provenance) -> Reply {
    let mut headers = HeaderMap::with_capacity(1);
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    let head = Head {
        status: StatusCode::OK,
        headers,
        provenance,
    };
    let answer = Some(Worth {
        usage: entry.usage,
        storable: true,
    });
    Reply::Whole(Whole {
        head,
        body: Bytes::clone(&entry.body),
        answer,
    })
}

// === impl CacheFuture ===

impl<F: Future<Output = ReplyResult>> Future for CacheFuture<F> {
    type Output = ReplyResult;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projection::Known { result } => Poll::Ready(
                result
                    .take()
                    .unwrap_or(Err(ProxyError::Internal("a future was polled twice"))),
            ),
            Projection::Forward {
                call,
                request,
                begun,
                bypass,
                stale,
            } => {
                let mut result = ready!(call.poll(cx));
                request.timings().add(Stage::Upstream, begun.elapsed());
                if let (Some(stale), Some(failure)) = (stale.take(), hidden_by_stale(&result)) {
                    return Poll::Ready(Ok(stale.into_reply(failure)));
                }
                if let (true, Ok(reply)) = (*bypass, &mut result) {
                    let provenance = &mut reply.head_mut().provenance;
                    if let Provenance::Miss { stored } = *provenance {
                        *provenance = Provenance::Bypass { stored };
                    }
                }
                Poll::Ready(result)
            }
        }
    }
}

/// How an upstream failed whose failure a stale answer hides.
#[derive(Clone, Copy)]
struct Failure {
    /// Its status, where it answered at all.
    status: Option<StatusCode>,
}

/// The failure that a stale answer may hide (RFC 5861 section 4), if the result is one.
fn hidden_by_stale(result: &ReplyResult) -> Option<Failure> {
    match result {
        Ok(reply) => {
            let status = reply.head().status;
            let failed = matches!(status.as_u16(), 500 | 502 | 503 | 504);
            failed.then_some(Failure {
                status: Some(status),
            })
        }
        Err(ProxyError::CircuitOpen { .. } | ProxyError::SocketsBusy { .. }) => {
            Some(Failure { status: None })
        }
        Err(error) => error
            .is_upstream_failure()
            .then_some(Failure { status: None }),
    }
}

impl Stale {
    fn into_reply(self, failure: Failure) -> Reply {
        let Self {
            entry,
            age,
            expired_for,
        } = self;
        from_entry(
            &entry,
            Provenance::Stale {
                age,
                expired_for,
                upstream_status: failure.status,
            },
        )
    }
}
