//! The first tier: moka with least-recently-used eviction, bounded in entries and in bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use parking_lot::Mutex;

use super::{Entry, SharedEntry};
use crate::config;
use crate::fingerprint::Fingerprint;
use crate::request::Saved;

/// What an entry weighs beside its body: key, pointers, moka's own nodes (pitfalls of moka#72: about 200 bytes).
const ENTRY_OVERHEAD: u64 = 200;
/// Several spellings of one request lead to one entry.
const ALIASES_PER_ENTRY: u64 = 4;

/// The bounds of a [`Memory`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long an entry is fresh.
    pub ttl: Duration,
    /// How long past that it may still stand in for a failing upstream.
    pub stale_if_error: Duration,
    /// At most so many entries.
    pub max_entries: u64,
    /// At most so many bytes.
    pub max_bytes: u64,
}

impl From<&config::Cache> for Limits {
    fn from(config: &config::Cache) -> Self {
        Self {
            ttl: config.ttl,
            stale_if_error: config.stale_if_error,
            max_entries: config.max_entries,
            max_bytes: config.max_bytes,
        }
    }
}

/// The answers of this process. Cheap to clone.
#[derive(Clone)]
pub struct Memory {
    shared: Arc<Shared>,
}

struct Shared {
    limits: Limits,
    entries: Cache<Fingerprint, SharedEntry>,
    aliases: Cache<Fingerprint, (Fingerprint, Saved)>,
    /// What the entries weigh together; moka's own sum counts shares.
    bytes: Arc<AtomicU64>,
    /// Counts the clears. Held while storing, for two reasons: an answer that was in flight during a clear is
    /// either stored before it, and cleared, or not at all; and threads that write one key at once leave the
    /// sum of moka 0.12.16 too high for good, which costs the store a place each time.
    generation: Mutex<u64>,
}

/// What a look into the store found.
#[derive(Debug)]
pub enum Found {
    /// An entry within its life.
    Fresh {
        /// The entry.
        entry: SharedEntry,
        /// Its age.
        age: Duration,
        /// What is left of its life.
        ttl: Duration,
    },
    /// An entry past its life, good only while the upstream fails.
    Stale {
        /// The entry.
        entry: SharedEntry,
        /// Its age.
        age: Duration,
        /// How long its life is over.
        expired_for: Duration,
    },
    /// Nothing.
    Nothing,
}

/// The number of clears that a call began after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation(u64);

impl Memory {
    /// An empty store.
    pub fn new(limits: Limits) -> Self {
        // moka bounds one sum. An entry therefore weighs its bytes, and at least its share of all bytes:
        // then the sum cannot stay below max_bytes with more than max_entries in it.
        let share = limits.max_bytes / limits.max_entries.max(1);
        // moka's weights are u32, so beyond 4 GiB they count in larger units.
        let unit = limits.max_bytes / u64::from(u32::MAX) + 1;
        let weigher = move |_: &Fingerprint, entry: &SharedEntry| {
            let bytes = weight(entry).max(share);
            u32::try_from((bytes / unit).max(1)).unwrap_or(u32::MAX)
        };
        let bytes = Arc::new(AtomicU64::new(0));
        let entries = Cache::builder()
            .name("answers")
            .eviction_policy(EvictionPolicy::lru())
            .weigher(weigher)
            .max_capacity(limits.max_bytes / unit)
            .eviction_listener({
                let bytes = Arc::clone(&bytes);
                // Whatever the cause, a replaced entry included.
                move |_, entry: SharedEntry, _| {
                    bytes.fetch_sub(weight(&entry), Ordering::Relaxed);
                }
            })
            .build();
        let aliases = Cache::builder()
            .name("aliases")
            .eviction_policy(EvictionPolicy::lru())
            .max_capacity(limits.max_entries.saturating_mul(ALIASES_PER_ENTRY))
            .time_to_live(
                limits
                    .ttl
                    .saturating_add(limits.stale_if_error)
                    .min(MOKA_LONGEST),
            )
            .build();
        let shared = Shared {
            limits,
            entries,
            aliases,
            bytes,
            generation: Mutex::new(0),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The entry of a request.
    pub fn find(&self, fingerprint: Fingerprint) -> Found {
        let Some(entry) = self.shared.entries.get(&fingerprint) else {
            return Found::Nothing;
        };
        let age = entry.stored_at.elapsed();
        let Limits {
            ttl,
            stale_if_error,
            ..
        } = self.shared.limits;
        match age.checked_sub(ttl) {
            None => Found::Fresh {
                entry,
                age,
                ttl: ttl.saturating_sub(age),
            },
            Some(Duration::ZERO) => Found::Stale {
                entry,
                age,
                expired_for: Duration::ZERO,
            },
            Some(expired_for) if expired_for <= stale_if_error => Found::Stale {
                entry,
                age,
                expired_for,
            },
            Some(_) => Found::Nothing,
        }
    }

    /// Where the bytes of an earlier request led, and what compression saved on them.
    pub fn resolve(&self, alias: Fingerprint) -> Option<(Fingerprint, Saved)> {
        self.shared.aliases.get(&alias)
    }

    /// Remembers that these bytes ask for that entry.
    pub fn remember(&self, alias: Fingerprint, fingerprint: Fingerprint, saved: Saved) {
        self.shared.aliases.insert(alias, (fingerprint, saved));
    }

    /// To be read before the upstream is asked, for [`Memory::store`].
    pub fn generation(&self) -> Generation {
        Generation(*self.shared.generation.lock())
    }

    /// Keeps an answer, unless the store was cleared since the call began or the answer is larger than all
    /// the store. Says whether it is kept.
    pub fn store(&self, fingerprint: Fingerprint, entry: Entry, begun: Generation) -> bool {
        if weight(&entry) > self.shared.limits.max_bytes {
            return false;
        }
        let generation = self.shared.generation.lock();
        if *generation != begun.0 {
            return false;
        }
        self.shared
            .bytes
            .fetch_add(weight(&entry), Ordering::Relaxed);
        self.shared.entries.insert(fingerprint, Arc::new(entry));
        // Without this, moka evicts in the order of its last housekeeping, not of the last use.
        self.shared.entries.run_pending_tasks();
        true
    }

    /// Forgets everything and says how many answers that were. Answers in flight will not be stored.
    pub fn clear(&self) -> u64 {
        let mut generation = self.shared.generation.lock();
        *generation += 1;
        let cleared = self.len();
        self.shared.entries.invalidate_all();
        self.shared.aliases.invalidate_all();
        self.shared.entries.run_pending_tasks();
        self.shared.aliases.run_pending_tasks();
        cleared
    }

    /// Removes what can no longer answer anything and says how many entries that were.
    pub fn sweep(&self) -> u64 {
        let Limits {
            ttl,
            stale_if_error,
            ..
        } = self.shared.limits;
        let life = ttl.saturating_add(stale_if_error);
        // No answer may be stored between the look at an entry and its removal.
        let _storing = self.shared.generation.lock();
        let mut expired = 0;
        for (fingerprint, entry) in &self.shared.entries {
            if entry.stored_at.elapsed() > life {
                self.shared.entries.invalidate(&*fingerprint);
                expired += 1;
            }
        }
        self.shared.entries.run_pending_tasks();
        self.shared.aliases.run_pending_tasks();
        expired
    }

    /// How many answers are kept.
    pub fn len(&self) -> u64 {
        self.shared.entries.run_pending_tasks();
        self.shared.entries.entry_count()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of the answers kept, bodies and an allowance for each entry.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }
}

/// What an entry costs in bytes: its body and an allowance for what stands around it.
fn weight(entry: &Entry) -> u64 {
    entry.body.len() as u64 + ENTRY_OVERHEAD
}

/// moka refuses longer lives (1,000 years).
const MOKA_LONGEST: Duration = Duration::from_hours(1_000 * 365 * 24);

#[cfg(test)]
mod tests;
