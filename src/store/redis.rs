//! The second tier: answers that many instances share, in Redis.
//!
//! It must never hurt. Each look-up has one small deadline; the first failure turns the tier off for everybody, and
//! it is on again only when the task that watches over it has connected anew and learnt what was cleared meanwhile
//! (`watch`). Writes wait in a bounded queue behind the requests (`writer`).

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::{RedisError, RedisResult};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::codec;
use super::{Entry, Memory, SharedEntry};
use crate::fingerprint::Fingerprint;
use crate::request::aside;
use clears::{Debts, Known, left_of};
use keys::Keys;
use lease::Landings;
use link::{Link, is_refusal};
use stats::Stats;
use watch::{On, Switch};
use writer::{Job, Queue};

pub use link::Address;
pub use stats::{Health, LatencyMs};

pub(super) use clears::Position;
pub(crate) use lease::{Acquired, Lease};
pub(super) use sweep::Outcome;

mod clears;
mod keys;
mod lease;
mod link;
mod spending;
mod stats;
mod sweep;
mod watch;
mod writer;

/// How long a write may take, where that is more than a look-up may: a long answer needs its time.
const WRITE: Duration = Duration::from_secs(1);
/// Larger values (bytes) are neither written nor read: on a slow network one look-up of such a one would take all the
/// time that there is.
const MAX_VALUE: usize = 512 * 1024;
/// Encoding or decoding a longer value (bytes) takes long enough to keep others waiting.
const LONG: usize = 64 * 1024;

/// What the tier is made of.
pub struct Settings {
    /// Where it is.
    pub(crate) address: Address,
    /// Whose keys: `pegasus:{namespace}:…`.
    pub(crate) namespace: String,
    /// How long one look-up or command may take.
    pub(crate) timeout: Duration,
    /// How long an answer is of any use, stale or not.
    pub(crate) life: Duration,
}

/// The tier. Cheap to clone; it ends with its last clone.
#[derive(Clone)]
pub(crate) struct Redis {
    shared: Arc<Shared>,
    /// Aborted when dropped.
    _tasks: Arc<JoinSet<()>>,
}

struct Shared {
    keys: Keys,
    timeout: Duration,
    life: Duration,
    /// The first tier, which the clears of others reach through this one.
    memory: Memory,
    switch: Switch,
    known: Mutex<Known>,
    /// Clears that were ordered while Redis was away.
    debts: Mutex<Debts>,
    /// What is to be deleted for those that it has been told of.
    sweeps: Mutex<Vec<Job>>,
    landings: Landings,
    queue: Queue,
    /// Tells when the queue has become empty.
    idle: Notify,
    /// Tells that there are clears which this instance does not know.
    news: Notify,
    stats: Stats,
}

impl Redis {
    /// A tier that connects in the background.
    pub(crate) fn new(settings: Settings, memory: Memory) -> Self {
        let Settings {
            address,
            namespace,
            timeout,
            life,
        } = settings;
        let (queue, jobs) = writer::queue();
        let shared = Arc::new(Shared {
            keys: Keys::new(&namespace),
            timeout,
            life,
            memory,
            switch: Switch::default(),
            known: Mutex::default(),
            debts: Mutex::default(),
            sweeps: Mutex::default(),
            landings: Landings::default(),
            queue,
            idle: Notify::new(),
            news: Notify::new(),
            stats: Stats::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(jobs.run(Arc::clone(&shared)));
        tasks.spawn(watch::run(Arc::clone(&shared), address));
        Self {
            shared,
            _tasks: Arc::new(tasks),
        }
    }

    /// Whether it can be asked now.
    pub(super) fn is_on(&self) -> bool {
        self.shared.is_on()
    }

    /// How long it may be waited for.
    pub(crate) fn timeout(&self) -> Duration {
        self.shared.timeout
    }

    /// Where in the order of clears a call stands that begins now.
    pub(super) fn position(&self) -> Position {
        self.shared.known.lock().position()
    }

    /// The entry of a request, if Redis has it and says so within `budget`.
    pub(super) async fn find(&self, fingerprint: Fingerprint, budget: Duration) -> Option<Entry> {
        let found = self.read(fingerprint, budget).await;
        if found.is_some() {
            self.shared.stats.hits.add(1);
        }
        found
    }

    /// Counts a look-up in vain: once, however often a request looks again for what others may have brought.
    pub(super) fn note_miss(&self) {
        self.shared.stats.misses.add(1);
    }

    async fn read(&self, fingerprint: Fingerprint, budget: Duration) -> Option<Entry> {
        let shared = &self.shared;
        let position = self.position();
        let key = shared.keys.entry(fingerprint, position.generation);
        let mut read = redis::pipe();
        // One byte more than is allowed shows that it is more.
        read.cmd("GETRANGE").arg(&key).arg(0).arg(MAX_VALUE);
        read.pttl(&key);
        let mut latest = redis::cmd("HGET");
        latest.arg(shared.keys.clears()).arg("latest");

        let asked = shared.ask(budget, |mut link: Link| async move {
            let mut other = link.clone();
            let (found, latest) = tokio::join!(
                read.query_async::<(Vec<u8>, i64)>(&mut link),
                latest.query_async::<Option<u64>>(&mut other),
            );
            let latest = match latest {
                // Whatever stands there is no number; the next heartbeat puts it right.
                Err(error) if is_refusal(&error) => None,
                latest => latest?,
            };
            let found = match found {
                Err(error) if is_refusal(&error) => None,
                found => Some(found?),
            };
            let is_behind = latest.is_some_and(|latest| latest > position.clears);
            Ok(found.filter(|_| !is_behind).ok_or(is_behind))
        });
        let (bytes, left) = match asked.await? {
            Ok(found) => found,
            Err(is_behind) => {
                if is_behind {
                    // A message that was lost, or is still on its way.
                    shared.news.notify_one();
                }
                return None;
            }
        };
        if bytes.is_empty() {
            return None;
        }
        let is_long = bytes.len() >= LONG;
        let value = Some(&bytes).filter(|bytes| bytes.len() <= MAX_VALUE);
        let value = value.and_then(|bytes| aside(is_long, || codec::decode(fingerprint, bytes)));
        let read = value.zip(left_of(left));
        let Some((value, left)) = read else {
            shared.stats.invalid.add(1);
            return None;
        };
        let begun = value.head.clears;
        let age = age(value.head.life, left);
        let entry = value.into_entry(age);
        let is_cleared = shared.known.lock().clears.forbids(begun, &entry);
        (!is_cleared).then_some(entry)
    }

    /// Has an answer written, after which the lease ends under which it was made.
    pub(super) fn store(
        &self,
        fingerprint: Fingerprint,
        entry: SharedEntry,
        begun: Position,
        lease: Option<Lease>,
    ) {
        let job = Job::Store {
            fingerprint,
            entry,
            begun,
            ending: lease.and_then(Lease::into_ending),
        };
        if !self.shared.queue.push(job) {
            self.shared.stats.dropped.add(1);
        }
    }

    /// Notes that another instance made a call for this one.
    pub(crate) fn note_landing(&self) {
        self.shared.stats.landed_elsewhere.add(1);
    }

    /// How it does.
    pub(super) fn health(&self) -> Health {
        let Shared {
            switch,
            stats,
            queue,
            ..
        } = &*self.shared;
        Health {
            state: switch.state(),
            last_error: switch.last_error(),
            latency_ms: stats.latency(),
            hits: stats.hits.get(),
            misses: stats.misses.get(),
            invalid: stats.invalid.get(),
            written: stats.written.get(),
            queued: queue.len() as u64,
            dropped: stats.dropped.get(),
            refused: stats.refused.get(),
            unanswered: stats.unanswered.get(),
            failures: stats.failures.get(),
            flights_elsewhere: stats.landed_elsewhere.get(),
        }
    }

    /// Writes what still waits to be written, as long as that does not take longer than one write may.
    pub(super) async fn flush(&self) {
        let _ = timeout(WRITE, async {
            let idle = self.shared.idle.notified();
            if self.shared.queue.len() > 0 {
                idle.await;
            }
        })
        .await;
    }
}

impl Shared {
    fn is_on(&self) -> bool {
        self.switch.is_on()
    }

    /// Whether there is any use in asking: what is left of a budget may be too little for a server that is well.
    fn can_ask(&self, budget: Duration) -> bool {
        budget >= self.timeout / 2 && self.is_on()
    }

    /// Asks Redis something. `None` where it is off, does not answer in time, or refuses; where it does not answer,
    /// the tier is off from now on.
    async fn ask<T, F>(&self, budget: Duration, question: impl FnOnce(Link) -> F) -> Option<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        if !self.can_ask(budget) {
            return None;
        }
        let On { links, number } = self.switch.links()?;
        let begun = Instant::now();
        let answer = self.judge(number, budget, question(links.asks)).await?;
        self.stats.took(begun.elapsed());
        Some(answer)
    }

    /// Writes something, for which nobody waits.
    async fn put<T, F>(&self, write: impl FnOnce(Link) -> F) -> Option<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let On { links, number } = self.switch.links()?;
        let budget = self.timeout.max(WRITE);
        self.judge(number, budget, write(links.writes)).await
    }

    async fn judge<T>(
        &self,
        number: u64,
        budget: Duration,
        answer: impl Future<Output = RedisResult<T>>,
    ) -> Option<T> {
        match timeout(budget, answer).await {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(error)) if is_refusal(&error) => {
                self.stats.refused.add(1);
                tracing::debug!(%error, "redis refused a command");
                None
            }
            Ok(Err(error)) => {
                self.stats.unanswered.add(1);
                self.fail(number, &error);
                None
            }
            Err(_) => {
                self.stats.unanswered.add(1);
                self.fail(number, &late());
                None
            }
        }
    }

    fn fail(&self, link: u64, error: &RedisError) {
        if self.switch.off(link, error) {
            self.stats.failures.add(1);
        }
    }
}

fn late() -> RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time").into()
}

/// How old an answer is that lives so long in all and has so much left.
fn age(life: Duration, left: Duration) -> Duration {
    life.saturating_sub(left)
}
