//! One upstream call for identical requests on many instances: who takes the lease in Redis asks, the others wait
//! for what it is told.
//!
//! Only whole answers: streams are joined within an instance and found in the cache across them. Where Redis does not
//! answer, every instance asks for itself.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::{from_entry, handover};
use crate::error::{ProxyError, Slow};
use crate::fingerprint::Fingerprint;
use crate::layers::ReplyResult;
use crate::reply::{Provenance, Reply, Tier};
use crate::request::{ProxyRequest, Stage, Verdict};
use crate::store::redis::{Acquired, Lease, Redis};
use crate::store::{SharedEntry, Store};

/// How often those who wait look for themselves, should a message be lost.
const POLL: Duration = Duration::from_millis(250);

/// What became of the wish to ask the upstream.
pub(super) enum Clearance {
    /// This instance asks, for all.
    Lease(Lease),
    /// This instance asks for itself.
    Alone,
    /// Another instance has asked.
    Answered(ReplyResult),
}

/// Waits until it is known who asks.
pub(super) async fn clearance(
    store: &Store,
    redis: &Redis,
    request: &ProxyRequest,
    fingerprint: Fingerprint,
) -> Clearance {
    let waiting = redis.wait_for(fingerprint);
    let (mut flight, mut was_patient) = (None, false);
    let begun = Instant::now();
    loop {
        // What the look-up has left of Redis's time; who has waited for another's call has all of it again.
        let spent = request.timings().of(Stage::Redis);
        let budget = match &flight {
            None => redis.timeout().saturating_sub(spent),
            Some(_) => redis.timeout(),
        };
        let landing = waiting.landing();
        let asked = Instant::now();
        let acquired = redis.acquire(fingerprint, flight.as_ref(), budget).await;
        if flight.is_none() {
            request.timings().add(Stage::Redis, asked.elapsed());
        }
        match acquired {
            // A link that broke may be back at once.
            None if flight.is_some() && !was_patient => {
                was_patient = true;
                redis.patience().await;
                continue;
            }
            None => return Clearance::Alone,
            Some(Acquired::Brought(brought)) => {
                // What cannot be read was no use; the next turn takes the lease.
                if let Some(result) = handover::take(&brought) {
                    redis.note_landing();
                    return Clearance::Answered(result);
                }
                flight = None;
                continue;
            }
            Some(Acquired::Lease(lease)) => {
                let budget = budget.saturating_sub(asked.elapsed());
                // Between the look-up and this an earlier flight may have landed.
                let entry = store.fetch_alone(fingerprint, budget).await;
                let reply = entry.and_then(|entry| {
                    let waited = flight.is_some().then(|| begun.elapsed());
                    accept(request, &entry, waited)
                });
                return match reply {
                    Some(reply) => {
                        if flight.is_some() {
                            redis.note_landing();
                        }
                        Clearance::Answered(Ok(reply))
                    }
                    None => Clearance::Lease(lease),
                };
            }
            Some(Acquired::Held(token)) => flight = Some(token),
        }
        tokio::select! {
            () = landing => {}
            () = sleep(POLL) => {}
            () = sleep_until(request.deadline) => {
                return Clearance::Answered(Err(ProxyError::Timeout(Slow::Total)));
            }
        }
        let entry = store.fetch_alone(fingerprint, redis.timeout()).await;
        let reply = entry.and_then(|entry| accept(request, &entry, Some(begun.elapsed())));
        if let Some(reply) = reply {
            redis.note_landing();
            return Clearance::Answered(Ok(reply));
        }
    }
}

/// The reply that an entry makes which was found in place of a call: from the cache, or, if it was made while the
/// request waited, from the call that it would have joined.
fn accept(request: &ProxyRequest, entry: &SharedEntry, waited: Option<Duration>) -> Option<Reply> {
    let age = entry.age();
    if waited.is_some_and(|waited| age <= waited) {
        return Some(from_entry(entry, Provenance::Coalesced { across: true }));
    }
    let parts = request.parts();
    match parts.cache_control.judge(age, parts.ttl) {
        Verdict::Fresh { ttl_left: ttl } => {
            let tier = Tier::Redis;
            Some(from_entry(entry, Provenance::Hit { age, ttl, tier }))
        }
        _ => None,
    }
}
