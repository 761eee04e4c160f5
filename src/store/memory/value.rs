//! The shelf from which the least valuable goes first, by Greedy-Dual-Size-Frequency (L. Cherkasova, "Improving
//! WWW Proxies Performance with Greedy-Dual-Size-Frequency Caching Policy", HP Laboratories, HPL-98-69R1, 1998).
//!
//! An entry's priority is `L + frequency * cost / size`, with `L` as it was when the entry was last used. Its cost is
//! the tokens that a hit saves, its size the room that it takes. The lowest goes first, and `L` becomes the priority
//! of what went: so what stays without being used is overtaken in time, however valuable it was.
//!
//! **A new entry is always admitted.** The paper leaves out a file whose own priority is the lowest. But frequencies
//! are only known of what is kept, so it would be left out for ever, and an answer that was paid for a moment ago is
//! the one that a client's next attempt asks for. Here such an entry takes the place of the least valuable and
//! is the next to go; `L` rises to its own priority only, as if it had been left out. So a flood of answers that are
//! worth little costs the others one place, and only a long one overtakes them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use super::books::{Books, Cause};
use super::{Limits, weight};
use crate::fingerprint::Fingerprint;
use crate::store::{Entry, SharedEntry};

/// Priorities are whole numbers of this part of a token per byte: sums of floating point would lose the differences
/// between entries as `L` grows.
const FRACTION: u128 = 1 << 32;
/// More tokens than any model has taken at once. An upstream that counts more is mistaken, and `L` must not jump.
const MOST_TOKENS: u64 = 1 << 24;

/// The least valuable goes first. Where all are worth the same that is the least recently used.
pub(super) struct ByValue {
    books: Arc<Books>,
    ranking: Mutex<Ranking>,
}

/// What entries are ranked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worth {
    /// What they save for their room.
    Value,
    /// Their last use alone.
    Use,
}

/// The entries by worth, least first, and where each stands.
struct Ranking {
    worth: Worth,
    max_entries: usize,
    max_bytes: u64,
    places: BTreeMap<Rank, Place>,
    ranks: HashMap<Fingerprint, Rank>,
    bytes: u64,
    /// The least room that an entry takes: where few entries are allowed, a small one costs a place like any other.
    share: u64,
    /// `L`, the paper's clock.
    inflation: u128,
    /// How often anything was used.
    uses: u64,
}

/// Entries of equal priority go in the order of their last uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    priority: u128,
    used: u64,
}

struct Place {
    fingerprint: Fingerprint,
    entry: SharedEntry,
    frequency: u32,
}

// === impl ByValue ===

impl ByValue {
    pub(super) fn new(limits: &Limits, worth: Worth, books: &Arc<Books>) -> Self {
        let mut ranking = Ranking {
            worth,
            max_entries: 0,
            max_bytes: 0,
            places: BTreeMap::new(),
            ranks: HashMap::new(),
            bytes: 0,
            share: 0,
            inflation: 0,
            uses: 0,
        };
        ranking.bound(limits.max_entries, limits.max_bytes);
        Self {
            books: Arc::clone(books),
            ranking: Mutex::new(ranking),
        }
    }

    pub(super) fn could_hold(&self, bytes: u64) -> bool {
        bytes <= self.ranking.lock().max_bytes
    }

    /// The bounds in entries and bytes.
    pub(super) fn bounds(&self) -> (u64, u64) {
        let ranking = self.ranking.lock();
        (ranking.max_entries as u64, ranking.max_bytes)
    }

    /// Sets other bounds; what has no room any more goes.
    pub(super) fn resize(&self, max_entries: u64, max_bytes: u64) {
        let mut ranking = self.ranking.lock();
        ranking.bound(max_entries, max_bytes);
        while ranking.places.len() > ranking.max_entries || ranking.bytes > ranking.max_bytes {
            let Some((rank, evicted)) = ranking.evict() else {
                break;
            };
            self.books.left(&evicted.entry, Cause::Size);
            ranking.inflation = rank.priority;
        }
    }

    pub(super) fn get(&self, fingerprint: Fingerprint) -> Option<SharedEntry> {
        let mut ranking = self.ranking.lock();
        let mut place = ranking.take(fingerprint)?;
        place.frequency = place.frequency.saturating_add(1);
        let entry = Arc::clone(&place.entry);
        let priority = ranking.priority(&entry, place.frequency);
        ranking.put(place, priority);
        Some(entry)
    }

    /// All entries, taken at once: nobody waits while they are looked through.
    pub(super) fn snapshot(&self) -> Vec<(Fingerprint, SharedEntry)> {
        let ranking = self.ranking.lock();
        let places = ranking.places.values();
        places
            .map(|place| (place.fingerprint, Arc::clone(&place.entry)))
            .collect()
    }

    pub(super) fn insert(&self, fingerprint: Fingerprint, entry: SharedEntry) {
        let bytes = weight(&entry);
        let mut ranking = self.ranking.lock();
        let mut frequency = 1;
        if let Some(replaced) = ranking.take(fingerprint) {
            self.books.left(&replaced.entry, Cause::Replaced);
            frequency = replaced.frequency;
        }
        let priority = ranking.priority(&entry, frequency);
        while ranking.places.len() >= ranking.max_entries
            || ranking.bytes.saturating_add(bytes) > ranking.max_bytes
        {
            let Some((rank, evicted)) = ranking.evict() else {
                break;
            };
            self.books.left(&evicted.entry, Cause::Size);
            ranking.inflation = rank.priority.min(priority);
        }
        self.books.came(&entry);
        let place = Place {
            fingerprint,
            entry,
            frequency,
        };
        ranking.put(place, priority);
    }

    pub(super) fn remove(&self, fingerprint: Fingerprint, cause: Cause) -> bool {
        let removed = self.ranking.lock().take(fingerprint);
        if let Some(place) = &removed {
            self.books.left(&place.entry, cause);
        }
        removed.is_some()
    }

    pub(super) fn len(&self) -> u64 {
        self.ranking.lock().places.len() as u64
    }
}

// === impl Ranking ===

impl Ranking {
    fn bound(&mut self, max_entries: u64, max_bytes: u64) {
        let max_entries = max_entries.max(1);
        self.max_entries = usize::try_from(max_entries).unwrap_or(usize::MAX);
        self.max_bytes = max_bytes;
        self.share = max_bytes / max_entries;
    }

    /// The priority of an entry that is used now, and has been so often.
    fn priority(&self, entry: &Entry, frequency: u32) -> u128 {
        if self.worth == Worth::Use {
            return 0;
        }
        // Usage may be unknown. Then all answers cost the same.
        let tokens = entry.usage.total_tokens.clamp(1, MOST_TOKENS);
        let room = weight(entry).max(self.share);
        let worth = u128::from(frequency) * u128::from(tokens) * FRACTION / u128::from(room);
        self.inflation.saturating_add(worth)
    }

    /// Gives an entry its place, as the one used last.
    fn put(&mut self, place: Place, priority: u128) {
        self.uses += 1;
        let rank = Rank {
            priority,
            used: self.uses,
        };
        self.bytes += weight(&place.entry);
        self.ranks.insert(place.fingerprint, rank);
        self.places.insert(rank, place);
    }

    /// Takes an entry out.
    fn take(&mut self, fingerprint: Fingerprint) -> Option<Place> {
        let rank = self.ranks.remove(&fingerprint)?;
        let place = self.places.remove(&rank)?;
        self.bytes -= weight(&place.entry);
        Some(place)
    }

    /// Takes out what is worth the least.
    fn evict(&mut self) -> Option<(Rank, Place)> {
        let (rank, place) = self.places.pop_first()?;
        self.ranks.remove(&place.fingerprint);
        self.bytes -= weight(&place.entry);
        Some((rank, place))
    }
}

#[cfg(test)]
mod tests;
