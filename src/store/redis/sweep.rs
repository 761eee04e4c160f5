//! Carries a clear out on the keys: visits them all, and deletes or counts what it is about.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use redis::RedisResult;
use tokio::time::timeout;

use super::clears::{Ordered, left_of};
use super::keys::{Kind, Named};
use super::link::{Link, is_refusal};
use super::writer::Job;
use super::{Redis, Shared, WRITE, age, late};
use crate::fingerprint::Fingerprint;
use crate::store::clears::Filter;
use crate::store::codec;

/// Keys that one step of a scan looks at.
const STEP: usize = 1_000;
/// How long one step of a scan may take: it is a clear's business alone, so it may be more patient than a request.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);
/// Commands of a scan that are under way at once.
const AT_ONCE: usize = 64;

/// What became of a clear in Redis.
pub(crate) enum Outcome {
    /// Every instance has been told, and these answers of theirs are gone.
    Done(HashSet<Fingerprint>),
    /// Every instance has been told, so none gives what is cleared; how much that is could not be found out.
    Told,
    /// Redis does not answer; the clear is carried out when it does.
    Owed,
}

impl Redis {
    /// Clears on every instance, or makes sure that it is done later.
    pub(in crate::store) async fn clear(&self, filter: &Filter) -> Outcome {
        let shared = &self.shared;
        shared.switch.patience().await;
        let Some(on) = shared.switch.links() else {
            shared.owe(filter);
            return Outcome::Owed;
        };
        let mut link = on.links.asks;
        let order = timeout(shared.timeout.max(WRITE), shared.order(&mut link, filter)).await;
        let order = match order.unwrap_or_else(|_| Err(late())) {
            Ok(order) => order,
            Err(error) => {
                tracing::warn!(%error, "redis could not be told of a clear");
                shared.owe(filter);
                // Until it knows, what is there may be what was cleared.
                shared.fail(on.number, &error);
                return Outcome::Owed;
            }
        };
        match shared.visit(&link, filter, Some(&order)).await {
            Ok(about) => Outcome::Done(about),
            Err(error) => {
                tracing::warn!(%error, "redis: not all cleared answers were deleted");
                if !is_refusal(&error) {
                    let filter = filter.clone();
                    shared.sweeps.lock().push(Job::Sweep { filter, order });
                }
                Outcome::Told
            }
        }
    }

    /// Whose answers a clear would be about; `None` where Redis does not answer.
    pub(in crate::store) async fn matching(&self, filter: &Filter) -> Option<HashSet<Fingerprint>> {
        let on = self.shared.switch.links()?;
        self.shared.visit(&on.links.asks, filter, None).await.ok()
    }
}

impl Shared {
    /// Deletes what a clear was about that has been ordered already, now or when the tier is on again.
    pub(super) async fn sweep(&self, filter: Filter, order: Ordered) {
        let visited = match self.switch.links() {
            None => None,
            Some(on) => Some(self.visit(&on.links.writes, &filter, Some(&order)).await),
        };
        match visited {
            Some(Ok(about)) => tracing::info!(cleared = about.len(), "redis: swept after a clear"),
            Some(Err(error)) if is_refusal(&error) => {
                tracing::warn!(%error, "redis: not all cleared answers were deleted");
            }
            None | Some(Err(_)) => self.sweeps.lock().push(Job::Sweep { filter, order }),
        }
    }

    /// Visits every key and deletes the answers that an ordered clear is about; without an order counts them only.
    /// Gives whose answers those were.
    pub(super) async fn visit(
        &self,
        link: &Link,
        filter: &Filter,
        order: Option<&Ordered>,
    ) -> RedisResult<HashSet<Fingerprint>> {
        let mut about = HashSet::new();
        let masters = within(link.clone().masters()).await?;
        for master in &masters {
            let mut cursor = "0".to_owned();
            loop {
                let mut scan = redis::cmd("SCAN");
                scan.arg(&cursor).arg("MATCH").arg(self.keys.pattern());
                scan.arg("COUNT").arg(STEP);
                let mut link = link.clone();
                let found = within(link.ask(master.as_ref(), &scan)).await?;
                let (next, keys): (String, Vec<Vec<u8>>) = redis::from_redis_value(found)?;
                // Whoever writes names that are no text, it is not us.
                let keys = keys
                    .into_iter()
                    .filter_map(|key| String::from_utf8(key).ok());
                let keys = keys.collect();
                let found = within(self.choose(&link, filter, order, keys)).await?;
                about.extend(found);
                cursor = next;
                if cursor == "0" {
                    break;
                }
            }
        }
        Ok(about)
    }

    /// Of these keys' answers those that the filter is about; deleted if that is ordered.
    async fn choose(
        &self,
        link: &Link,
        filter: &Filter,
        order: Option<&Ordered>,
        keys: Vec<String>,
    ) -> RedisResult<Vec<Fingerprint>> {
        let generation = order.map_or_else(
            || self.known.lock().position().generation,
            |order| order.before,
        );
        let judge = |key: String| async move {
            let Some(named) = self.keys.parse(&key) else {
                return Ok(None);
            };
            let mut link = link.clone();
            let is_current = named.generation == generation;
            let is_over = order.is_some_and(|order| {
                named.generation < generation || filter.is_all() && named.generation < order.number
            });
            let Named {
                fingerprint, kind, ..
            } = named;
            let is_about = kind == Kind::Entry
                && is_current
                && (filter.is_all() || self.is_about(&mut link, filter, order, &key).await?);
            // Who is asking the upstream holds its lease until it has landed.
            let delete = match kind {
                Kind::Entry => is_over || is_about && order.is_some(),
                Kind::Flight => false,
            };
            let mut counts = is_about;
            if delete {
                let deleted: u64 = redis::cmd("UNLINK")
                    .arg(&key)
                    .query_async(&mut link)
                    .await?;
                // Between the scan and now it may have lapsed, or another clear may have come first.
                counts &= deleted > 0;
            }
            RedisResult::Ok(counts.then_some(fingerprint))
        };
        stream::iter(keys)
            .map(judge)
            .buffer_unordered(AT_ONCE)
            .try_filter_map(|found| std::future::ready(Ok(found)))
            .try_collect()
            .await
    }

    /// Whether a narrowed clear is about the answer at this key. What cannot be read answers nothing either way.
    async fn is_about(
        &self,
        link: &mut Link,
        filter: &Filter,
        order: Option<&Ordered>,
        key: &str,
    ) -> RedisResult<bool> {
        let read: RedisResult<(Vec<u8>, i64)> = redis::pipe()
            .cmd("GETRANGE")
            .arg(key)
            .arg(0)
            .arg(codec::MAX_HEAD - 1)
            .pttl(key)
            .query_async(link)
            .await;
        let (beginning, left) = match read {
            // Somebody's list or hash under a name of ours.
            Err(error) if is_refusal(&error) => return Ok(false),
            read => read?,
        };
        let (Some(head), Some(left)) = (codec::peek(&beginning), left_of(left)) else {
            return Ok(false);
        };
        let is_older = order.is_none_or(|order| head.clears < order.number);
        Ok(is_older && filter.is_about(&head.model, head.scope, age(head.life, left)))
    }
}

async fn within<T>(step: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    timeout(STEP_TIMEOUT, step).await.unwrap_or_else(|_| {
        Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "the scan took too long").into())
    })
}
