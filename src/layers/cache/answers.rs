//! What the store has for a request, and whether that may be given to it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::time::Instant;
use tower::{Service, ServiceExt as _};

use super::forward;
use super::look_up::LookUp;
use super::refresh::Refreshes;
use super::turns::Turns;
use crate::chat::Quality;
use crate::config::Config;
use crate::error::ProxyError;
use crate::fingerprint::Fingerprint;
use crate::layers::ReplyResult;
use crate::metering::Metrics;
use crate::reply::{Excuse, Head, Provenance, Reply, Tier, Whole, Worth};
use crate::request::{CacheControl, ProxyRequest, Route, Stage, Verdict};
use crate::store::{Entry, SharedEntry, Spelling, Store};
use crate::telemetry;
use crate::tuning::accesses::Accesses;
use crate::tuning::prefetch::Feed;

/// The store, and what may be given out of it.
pub(super) struct Answers {
    pub(super) store: Store,
    metrics: Arc<Metrics>,
    stale_if_error: Duration,
    stale_while_revalidate: Duration,
    turns: Turns,
    refreshes: Refreshes,
    /// What takes in what is asked for, if anything does.
    accesses: Option<Arc<Accesses>>,
    /// Who is told what is asked.
    pub(super) feed: Option<Feed>,
}

/// What a look at an entry came to.
pub(super) enum Look {
    /// It is the answer.
    Answer(Provenance),
    /// It is the answer for now, and a new one is to be brought.
    Refresh(Provenance),
    /// It is none, but stands in if the upstream fails.
    Reserve,
    /// It is none.
    Nothing,
}

impl Answers {
    pub(super) fn new(
        config: &Config,
        store: Store,
        metrics: Arc<Metrics>,
        accesses: Option<Arc<Accesses>>,
        feed: Option<Feed>,
    ) -> Self {
        Self {
            feed,
            store,
            metrics,
            accesses,
            stale_if_error: config.cache.stale_if_error,
            stale_while_revalidate: config.cache.stale_while_revalidate,
            turns: Turns::new(config.cache.variants, config.cache.max_entries),
            refreshes: Refreshes::new(config.upstream.total_timeout),
        }
    }

    /// Whether a question can have several answers.
    pub(super) fn deals(&self) -> bool {
        self.turns.are_kept()
    }

    /// Says which of several answers the request gets, if there can be several.
    pub(super) fn deal(&self, request: &ProxyRequest) {
        if self.turns.are_kept()
            && let Some(question) = self.question(request)
        {
            request.deal(self.turns.next(question));
        }
    }

    /// What the request asks: by its bytes if they came before, else by its meaning.
    fn question(&self, request: &ProxyRequest) -> Option<Fingerprint> {
        let known = self.store.memory.resolve(request.alias()?);
        known
            .map(|known| known.question)
            .or_else(|| request.question())
    }

    /// Tells that a question is asked.
    pub(super) fn note_asked(&self, question: Fingerprint, route: Route) {
        if let Some(accesses) = &self.accesses {
            accesses.asked(question, route);
        }
    }

    /// Tells the feed, where there is one, what is asked; how long the answer that was there will be fresh, if there was one.
    pub(super) fn tell_asked(&self, request: &ProxyRequest, fresh_for: Option<Duration>) {
        if let Some(feed) = &self.feed
            && let Some(question) = self.question(request)
        {
            feed.asked_by(request, question, fresh_for);
        }
    }

    /// The entry of a request in this process: by its bytes if they came before, else by its meaning.
    pub(super) fn look_up(&self, request: &ProxyRequest) -> Option<SharedEntry> {
        self.find(request, |question| {
            self.note_asked(question, request.parts().route);
        })
    }

    /// The same for a request that no client makes: it counts as none.
    pub(super) fn look_up_ahead(&self, request: &ProxyRequest) -> Option<SharedEntry> {
        self.find(request, |_| {})
    }

    fn find(&self, request: &ProxyRequest, note: impl Fn(Fingerprint)) -> Option<SharedEntry> {
        let memory = &self.store.memory;
        let alias = request.alias()?;
        let variant = request.variant();
        if let Some(known) = memory.resolve(alias)
            && let Some(entry) = memory.find(known.question.variant(variant))
        {
            request.remember_saved(known.saved);
            note(known.question.variant(variant));
            return Some(entry);
        }
        let fingerprint = request.fingerprint()?;
        note(fingerprint);
        let entry = memory.find(fingerprint)?;
        memory.remember(request.kept_alias()?, spelling(request)?);
        Some(entry)
    }

    /// Whether an entry of this age answers a request.
    pub(super) fn weigh(
        &self,
        control: CacheControl,
        ttl: Duration,
        age: Duration,
        tier: Tier,
    ) -> Look {
        let stale = |expired_for, excuse| Provenance::Stale {
            age,
            expired_for,
            excuse,
        };
        match control.judge(age, ttl) {
            Verdict::Fresh { ttl_left: ttl } => Look::Answer(Provenance::Hit { age, ttl, tier }),
            Verdict::Stale {
                expired_for,
                allowed: true,
            } => Look::Answer(stale(expired_for, Excuse::Accepted)),
            Verdict::Stale { expired_for, .. } if expired_for < self.stale_while_revalidate => {
                Look::Refresh(stale(expired_for, Excuse::Revalidating))
            }
            Verdict::Stale { expired_for, .. } if expired_for < self.stale_if_error => {
                Look::Reserve
            }
            Verdict::Stale { .. } | Verdict::Unacceptable => Look::Nothing,
        }
    }

    /// The same for the request's own wishes.
    pub(super) fn weigh_for(&self, request: &ProxyRequest, entry: &Entry, tier: Tier) -> Look {
        let parts = request.parts();
        self.weigh(parts.cache_control, parts.ttl, entry.age(), tier)
    }

    /// Looks in Redis and then asks the upstream; `reserve` stands in if that fails.
    pub(super) async fn ask<S>(
        self: Arc<Self>,
        inner: S,
        request: ProxyRequest,
        mut reserve: Option<SharedEntry>,
        span: LookUp,
    ) -> ReplyResult
    where
        S: Service<ProxyRequest, Response = Reply, Error = ProxyError> + Clone + Send + 'static,
        S::Future: Send,
    {
        if let Some(entry) = self.consult(&request).await {
            match self.weigh_for(&request, &entry, Tier::Redis) {
                Look::Answer(provenance) => {
                    span.found(provenance);
                    self.tell_asked(&request, provenance.fresh_for());
                    return Ok(from_entry(&entry, provenance));
                }
                Look::Refresh(provenance) => {
                    span.found(provenance);
                    self.tell_asked(&request, provenance.fresh_for());
                    self.refresh(&inner, &request);
                    return Ok(from_entry(&entry, provenance));
                }
                Look::Reserve => reserve = Some(entry),
                Look::Nothing => {}
            }
        }
        if request.parts().cache_control.only_if_cached {
            let other = self.other_variant(&request, None);
            span.came_to(other.as_ref());
            return other.ok_or(ProxyError::OnlyIfCached);
        }
        span.missed();
        self.tell_asked(&request, None);
        let asked = self.feed.is_some().then(Instant::now);
        let result = forward(inner, request.clone()).await;
        if let (Some(feed), Some(asked)) = (&self.feed, asked)
            && matches!(&result, Ok(reply) if reply.head().provenance.is_paid() && reply.head().status.is_success())
            && let Some(id) = request.fingerprint()
        {
            feed.came(id, asked.elapsed());
        }
        let Some(excuse) = excuse_of(&result) else {
            return result;
        };
        // Of several answers one that is not stale, where there is one.
        self.other_variant(&request, None)
            .or_else(|| reserve.map(|entry| excused(&request, &entry, excuse)))
            .or_else(|| self.other_variant(&request, Some(excuse)))
            .map_or(result, Ok)
    }

    /// Looks in Redis, if it can be asked.
    pub(super) async fn consult(&self, request: &ProxyRequest) -> Option<SharedEntry> {
        let redis = self.store.shared()?;
        let begun = Instant::now();
        let question = self.question(request)?;
        let wanted = question.variant(request.variant());
        let asked = Instant::now();
        let found = self.store.fetch(wanted, redis.timeout()).await;
        request.timings().add(Stage::Redis, asked.elapsed());
        request.timings().add(Stage::Cache, begun.elapsed());
        let entry = found?;
        let memory = &self.store.memory;
        if let Some(alias) = request.alias() {
            if let Some(known) = memory.resolve(alias) {
                request.remember_saved(known.saved);
            } else if let (Some(spelling), Some(alias)) = (spelling(request), request.kept_alias())
            {
                memory.remember(alias, spelling);
            }
        }
        Some(entry)
    }

    /// Another answer to the question, where several are kept: any that is fresh or welcome as it is, or, with an
    /// excuse, also one that is not. In the first tier alone: the upstream has had its time.
    pub(super) fn other_variant(
        &self,
        request: &ProxyRequest,
        excuse: Option<Excuse>,
    ) -> Option<Reply> {
        let question = request.question().filter(|_| self.turns.are_kept())?;
        self.turns.all().find_map(|variant| {
            let entry = self.store.memory.find(question.variant(variant))?;
            let look = self.weigh_for(request, &entry, Tier::Memory);
            match (look, excuse) {
                (Look::Answer(provenance), _) => Some(from_entry(&entry, provenance)),
                (Look::Refresh(provenance), None)
                    if request.parts().cache_control.only_if_cached =>
                {
                    Some(from_entry(&entry, provenance))
                }
                (Look::Refresh(_) | Look::Reserve, Some(excuse)) => {
                    Some(excused(request, &entry, excuse))
                }
                _ => None,
            }
        })
    }

    /// Brings a new answer behind a stale one, unless the client wants no call made.
    pub(super) fn refresh<S>(self: &Arc<Self>, inner: &S, request: &ProxyRequest)
    where
        S: Service<ProxyRequest, Response = Reply, Error = ProxyError> + Clone + Send + 'static,
        S::Future: Send,
    {
        if request.parts().cache_control.only_if_cached {
            return;
        }
        let question = self.question(request);
        let Some(fingerprint) = question.map(|question| question.variant(request.variant())) else {
            return;
        };
        let (this, inner) = (Arc::clone(self), inner.clone());
        self.refreshes
            .start(fingerprint, request, |mut request| async move {
                let span = request.enter("refresh");
                // Another instance may have brought one already.
                let found = this.consult(&request).await;
                let is_new = found.is_some_and(|entry| {
                    matches!(
                        this.weigh_for(&request, &entry, Tier::Redis),
                        Look::Answer(Provenance::Hit { .. })
                    )
                });
                if is_new {
                    if let Some(span) = span {
                        span.finish();
                    }
                    return None;
                }
                this.metrics.refreshes.add(1);
                let result = inner.oneshot(request).await;
                Some(telemetry::carry(span, result))
            });
    }
}

/// What the bytes of a request come to, for whoever sends them again.
pub(super) fn spelling(request: &ProxyRequest) -> Option<Spelling> {
    Some(Spelling {
        question: request.question()?,
        saved: request.saved(),
        wants_stream: request.wants_stream(),
        user: request.chat().and_then(|chat| chat.user().cloned()),
    })
}

/// The reply that an entry makes.
pub(super) fn from_entry(entry: &Entry, provenance: Provenance) -> Reply {
    Reply::Whole(whole(entry, provenance))
}

/// Its own header, and those that the edge puts beside it.
const HEADERS: usize = 10;

/// The same where nothing but a whole reply will do.
pub(super) fn whole(entry: &Entry, provenance: Provenance) -> Whole {
    let mut headers = HeaderMap::with_capacity(HEADERS);
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
        served: entry.served.clone(),
        quality: Quality::Stop,
    });
    Whole {
        head,
        body: Bytes::clone(&entry.body),
        answer,
    }
}

/// The reply that an entry makes which is past its life for this request.
fn excused(request: &ProxyRequest, entry: &Entry, excuse: Excuse) -> Reply {
    let age = entry.age();
    let provenance = Provenance::Stale {
        age,
        expired_for: age.saturating_sub(request.parts().ttl),
        excuse,
    };
    from_entry(entry, provenance)
}

/// Why a stale answer may hide this result (RFC 5861 section 4), if it is such a failure.
pub(crate) fn excuse_of(result: &ReplyResult) -> Option<Excuse> {
    match result {
        Ok(reply) => {
            let status = reply.head().status;
            let failed = matches!(status.as_u16(), 500 | 502 | 503 | 504);
            failed.then_some(Excuse::Error(Some(status)))
        }
        Err(ProxyError::CircuitOpen { .. }) => Some(Excuse::CircuitOpen),
        Err(ProxyError::SocketsBusy { .. } | ProxyError::UpstreamCrowded { .. }) => {
            Some(Excuse::Error(None))
        }
        Err(error) => error.is_upstream_failure().then_some(Excuse::Error(None)),
    }
}
