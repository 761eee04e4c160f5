//! What a client with a name may use: requests a minute, requests at once, and money.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota as Rate, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::config::Client;
use crate::error::{Allowance, ProxyError};
use crate::metering::budget::{Budget, Budgets};

/// When a client may come back that has too many requests under way: they end at no known time.
const SOON: Duration = Duration::from_secs(1);

/// The limits of one client, and how much of them is used.
pub(super) struct Quota {
    name: Arc<str>,
    rate: Option<(u32, Limiter)>,
    places: Option<(u32, Arc<Semaphore>)>,
    budget: Option<Arc<Budget>>,
}

/// A bucket that holds a minute's requests and fills evenly (the generic cell rate algorithm).
type Limiter = RateLimiter<NotKeyed, InMemoryState, RuntimeClock, NoOpMiddleware<Nanos>>;

/// The runtime's clock, which tests can stop.
#[derive(Clone)]
struct RuntimeClock {
    start: Instant,
}

impl Clock for RuntimeClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.start.elapsed().into()
    }
}

impl Quota {
    pub(super) fn new(client: &Client, budgets: &Budgets) -> Self {
        let clock = RuntimeClock {
            start: Instant::now(),
        };
        let rate = client.requests_per_minute.and_then(NonZeroU32::new);
        Self {
            name: (&*client.name).into(),
            budget: budgets.of(&client.name),
            rate: rate.map(|limit| {
                let bucket = RateLimiter::direct_with_clock(Rate::per_minute(limit), clock);
                (limit.get(), bucket)
            }),
            places: client
                .max_in_flight
                .map(|limit| (limit, Arc::new(Semaphore::new(limit as usize)))),
        }
    }

    /// The client's name.
    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What its calls may cost, where that is limited.
    pub(super) fn budget(&self) -> Option<&Arc<Budget>> {
        self.budget.as_ref()
    }

    /// Counts one more request.
    pub(super) fn count(&self) -> Result<(), ProxyError> {
        let Some((limit, bucket)) = &self.rate else {
            return Ok(());
        };
        let refused = |retry_after| self.refuse(Allowance::RequestsPerMinute, *limit, retry_after);
        bucket.check().map_err(|not_until| {
            let now = bucket.clock().now();
            refused(not_until.wait_time_from(now))
        })
    }

    /// A place for one more request, where places are limited.
    pub(super) fn place(&self) -> Result<Option<OwnedSemaphorePermit>, ProxyError> {
        let Some((limit, places)) = &self.places else {
            return Ok(None);
        };
        Arc::clone(places)
            .try_acquire_owned()
            .map(Some)
            .map_err(|_| self.refuse(Allowance::InFlight, *limit, SOON))
    }

    fn refuse(&self, what: Allowance, limit: u32, retry_after: Duration) -> ProxyError {
        ProxyError::QuotaExceeded {
            client: Arc::clone(&self.name),
            what,
            limit,
            retry_after,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn quota(requests_per_minute: Option<u32>, max_in_flight: Option<u32>) -> Quota {
        let client = Client {
            name: "web".into(),
            token_sha256: [0; 32],
            requests_per_minute,
            max_in_flight,
            budget_usd_per_day: None,
            budget_usd_per_month: None,
        };
        Quota::new(&client, &Budgets::new(&[]))
    }

    #[tokio::test(start_paused = true)]
    async fn a_minutes_requests_may_come_at_once_and_then_evenly() {
        let quota = quota(Some(30), None);
        for _ in 0..30 {
            quota.count().unwrap();
        }
        let error = quota.count().unwrap_err();
        assert_eq!(error.status(), 429);
        assert_eq!(error.retry_after().as_deref(), Some("2"), "{error}");
        // What was refused is not counted.
        advance(Duration::from_secs(2)).await;
        quota.count().unwrap();
        assert!(quota.count().is_err());
        advance(Duration::from_mins(2)).await;
        for _ in 0..30 {
            quota.count().unwrap();
        }
        assert!(
            quota.count().is_err(),
            "no more than a minute's worth is saved up"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn places_come_back() {
        let quota = quota(None, Some(1));
        let held = quota.place().unwrap();
        let error = quota.place().unwrap_err();
        assert_eq!(
            (error.status().as_u16(), error.retry_after().as_deref()),
            (429, Some("1"))
        );
        drop(held);
        assert!(quota.place().unwrap().is_some());
    }

    #[tokio::test]
    async fn who_has_no_limits_meets_none() {
        let quota = quota(None, None);
        assert!((0..10_000).all(|_| quota.count().is_ok() && quota.place().unwrap().is_none()));
    }
}
