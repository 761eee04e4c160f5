//! What is asked for and kept, on its way from the requests to whoever makes something of it: a sample by fingerprints.
//!
//! A request compares two numbers, and where it is in the sample pays for a lock and a push. Nobody waits: of a flood the
//! beginning of each second is taken in, and the rest is only counted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::fingerprint::Fingerprint;
use crate::request::Route;

/// So many may wait (40 bytes each).
const MOST: usize = 2_048;

/// Takes them in.
pub struct Accesses {
    /// Those whose keys are above it are not followed.
    threshold: AtomicU64,
    waiting: Mutex<Vec<Access>>,
    /// There is no room for more.
    is_full: AtomicBool,
    /// What there was no room for.
    missed: AtomicU64,
    bell: Notify,
}

/// What has gathered.
pub(super) struct Gathered {
    pub(super) accesses: Vec<Access>,
    /// For how many each of them stands.
    pub(super) weight: f64,
}

/// Something that happened to a question that is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// It was asked.
    Asked { key: u64, route: Route },
    /// An answer to it was kept that weighs so much and was made so long ago: others share theirs.
    Stored { key: u64, bytes: u64, age: Duration },
    /// All answers are gone.
    Cleared,
}

impl Default for Accesses {
    fn default() -> Self {
        Self {
            threshold: AtomicU64::new(u64::MAX),
            waiting: Mutex::default(),
            is_full: AtomicBool::new(false),
            missed: AtomicU64::new(0),
            bell: Notify::new(),
        }
    }
}

impl Accesses {
    /// A question is asked.
    pub fn asked(&self, question: Fingerprint, route: Route) {
        let key = key(question);
        if self.follows(key) {
            self.push(Access::Asked { key, route });
        }
    }

    /// An answer to it is kept.
    pub fn stored(&self, question: Fingerprint, bytes: u64, age: Duration) {
        let key = key(question);
        if self.follows(key) {
            self.push(Access::Stored { key, bytes, age });
        }
    }

    /// All answers are gone. That is never missed, however much comes.
    pub fn cleared(&self) {
        let mut waiting = self.waiting.lock();
        if waiting.last() == Some(&Access::Cleared) {
            return;
        }
        waiting.push(Access::Cleared);
        if waiting.len() == 1 {
            self.bell.notify_one();
        }
    }

    /// Follows fewer from now on.
    pub(super) fn lower(&self, threshold: u64) {
        self.threshold.fetch_min(threshold, Ordering::Relaxed);
    }

    /// Follows all again.
    pub(super) fn renew(&self) {
        self.take();
        self.threshold.store(u64::MAX, Ordering::Relaxed);
    }

    /// Questions with keys up to here are followed.
    pub(super) fn threshold(&self) -> u64 {
        self.threshold.load(Ordering::Relaxed)
    }

    /// Is ready when something waits.
    pub(super) async fn come(&self) {
        self.bell.notified().await;
    }

    /// Takes what waits.
    pub(super) fn take(&self) -> Gathered {
        let (accesses, missed) = {
            let mut waiting = self.waiting.lock();
            self.is_full.store(false, Ordering::Relaxed);
            let missed = self.missed.swap(0, Ordering::Relaxed);
            (std::mem::take(&mut *waiting), missed)
        };
        let taken = accesses.len().max(1) as u64;
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        let weight = (taken + missed) as f64 / taken as f64;
        Gathered { accesses, weight }
    }

    fn follows(&self, key: u64) -> bool {
        key <= self.threshold.load(Ordering::Relaxed)
    }

    fn push(&self, access: Access) {
        if self.is_full.load(Ordering::Relaxed) {
            self.missed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let mut waiting = self.waiting.lock();
        if waiting.len() >= MOST {
            self.is_full.store(true, Ordering::Relaxed);
            self.missed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.push(access);
        if waiting.len() == 1 {
            self.bell.notify_one();
        }
    }
}

/// The beginning of a digest is as even as all of it.
fn key(question: Fingerprint) -> u64 {
    let head = question.as_bytes().first_chunk();
    head.map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::digest;

    #[test]
    fn of_a_flood_the_beginning_stands_for_the_rest() {
        let accesses = Accesses::default();
        for n in 0..20_000_u32 {
            accesses.asked(digest(&n.to_le_bytes()), Route::Create);
        }
        let gathered = accesses.take();
        assert_eq!(gathered.accesses.len(), MOST);
        let stands_for = gathered.weight * 2_048.0;
        assert!((19_999.0..20_001.0).contains(&stands_for), "{stands_for}");
        // And then all is as before.
        for _ in 0..3 {
            accesses.cleared();
        }
        let gathered = accesses.take();
        assert_eq!(gathered.accesses, [Access::Cleared]);
        assert!(gathered.weight < 1.1);
    }

    #[test]
    fn a_clear_in_a_flood_is_taken_in() {
        let accesses = Accesses::default();
        for n in 0..5_000_u32 {
            accesses.asked(digest(&n.to_le_bytes()), Route::Create);
            accesses.cleared();
        }
        let gathered = accesses.take();
        assert!(gathered.accesses.len() <= MOST + 1);
        assert_eq!(gathered.accesses.last(), Some(&Access::Cleared));
    }

    #[test]
    fn what_is_not_in_the_sample_is_not_taken_in() {
        let accesses = Accesses::default();
        accesses.lower(u64::MAX / 4);
        for n in 0..2_000_u32 {
            accesses.stored(digest(&n.to_le_bytes()), 1, Duration::ZERO);
        }
        let followed = accesses.take().accesses;
        assert!((400..600).contains(&followed.len()), "{}", followed.len());
    }
}
