//! Where the first tier's entries stand; its two kinds differ in what goes first when there is no room.

use std::sync::Arc;

use super::books::{Books, Cause};
use super::lru::Lru;
use super::value::{ByValue, Worth};
use super::{Limits, weight};
use crate::config::Eviction;
use crate::fingerprint::Fingerprint;
use crate::store::{Entry, SharedEntry};

/// The entries within their bounds. [`Shelf::insert`] and [`Shelf::remove`] must not run at once.
pub(super) enum Shelf {
    /// The least recently used goes first.
    Lru(Lru),
    /// What saves the fewest tokens for its room goes first; or the least recently used, within bounds that move: moka's
    /// are fixed.
    Value(ByValue),
}

impl Shelf {
    /// An empty shelf that notes in `books` what comes and what leaves, and whose bounds may move or not.
    pub(super) fn new(limits: &Limits, moves: bool, books: &Arc<Books>) -> Self {
        match limits.eviction {
            Eviction::Lru if moves => Self::Value(ByValue::new(limits, Worth::Use, books)),
            Eviction::Lru => Self::Lru(Lru::new(limits, books)),
            Eviction::Value => Self::Value(ByValue::new(limits, Worth::Value, books)),
        }
    }

    /// The bounds in entries and bytes, where they may move.
    pub(super) fn bounds(&self) -> Option<(u64, u64)> {
        match self {
            Self::Lru(_) => None,
            Self::Value(value) => Some(value.bounds()),
        }
    }

    /// Sets other bounds, where they may move; what has no room any more goes.
    pub(super) fn resize(&self, max_entries: u64, max_bytes: u64) {
        if let Self::Value(value) = self {
            value.resize(max_entries, max_bytes);
        }
    }

    /// Whether this entry has room once all others are gone.
    pub(super) fn could_hold(&self, entry: &Entry) -> bool {
        let bytes = weight(entry);
        match self {
            Self::Lru(lru) => lru.could_hold(bytes),
            Self::Value(value) => value.could_hold(bytes),
        }
    }

    /// An entry, which is thereby used.
    pub(super) fn get(&self, fingerprint: Fingerprint) -> Option<SharedEntry> {
        match self {
            Self::Lru(lru) => lru.get(fingerprint),
            Self::Value(value) => value.get(fingerprint),
        }
    }

    /// The entries, in no order, and none is used thereby.
    pub(super) fn iter(&self) -> Box<dyn Iterator<Item = (Fingerprint, SharedEntry)> + '_> {
        match self {
            Self::Lru(lru) => Box::new(lru.iter()),
            Self::Value(value) => Box::new(value.snapshot().into_iter()),
        }
    }

    /// Keeps an entry for which there could be room.
    pub(super) fn insert(&self, fingerprint: Fingerprint, entry: SharedEntry) {
        match self {
            Self::Lru(lru) => lru.insert(fingerprint, entry),
            Self::Value(value) => value.insert(fingerprint, entry),
        }
    }

    /// Gives these entries up and says how many were there.
    pub(super) fn remove(
        &self,
        fingerprints: impl IntoIterator<Item = Fingerprint>,
        cause: Cause,
    ) -> u64 {
        let mut removed = 0;
        for fingerprint in fingerprints {
            removed += u64::from(match self {
                Self::Lru(lru) => lru.remove(fingerprint, cause),
                Self::Value(value) => value.remove(fingerprint, cause),
            });
        }
        if let Self::Lru(lru) = self {
            lru.settle();
        }
        removed
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Lru(lru) => lru.len(),
            Self::Value(value) => value.len(),
        }
    }
}
