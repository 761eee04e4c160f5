//! The upstream of a replay: gives each request the answer that its line of the log has, after as long as that took.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};
use tower::Service;

use super::asked::{Asked, Outcome, shortened};
use super::log::Recorded;
use crate::chat::{self, Usage};
use crate::error::ProxyError;
use crate::layers::{ReplyFuture, ReplyResult};
use crate::metering::tokens::count::count_prompt;
use crate::metering::{Counter, Metrics};
use crate::reply::{Head, Provenance, Reply, Whole, Worth};
use crate::request::ProxyRequest;

/// The leaf of the replayed stack. Cheap to clone.
#[derive(Clone)]
pub(super) struct Upstream {
    shared: Arc<Shared>,
}

struct Shared {
    metrics: Arc<Metrics>,
    /// When the replay began on its own clock.
    begun: Instant,
    /// What is under way, by the numbers of the lines.
    under_way: Mutex<HashMap<u64, Arc<Asked>>>,
    counts: Counts,
}

/// What was answered.
#[derive(Default)]
pub(super) struct Counts {
    /// Calls whose answers the log tells, and those whose answers were made up.
    pub(super) recorded: Counter,
    pub(super) simulated: Counter,
    /// Calls that failed as recorded, and those whose recorded answer is none.
    pub(super) failed: Counter,
    pub(super) unusable: Counter,
}

/// The number of the line in a request's id, and its time: what [`Asked::id`] has written there.
pub(super) fn read_id(id: &str) -> Option<(i64, u64)> {
    let (at, line) = id.split_once('.')?;
    Some((at.parse().ok()?, line.parse().ok()?))
}

// === impl Asked ===

impl Asked {
    /// The id that the request goes by in the replayed stack.
    pub(super) fn id(&self) -> String {
        format!("{}.{}", self.at, self.line)
    }
}

// === impl Upstream ===

impl Upstream {
    /// An upstream whose calls are counted here; inside of the replay's runtime.
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        let shared = Shared {
            metrics,
            begun: Instant::now(),
            under_way: Mutex::default(),
            counts: Counts::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// When the replay began on its own clock.
    pub(super) fn begun(&self) -> Instant {
        self.shared.begun
    }

    /// What was answered so far.
    pub(super) fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    /// From now on the request may come.
    pub(super) fn expect(&self, asked: Arc<Asked>) {
        self.shared.under_way.lock().insert(asked.line, asked);
    }

    /// The request is over.
    pub(super) fn forget(&self, line: u64) {
        self.shared.under_way.lock().remove(&line);
    }

    /// What the log has of a request.
    pub(super) fn asked(&self, request: &ProxyRequest) -> Option<Arc<Asked>> {
        let mut line = None;
        let account = &request.parts().account;
        account.note(|row| line = read_id(&row.id).map(|(_, line)| line));
        self.shared.under_way.lock().get(&line?).cloned()
    }

    async fn answer(self, request: ProxyRequest) -> ReplyResult {
        let Shared {
            metrics,
            begun,
            counts,
            ..
        } = &*self.shared;
        metrics.attempts.add(1);
        request.parts().account.attempted();
        let Some(asked) = self.asked(&request) else {
            return Err(ProxyError::Internal("a call of no request of the log"));
        };
        let end = ends_at(elapsed(*begun), asked.latency);
        let outcome = match request.chat() {
            Some(chat) => {
                let root = chat.original().root();
                Some(asked.outcome(root, || count_prompt(chat.model(), root).tokens))
            }
            None => None,
        };
        sleep_until(*begun + Duration::from_millis(end)).await;
        match &outcome {
            Some(Outcome::Answer(..)) if asked.is_recorded() => counts.recorded.add(1),
            Some(Outcome::Answer(..)) => counts.simulated.add(1),
            Some(Outcome::Error(..)) => counts.failed.add(1),
            Some(Outcome::Unusable(_)) => counts.unusable.add(1),
            None => {}
        }
        match outcome {
            Some(Outcome::Answer(body, worth)) => {
                // What is known of the call is about the prompt as it was written.
                let _ = request.outgoing();
                let served = worth.served.as_ref();
                let usage = self.paid(&request, worth.usage, worth.served.as_deref());
                let usage = metrics.answered(&request, usage, served);
                Ok(reply(
                    StatusCode::OK,
                    body,
                    Some(Worth { usage, ..worth }),
                    &request,
                ))
            }
            Some(Outcome::Error(status, body)) => Ok(reply(status, body, None, &request)),
            Some(Outcome::Unusable(why)) => Err(ProxyError::InvalidAnswer(why.into())),
            None => Ok(self.forwarded(&asked, &request)),
        }
    }

    /// The usage of a call, its prompt shortened by what compression took out of it.
    fn paid(&self, request: &ProxyRequest, usage: Usage, served: Option<&str>) -> Usage {
        let model = request.model().unwrap_or_default();
        paid(
            &self.shared.metrics,
            model,
            served,
            usage,
            request.saved().tokens,
        )
    }

    /// The answer to what is no chat completion, as far as it is told.
    fn forwarded(&self, asked: &Asked, request: &ProxyRequest) -> Reply {
        let Shared { metrics, .. } = &*self.shared;
        let (status, body) = match &asked.recorded {
            Recorded::Whole(body, _) => (200, body.clone()),
            Recorded::Error(status, body) => (*status, body.clone()),
            _ => (200, Bytes::from_static(b"{}")),
        };
        let told = match &asked.recorded {
            Recorded::Whole(body, usage) => {
                chat::usage_of(body).or_else(|| usage.map(|usage| (usage, None)))
            }
            Recorded::Usage(usage) | Recorded::Text(_, Some(usage)) => Some((*usage, None)),
            _ => None,
        };
        if let Some((usage, served)) = told {
            let _ = metrics.answered(request, usage, served.as_ref());
        }
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        reply(status, body, None, request)
    }
}

impl Service<ProxyRequest> for Upstream {
    type Response = Reply;
    type Error = ProxyError;
    type Future = ReplyFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: ProxyRequest) -> Self::Future {
        Box::pin(self.clone().answer(request))
    }
}

/// The usage of a call whose prompt was so many tokens shorter than the one that `usage` is about.
pub(super) fn paid(
    metrics: &Metrics,
    model: &str,
    served: Option<&str>,
    usage: Usage,
    saved: u64,
) -> Usage {
    let after = shortened(usage, saved);
    let cost_nano_usd = usage
        .cost_nano_usd
        .map(|cost| cost.saturating_sub(metrics.price_of_more(model, served, after, saved)));
    Usage {
        cost_nano_usd,
        ..after
    }
}

/// When a call ends that begins now, in milliseconds: always at an odd one. Requests come at even ones, so that whether an
/// answer is there before a request is never a matter of who is looked at first.
pub(super) fn ends_at(now: u64, latency: Duration) -> u64 {
    let latency = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
    now.saturating_add(latency) | 1
}

/// Milliseconds since then.
pub(super) fn elapsed(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn reply(status: StatusCode, body: Bytes, answer: Option<Worth>, request: &ProxyRequest) -> Reply {
    let json = HeaderValue::from_static("application/json");
    let provenance = match request.chat() {
        Some(_) => Provenance::Miss { stored: false },
        None => Provenance::Bypass { stored: false },
    };
    let head = Head {
        status,
        headers: HeaderMap::from_iter([(header::CONTENT_TYPE, json)]),
        provenance,
    };
    Reply::Whole(Whole { head, body, answer })
}
