//! Keeps the calls to each model to as many at once as the upstream stands; nearest to it, since an attempt is what takes
//! its place there.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::{Stream, StreamExt as _};
use http::StatusCode;
use tower::{Layer, Service, ServiceExt as _};

use super::{ReplyFuture, ReplyResult};
use crate::error::{ProxyError, Slow};
use crate::reply::{Frame, Frames, Reply};
use crate::request::ProxyRequest;
use crate::tuning::concurrency::{Gates, Place};

/// Makes [`Concurrency`] services that share the gates.
#[derive(Clone)]
pub struct ConcurrencyLayer {
    gates: Gates,
}

/// Lets an attempt pass when there is a place for it.
#[derive(Clone)]
pub struct Concurrency<S> {
    inner: S,
    gates: Gates,
}

/// A stream that keeps its place until it has ended.
struct Placed {
    frames: Frames,
    place: Option<Place>,
}

// === impl ConcurrencyLayer ===

impl ConcurrencyLayer {
    /// Attempts pass these gates.
    pub fn new(gates: Gates) -> Self {
        Self { gates }
    }
}

impl<S> Layer<S> for ConcurrencyLayer {
    type Service = Concurrency<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Concurrency {
            inner,
            gates: self.gates.clone(),
        }
    }
}

// === impl Concurrency ===

impl<S> Service<ProxyRequest> for Concurrency<S>
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
        // What is only passed on is of many kinds, and says little about how much a model stands.
        if request.chat().is_none() {
            return Box::pin(self.inner.call(request));
        }
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let gate = self.gates.of(request.model_name());
        Box::pin(async move {
            let place = gate.enter(request.deadline).await?;
            settle(inner.oneshot(request).await, place)
        })
    }
}

fn settle(result: ReplyResult, mut place: Place) -> ReplyResult {
    match result {
        Ok(reply) if is_too_much(reply.head().status) => {
            place.was_too_much();
            Ok(reply)
        }
        Ok(Reply::Stream(mut stream)) => {
            place.went_well(None);
            stream.frames = Box::pin(Placed {
                frames: stream.frames,
                place: Some(place),
            });
            Ok(Reply::Stream(stream))
        }
        Ok(Reply::Whole(whole)) => {
            if let Some(worth) = &whole.answer {
                place.went_well(Some(worth.usage.completion_tokens));
            }
            Ok(Reply::Whole(whole))
        }
        Err(error @ ProxyError::Timeout(Slow::Total | Slow::Silence(_))) => {
            Err(place.ran_out_of_time().unwrap_or(error))
        }
        Err(error) => Err(error),
    }
}

/// Whether the upstream says that it is asked too much.
fn is_too_much(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    )
}

// === impl Placed ===

impl Stream for Placed {
    type Item = Result<Frame, ProxyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.frames.poll_next_unpin(cx));
        // The upstream has done its work, whatever its reader still has to do.
        if !matches!(item, Some(Ok(Frame::Chunk(_)))) {
            self.place = None;
        }
        Poll::Ready(item)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures_util::future::join_all;
    use http::HeaderMap;
    use tokio::time::{Instant, sleep};
    use tower::util::service_fn;

    use super::*;
    use crate::chat::Usage;
    use crate::config::{Config, TuningMode};
    use crate::json::Json;
    use crate::layers::answer_limit::tests::request;
    use crate::reply::{Head, Provenance, Whole, Worth};
    use crate::request::Chat;
    use crate::tuning::journal::Journal;
    use crate::tuning::{Optimizer, Times};

    /// 40 callers ask again and again an upstream that stands eight calls of a second each: how many of the last 400
    /// calls it had to refuse.
    async fn refused(mode: TuningMode) -> usize {
        let mut config = Config::default();
        config.tuning.mode = mode;
        let times = Times::new(&config.cache);
        let optimizer = Optimizer::new(&config, None, &times, &Journal::default()).unwrap();
        let (busy, refusals) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&refusals);
        let leaf = service_fn(move |_: ProxyRequest| {
            let (busy, refusals) = (Arc::clone(&busy), Arc::clone(&refusals));
            async move {
                let is_too_much = busy.load(Ordering::SeqCst) >= 8;
                let of = if is_too_much { refusals } else { busy };
                of.fetch_add(1, Ordering::SeqCst);
                sleep(Duration::from_secs(1)).await;
                if !is_too_much {
                    of.fetch_sub(1, Ordering::SeqCst);
                }
                let status = if is_too_much { 429 } else { 200 };
                let usage = Usage::default();
                Ok::<_, ProxyError>(Reply::Whole(Whole {
                    head: Head {
                        status: StatusCode::from_u16(status).unwrap(),
                        headers: HeaderMap::new(),
                        provenance: Provenance::Miss { stored: false },
                    },
                    body: bytes::Bytes::new(),
                    answer: (!is_too_much).then(|| Worth::from(usage)),
                }))
            }
        });
        let service = ConcurrencyLayer::new(optimizer.gates().clone()).layer(leaf);
        let caller = |calls: usize| {
            let service = service.clone();
            async move {
                for _ in 0..calls {
                    let body = r#"{"model":"m","messages":[]}"#;
                    let chat = Chat::new(Json::parse(body.into()).unwrap(), &[]);
                    let mut request = request(chat);
                    request.deadline = Instant::now() + Duration::from_secs(30);
                    service.clone().oneshot(request).await.unwrap();
                }
            }
        };
        join_all((0..40).map(|_| caller(20))).await;
        let before = count.load(Ordering::SeqCst);
        join_all((0..40).map(|_| caller(10))).await;
        count.load(Ordering::SeqCst) - before
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_upstream_would_refuse_waits_for_a_moment() {
        // Some four of five are too much for it, where one only looks.
        let looked = refused(TuningMode::Observe).await;
        assert!(looked >= 300, "{looked} of 400");
        let acted = refused(TuningMode::Act).await;
        assert!(acted < 20, "{acted} of 400");
    }
}
