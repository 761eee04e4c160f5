//! The shelf from which the least recently used goes first: moka, made to keep two bounds.

use std::sync::Arc;

use foldhash::quality::RandomState;
use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::books::{Books, Cause};
use super::{ByName, ENTRY_OVERHEAD, Limits, weight};
use crate::fingerprint::Fingerprint;
use crate::store::SharedEntry;

/// The least recently used goes first.
pub(super) struct Lru {
    cache: ByName<SharedEntry>,
    books: Arc<Books>,
    scale: Scale,
}

/// moka bounds one sum. An entry therefore weighs its bytes, and at least its share of all room: then the sum
/// cannot stay within the room with more than `max_entries` in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scale {
    /// So many bytes weigh 1: moka's weights are u32, so beyond 4 GiB they count in larger units.
    unit: u64,
    /// The least that an entry weighs.
    share: u64,
    /// The most that all weigh together.
    capacity: u64,
}

// === impl Lru ===

impl Lru {
    pub(super) fn new(limits: &Limits, books: &Arc<Books>) -> Self {
        let scale = Scale::new(limits);
        let cache = Cache::builder()
            .name("answers")
            .eviction_policy(EvictionPolicy::lru())
            .weigher(move |_: &Fingerprint, entry: &SharedEntry| {
                u32::try_from(scale.weigh(weight(entry))).unwrap_or(u32::MAX)
            })
            .max_capacity(scale.capacity)
            .eviction_listener({
                let books = Arc::clone(books);
                move |_, entry: SharedEntry, cause| match cause {
                    RemovalCause::Size => books.left(&entry, Cause::Size),
                    RemovalCause::Replaced => books.left(&entry, Cause::Replaced),
                    // No life is set, so that moka ends none.
                    RemovalCause::Expired => books.left(&entry, Cause::Expired),
                    // Whoever removes an entry knows why, and notes it.
                    RemovalCause::Explicit => {}
                }
            })
            .build_with_hasher(RandomState::default());
        Self {
            cache,
            books: Arc::clone(books),
            scale,
        }
    }

    pub(super) fn could_hold(&self, bytes: u64) -> bool {
        self.scale.weigh(bytes) <= self.scale.capacity
    }

    pub(super) fn get(&self, fingerprint: Fingerprint) -> Option<SharedEntry> {
        self.cache.get(&fingerprint)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Fingerprint, SharedEntry)> {
        self.settle();
        self.cache
            .iter()
            .map(|(fingerprint, entry)| (*fingerprint, entry))
    }

    pub(super) fn insert(&self, fingerprint: Fingerprint, entry: SharedEntry) {
        self.books.came(&entry);
        self.cache.insert(fingerprint, entry);
        // Without this, moka evicts in the order of its last housekeeping, not of the last use.
        self.settle();
    }

    /// [`Lru::settle`] must follow.
    pub(super) fn remove(&self, fingerprint: Fingerprint, cause: Cause) -> bool {
        // One by one, also where all go: moka would leave the last of many to later housekeeping, which would
        // no longer know why.
        let removed = self.cache.remove(&fingerprint);
        if let Some(entry) = &removed {
            self.books.left(entry, cause);
        }
        removed.is_some()
    }

    /// Lets moka catch up.
    pub(super) fn settle(&self) {
        self.cache.run_pending_tasks();
    }

    pub(super) fn len(&self) -> u64 {
        self.settle();
        self.cache.entry_count()
    }
}

// === impl Scale ===

impl Scale {
    fn new(limits: &Limits) -> Self {
        let max_entries = limits.max_entries.max(1);
        let unit = limits.max_bytes / u64::from(u32::MAX) + 1;
        let room = limits.max_bytes / unit;
        if ENTRY_OVERHEAD.div_ceil(unit).saturating_mul(max_entries) >= room {
            // Even empty answers fill the room before there are too many of them.
            return Self {
                unit,
                share: 1,
                capacity: room,
            };
        }
        // Not all the room, but what the shares fill: else its rest had room for further entries.
        let share = room / max_entries;
        Self {
            unit,
            share,
            capacity: share * max_entries,
        }
    }

    /// What an entry of so many bytes weighs. Rounded up, so that no bytes are lost sight of.
    fn weigh(&self, bytes: u64) -> u64 {
        bytes.div_ceil(self.unit).max(self.share)
    }
}
