//! The answers of this process, and behind them those that all instances share.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::OnceCell;
use tokio::time::{sleep, timeout};

use super::redis::{self, Outcome, Position, Redis};
use super::{Entry, Filter, Generation, Memory, NotKept, SharedEntry, Snapshot};
use crate::fingerprint::Fingerprint;

/// Both tiers. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    /// The first tier.
    pub memory: Memory,
    redis: Option<Redis>,
    snapshot: Option<Snapshot>,
    fetches: Arc<Fetches>,
}

/// Look-ups in Redis that are under way, with the number of their callers: identical ones share one, and what it brings
/// is held once.
type Fetches = Mutex<HashMap<Fingerprint, (usize, Fetch)>>;
type Fetch = Arc<OnceCell<Option<SharedEntry>>>;

/// Where in the order of clears a call stands; to be asked for before the upstream is.
#[derive(Debug, Clone, Copy)]
pub struct Begun {
    here: Generation,
    shared: Option<Position>,
}

/// What a clear did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cleared {
    /// Distinct answers that are gone, of both tiers.
    pub answers: usize,
    /// What the other instances know of it.
    pub shared: Shared,
}

/// What the instances that share Redis know of a clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shared {
    /// There are none.
    None,
    /// They know, and what Redis had is counted.
    Counted,
    /// They know; what Redis had could not be counted.
    Uncounted,
    /// Redis does not answer.
    Unreachable,
}

impl Store {
    /// A store of one tier, or two.
    pub(crate) fn new(
        memory: Memory,
        redis: Option<redis::Settings>,
        snapshot: Option<Snapshot>,
    ) -> Self {
        let redis = redis.map(|settings| Redis::new(settings, memory.clone()));
        Self {
            memory,
            redis,
            snapshot,
            fetches: Arc::default(),
        }
    }

    /// The same store, see [`Memory::quietly`].
    pub(crate) fn quietly(&self) -> Self {
        Self {
            memory: self.memory.quietly(),
            ..self.clone()
        }
    }

    /// The second tier, where it is set and can be asked now.
    pub(crate) fn shared(&self) -> Option<&Redis> {
        self.redis.as_ref().filter(|redis| redis.is_on())
    }

    /// The second tier, where one is set, whether it can be asked or not.
    pub(crate) fn second(&self) -> Option<&Redis> {
        self.redis.as_ref()
    }

    /// How the second tier does, where one is set.
    pub fn redis(&self) -> Option<redis::Health> {
        self.redis.as_ref().map(Redis::health)
    }

    /// To be read before the upstream is asked, for when the answer is kept.
    pub fn begin(&self) -> Begun {
        // The shared position first: a clear that comes in between is seen by the other.
        let shared = self.redis.as_ref().map(Redis::position);
        Begun {
            here: self.memory.generation(),
            shared,
        }
    }

    /// Looks in the second tier, for `budget` at most, and fills the first from it with what is left of the life.
    pub(crate) async fn fetch(
        &self,
        fingerprint: Fingerprint,
        budget: Duration,
    ) -> Option<SharedEntry> {
        let fetch = {
            let mut fetches = self.fetches.lock();
            let (callers, fetch) = fetches.entry(fingerprint).or_default();
            *callers += 1;
            Arc::clone(fetch)
        };
        let _caller = Caller {
            fetches: &self.fetches,
            fingerprint,
        };
        let found = fetch.get_or_init(|| self.fetch_alone(fingerprint, budget));
        // Where the caller before left without an answer, the look-up begins anew, but this caller's time does not.
        let found = timeout(budget, found).await.ok().and_then(Option::clone);
        if let (None, Some(redis)) = (&found, &self.redis) {
            redis.note_miss();
        }
        found
    }

    /// The same, begun now: what landed before this call is found.
    pub(crate) async fn fetch_alone(
        &self,
        fingerprint: Fingerprint,
        budget: Duration,
    ) -> Option<SharedEntry> {
        let redis = self.redis.as_ref()?;
        let begun = self.begin();
        let entry = Arc::new(redis.find(fingerprint, budget).await?);
        // What could not be written there is newer here.
        let own = self.memory.find(fingerprint);
        if let Some(own) = own.filter(|own| own.age() <= entry.age()) {
            return Some(own);
        }
        // Cleared in between, it is no answer any more; too large for the first tier, it still is.
        match self
            .memory
            .store(fingerprint, Arc::clone(&entry), begun.here)
        {
            Err(NotKept::Cleared) => None,
            Ok(()) | Err(NotKept::TooLarge) => Some(entry),
        }
    }

    /// Keeps an answer, and lets the other instances have it, after which the lease ends under which it was made.
    pub(crate) fn keep(
        &self,
        fingerprint: Fingerprint,
        entry: Entry,
        begun: Begun,
        lease: &mut Option<redis::Lease>,
    ) -> Result<(), NotKept> {
        let entry = Arc::new(entry);
        let kept = self
            .memory
            .store(fingerprint, Arc::clone(&entry), begun.here);
        if let (Ok(()), Some(redis), Some(position)) = (&kept, &self.redis, begun.shared) {
            redis.store(fingerprint, entry, position, lease.take());
        }
        kept
    }

    /// Forgets the answers that `filter` is about, on every instance. Those in flight will not be stored.
    pub async fn clear(&self, filter: &Filter) -> Cleared {
        self.settled().await;
        let mut answers: HashSet<_> = self.memory.clear(filter).into_iter().collect();
        let shared = match &self.redis {
            None => Shared::None,
            Some(redis) => match redis.clear(filter).await {
                Outcome::Done(theirs) => {
                    answers.extend(theirs);
                    Shared::Counted
                }
                Outcome::Told => Shared::Uncounted,
                Outcome::Owed => Shared::Unreachable,
            },
        };
        if let Some(snapshot) = &self.snapshot {
            // What is cleared must not come back after a crash.
            snapshot.write_cleared().await;
        }
        Cleared {
            answers: answers.len(),
            shared,
        }
    }

    /// What [`Store::clear`] would do.
    pub async fn count(&self, filter: &Filter) -> Cleared {
        self.settled().await;
        let mut answers: HashSet<_> = self.memory.matching(filter).into_iter().collect();
        let shared = match &self.redis {
            None => Shared::None,
            Some(redis) => match redis.matching(filter).await {
                Some(theirs) => {
                    answers.extend(theirs);
                    Shared::Counted
                }
                None => Shared::Unreachable,
            },
        };
        Cleared {
            answers: answers.len(),
            shared,
        }
    }

    /// Waits until the answers of an earlier process are here, so that they count.
    async fn settled(&self) {
        if let Some(snapshot) = &self.snapshot {
            snapshot.settled().await;
        }
    }

    /// Keeps the snapshot, where one is set: reads it, and then writes it now and then, for ever.
    pub async fn upkeep(&self) -> Infallible {
        let Some(snapshot) = &self.snapshot else {
            return std::future::pending().await;
        };
        // What comes in while the file is read is not in it.
        let mut written = self.memory.changes();
        snapshot.read().await;
        loop {
            sleep(SNAPSHOT_INTERVAL).await;
            let changes = self.memory.changes();
            if changes != written {
                snapshot.write().await;
                written = changes;
            }
        }
    }

    /// Writes what is only here, when no more requests come.
    pub async fn close(&self) {
        if let Some(redis) = &self.redis {
            redis.flush().await;
        }
        if let Some(snapshot) = &self.snapshot {
            snapshot.write().await;
        }
    }
}

/// How often the snapshot is written.
const SNAPSHOT_INTERVAL: Duration = Duration::from_mins(5);

/// A caller of a look-up; the last one takes it off the list.
struct Caller<'a> {
    fetches: &'a Fetches,
    fingerprint: Fingerprint,
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        let mut fetches = self.fetches.lock();
        if let Some((callers, _)) = fetches.get_mut(&self.fingerprint) {
            *callers -= 1;
            if *callers == 0 {
                fetches.remove(&self.fingerprint);
            }
        }
    }
}
