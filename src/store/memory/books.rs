//! What the first tier weighs, and what took the answers that it keeps no more.

use std::sync::atomic::{AtomicU64, Ordering};

use super::weight;
use crate::store::Entry;

/// The answers that a [`super::Memory`] keeps no more, by what took them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evictions {
    /// Those that the bounds pushed out.
    pub size: u64,
    /// Those that were swept out, past their lives.
    pub expired: u64,
    /// Those that were cleared.
    pub cleared: u64,
    /// Those that newer answers to the same requests replaced.
    pub replaced: u64,
}

/// What takes an answer away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// There was no room for it.
    Size,
    /// Its life was over.
    Expired,
    /// Someone cleared it.
    Cleared,
    /// A newer answer took its place.
    Replaced,
}

/// Kept beside the shelf, so that whoever reads it waits for nobody.
#[derive(Debug, Default)]
pub(super) struct Books {
    bytes: AtomicU64,
    size: AtomicU64,
    expired: AtomicU64,
    cleared: AtomicU64,
    replaced: AtomicU64,
}

impl Books {
    /// Notes that this entry is kept.
    pub(super) fn came(&self, entry: &Entry) {
        self.bytes.fetch_add(weight(entry), Ordering::Relaxed);
    }

    /// Notes that this entry, which came, is kept no more.
    pub(super) fn left(&self, entry: &Entry, cause: Cause) {
        self.bytes.fetch_sub(weight(entry), Ordering::Relaxed);
        let count = match cause {
            Cause::Size => &self.size,
            Cause::Expired => &self.expired,
            Cause::Cleared => &self.cleared,
            Cause::Replaced => &self.replaced,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that what was replaced last is the same answer in one form more.
    pub(super) fn same_again(&self) {
        let less = |replaced: u64| Some(replaced.saturating_sub(1));
        // Never an error: there is always something to put in its place.
        let _ = self
            .replaced
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// What the entries weigh together.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// What has left so far.
    pub(super) fn evictions(&self) -> Evictions {
        Evictions {
            size: self.size.load(Ordering::Relaxed),
            expired: self.expired.load(Ordering::Relaxed),
            cleared: self.cleared.load(Ordering::Relaxed),
            replaced: self.replaced.load(Ordering::Relaxed),
        }
    }
}
