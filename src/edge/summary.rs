//! Sums up in the log what happened: one line every `log.summary_interval`, and none where nothing did.

use std::future::pending;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Edge;
use super::figures::percent;
use super::resources::Resources;
use crate::metering::overview::Overview;
use crate::metering::tally::{Figure, Tally, usd};

/// Writes these lines, for ever.
pub(super) async fn sum_up(edge: &Edge) {
    let interval = edge.shared.config.log.summary_interval;
    let Some(overview) = edge.shared.stack.overview.as_ref() else {
        return pending().await;
    };
    if interval.is_zero() {
        return pending().await;
    }
    let mut summaries = Summaries::new(edge, overview, interval);
    loop {
        summaries.next().await.tell(edge);
    }
}

/// Makes one summary after another.
struct Summaries<'e> {
    edge: &'e Edge,
    overview: &'e Overview,
    interval: Duration,
    changes: watch::Receiver<u64>,
    /// What the last one told, and when.
    told: Seen,
    since: Instant,
}

/// What had happened at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    sums: Tally,
    hits: u64,
    misses: u64,
}

/// What happened in an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Summary {
    of: Seen,
    time: Duration,
}

// === impl Summaries ===

impl<'e> Summaries<'e> {
    fn new(edge: &'e Edge, overview: &'e Overview, interval: Duration) -> Self {
        Self {
            edge,
            overview,
            interval,
            changes: overview.changes(),
            told: edge.seen(overview),
            since: Instant::now(),
        }
    }

    /// The next interval in which a request has ended. Until one has, no timer runs.
    async fn next(&mut self) -> Summary {
        loop {
            if self.changes.changed().await.is_err() {
                return pending().await;
            }
            let now = Instant::now();
            if self.since + self.interval <= now {
                // Nothing had happened for longer than that: an interval begins here.
                self.since = now;
            }
            sleep_until(self.since + self.interval).await;
            if let Some(books) = &self.edge.shared.stack.books {
                books.settled().await;
            }
            // All until now is in this summary, and no reason for another one.
            self.changes.mark_unchanged();
            let seen = self.edge.seen(self.overview);
            let now = Instant::now();
            let summary = Summary {
                of: seen.since(&self.told),
                time: now - self.since,
            };
            (self.told, self.since) = (seen, now);
            if summary.of.sums.get(Figure::Requests) > 0 {
                return summary;
            }
        }
    }
}

impl Edge {
    fn seen(&self, overview: &Overview) -> Seen {
        let m = &self.shared.stack.metrics;
        Seen {
            sums: overview.own(),
            hits: m.hits.get() + m.stale_hits.get(),
            misses: m.misses.get(),
        }
    }
}

impl Seen {
    fn since(&self, earlier: &Self) -> Self {
        Self {
            sums: self.sums.since(&earlier.sums),
            hits: self.hits.saturating_sub(earlier.hits),
            misses: self.misses.saturating_sub(earlier.misses),
        }
    }
}

// === impl Summary ===

impl Summary {
    /// Writes the line, with what the process holds at its end.
    fn tell(&self, edge: &Edge) {
        let Self {
            of: Seen { sums, hits, misses },
            time,
        } = self;
        let Resources {
            resident_bytes,
            descriptors,
            sockets,
            in_flight,
            books_waiting,
            rows_dropped,
            rows_lost,
            ..
        } = edge.resources();
        let saved = [
            Figure::CacheTokensSaved,
            Figure::DedupTokensSaved,
            Figure::CompressionTokensSaved,
        ];
        tracing::info!(
            seconds = time.as_secs(),
            requests = sums.get(Figure::Requests),
            errors = sums.get(Figure::Errors),
            hit_rate = percent(*hits, hits + misses),
            tokens_saved = saved.map(|figure| sums.get(figure)).iter().sum::<u64>(),
            saved_usd = usd(sums.saved()),
            cost_usd = usd(sums.get(Figure::Cost)),
            memory_bytes = resident_bytes,
            descriptors,
            upstream_sockets = sockets.in_use,
            upstream_waiting = sockets.waiting,
            in_flight,
            ledger_queue = books_waiting,
            ledger_dropped = rows_dropped + rows_lost,
            cache_entries = edge.shared.stack.store.memory.len(),
            "summary"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::time::{advance, timeout};

    use super::*;
    use crate::config::Config;
    use crate::error::ProxyError;
    use crate::metering::account::{Row, Savings, Source};
    use crate::metering::hand::Hand;
    use crate::reply::Reply;
    use crate::request::{ProxyRequest, Route};
    use crate::stack;

    const INTERVAL: Duration = Duration::from_mins(5);

    fn edge() -> Edge {
        let leaf = tower::service_fn(|_: ProxyRequest| async {
            Err::<Reply, _>(ProxyError::Internal("nobody asks it"))
        });
        let config = Config::default();
        assert_eq!(config.log.summary_interval, INTERVAL);
        let mut stack = stack::over(&config, std::sync::Arc::default(), leaf);
        stack.overview = Some(Overview::new(0));
        Edge::new(config, stack)
    }

    fn overview(edge: &Edge) -> &Overview {
        edge.shared.stack.overview.as_ref().unwrap()
    }

    /// A request ends that saved a nano-dollar.
    fn request(edge: &Edge) {
        edge.shared.stack.metrics.hits.add(1);
        overview(edge).reader().read(&Hand::new(&[Row {
            endpoint: Some(Route::Create),
            source: Source::Cache,
            saved: Savings {
                cache: 1,
                ..Savings::default()
            },
            ..Row::default()
        }]));
    }

    /// How often a task is woken by a future within a day, in which it never gets ready.
    async fn wakes<T>(future: impl Future<Output = T>) -> u32 {
        let mut polls = 0;
        let mut future = pin!(future);
        let counted = std::future::poll_fn(|cx| {
            polls += 1;
            future.as_mut().poll(cx)
        });
        let over = timeout(Duration::from_hours(24), counted).await;
        assert!(over.is_err());
        // Once at the beginning, and once with the end of the day.
        polls - 2
    }

    #[tokio::test(start_paused = true)]
    async fn an_interval_is_summed_up_and_the_next_one_follows_on() {
        let edge = edge();
        let mut summaries = Summaries::new(&edge, overview(&edge), INTERVAL);
        let begun = Instant::now();
        request(&edge);
        request(&edge);
        advance(INTERVAL / 5).await;
        let first = summaries.next().await;
        assert_eq!((begun.elapsed(), first.time), (INTERVAL, INTERVAL));
        let of = |summary: Summary| {
            let sums = summary.of.sums;
            (sums.get(Figure::Requests), sums.saved(), summary.of.hits)
        };
        assert_eq!(of(first), (2, 2, 2));
        advance(INTERVAL / 2).await;
        request(&edge);
        // What happens amid the interval is no reason for a second line.
        let second = {
            let mut next = pin!(summaries.next());
            assert!(timeout(INTERVAL / 4, &mut next).await.is_err());
            request(&edge);
            next.await
        };
        assert_eq!(begun.elapsed(), 2 * INTERVAL);
        assert_eq!((of(second), second.time), ((2, 2, 2), INTERVAL));
        assert_eq!(wakes(summaries.next()).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn where_nothing_happens_nothing_is_said_and_nobody_is_woken() {
        let edge = edge();
        let mut summaries = Summaries::new(&edge, overview(&edge), INTERVAL);
        assert_eq!(wakes(summaries.next()).await, 0);
        // The first request after a day: what follows it is summed up, not the day.
        request(&edge);
        let begun = Instant::now();
        let summary = summaries.next().await;
        assert_eq!((begun.elapsed(), summary.time), (INTERVAL, INTERVAL));
        assert_eq!(wakes(summaries.next()).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_interval_of_zero_is_none() {
        let mut edge = edge();
        let shared = std::sync::Arc::get_mut(&mut edge.shared).unwrap();
        shared.config.log.summary_interval = Duration::ZERO;
        let busy = async {
            request(&edge);
            sum_up(&edge).await;
        };
        assert_eq!(wakes(busy).await, 0);
    }
}
